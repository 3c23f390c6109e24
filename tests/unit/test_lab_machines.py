"""Parts of the lab's machines that need no machine."""

from __future__ import annotations

import pytest
from lab import machines
from lab.machine_network import Port
from lab.machine_qemu import settings


@pytest.mark.parametrize(
    ("summary", "count"),
    [
        ("12 passed in 3.21s", 12),
        ("1 passed, 2 deselected in 0.50s", 1),
        ("3 passed, 1 skipped in 0.50s", 0),
        ("1 skipped in 0.10s", 0),
        ("no tests ran in 0.01s", 0),
        ("", 0),
    ],
)
def test_tests_in_a_machine_count_only_when_none_was_skipped(summary: str, count: int) -> None:
    assert machines.passed(summary) == count


def test_settings_are_read_back_by_a_shell_as_they_were() -> None:
    assert settings({"name": "n1", "checkout": "/a b/it's"}) == "name=n1\ncheckout='/a b/it'\"'\"'s'\n"


def test_machines_have_addresses_of_their_own_on_each_wire() -> None:
    ports = [Port(number=number) for number in (1, 2)]

    assert len({value for port in ports for value in (port.lan, port.ctl, port.mac("lan"), port.mac("ctl"))}) == 8


@pytest.mark.parametrize("name", ["", "N1", "1n", "a/b", "a" * 16, "n1\n"])
def test_a_name_that_fits_nowhere_is_refused(name: str) -> None:
    with pytest.raises(machines.Failure, match="is no name"), machines.lab(name):
        pass
