"""A life of logical volumes: made, striped, grown, frozen, renamed, listed, damaged, repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from ganeti.actions import blockdev, blockdev_data, node_info, storage_units, verify_storage, volumes
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import NodeError
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.storage.observations import Observations
from lab.machine_qemu import Hardware
from lab.machines import Lab

MACHINES = {"n1": Hardware(disks=2)}

OWNER = "guest1.example.com"
INFO = f"originstname+{OWNER}"
ONE = Disk(
    dev_type=DiskType.PLAIN,
    logical_id=("xenvg", "one.disk0"),
    size=10,
    iv_name="disk/0",
    params={"stripes": 2},
)
TWO = replace(ONE, logical_id=("xenvg", "two.disk0"), size=8, params={"stripes": 1})
ALONE = replace(TWO, logical_id=("xenvg", "alone.disk0"), spindles=1)


def prepare(lab: Lab) -> None:
    """A volume group on two of the disks."""
    lab.machines()[0].check(["vgcreate", "--quiet", "xenvg", "/dev/vda", "/dev/vdb"])


def scenario(node: Node) -> None:
    """From an empty group to a repaired one."""
    make(node)
    use(node)
    grow(node)
    freeze(node)
    rename(node)
    look_around(node)
    lie_alone(node)
    repair(node)


@contextmanager
def refused(text: str) -> Iterator[None]:
    """What is done here fails with an error that says so."""
    said = "nothing, it was done"
    try:
        yield
    except NodeError as err:
        said = str(err)
    assert text in said


def make(node: Node) -> None:
    """Two disks; the first has stripes, which round it up."""
    assert blockdev.find(node, ONE) is None
    for disk in (ONE, TWO):
        made = blockdev.create(node, disk, disk.size, OWNER, True, INFO, exclusive_storage=False)
        assert made == disk.logical_id
    with refused("exists already"):
        blockdev.create(node, TWO, 8, OWNER, True, INFO, exclusive_storage=False)
    assert blockdev_data.dimensions(node, (ONE, TWO)) == [(16 * MIB, 2), (8 * MIB, 1)]


def use(node: Node) -> None:
    """Active all the time, whatever role the node has."""
    for is_primary in (True, False):
        assembled = blockdev.assemble(node, TWO, OWNER, is_primary, 0)
        assert assembled is not None
        assert assembled.dev_path == "/dev/xenvg/two.disk0"
    blockdev.shutdown(node, TWO)
    states = blockdev.mirror_status_multi(node, (ONE, TWO, replace(ONE, logical_id=("xenvg", "none"))))
    assert [worked for worked, _ in states] == [True, True, False]
    for _, state in states[:2]:
        assert isinstance(state, BlockDevStatus)
        assert state.major is not None  # the kernel gives the device mapper whichever is free
        assert state.is_degraded is False


def grow(node: Node) -> None:
    """After a dry run; again without harm; not beyond what there is."""
    for dry_run in (True, False, False):
        blockdev.grow(node, ONE, 10, dry_run=dry_run, backing_store=True, exclusive_storage=False)
    assert blockdev_data.dimensions(node, (ONE,)) == [(24 * MIB, 2)]
    with refused("Insufficient"):
        blockdev.grow(node, TWO, 5000, dry_run=True, backing_store=True, exclusive_storage=False)


def freeze(node: Node) -> None:
    """A snapshot, its replacement, and what it must not replace."""
    for _ in range(2):
        assert blockdev.snapshot(node, TWO, None, None) == ("xenvg", "two.disk0.snap")
    with refused("no snapshot of"):
        blockdev.snapshot(node, TWO, "one.disk0", None)
    with refused("no room"):
        blockdev.snapshot(node, TWO, "large", 5000)
    with refused("Snapshot origin"):
        blockdev.grow(node, TWO, 8, dry_run=False, backing_store=True, exclusive_storage=False)
    blockdev.remove(node, replace(TWO, logical_id=("xenvg", "two.disk0.snap")))


def rename(node: Node) -> None:
    """To a name that is free, and never to another one."""
    with refused("already exists"):
        blockdev.rename(node, ((TWO, ONE.logical_id),))
    blockdev.rename(node, ((TWO, ("xenvg", "uno.disk0")),))
    blockdev.rename(node, ((replace(TWO, logical_id=("xenvg", "uno.disk0")), TWO.logical_id),))
    blockdev.set_info(node, TWO, INFO)
    blockdev.set_info(node, TWO, "originstname+guest2.example.com")


def look_around(node: Node) -> None:
    """What the master asks with no disk in mind."""
    assert volumes.list_groups(node) == {"xenvg": 2040}
    assert volumes.list_volumes(node, ["xenvg"]) == {
        "xenvg/one.disk0": ("24.00", False, False),
        "xenvg/two.disk0": ("8.00", False, False),
    }
    with refused("othervg"):
        volumes.list_volumes(node, ["othervg"])
    places = volumes.list_node_volumes(node)
    assert {place["vg"] for place in places} == {"xenvg"}
    assert {place["dev"] for place in places if place["name"] == "one.disk0"} == {"/dev/vda", "/dev/vdb"}
    units = [("lvm-vg", "xenvg", (False,)), ("lvm-pv", "xenvg", (False,)), ("lvm-vg", "othervg", (False,))]
    info = node_info.get(node, units, None)
    assert [(unit.storage_free, unit.storage_size) for unit in info.units or ()] == [(2008, 2040), (0, 0), (None, None)]
    storage_units.modify(node, "lvm-pv", [], "/dev/vda", {"allocatable": False})
    rows = storage_units.list_units(node, "lvm-pv", [], None, ["name", "allocatable"])
    assert rows == [["/dev/vda", False], ["/dev/vdb", True]]
    storage_units.modify(node, "lvm-pv", [], "/dev/vda", {"allocatable": True})
    rows = storage_units.list_units(node, "lvm-vg", [], "xenvg", ["name", "size", "used", "free", "allocatable"])
    assert rows == [["xenvg", 2040, 32, 2008, True]]


def lie_alone(node: Node) -> None:
    """Exclusive storage has no empty disk left until the others are gone."""
    shared = verify_storage.shared_volumes(Observations(node.system), ["xenvg"])
    assert [names for _, names in shared] == [["one.disk0", "two.disk0"]]
    alone = (node, ALONE, 8, OWNER, True, INFO)
    with refused("has 0"):
        blockdev.create(*alone, exclusive_storage=True)
    for disk in (ONE, TWO, TWO):
        blockdev.remove(node, disk)
    blockdev.create(*alone, exclusive_storage=True)
    blockdev.grow(node, ALONE, 900, dry_run=False, backing_store=True, exclusive_storage=True)
    grown = replace(ALONE, size=908)
    with refused("MiB left"):
        blockdev.grow(node, grown, 100, dry_run=False, backing_store=True, exclusive_storage=True)
    info = node_info.get(node, [("lvm-vg", "xenvg", (True,)), ("lvm-pv", "xenvg", (True,))], None)
    assert [(unit.storage_free, unit.storage_size) for unit in info.units or ()] == [(990, 2040), (1, 2)]


def repair(node: Node) -> None:
    """A disk loses its label; what lay on it is faulty, and given up in the end."""
    (spindle,) = {place["dev"] for place in volumes.list_node_volumes(node)}
    node.runner.check(["vgchange", "--quiet", "--activate=n", "xenvg"])
    node.runner.check(["dd", "if=/dev/zero", f"of={spindle}", "bs=1048576", "count=2", "conv=fsync"])
    status = blockdev.find(node, ALONE)
    assert status is not None
    assert status.ldisk_status is LocalDiskStatus.FAULTY
    with refused("partial"):
        blockdev.assemble(node, ALONE, OWNER, True, 0)
    storage_units.execute(node, "lvm-vg", [], "xenvg", "fix-consistency")
    storage_units.execute(node, "lvm-vg", [], "xenvg", "fix-consistency")
    assert blockdev.find(node, ALONE) is None
    assert volumes.list_groups(node) == {"xenvg": 1020}
