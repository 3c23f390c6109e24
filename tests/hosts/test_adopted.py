"""Adopted block devices: the contract of storage on loop devices, and which paths are taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.contract.storage_answers import ANSWERS
from tests.contract.storage_contract import StorageContract, Workbench, create, make, read, write

from ganeti.actions import blockdev
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskMode, DiskType

NAMES = ("one", "two", "new")
SIZE_MIB = 8


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Loop devices by name of `SIZE_MIB` MiB."""
    runner = SystemRunner()
    with ExitStack() as stack:
        found: dict[str, Path] = {}
        for name in NAMES:
            medium = tmp_path / f"{name}.img"
            with medium.open("wb") as file:
                file.truncate(SIZE_MIB * MIB)
            device = Path(runner.check(["losetup", "--find", "--show", medium]).stdout.strip())
            stack.callback(runner.check, ["losetup", "--detach", device])
            # a loop device remembers that somebody before us made it read-only
            runner.check(["blockdev", "--setrw", device])
            found[name] = device
        yield found


@pytest.fixture
def node(paths: Paths, clock: FakeClock) -> Node:
    """A node that starts real programs."""
    return Node.compose(System(paths=paths, runner=SystemRunner(), clock=clock, hostname="node1.example.com"))


def adopted(path: str | Path, size: int = SIZE_MIB) -> Disk:
    identity = ("manual", str(path))
    return Disk(dev_type=DiskType.BLOCKDEV, logical_id=identity, size=size, iv_name="disk/0", mode=DiskMode.READ_WRITE)


@pytest.fixture
def bench(node: Node, devices: dict[str, Path]) -> Workbench:
    """The devices, and a name that none has."""

    def disk(name: str, size: int) -> Disk:
        return adopted(devices.get(name, Path("/dev") / f"none-{os.getpid()}"), size)

    return Workbench(node=node, disk=disk, answers=ANSWERS[DiskType.BLOCKDEV], leftovers=list)


class TestAdoptedDevices(StorageContract):
    """The contract on devices that are somebody else's."""

    @pytest.fixture
    def bench(self, bench: Workbench) -> Workbench:
        """The devices."""
        return bench


def test_a_device_that_is_not_there_cannot_be_adopted(bench: Workbench) -> None:
    with pytest.raises(BlockDeviceError, match="is not there"):
        create(bench, bench.disk("absent", SIZE_MIB))


@pytest.mark.parametrize("path", ["/dev/null", "/dev/shm"])
def test_what_is_no_block_device_is_not_found(node: Node, path: str) -> None:
    assert blockdev.find(node, adopted(path)) is None


@pytest.mark.parametrize(
    "path", ["", "dev/sda", "/dev", "/dev/", "/etc/passwd", "/dev/../etc/passwd", "/device", "/dev/a\0b", "/dev//sda"]
)
def test_a_path_elsewhere_is_refused_at_every_use(node: Node, path: str) -> None:
    with pytest.raises(BlockDeviceError, match="an adopted device lies below /dev"):
        blockdev.find(node, adopted(path))
    with pytest.raises(BlockDeviceError, match="an adopted device lies below /dev"):
        blockdev.create(node, adopted(path), SIZE_MIB, "guest1", True, "", exclusive_storage=False)


def test_a_link_counts_by_where_it_leads(node: Node, devices: dict[str, Path], tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.symlink_to(devices["one"])
    outside.symlink_to(tmp_path / "one.img")
    found = blockdev.find(node, adopted(inside))
    assert found is not None
    assert found.dev_path == str(inside)
    with pytest.raises(BlockDeviceError, match="below /dev"):
        blockdev.find(node, adopted(outside))


@pytest.mark.parametrize(
    "identity", [("auto", "/dev/sda"), ("manual",), ("manual", 7), ("manual", "/dev/sda", "x"), ()]
)
def test_another_identity_is_refused(node: Node, identity: tuple[str | int | None, ...]) -> None:
    with pytest.raises(BlockDeviceError, match="identity"):
        blockdev.find(node, Disk(dev_type=DiskType.BLOCKDEV, logical_id=identity))


def test_it_has_no_children(node: Node) -> None:
    with pytest.raises(BlockDeviceError, match="no children"):
        node.storage.device(adopted("/dev/null"), [None])


def test_a_minor_number_beyond_a_byte_is_told_whole(node: Node, tmp_path: Path) -> None:
    device = Path("/dev") / f"minor-{os.getpid()}"
    os.mknod(device, 0o600 | 0o060000, os.makedev(259, 1000))
    try:
        found = blockdev.find(node, adopted(device))
    finally:
        device.unlink()
    assert found is not None
    assert (found.major, found.minor) == (259, 1000)


def test_its_data_outlives_its_removal(bench: Workbench) -> None:
    disk = make(bench, "one", SIZE_MIB)
    write(bench, disk, b"data")
    blockdev.shutdown(bench.node, disk)
    blockdev.remove(bench.node, disk)
    assert read(bench, disk, 0, 4) == b"data"
