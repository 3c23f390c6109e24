"""A volume of the provider that the project ships: a file behind a loop device."""

from __future__ import annotations

import shutil

from msgspec.structs import replace

from ganeti.actions import blockdev, blockdev_data, external_storage
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.model.disk import Disk, DiskMode, DiskType
from lab import scenarios
from lab.machine_qemu import Hardware
from lab.machines import Lab

MACHINES = {"n1": Hardware()}
PROVIDER = scenarios.ROOT / "examples/extstorage/loop"
OWNER = "guest1.example.com"


def prepare(lab: Lab) -> None:
    """Load the driver of loop devices."""
    (machine,) = lab.machines()
    machine.check(["modprobe", "loop"])


def scenario(node: Node) -> None:
    """From a volume that is not there to one that is gone again, with a snapshot on the way."""
    provider = node.paths.ext_search_path[0] / "loop"
    shutil.copytree(PROVIDER, provider)
    ((name, path, is_valid, message, parameters),) = external_storage.diagnose(node)
    assert (name, path, is_valid, message) == ("loop", str(provider), True, "")
    assert [parameter for parameter, _ in parameters] == ["directory"]

    directory = node.paths.root / "volumes"
    disk = Disk(
        dev_type=DiskType.EXT,
        logical_id=("loop", "8d0c2f6e.ext.disk0"),
        size=8,
        iv_name="disk/0",
        mode=DiskMode.READ_WRITE,
        params={"provider": "loop", "access": "userspace", "directory": str(directory)},
    )
    assert blockdev.find(node, disk) is None
    created = blockdev.create(node, disk, 8, OWNER, True, f"originstname+{OWNER}", exclusive_storage=False)
    assert created == disk.logical_id
    assembled = blockdev.assemble(node, disk, OWNER, True, 0, hypervisor="kvm")
    assert assembled is not None
    assert assembled.dev_path is not None
    assert assembled.dev_path.startswith("/dev/loop")
    assert assembled.uri == str(directory / "8d0c2f6e.ext.disk0.img")
    blockdev.open(node, OWNER, (disk,), True)
    blockdev_data.wipe(node, disk, 0, 8)
    _grow_and_freeze(node, disk)


def _grow_and_freeze(node: Node, disk: Disk) -> None:
    blockdev.grow(node, disk, 4, dry_run=True, backing_store=True, exclusive_storage=False)
    blockdev.grow(node, disk, 4, dry_run=False, backing_store=True, exclusive_storage=False)
    grown = replace(disk, size=12)
    assert blockdev_data.dimensions(node, (grown,)) == [(12 * MIB, None)]
    taken = blockdev.snapshot(node, grown, None, None)
    assert taken == ("loop", "8d0c2f6e.ext.disk0.snap")
    snapshot = replace(grown, logical_id=taken)
    assert blockdev_data.dimensions(node, (snapshot,)) == [(12 * MIB, None)]
    for each in (snapshot, grown):
        blockdev.close(node, OWNER, (each,))
        blockdev.shutdown(node, each)
        blockdev.remove(node, each)
        assert blockdev.find(node, each) is None
