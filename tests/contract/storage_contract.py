"""What every storage driver must do, and where it may differ: its answers to the operations not all of them know.

A driver's file of tests gives a `Workbench`: disks of its type on a fresh node, and what it says to each optional
operation. The same suite runs against files in a temporary directory and, in host tests, on real file systems.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, NodeError, NotSupported
from ganeti.model.disk import BlockDevStatus, Disk, DiskMode, DiskType, LocalDiskStatus


class Operation(StrEnum):
    """Operations whose answer depends on the driver."""

    EXCLUSIVE_STORAGE = "exclusive storage"
    CREATE_TWICE = "create twice"
    GROW = "grow"
    RENAME = "rename"
    SNAPSHOT = "snapshot"
    USERSPACE = "user space access"


WORKS = None
Answers = dict[Operation, type[NodeError] | None]
"""WORKS, or the error an operation is refused with."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Disks of one type on a fresh node."""

    node: Node
    disk: Callable[[str, int], Disk]
    """A disk by a short name and its size in MiB; nothing is made yet."""
    answers: Answers
    leftovers: Callable[[], list[Path]]
    """Whatever lies where the disks are."""


OWNER = "guest1.example.com"


class StorageContract:
    """Tests of one driver."""

    @pytest.fixture
    def bench(self) -> Workbench:
        """Disks under test."""
        pytest.fail("a contract needs a workbench")

    @pytest.fixture
    def disk(self, bench: Workbench) -> Disk:
        """A disk of 8 MiB that exists."""
        return make(bench, "one", 8)

    # Life -------------------------------------------------------------------------------------------------------

    def test_an_absent_disk_is_not_found(self, bench: Workbench) -> None:
        absent = bench.disk("one", 8)
        assert blockdev.find(bench.node, absent) is None
        assert blockdev_data.dimensions(bench.node, (absent,)) == [None]
        assert blockdev.mirror_status_multi(bench.node, (absent,))[0][0] is False

    def test_an_absent_disk_cannot_be_assembled(self, bench: Workbench) -> None:
        with pytest.raises(NodeError):
            blockdev.assemble(bench.node, bench.disk("one", 8), OWNER, True, 0)

    def test_a_new_disk_is_found_with_its_size_and_whole(self, bench: Workbench, disk: Disk) -> None:
        status = blockdev.find(bench.node, disk)
        assert isinstance(status, BlockDevStatus)
        assert status.is_degraded is False
        assert status.ldisk_status is LocalDiskStatus.OKAY
        assert status.sync_percent is None
        assert status.dev_path is not None
        assert size_of(bench, disk) == 8 * MIB

    def test_create_answers_with_the_identity(self, bench: Workbench) -> None:
        disk = bench.disk("one", 8)
        assert create(bench, disk) == disk.logical_id

    def test_assemble_may_be_repeated_and_keeps_the_data(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        first = blockdev.assemble(bench.node, disk, OWNER, True, 0)
        assert first == blockdev.assemble(bench.node, disk, OWNER, True, 0)
        assert first is not None
        assert first.link is not None
        assert first.dev_path is not None
        assert Path(first.link).resolve() == Path(first.dev_path).resolve()
        assert read(bench, disk, 0, 4) == b"data"

    def test_open_and_close_may_be_repeated(self, bench: Workbench, disk: Disk) -> None:
        for _ in range(2):
            blockdev.open(bench.node, OWNER, (disk,), True)
        for _ in range(2):
            blockdev.close(bench.node, OWNER, (disk,))
        assert not bench.node.paths.disk_link(OWNER, 0).is_symlink()

    def test_shutdown_may_be_repeated_and_keeps_the_data(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        for _ in range(2):
            blockdev.shutdown(bench.node, disk)
        blockdev.assemble(bench.node, disk, OWNER, True, 0)
        assert read(bench, disk, 0, 4) == b"data"

    def test_remove_leaves_nothing_and_may_be_repeated(self, bench: Workbench, disk: Disk) -> None:
        for _ in range(2):
            blockdev.remove(bench.node, disk)
        assert blockdev.find(bench.node, disk) is None
        assert bench.leftovers() == []
        assert list(bench.node.paths.bdev_cache_dir.iterdir()) == []

    def test_two_disks_do_not_share_their_data(self, bench: Workbench, disk: Disk) -> None:
        other = make(bench, "two", 8)
        write(bench, disk, b"data")
        assert read(bench, other, 0, 4) == bytes(4)
        blockdev.remove(bench.node, disk)
        assert blockdev.find(bench.node, other) is not None

    # Data -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("offset", "size"), [(0, 8), (0, 0), (8, 0), (2, 3), (7, 1)])
    def test_a_wipe_zeroes_its_range_and_nothing_else(
        self, bench: Workbench, disk: Disk, offset: int, size: int
    ) -> None:
        write(bench, disk, b"x" * (8 * MIB))
        blockdev_data.wipe(bench.node, disk, offset, size)
        expected = b"x" * (offset * MIB) + bytes(size * MIB) + b"x" * ((8 - offset - size) * MIB)
        assert read(bench, disk, 0, 8 * MIB) == expected
        assert size_of(bench, disk) == 8 * MIB

    @pytest.mark.parametrize(
        ("offset", "size", "name"), [(-1, 1, "offset"), (0, -1, "size"), (9, 0, "offset"), (8, 1, "size")]
    )
    def test_a_range_beyond_the_disk_is_refused_by_name(
        self, bench: Workbench, disk: Disk, offset: int, size: int, name: str
    ) -> None:
        write(bench, disk, b"x" * MIB)
        with pytest.raises(NodeError, match=f"'{name}'"):
            blockdev_data.wipe(bench.node, disk, offset, size)
        assert read(bench, disk, 0, MIB) == b"x" * MIB

    # What not every driver can do -------------------------------------------------------------------------------

    def test_every_optional_operation_is_answered_for(self, bench: Workbench) -> None:
        assert set(bench.answers) == set(Operation)

    def test_exclusive_storage(self, bench: Workbench) -> None:
        disk = bench.disk("one", 8)
        with answered(bench, Operation.EXCLUSIVE_STORAGE):
            create(bench, disk, exclusive_storage=True)
        if bench.answers[Operation.EXCLUSIVE_STORAGE] is not WORKS:
            assert bench.leftovers() == []

    def test_create_twice(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        with answered(bench, Operation.CREATE_TWICE):
            create(bench, disk)
        assert read(bench, disk, 0, 4) == b"data"

    def test_grow_adds_zeros_and_a_dry_run_adds_nothing(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"x" * (8 * MIB))
        for dry_run in (True, False):
            with answered(bench, Operation.GROW):
                blockdev.grow(bench.node, disk, 2, dry_run=dry_run, backing_store=True, exclusive_storage=False)
            grown = 2 if not dry_run and bench.answers[Operation.GROW] is WORKS else 0
            assert size_of(bench, disk) == (8 + grown) * MIB
        assert read(bench, disk, 0, 10 * MIB) == (b"x" * 8 * MIB + bytes(2 * MIB))[: size_of(bench, disk)]

    def test_grow_of_an_absent_disk_is_refused(self, bench: Workbench) -> None:
        with pytest.raises(NodeError):
            blockdev.grow(
                bench.node, bench.disk("one", 8), 2, dry_run=False, backing_store=True, exclusive_storage=False
            )
        assert bench.leftovers() == []

    def test_rename_keeps_the_data(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        new = bench.disk("new", 8)
        with answered(bench, Operation.RENAME):
            blockdev.rename(bench.node, ((disk, new.logical_id),))
        is_renamed = bench.answers[Operation.RENAME] is WORKS
        assert (blockdev.find(bench.node, disk) is None) == is_renamed
        assert read(bench, new if is_renamed else disk, 0, 4) == b"data"

    def test_rename_replaces_no_other_disk(self, bench: Workbench, disk: Disk) -> None:
        other = make(bench, "two", 8)
        write(bench, disk, b"data")
        write(bench, other, b"keep")
        with pytest.raises(NodeError):
            blockdev.rename(bench.node, ((disk, other.logical_id),))
        assert read(bench, disk, 0, 4) == b"data"
        assert read(bench, other, 0, 4) == b"keep"

    def test_snapshot(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        with answered(bench, Operation.SNAPSHOT):
            taken = blockdev.snapshot(bench.node, disk, None, None)
            snapshot = msgspec.structs.replace(disk, logical_id=taken)
            write(bench, disk, b"more")
            assert read(bench, snapshot, 0, 4) == b"data"

    def test_user_space_access(self, bench: Workbench, disk: Disk) -> None:
        wanting = msgspec.structs.replace(disk, params={**(disk.params or {}), "access": "userspace"})
        with answered(bench, Operation.USERSPACE):
            assembled = blockdev.assemble(bench.node, wanting, OWNER, True, 0, hypervisor="kvm")
            assert assembled is not None
            assert assembled.uri

    def test_set_info_and_pause_work_on_every_disk(self, bench: Workbench, disk: Disk) -> None:
        blockdev.set_info(bench.node, disk, f"originstname+{OWNER}")
        assert blockdev.pause_resume_sync(bench.node, (disk,), True) == [(True, None)]


def answered(bench: Workbench, operation: Operation) -> AbstractContextManager[object]:
    """A context in which the operation works or fails as the driver's table says."""
    error = bench.answers[operation]
    return nullcontext() if error is WORKS else pytest.raises(error)


def make(bench: Workbench, name: str, size: int) -> Disk:
    """Make a disk and assemble it on the primary node."""
    disk = bench.disk(name, size)
    create(bench, disk)
    return disk


def create(bench: Workbench, disk: Disk, *, exclusive_storage: bool = False) -> object:
    """Make a disk."""
    return blockdev.create(
        bench.node, disk, disk.size, OWNER, True, f"originstname+{OWNER}", exclusive_storage=exclusive_storage
    )


def size_of(bench: Workbench, disk: Disk) -> int:
    """Bytes of a disk."""
    found = blockdev_data.dimensions(bench.node, (disk,))[0]
    assert found is not None
    return found[0]


def write(bench: Workbench, disk: Disk, data: bytes) -> None:
    """Write to the beginning, as a guest would."""
    with path_of(bench, disk).open("r+b") as file:
        file.write(data)


def read(bench: Workbench, disk: Disk, offset: int, count: int) -> bytes:
    """Read, as a guest would."""
    with path_of(bench, disk).open("rb") as file:
        file.seek(offset)
        return file.read(count)


def path_of(bench: Workbench, disk: Disk) -> Path:
    """Where a disk's data is."""
    status = blockdev.find(bench.node, disk)
    assert status is not None
    assert status.dev_path is not None
    return Path(status.dev_path)


def file_bench(node: Node, store: Path, kind: DiskType) -> Workbench:
    """Files of a type below `store`, which is put on the list of allowed directories."""
    node.paths.file_storage_paths_file.write_text(f"{store}\n")

    def disk(name: str, size: int) -> Disk:
        identity = ("loop", str(store / name))
        return Disk(dev_type=kind, logical_id=identity, size=size, iv_name="disk/0", mode=DiskMode.READ_WRITE)

    return Workbench(node=node, disk=disk, answers=FILE_ANSWERS, leftovers=lambda: sorted(store.iterdir()))


FILE_ANSWERS: Answers = {
    Operation.EXCLUSIVE_STORAGE: BlockDeviceError,
    Operation.CREATE_TWICE: BlockDeviceError,
    Operation.GROW: WORKS,
    Operation.RENAME: WORKS,
    Operation.SNAPSHOT: NotSupported,
    Operation.USERSPACE: BlockDeviceError,
}
