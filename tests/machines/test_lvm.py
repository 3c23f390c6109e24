"""What only real LVM can show: file systems on growing and frozen volumes, stripes, missing disks, old signatures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import pytest
from tests.machines import volume_group
from tests.machines.volume_group import GROUP, disk, report

from ganeti.actions import blockdev, blockdev_data, node_info, storage_units, verify_storage, volumes
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError
from ganeti.host.runner import Argument, Result, RunOptions, SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import Disk, LocalDiskStatus
from ganeti.storage.observations import Observations

DEVICES = ("/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd")
OWNER = "guest1.example.com"
INFO = f"originstname+{OWNER}"


class CountingRunner(SystemRunner):
    """Runs real programs and notes them."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []

    def run(self, argv: Sequence[Argument], **options: Unpack[RunOptions]) -> Result:
        self.ran.append(str(argv[0]))
        return super().run(argv, **options)


@pytest.fixture
def runner() -> CountingRunner:
    """What starts programs here."""
    return CountingRunner()


@pytest.fixture
def node(system: System, runner: CountingRunner) -> Iterator[Node]:
    """A node with a volume group on all four data disks."""
    with volume_group.volume_group(runner, *DEVICES):
        runner.ran.clear()
        yield Node.compose(replace(system, runner=runner))


def create(node: Node, which: Disk, *, exclusive: bool = False) -> Path:
    """Make a disk; where it is."""
    blockdev.create(node, which, which.size, OWNER, True, INFO, exclusive_storage=exclusive)
    return Path("/dev", *map(str, which.logical_id))


def grow(node: Node, which: Disk, amount: int, *, exclusive: bool = False) -> None:
    """Make a disk larger, as the master does: first it asks whether that can be."""
    for dry_run in (True, False):
        blockdev.grow(node, which, amount, dry_run=dry_run, backing_store=True, exclusive_storage=exclusive)


@contextmanager
def mounted(device: Path, at: Path, *options: str) -> Iterator[Path]:
    """A mounted file system."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, device, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def output(*argv: str | Path) -> str:
    """What a program prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


# With a file system on it --------------------------------------------------------------------------------------------


def test_a_snapshot_of_a_mounted_file_system_keeps_its_time(node: Node, tmp_path: Path) -> None:
    device = create(node, disk("one", 64))
    output("mkfs.ext4", "-q", device)
    with mounted(device, tmp_path / "origin") as origin:
        (origin / "before").write_bytes(b"b" * MIB)
        subprocess.run(["sync", "-f", origin], check=True)
        group, name = blockdev.snapshot(node, disk("one", 64), None, None)
        (origin / "before").write_bytes(b"changed")
        (origin / "after").touch()
        subprocess.run(["sync", "-f", origin], check=True)
        # A snapshot of a mounted file system has its journal open; it is not to be written to, so not replayed.
        with mounted(Path("/dev", str(group), str(name)), tmp_path / "frozen", "-o", "ro,noload") as frozen:
            assert (frozen / "before").read_bytes() == b"b" * MIB
            assert not (frozen / "after").exists()
        assert blockdev.snapshot(node, disk("one", 64), None, None) == (GROUP, "one.disk0.snap")
        with mounted(Path("/dev", str(group), str(name)), tmp_path / "frozen", "-o", "ro,noload") as frozen:
            assert (frozen / "before").read_bytes() == b"changed"
            with pytest.raises(CommandError, match=r"in use|open"):
                blockdev.snapshot(node, disk("one", 64), None, None)
    assert volume_group.names(SystemRunner()) == ["one.disk0", "one.disk0.snap"]


def test_a_disk_grows_while_it_is_mounted(node: Node, tmp_path: Path) -> None:
    device = create(node, disk("one", 64))
    output("mkfs.ext4", "-q", device)
    with mounted(device, tmp_path / "origin") as origin:
        data = os.urandom(8 * MIB)
        (origin / "data").write_bytes(data)
        before = os.statvfs(origin).f_blocks
        grow(node, disk("one", 64), 64)
        output("resize2fs", device)
        assert os.statvfs(origin).f_blocks > before * 3 // 2
        assert (origin / "data").read_bytes() == data
    assert blockdev_data.dimensions(node, (disk("one", 64),)) == [(128 * MIB, 1)]
    output("e2fsck", "-fn", device)


