"""Images of a Ceph cluster: made, mapped, grown while mapped, frozen, renamed and removed; absent ones looked for."""

from __future__ import annotations

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import NodeError
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType, LocalDiskStatus
from lab.machine_qemu import Hardware
from lab.machines import Lab

MACHINES = {"n1": Hardware(memory_mib=768, udev=True)}
OWNER = "guest1.example.com"
SIZE = 8
GROWTH = 4
PARAMETERS: Parameters = {"pool": "rbd", "access": "userspace"}
NAME = "3c1f.rbd.disk0"


def prepare(lab: Lab) -> None:
    """Start the cluster."""
    lab.ceph()


def disk(name: str, *, pool: str = "rbd", size: int = SIZE) -> Disk:
    """A disk by the name of its image."""
    params = PARAMETERS | {"pool": pool}
    return Disk(dev_type=DiskType.RBD, logical_id=("rbd", name), size=size, iv_name="disk/0", params=params)


def refusal(node: Node, one: Disk) -> str:
    """The error of looking for a disk."""
    try:
        blockdev.find(node, one)
    except NodeError as err:
        return str(err)
    return ""


def scenario(node: Node) -> None:
    """Live through it."""
    first, other = disk(NAME), disk("other")
    assert blockdev.find(node, first) is None
    assert "nopool" in refusal(node, disk(NAME, pool="nopool"))
    for one in (first, other):
        made = blockdev.create(node, one, SIZE, OWNER, True, f"originstname+{OWNER}", exclusive_storage=False)
        assert made == one.logical_id
    see_both(node, first, other)
    grow(node, first)
    freeze(node, first)
    rename(node, first, other)
    for _ in range(2):
        blockdev.remove(node, other)
    assert blockdev_data.dimensions(node, (first, other)) == [None, None]


def see_both(node: Node, first: Disk, other: Disk) -> None:
    """Ask for the state of both disks, and map one again that was unmapped."""
    status = blockdev.find(node, first)
    assert status is not None
    assert status.major is not None  # the kernel gives rbd whichever is free
    assert (status.dev_path, status.minor) == ("/dev/rbd0", 0)
    assert (status.is_degraded, status.ldisk_status) == (False, LocalDiskStatus.OKAY)
    answers = blockdev.mirror_status_multi(node, (first, other))
    assert [worked for worked, _ in answers] == [True, True]
    for _ in range(2):
        blockdev.shutdown(node, first)
    assembled = blockdev.assemble(node, first, OWNER, True, 0, hypervisor="kvm")
    assert assembled is not None
    assert (assembled.dev_path, assembled.uri) == ("/dev/rbd0", f"rbd:rbd/{NAME}")
    assert node.paths.disk_link(OWNER, 0).is_symlink()


def grow(node: Node, first: Disk) -> None:
    """Grow a disk while it is mapped, as the master does, and once more as after an answer that was lost."""
    for dry_run, below in ((True, True), (False, True), (False, True), (False, False)):
        blockdev.grow(node, first, GROWTH, dry_run=dry_run, backing_store=below, exclusive_storage=False)
    assert blockdev_data.dimensions(node, (first,)) == [((SIZE + GROWTH) * MIB, None)]


def freeze(node: Node, first: Disk) -> None:
    """Take a snapshot, and another one in its place, while the disk is mapped; it keeps the disk from going."""
    snapshot = disk(f"{NAME}.snap", size=SIZE + GROWTH)
    for _ in range(2):
        assert blockdev.snapshot(node, first, None, None) == snapshot.logical_id
    assert blockdev_data.dimensions(node, (snapshot,)) == [((SIZE + GROWTH) * MIB, None)]
    blockdev_data.wipe(node, first, 0, SIZE)
    blockdev_data.convert(node, snapshot, disk(NAME, size=SIZE + GROWTH))
    try:
        node.storage.device(first).remove()
    except NodeError as err:
        assert str(err).endswith(f"rbd/{NAME}.snap")  # noqa: PT017 - the scenario is no test
    else:
        raise AssertionError("an image was removed before its snapshot")
    blockdev.remove(node, snapshot)


def rename(node: Node, first: Disk, other: Disk) -> None:
    """Rename a disk to the name of another one, which is refused until that is gone."""
    renames = ((first, other.logical_id),)
    try:
        blockdev.rename(node, renames)
    except NodeError as err:
        assert "exists" in str(err)  # noqa: PT017 - the scenario is no test
    else:
        raise AssertionError("a renamed image replaced another one")
    blockdev.remove(node, other)
    blockdev.rename(node, renames)
    assert blockdev.find(node, first) is None
    assert blockdev_data.dimensions(node, (other,)) == [((SIZE + GROWTH) * MIB, None)]
