"""Files of guests and who runs: found by pid file and command line, removed when a guest is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganeti.errors import HypervisorError, UnsafePath
from ganeti.host.paths import Paths
from ganeti.hypervisor.drivers.kvm import processes
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles, Layout
from ganeti.hypervisor.drivers.kvm.processes import GuestProcess

QEMU = ["/usr/bin/kvm", "-name", "g1", "-m", "512", "-smp", "2,cores=2", "-pidfile", "x"]


@pytest.fixture
def layout(paths: Paths) -> Layout:
    result = Layout.of(paths)
    result.make_directories()
    return result


def process(tmp_path: Path, pid: int, command: list[str]) -> Path:
    """A /proc with one process."""
    directory = tmp_path / "proc" / str(pid)
    directory.mkdir(parents=True)
    (directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command))
    return tmp_path / "proc"


def find(layout: Layout, tmp_path: Path, command: list[str], pid_file: str = "4321\n") -> GuestProcess | None:
    layout.guest("g1").pid.write_text(pid_file)
    return processes.find(layout.guest("g1"), process(tmp_path, 4321, command))


# Who runs ------------------------------------------------------------------------------------------------------------


def test_a_guest_is_its_process_of_that_name(layout: Layout, tmp_path: Path) -> None:
    assert find(layout, tmp_path, QEMU) == GuestProcess(pid=4321, memory_mib=512, vcpus=2)


@pytest.mark.parametrize("name", ["g", "g11", "g1.example.com", ""])
def test_a_number_given_to_another_process_is_no_guest(layout: Layout, tmp_path: Path, name: str) -> None:
    assert find(layout, tmp_path, ["/usr/bin/kvm", "-name", name, "-m", "1"]) is None


def test_options_after_the_name_do_not_hide_a_guest(layout: Layout, tmp_path: Path) -> None:
    assert find(layout, tmp_path, ["kvm", "-name", "g1,debug-threads=on", "-m", "64"]) is not None


def test_the_last_of_equal_options_counts(layout: Layout, tmp_path: Path) -> None:
    found = find(layout, tmp_path, [*QEMU, "-m", "1G", "-smp", "cpus=4"])
    assert found == GuestProcess(pid=4321, memory_mib=1024, vcpus=4)


@pytest.mark.parametrize(("text", "memory"), [("size=256M,slots=2", 256), ("2g", 2048), ("1T", 1048576), ("odd", 0)])
def test_memory_is_understood_as_qemu_takes_it(layout: Layout, tmp_path: Path, text: str, memory: int) -> None:
    found = find(layout, tmp_path, ["kvm", "-name", "g1", "-m", text])
    assert found is not None
    assert found.memory_mib == memory


@pytest.mark.parametrize("content", ["", "\n", "none\n", "-1\n", "4322\n"])
def test_a_pid_file_that_says_nothing_is_no_guest(layout: Layout, tmp_path: Path, content: str) -> None:
    assert find(layout, tmp_path, QEMU, content) is None


def test_no_pid_file_is_no_guest(layout: Layout) -> None:
    assert processes.find(layout.guest("g1")) is None


def test_waiting_for_what_is_not_there_is_over_at_once(layout: Layout) -> None:
    processes.wait_until_gone(layout.guest("g1"))
    layout.guest("g1").pid.write_text("4194305\n")  # above the largest number Linux gives
    processes.wait_until_gone(layout.guest("g1"))
    processes.end(layout.guest("g1"))


# Files ---------------------------------------------------------------------------------------------------------------


def test_the_directories_are_those_of_a_packaged_node(layout: Layout, paths: Paths) -> None:
    root = paths.run_dir / "kvm-hypervisor"
    assert sorted(path.name for path in root.iterdir()) == [
        *("chroot", "chroot-quarantine", "conf", "ctrl", "nic", "pid", "uid"),
    ]
    assert {oct(path.stat().st_mode & 0o7777) for path in (root, *root.iterdir())} == {"0o775"}


def test_making_directories_twice_changes_nothing(layout: Layout) -> None:
    layout.make_directories()


def test_a_file_in_place_of_a_directory_is_told(paths: Paths) -> None:
    (paths.run_dir / "kvm-hypervisor").write_text("")
    with pytest.raises(HypervisorError, match="not a directory"):
        Layout.of(paths).make_directories()


def test_names_are_listed_without_what_is_half_written(layout: Layout) -> None:
    for name in ("b.example.com", "a"):
        layout.guest(name).runtime.write_text("")
        layout.guest(name).pid.write_text("")
    (layout.root / "conf" / "c.runtime.0123456789ab.new").write_text("")
    assert layout.with_runtime() == ["a", "b.example.com"]
    assert layout.with_pid_file() == ["a", "b.example.com"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_name_that_is_no_file_name_is_refused(layout: Layout, name: str) -> None:
    with pytest.raises(UnsafePath):
        layout.guest(name)


def everything(guest: GuestFiles) -> None:
    """Make all files a guest can have."""
    for path in (
        *(guest.pid, guest.uid, guest.monitor, guest.serial, guest.qmp, guest.kvmd),
        *(guest.guest_agent, guest.runtime, guest.shutdown_marker),
    ):
        path.write_text("")
    guest.nics.mkdir()
    guest.nic(0).write_text("tap0")
    guest.chroot.mkdir()


def test_removal_leaves_the_marker_and_the_other_guests(layout: Layout) -> None:
    for name in ("g1", "g10"):
        everything(layout.guest(name))
    layout.guest("g1").remove()
    left = sorted(str(path.relative_to(layout.root)) for path in layout.root.rglob("g1*"))
    assert [path for path in left if "g10" not in path] == ["ctrl/g1.shutdown"]
    assert len([path for path in left if "g10" in path]) == 11
    layout.guest("g1").remove()


def test_a_chroot_with_something_in_it_is_kept_aside(layout: Layout) -> None:
    guest = layout.guest("g1")
    everything(guest)
    (guest.chroot / "core").write_text("x")
    guest.remove()
    (kept,) = (layout.root / "chroot-quarantine").iterdir()
    assert kept.name.startswith("g1-")
    assert (kept / "core").read_text() == "x"
    assert not guest.chroot.exists()


def test_paths_longer_than_a_sockets_address_are_refused_before_anything_is_made(layout: Layout) -> None:
    fits = GuestFiles(name="g1", root=Path("/" + "r" * 88), log_dir=Path("/log"))
    assert len(os.fsencode(fits.shutdown_marker)) == 106
    fits.check_socket_paths()
    with pytest.raises(HypervisorError, match=r"g123.*108 bytes, 107 are possible"):
        GuestFiles(name="g123", root=fits.root, log_dir=Path("/log")).check_socket_paths()
