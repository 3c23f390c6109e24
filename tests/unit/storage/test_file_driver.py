"""What is special to disks that are files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, FileStoragePathError
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.drivers.file import FileDisk


def device(system: System, path: Path | str, *, size: int = 4) -> FileDisk:
    return FileDisk(system, Disk(dev_type=DiskType.FILE, logical_id=("loop", str(path)), size=size))


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_only_the_owner_may_read_a_new_disk_whatever_the_umask(system: System, store: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        device(system, store / "disk").create(exclusive_storage=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((store / "disk").stat().st_mode) == 0o600


def test_a_new_disk_takes_no_space(system: System, store: Path) -> None:
    device(system, store / "disk", size=1024 * 1024).create(exclusive_storage=False)
    found = (store / "disk").stat()
    assert found.st_size == 1024 * 1024 * MIB
    assert found.st_blocks * 512 < MIB


@pytest.mark.parametrize("size", [2**43 - 1, 2**43, 2**70])
def test_a_disk_too_large_for_the_file_system_leaves_no_file(system: System, store: Path, size: int) -> None:
    with pytest.raises(BlockDeviceError, match=r"cannot create .*disk"):
        device(system, store / "disk", size=size).create(exclusive_storage=False)
    assert list(store.iterdir()) == []


@pytest.mark.parametrize("path", ["/etc/passwd", "/srv/other/disk", "relative", "/dev/null", "", "/srv/../x", "/a\0b"])
def test_a_path_that_is_not_allowed_makes_no_device(system: System, store: Path, path: str) -> None:
    with pytest.raises(BlockDeviceError):
        device(system, path)


@pytest.mark.parametrize("identity", [(), ("loop",), ("loop", "/a", "/b"), ("loop", 5), ("loop", None), (None, "/a")])
def test_an_identity_of_another_shape_is_refused(
    system: System, store: Path, identity: tuple[str | int | None, ...]
) -> None:
    with pytest.raises(BlockDeviceError, match="identity"):
        FileDisk(system, Disk(dev_type=DiskType.FILE, logical_id=identity))


def test_a_file_disk_has_no_children(system: System, store: Path) -> None:
    disk = Disk(dev_type=DiskType.FILE, logical_id=("loop", str(store / "disk")))
    with pytest.raises(BlockDeviceError, match="children"):
        FileDisk(system, disk, [None])


def test_the_path_is_checked_again_at_every_use(system: System, store: Path, paths: Paths) -> None:
    disk = device(system, store / "disk")
    disk.create(exclusive_storage=False)
    paths.file_storage_paths_file.write_text("/srv/other\n")
    for act in (disk.attach, disk.assemble, disk.remove, disk.actual_size, disk.export_argv):
        with pytest.raises(FileStoragePathError):
            act()
    assert (store / "disk").exists()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside of every allowed directory."""
    path = tmp_path / "victim"
    path.write_bytes(b"v" * MIB)
    return path


def test_a_link_in_place_of_a_disk_is_never_followed(system: System, store: Path, victim: Path) -> None:
    (store / "disk").symlink_to(victim)
    disk = device(system, store / "disk", size=1)
    for act in (
        disk.attach,
        disk.assemble,
        disk.actual_size,
        disk.export_argv,
        disk.import_argv,
        lambda: disk.wipe(0, 1),
        lambda: disk.grow(1, dry_run=False, backing_store=True, exclusive_storage=False),
        lambda: disk.create(exclusive_storage=False),
    ):
        with pytest.raises(BlockDeviceError):
            act()
    assert victim.read_bytes() == b"v" * MIB


def test_a_linked_directory_leads_nowhere(system: System, store: Path, victim: Path) -> None:
    (store / "g").symlink_to(victim.parent)
    disk = device(system, store / "g/victim", size=1)
    for act in (disk.attach, disk.remove, disk.actual_size, lambda: disk.rename(("loop", str(store / "mine")))):
        with pytest.raises(FileStoragePathError, match="link"):
            act()
    assert victim.exists()


