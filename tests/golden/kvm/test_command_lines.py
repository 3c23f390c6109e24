"""Command lines of guests against recorded ones: a `.case` says what the guest is, an `.args` has an argument a line.

After an intended change run the tests with REGENERATE_GOLDEN=1 and read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.golden.kvm.cases import CASES, HERE, Case, read

from ganeti.errors import HypervisorError
from ganeti.host.paths import Paths
from ganeti.hypervisor.drivers.kvm import command, display
from ganeti.hypervisor.drivers.kvm.devices import place_all
from ganeti.hypervisor.drivers.kvm.layout import Layout

REGENERATE = os.environ.get("REGENERATE_GOLDEN") == "1"


def command_line(case: Case) -> list[str]:
    """The whole command of a case, on a node with the ordinary paths."""
    paths = Paths()
    facts = case.facts()
    disks, nics = place_all(case.disks, case.instance.nics, case.instance.hvparams)
    binding = display.resolve(
        case.instance.hvparams,
        interface_exists=case.addresses.__contains__,
        addresses_of=case.addresses.__getitem__,
        primary_version=4,
    )
    place = command.Place(files=Layout.of(paths).guest(case.instance.name), data_dir=paths.data_dir, binding=binding)
    return [str(word) for word in command.command(case.instance, disks, nics, facts, place)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_command_line_is_the_recorded_one(path: Path) -> None:
    content = "".join(f"{word}\n" for word in command_line(read(path)))
    recorded = path.with_suffix(".args")
    if REGENERATE:
        recorded.write_text(content)
    assert content == recorded.read_text()


def test_every_recorded_command_line_has_its_case() -> None:
    assert {path.stem for path in (HERE / "guests").glob("*.args")} == {path.stem for path in CASES}


def test_kvm_demanded_but_unusable_is_refused_with_the_reason(tmp_path: Path) -> None:
    case = tmp_path / "a.case"
    case.write_text("hv kvm_flag = enabled\n")
    with pytest.raises(HypervisorError, match=r"kvm_flag is enabled.*cannot be opened"):
        command_line(read(case))


def test_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    case = tmp_path / "a.case"
    case.write_text("disks = file file:ro\n")
    with pytest.raises(HypervisorError, match="disk 1 is read-only"):
        command_line(read(case))


def test_a_full_bus_is_refused(tmp_path: Path) -> None:
    case = tmp_path / "a.case"
    case.write_text("hv kvm_pci_reservations = 31\ndisks = file file\n")
    with pytest.raises(HypervisorError, match=r"pci\.0 has no free slot"):
        command_line(read(case))


def test_several_queues_need_an_emulator_that_knows_them(tmp_path: Path) -> None:
    case = tmp_path / "a.case"
    case.write_text("qemu = 0.12\nnics = bridged\nhv vhost_net = true\n")
    with pytest.raises(HypervisorError, match="vhost"):
        command_line(read(case))