def test_a_volume_with_a_snapshot_says_why_it_cannot_grow(node: Node) -> None:
    create(node, disk("one", 8))
    blockdev.snapshot(node, disk("one", 8), None, None)
    with pytest.raises(CommandError, match="Snapshot origin"):
        grow(node, disk("one", 8), 8)


def test_old_signatures_are_in_nobodys_way(node: Node) -> None:
    device = create(node, disk("one", 64))
    output("mkfs.ext4", "-q", device)
    blockdev.remove(node, disk("one", 64))
    assert create(node, disk("two", 64)).is_block_device()
    blockdev.remove(node, disk("two", 64))
    create(node, disk("three", 32))
    blockdev.snapshot(node, disk("three", 32), None, None)


# Where it lies -------------------------------------------------------------------------------------------------------


def test_stripes_lie_on_different_disks(node: Node, runner: CountingRunner) -> None:
    create(node, disk("one", 64, stripes=2))
    assert report(runner, "one.disk0", "stripes")["stripes"] == "2"
    assert blockdev_data.dimensions(node, (disk("one", 64),)) == [(64 * MIB, 2)]
    grow(node, disk("one", 64), 6)
    assert blockdev_data.dimensions(node, (disk("one", 64),)) == [(72 * MIB, 2)]
    found = volumes.list_node_volumes(node)
    assert {entry["dev"] for entry in found} <= set(DEVICES)
    assert [(entry["name"], entry["size"], entry["vg"]) for entry in found] == [("one.disk0", "72.00", GROUP)] * 2


def test_stripes_that_find_no_room_become_fewer(node: Node, runner: CountingRunner) -> None:
    for device in DEVICES[1:]:
        storage_units.modify(node, "lvm-pv", [], device, {"allocatable": False})
    storage_units.modify(node, "lvm-pv", [], DEVICES[1], {"allocatable": True})
    runner.check(["lvcreate", "--quiet", "--extents=100%PVS", "--name=filler", GROUP, f"{DEVICES[1]}:0-250"])
    create(node, disk("one", 64, stripes=4))
    assert report(runner, "one.disk0", "stripes", "devices") == {"stripes": "1", "devices": "/dev/vda(0)"}


def test_nothing_is_made_on_what_is_not_allocatable(node: Node, runner: CountingRunner) -> None:
    for device in DEVICES[:3]:
        storage_units.modify(node, "lvm-pv", [], device, {"allocatable": False})
    create(node, disk("one", 64))
    assert report(runner, "one.disk0", "devices")["devices"] == "/dev/vdd(0)"
    rows = storage_units.list_units(node, "lvm-pv", [], None, ["name", "allocatable", "used", "free", "size"])
    assert rows == [
        ["/dev/vda", False, 0, 1020, 1020],
        ["/dev/vdb", False, 0, 1020, 1020],
        ["/dev/vdc", False, 0, 1020, 1020],
        ["/dev/vdd", True, 64, 956, 1020],
    ]
    assert storage_units.list_units(node, "lvm-vg", [], GROUP, ["name", "used", "free", "size"]) == [
        [GROUP, 64, 4016, 4080]
    ]
    storage_units.modify(node, "lvm-pv", [], "/dev/vda", {"allocatable": True})
    assert storage_units.list_units(node, "lvm-pv", [], "/dev/vda", ["allocatable"]) == [[True]]


def test_exclusive_storage_gives_whole_disks(node: Node, runner: CountingRunner) -> None:
    def free() -> list[tuple[int | None, int | None]]:
        info = node_info.get(node, [("lvm-vg", GROUP, (True,)), ("lvm-pv", GROUP, (True,))], None)
        return [(unit.storage_free, unit.storage_size) for unit in info.units or ()]

    def shared() -> list[tuple[str, list[str]]]:
        return verify_storage.shared_volumes(Observations(node.system), [GROUP])

    assert free() == [(4 * 990, 4080), (4, 4)]
    create(node, disk("one", 500, spindles=2), exclusive=True)
    assert report(runner, "one.disk0", "stripes")["stripes"] == "2"
    create(node, disk("two", 500, spindles=1), exclusive=True)
    assert free() == [(990, 4080), (1, 4)]
    assert blockdev_data.dimensions(node, (disk("one", 500), disk("two", 500))) == [(504 * MIB, 2), (500 * MIB, 1)]
    with pytest.raises(BlockDeviceError, match="has 1"):
        create(node, disk("three", 500, spindles=2), exclusive=True)
    grow(node, disk("one", 500), 500, exclusive=True)
    assert blockdev_data.dimensions(node, (disk("one", 500),)) == [(1000 * MIB, 2)]
    with pytest.raises(BlockDeviceError, match="MiB left"):
        grow(node, disk("two", 500), 500, exclusive=True)
    assert shared() == []
    create(node, disk("four", 1500))
    assert [name for _, names in shared() for name in names if name != "four.disk0"] != []