def test_removing_a_link_in_place_of_a_disk_removes_the_link_alone(system: System, store: Path, victim: Path) -> None:
    (store / "disk").symlink_to(victim)
    device(system, store / "disk").remove()
    assert not (store / "disk").is_symlink()
    assert victim.exists()


def test_what_is_no_regular_file_is_no_disk(system: System, store: Path) -> None:
    (store / "directory").mkdir()
    os.mkfifo(store / "pipe")
    for name in ("directory", "pipe"):
        disk = device(system, store / name)
        assert not disk.attach()
        with pytest.raises(BlockDeviceError):
            disk.actual_size()


def test_a_disk_in_a_missing_directory_is_absent(system: System, store: Path) -> None:
    disk = device(system, store / "nowhere/disk")
    assert not disk.attach()
    disk.remove()
    with pytest.raises(BlockDeviceError, match="No such file"):
        disk.create(exclusive_storage=False)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 3 * MIB), amount=st.integers(0, 2**20))
def test_growing_starts_from_the_actual_size(system: System, store: Path, start: int, amount: int) -> None:
    with (store / "disk").open("wb") as file:
        file.truncate(start)
    device(system, store / "disk").grow(amount, dry_run=False, backing_store=True, exclusive_storage=False)
    assert (store / "disk").stat().st_size == start + amount * MIB


@given(amount=st.integers(max_value=-1))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_disk_never_shrinks(system: System, store: Path, amount: int) -> None:
    (store / "disk").write_bytes(b"x" * 10)
    for backing_store in (True, False):
        with pytest.raises(BlockDeviceError, match="never shrink"):
            device(system, store / "disk").grow(
                amount, dry_run=False, backing_store=backing_store, exclusive_storage=False
            )
    assert (store / "disk").stat().st_size == 10


def test_only_the_backing_store_grows(system: System, store: Path) -> None:
    (store / "disk").write_bytes(b"x")
    device(system, store / "disk").grow(5, dry_run=False, backing_store=False, exclusive_storage=False)
    assert (store / "disk").stat().st_size == 1


def test_a_dry_run_refuses_what_the_file_system_has_no_space_for(system: System, store: Path) -> None:
    (store / "disk").write_bytes(b"x")
    with pytest.raises(BlockDeviceError, match="MiB are free"):
        device(system, store / "disk").grow(2**40, dry_run=True, backing_store=True, exclusive_storage=False)


def test_a_disk_cannot_be_renamed_out_of_the_allowed_directories(system: System, store: Path) -> None:
    disk = device(system, store / "disk")
    disk.create(exclusive_storage=False)
    with pytest.raises(FileStoragePathError):
        disk.rename(("loop", "/srv/other/disk"))
    assert disk.attach()


def test_a_renamed_disk_knows_its_new_path(system: System, store: Path) -> None:
    disk = device(system, store / "disk")
    disk.create(exclusive_storage=False)
    disk.rename(("loop", str(store / "new")))
    assert disk.dev_path == store / "new"
    assert disk.disk.logical_id == ("loop", str(store / "new"))
    assert disk.attach()


def test_renaming_to_the_same_path_changes_nothing(system: System, store: Path) -> None:
    disk = device(system, store / "disk")
    disk.create(exclusive_storage=False)
    disk.rename(("blktap", str(store / "disk")))
    assert disk.attach()


def test_the_commands_to_copy_a_disk(system: System, store: Path) -> None:
    disk = device(system, store / "disk", size=7)
    disk.create(exclusive_storage=False)
    direct = ["iflag=direct"] if supports_direct_io(store / "disk") else []
    assert disk.export_argv() == ["dd", f"if={store}/disk", "bs=1048576", "count=7", *direct]
    assert disk.import_argv()[:2] == ["dd", f"of={store}/disk"]


def supports_direct_io(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError as err:
        if err.errno == errno.EINVAL:
            return False
        raise
    return True
