"""Real LVM: the contract, what only it can show, and our process killed in the middle of its work, inside machines.

One machine has udev, as nodes have; without it LVM makes the device nodes itself, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import machines

LIMIT_S = 3000.0
"""For the tests of a module; they take a tenth of it on an idle machine."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 300)]


@pytest.fixture(scope="module")
def lab() -> Iterator[machines.Lab]:
    """A lab of its own."""
    with machines.lab("lvm") as lab:
        yield lab


def test_the_contract_of_storage_holds_and_killed_work_is_repeated(lab: machines.Lab) -> None:
    (machine,) = lab.up("n1", disks=2)
    assert machine.pytest("tests/machines/test_lvm_contract.py", timeout_s=LIMIT_S / 2) >= 36
    assert machine.pytest("tests/machines/test_lvm_killed.py", timeout_s=LIMIT_S / 2) >= 18
    machine.stop(hard=True)


def test_file_systems_stripes_whole_disks_and_damage(lab: machines.Lab) -> None:
    (machine,) = lab.up("n2", disks=4, udev=True)
    assert machine.pytest("tests/machines/test_lvm.py", timeout_s=LIMIT_S) >= 13
    machine.stop(hard=True)
