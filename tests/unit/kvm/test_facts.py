"""What is read off an emulator's own words, and how often it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.golden.kvm.cases import HERE

from ganeti.errors import HypervisorError
from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.runner import Result
from ganeti.hypervisor.drivers.kvm import acceleration
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.probe import Prober


def facts(version: str) -> QemuFacts:
    directory = HERE / "qemu" / version
    return QemuFacts(
        help=(directory / "help.txt").read_text(),
        machine_list=(directory / "machines.txt").read_text(),
        device_list=(directory / "devices.txt").read_text(),
    )


@pytest.mark.parametrize(
    ("version", "numbers", "machine"),
    [("7.2", (7, 2, 22), "pc-i440fx-7.2"), ("9.2", (9, 2, 0), "pc-i440fx-9.2"), ("0.12", (0, 12, 5), "pc-0.12")],
)
def test_version_and_default_machine(version: str, numbers: tuple[int, int, int], machine: str) -> None:
    assert facts(version).version == numbers
    assert facts(version).default_machine == machine


@pytest.mark.parametrize(
    ("first_line", "numbers"),
    [
        ("QEMU PC emulator version 0.9.1 (kvm-72), Copyright", (0, 9, 1)),
        ("QEMU emulator version 1.0 (qemu-kvm-1.0)", (1, 0, 0)),
        ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)", (10, 0, 2)),
    ],
)
def test_versions_of_all_times(first_line: str, numbers: tuple[int, int, int]) -> None:
    assert QemuFacts(help=f"{first_line}\nmore 9.9.9", machine_list="", device_list="").version == numbers


@pytest.mark.parametrize("text", ["", "usage: qemu\nQEMU emulator version 7.2.0"])
def test_no_version_in_the_first_line_is_an_error(text: str) -> None:
    with pytest.raises(HypervisorError, match="version"):
        assert QemuFacts(help=text, machine_list="", device_list="").version


def test_machines_are_listed_with_their_aliases() -> None:
    machines = facts("7.2").machines
    assert {"pc", "q35", "pc-i440fx-6.2", "microvm", "isapc"} <= set(machines)
    assert "Supported" not in machines


def test_without_a_default_the_machine_is_pc() -> None:
    assert QemuFacts(help="", machine_list="", device_list="").default_machine == "pc"


def test_devices_are_known_by_name_and_alias() -> None:
    assert {"virtio-net-pci", "virtio-blk-pci", "lsi53c895a", "lsi", "scsi-hd", "AC97", "ac97"} <= facts("7.2").devices
    assert "ide" not in facts("7.2").devices


def test_options_are_whole_words_at_the_beginning_of_a_line() -> None:
    new = facts("7.2")
    assert new.has_option("-spice")
    assert new.has_option("-usbdevice")
    assert not new.has_option("-soundhw")
    assert not new.has_option("-sp")
    assert new.option_has("-netdev", ",vhost=on|off")
    assert not facts("0.12").option_has("-netdev", ",vhost=on|off")


@pytest.mark.parametrize(("version", "needed"), [("0.12", True), ("7.2", False), ("9.2", False)])
def test_the_boot_flag_is_needed_by_old_ones_only(version: str, needed: bool) -> None:
    assert facts(version).needs_boot_flag is needed
    assert facts(version).has_auto_read_only is not needed


# Asking --------------------------------------------------------------------------------------------------------------


class Talkative(FakeRunner):
    """A runner whose one program tells its version; `asked` are its arguments."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.failing = ""

    def respond(self, asked: Asked) -> Result:
        self.asked.append(asked.argv[1:])
        exit_code = int(asked.argv[1] == self.failing)
        return Result(argv=asked.argv, stdout="QEMU emulator version 7.2.0\n", exit_code=exit_code)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    result = tmp_path / "qemu"
    result.write_text("v1")
    return result


def test_a_binary_is_asked_once_until_it_changes(program: Path) -> None:
    runner = Talkative()
    prober = Prober(runner, kvm_check=lambda: None)
    for _ in range(3):
        assert prober.facts(program).version == (7, 2, 0)
    assert runner.asked == [("--help",), ("-machine", "help"), ("-device", "help")]
    program.write_text("version 2")
    prober.facts(program)
    assert len(runner.asked) == 6


def test_a_link_to_another_binary_is_another_one(program: Path, tmp_path: Path) -> None:
    runner = Talkative()
    prober = Prober(runner, kvm_check=lambda: None)
    link = tmp_path / "kvm"
    link.symlink_to(program)
    prober.facts(link)
    prober.facts(program)
    assert len(runner.asked) == 3


def test_old_emulators_fail_after_listing_their_devices(program: Path) -> None:
    runner = Talkative()
    runner.failing = "-device"
    assert Prober(runner, kvm_check=lambda: None).facts(program).device_list


def test_a_binary_that_fails_or_is_missing_is_told(program: Path, tmp_path: Path) -> None:
    runner = Talkative()
    runner.failing = "--help"
    prober = Prober(runner, kvm_check=lambda: None)
    with pytest.raises(HypervisorError, match="exited with status 1"):
        prober.facts(program)
    with pytest.raises(HypervisorError, match="program not found"):
        prober.facts(tmp_path / "none")


def test_kvm_is_tried_once_and_its_fault_told_once(program: Path, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    def check() -> str:
        tried.append(1)
        return "it is broken"

    prober = Prober(Talkative(), kvm_check=check)
    assert prober.facts(program).kvm_problem == "it is broken"
    assert prober.kvm_problem() == "it is broken"
    assert len(tried) == 1
    assert [record.levelname for record in caplog.records if "it is broken" in record.getMessage()] == ["WARNING"]


def test_no_kvm_device_is_a_reason_not_an_error(tmp_path: Path) -> None:
    assert "cannot be opened: No such file" in str(acceleration.why_not_usable(tmp_path / "kvm"))


def test_a_device_that_is_no_kvm_is_a_reason_not_an_error() -> None:
    assert "a guest cannot run" in str(acceleration.why_not_usable(Path("/dev/null")))
