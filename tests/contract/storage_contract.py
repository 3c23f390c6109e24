"""What every storage driver must do, and where it may differ: its row in `storage_answers`.

A driver's file of tests derives a class from `StorageContract` and gives it a `Workbench`: disks of its type on a fresh
node, with `ANSWERS[DiskType.ITS_TYPE]`. The same suite runs against files in a temporary directory, in host tests on
real file systems and devices, and inside machines of the lab on volumes, mirrors and images.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.contract.storage_answers import ANSWERS, WORKS, Answers, Operation

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import NodeError
from ganeti.model.disk import BlockDevStatus, Disk, DiskMode, DiskType, LocalDiskStatus
from ganeti.storage import tree


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Disks of one type on a fresh node."""

    node: Node
    disk: Callable[[str, int], Disk]
    """A disk by a short name ("one", "two", "new", "absent") and its size in MiB; nothing is made yet."""
    answers: Answers
    leftovers: Callable[[], list[Path]]
    """Whatever lies where the disks and their children are."""


OWNER = "guest1.example.com"
SIZE = 8
GROWTH = 4
"""MiB; multiples of the 4 MiB in which volumes are given out."""


class StorageContract:
    """Tests of one driver."""

    @pytest.fixture
    def bench(self) -> Workbench:
        """Disks under test."""
        pytest.fail("a contract needs a workbench")

    @pytest.fixture
    def disk(self, bench: Workbench) -> Disk:
        """A disk that exists and is open."""
        return make(bench, "one", SIZE)

    # Life -------------------------------------------------------------------------------------------------------

    def test_an_absent_disk_is_not_found(self, bench: Workbench) -> None:
        absent = bench.disk("absent", SIZE)
        with answered(bench, Operation.FIND_ABSENT):
            assert blockdev.find(bench.node, absent) is None
        assert blockdev_data.dimensions(bench.node, (absent,)) == [None]
        assert blockdev.mirror_status_multi(bench.node, (absent,))[0][0] is False
        assert blockdev.pause_resume_sync(bench.node, (absent,), True)[0][0] is False

    def test_an_absent_disk_cannot_be_assembled(self, bench: Workbench) -> None:
        with pytest.raises(NodeError):
            blockdev.assemble(bench.node, bench.disk("absent", SIZE), OWNER, True, 0)

    def test_an_absent_disk_can_be_removed(self, bench: Workbench) -> None:
        blockdev.remove(bench.node, bench.disk("absent", SIZE))

    def test_a_new_disk_is_found_with_its_size(self, bench: Workbench, disk: Disk) -> None:
        status = blockdev.find(bench.node, disk)
        assert isinstance(status, BlockDevStatus)
        assert status.is_degraded is not bench.answers.new_is_whole
        assert status.ldisk_status is LocalDiskStatus.OKAY
        assert status.sync_percent is None
        assert status.dev_path is not None
        assert size_of(bench, disk) == SIZE * MIB

    def test_create_answers_with_the_identity_but_never_a_secret(self, bench: Workbench) -> None:
        disk = bench.disk("one", SIZE)
        make_children(bench, disk)
        is_secret = disk.dev_type is DiskType.DRBD
        assert create(bench, disk) == ((*disk.logical_id[:5], None) if is_secret else disk.logical_id)

    def test_a_disk_made_on_the_secondary_node_is_in_use_there_where_its_type_needs_it(self, bench: Workbench) -> None:
        disk = make(bench, "one", SIZE, on_primary=False)
        notes = sorted(note.read_text() for note in bench.node.paths.bdev_cache_dir.iterdir())
        count = len([*disk.walk()]) if disk.assembled_on_secondary else 0
        assert [note.split()[:2] for note in notes] == [[OWNER, "secondary"]] * count
        assert blockdev.find(bench.node, disk) is not None

    def test_assemble_on_the_secondary_node_makes_no_link(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        blockdev.close(bench.node, OWNER, (disk,))
        assembled = blockdev.assemble(bench.node, disk, OWNER, False, 0)
        if disk.assembled_on_secondary:
            assert assembled is not None
            assert assembled[1:] == (None, None)
        else:
            assert assembled is None
        assert not bench.node.paths.disk_link(OWNER, 0).is_symlink()

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
        for exclusive in (True, True, False):
            blockdev.open(bench.node, OWNER, (disk,), exclusive)
        assert bench.node.paths.disk_link(OWNER, 0).resolve() == path_of(bench, disk).resolve()
        for _ in range(2):
            blockdev.close(bench.node, OWNER, (disk,))
        assert not bench.node.paths.disk_link(OWNER, 0).is_symlink()

    def test_a_closed_disk_tells_its_size_and_opens_with_its_data(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        blockdev.close(bench.node, OWNER, (disk,))
        assert size_of(bench, disk) == SIZE * MIB
        with nullcontext() if bench.answers.closed_is_usable else pytest.raises(OSError, match=r"."):
            assert read(bench, disk, 0, 4) == b"data"
        blockdev.open(bench.node, OWNER, (disk,), True)
        assert read(bench, disk, 0, 4) == b"data"

    def test_shutdown_may_be_repeated_and_keeps_the_data(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        for _ in range(2):
            blockdev.shutdown(bench.node, disk)
        assert list(bench.node.paths.bdev_cache_dir.iterdir()) == []
        blockdev.assemble(bench.node, disk, OWNER, True, 0)
        assert read(bench, disk, 0, 4) == b"data"

    def test_remove_leaves_nothing_and_may_be_repeated(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        for _ in range(2):
            blockdev.remove(bench.node, disk)
        assert list(bench.node.paths.bdev_cache_dir.iterdir()) == []
        if bench.answers.is_somebody_elses:
            assert read(bench, disk, 0, 4) == b"data"
            return
        assert blockdev_data.dimensions(bench.node, (disk,)) == [None]
        assert bench.leftovers() == []

    def test_a_disk_whose_making_was_cut_off_can_be_removed(self, bench: Workbench) -> None:
        disk = bench.disk("one", SIZE)
        make_children(bench, disk)
        half_make(bench, disk)
        blockdev.remove(bench.node, disk)
        assert bench.answers.is_somebody_elses or bench.leftovers() == []

    def test_a_disk_whose_making_was_cut_off_can_be_made_once_that_was_removed(self, bench: Workbench) -> None:
        disk = bench.disk("one", SIZE)
        make_children(bench, disk)
        half_make(bench, disk)
        blockdev.remove(bench.node, disk)
        make(bench, "one", SIZE)
        assert size_of(bench, disk) == SIZE * MIB

    def test_two_disks_do_not_share_their_data(self, bench: Workbench, disk: Disk) -> None:
        other = make(bench, "two", SIZE)
        write(bench, disk, b"data")
        write(bench, other, b"more")
        assert read(bench, disk, 0, 4) == b"data"
        blockdev.remove(bench.node, disk)
        assert read(bench, other, 0, 4) == b"more"

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
        assert set(bench.answers.operations) == set(Operation)

    def test_exclusive_storage(self, bench: Workbench) -> None:
        disk = bench.disk("one", SIZE)
        make_children(bench, disk)
        before = bench.leftovers()
        with answered(bench, Operation.EXCLUSIVE_STORAGE):
            create(bench, disk, exclusive_storage=True)
        assert works(bench, Operation.EXCLUSIVE_STORAGE) or bench.leftovers() == before

    def test_create_twice(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        with answered(bench, Operation.CREATE_TWICE):
            create(bench, disk)
        assert read(bench, disk, 0, 4) == b"data"

    def test_grow_layer_by_layer_after_a_dry_run_that_adds_nothing(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"x" * (SIZE * MIB))
        # The order of the master: checked below, made below, made above.
        for dry_run, below in ((True, True), (False, True), (False, False)):
            is_refused = not (below or bench.answers.grows_alone)
            with pytest.raises(NodeError) if is_refused else answered(bench, Operation.GROW):
                blockdev.grow(bench.node, disk, GROWTH, dry_run=dry_run, backing_store=below, exclusive_storage=False)
            assert not dry_run or size_of(bench, disk) == SIZE * MIB
        grown = GROWTH if works(bench, Operation.GROW) and bench.answers.grows_alone else 0
        assert size_of(bench, disk) == (SIZE + grown) * MIB
        assert read(bench, disk, 0, SIZE * MIB) == b"x" * SIZE * MIB
        if bench.answers.new_space_is_zero:
            assert read(bench, disk, SIZE * MIB, GROWTH * MIB) == bytes(grown * MIB)

    def test_grow_of_an_absent_disk_is_refused(self, bench: Workbench) -> None:
        before = bench.leftovers()
        absent = bench.disk("absent", SIZE)
        with pytest.raises(NodeError):
            blockdev.grow(bench.node, absent, GROWTH, dry_run=False, backing_store=True, exclusive_storage=False)
        assert bench.leftovers() == before

    def test_rename_keeps_the_data(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        new = bench.disk("new", SIZE)
        with answered(bench, Operation.RENAME):
            blockdev.rename(bench.node, ((disk, new.logical_id),))
        is_renamed = works(bench, Operation.RENAME)
        assert (blockdev_data.dimensions(bench.node, (disk,)) == [None]) == is_renamed
        assert read(bench, new if is_renamed else disk, 0, 4) == b"data"

    def test_rename_replaces_no_other_disk(self, bench: Workbench, disk: Disk) -> None:
        other = make(bench, "two", SIZE)
        write(bench, disk, b"data")
        write(bench, other, b"keep")
        with pytest.raises(NodeError):
            blockdev.rename(bench.node, ((disk, other.logical_id),))
        assert read(bench, disk, 0, 4) == b"data"
        assert read(bench, other, 0, 4) == b"keep"

    def test_snapshot_keeps_the_data_of_its_time(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"data")
        frozen = disk.children[0] if disk.children else disk
        with answered(bench, Operation.SNAPSHOT):
            taken = blockdev.snapshot(bench.node, disk, None, None)
            snapshot = msgspec.structs.replace(frozen, logical_id=taken)
            write(bench, disk, b"more")
            assert read(bench, snapshot, 0, 4) == b"data"
            blockdev.remove(bench.node, snapshot)
        assert read(bench, disk, 0, 4) == (b"more" if works(bench, Operation.SNAPSHOT) else b"data")

    def test_user_space_access(self, bench: Workbench, disk: Disk) -> None:
        wanting = msgspec.structs.replace(disk, params={**(disk.params or {}), "access": "userspace"})
        with answered(bench, Operation.USERSPACE):
            assembled = blockdev.assemble(bench.node, wanting, OWNER, True, 0, hypervisor="kvm")
            assert assembled is not None
            assert assembled.uri

    def test_copy_to_another_disk(self, bench: Workbench, disk: Disk) -> None:
        other = make(bench, "two", SIZE)
        write(bench, disk, b"d" * SIZE * MIB)
        write(bench, other, b"o" * SIZE * MIB)
        refusing = Operation.IMPORT if works(bench, Operation.EXPORT) else Operation.EXPORT
        with answered(bench, refusing):
            blockdev_data.convert(bench.node, disk, other)
        assert read(bench, disk, 0, SIZE * MIB) == b"d" * SIZE * MIB
        is_copied = works(bench, Operation.EXPORT) and works(bench, Operation.IMPORT)
        assert read(bench, other, 0, SIZE * MIB) == (b"d" if is_copied else b"o") * SIZE * MIB

    def test_an_image_covers_the_beginning(self, bench: Workbench, disk: Disk) -> None:
        write(bench, disk, b"x" * SIZE * MIB)
        image = bench.node.paths.temporary_dir / "image"
        image.write_bytes(b"i" * (2 * MIB + 512))
        blockdev_data.image(bench.node, disk, str(image), 3)
        assert read(bench, disk, 0, SIZE * MIB) == (b"i" * (2 * MIB + 512)).ljust(SIZE * MIB, b"x")

    def test_set_info_and_pause_work_on_every_disk(self, bench: Workbench, disk: Disk) -> None:
        blockdev.set_info(bench.node, disk, f"originstname+{OWNER}")
        for pause in (True, False):
            assert blockdev.pause_resume_sync(bench.node, (disk,), pause) == [(True, None)]


def works(bench: Workbench, operation: Operation) -> bool:
    """Whether the driver says that it knows the operation."""
    return bench.answers.operations[operation] is WORKS


def answered(bench: Workbench, operation: Operation) -> AbstractContextManager[object]:
    """A context in which the operation works or fails as the driver's row says."""
    error = bench.answers.operations[operation]
    return nullcontext() if error is None else pytest.raises(error)


def make(bench: Workbench, name: str, size: int, *, on_primary: bool = True) -> Disk:
    """Make a disk and what lies below it, as the master does, and open it on the primary node."""
    disk = bench.disk(name, size)
    make_children(bench, disk, on_primary=on_primary)
    create(bench, disk, on_primary=on_primary)
    return disk


def make_children(bench: Workbench, disk: Disk, *, on_primary: bool = True) -> None:
    """Make what lies below a disk."""
    for child in disk.children or ():
        make_children(bench, child, on_primary=on_primary)
        create(bench, child, on_primary=on_primary)


def create(bench: Workbench, disk: Disk, *, exclusive_storage: bool = False, on_primary: bool = True) -> object:
    """Make a disk whose children are there."""
    info = f"originstname+{OWNER}"
    return blockdev.create(bench.node, disk, disk.size, OWNER, on_primary, info, exclusive_storage=exclusive_storage)


def half_make(bench: Workbench, disk: Disk) -> None:
    """Make a disk and nothing more: what is there when the daemon ends in the middle of it."""
    devices = bench.node.storage.observing()
    children = [tree.get(devices, child) for child in disk.children or ()]
    devices.device(disk, children).create(exclusive_storage=False)


def size_of(bench: Workbench, disk: Disk) -> int:
    """Bytes of a disk."""
    found = blockdev_data.dimensions(bench.node, (disk,))[0]
    assert found is not None
    return found[0]


def write(bench: Workbench, disk: Disk, data: bytes) -> None:
    """Write to the beginning, as a guest would, so that it is on the disk and not only in the page cache."""
    with path_of(bench, disk).open("r+b", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def read(bench: Workbench, disk: Disk, offset: int, count: int) -> bytes:
    """Read, as a guest would, from the disk and not what the page cache remembers of it."""
    with path_of(bench, disk).open("rb") as file:
        with suppress(OSError):  # pages that cannot be dropped are those of files in memory
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
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

    return Workbench(node=node, disk=disk, answers=ANSWERS[kind], leftovers=lambda: sorted(store.iterdir()))