# Names and tags ------------------------------------------------------------------------------------------------------


def test_a_renamed_disk_keeps_its_tag_and_its_place(node: Node, runner: CountingRunner) -> None:
    create(node, disk("one", 8))
    assert report(runner, "one.disk0", "lv_tags")["lv_tags"] == INFO
    before = report(runner, "one.disk0", "devices", "lv_uuid")
    blockdev.rename(node, ((disk("one", 8), (GROUP, "uno.disk0")),))
    assert report(runner, "uno.disk0", "devices", "lv_uuid") == before
    blockdev.set_info(node, disk("uno", 8), "-odd text\n/with:all" + "x" * 200)
    assert report(runner, "uno.disk0", "lv_tags")["lv_tags"] == ("_odd_text__with_all" + "x" * 200)[:128]


def test_lists_say_what_is_active_and_in_use(node: Node, runner: CountingRunner) -> None:
    device = create(node, disk("one", 8))
    create(node, disk("two", 10))
    runner.check(["lvchange", "--quiet", "--activate=n", f"{GROUP}/two.disk0"])
    with device.open("rb"):
        found = volumes.list_volumes(node, [GROUP])
    assert found == {f"{GROUP}/one.disk0": ("8.00", False, True), f"{GROUP}/two.disk0": ("12.00", True, False)}
    assert volumes.list_groups(node) == {GROUP: 4080}
    with pytest.raises(CommandError, match="othervg"):
        volumes.list_volumes(node, ["othervg"])
    blockdev.assemble(node, disk("two", 10), OWNER, True, 0)
    assert volumes.list_volumes(node, None)[f"{GROUP}/two.disk0"] == ("12.00", False, False)


def test_a_disk_in_use_is_not_removed(node: Node) -> None:
    device = create(node, disk("one", 8))
    with device.open("rb"), pytest.raises(BlockDeviceError, match="in use"):
        blockdev.remove(node, disk("one", 8))
    blockdev.remove(node, disk("one", 8))
    assert volumes.list_volumes(node, None) == {}


def test_one_report_is_enough_for_many_disks(node: Node, runner: CountingRunner) -> None:
    disks = tuple(disk(f"many{number}", 4) for number in range(6))
    for one in disks:
        create(node, one)
    runner.ran.clear()
    assert all(worked for worked, _ in blockdev.mirror_status_multi(node, disks))
    assert runner.ran == ["lvs"]
    assert blockdev_data.dimensions(node, disks) == [(4 * MIB, 1)] * 6
    assert runner.ran == ["lvs"] * 2


# Damage --------------------------------------------------------------------------------------------------------------


def test_a_missing_disk_makes_its_volumes_faulty_and_is_taken_out(node: Node, runner: CountingRunner) -> None:
    for number, device in enumerate(DEVICES):
        runner.check(["lvcreate", "--quiet", "--size=8m", f"--name=on{number}.disk0", GROUP, device])
    runner.check(["vgchange", "--quiet", "--activate=n", GROUP])
    with Path("/dev/vdb").open("r+b") as device_file:
        device_file.write(bytes(2 * MIB))

    lost, good = disk("on1", 8), disk("on0", 8)
    for which, expected in ((lost, LocalDiskStatus.FAULTY), (good, LocalDiskStatus.OKAY)):
        status = blockdev.find(node, which)
        assert status is not None
        assert status.ldisk_status is expected
    with pytest.raises(CommandError, match="partial"):
        blockdev.assemble(node, lost, OWNER, True, 0)
    with pytest.raises(CommandError, match="missing"):
        create(node, disk("new", 8))

    storage_units.execute(node, "lvm-vg", [], GROUP, "fix-consistency")
    assert blockdev.find(node, lost) is None
    assert volumes.list_groups(node) == {GROUP: 3060}
    blockdev.assemble(node, good, OWNER, True, 0)
    create(node, disk("new", 8))
    storage_units.execute(node, "lvm-vg", [], GROUP, "fix-consistency")
