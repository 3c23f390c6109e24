"""One side of a mirror: made, copied to the other side, paused, taken apart, given other disks, grown, removed.

The other side is on a second machine, where it waits for whoever connects. That both may write, and what happens when
the network breaks, needs the actions on both sides and is tested between two nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from ganeti.actions import blockdev, blockdev_data, mirrors, verify_drbd
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError
from ganeti.host.clock import TryAgain, retry
from ganeti.model.base import Parameters
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from lab import master_defaults
from lab.machine_qemu import Hardware
from lab.machines import Lab
from lab.scenarios import SECRET

MACHINES = {"n1": Hardware(disks=1), "n2": Hardware(disks=1)}

OWNER: Final = "guest1.example.com"
GROUP: Final = "xenvg"
SIZE, GROWTH, META_SIZE = 32, 16, 128
MINOR, PEER_MINOR, PORT = 3, 5, 11003
LOCAL, REMOTE = "10.98.0.1", "10.98.0.2"
PATIENCE_S: Final = 120.0

PARAMETERS: Final[Parameters] = {**master_defaults.DRBD, "default-metavg": GROUP, "resync-rate": 4096}

PEER: Final = f"""
lvcreate -q -Wn -L {SIZE + GROWTH}m -n d_data {GROUP}
lvcreate -q -Wn -L {META_SIZE}m -n d_meta {GROUP}
blkdiscard --zeroout /dev/{GROUP}/d_meta
drbdmeta /dev/drbd{PEER_MINOR} v08 /dev/{GROUP}/d_meta flex-external create-md
drbdsetup new-resource peer
drbdsetup new-minor peer {PEER_MINOR} 0
drbdmeta /dev/drbd{PEER_MINOR} v08 /dev/{GROUP}/d_meta flex-external apply-al
drbdsetup attach {PEER_MINOR} /dev/{GROUP}/d_data /dev/{GROUP}/d_meta flexible --size={SIZE}m \
    --resync-rate={PARAMETERS["resync-rate"]} --c-plan-ahead=0
drbdsetup connect peer ipv4:{REMOTE}:{PORT} ipv4:{LOCAL}:{PORT} --protocol=C \
    --after-sb-0pri=discard-zero-changes --after-sb-1pri=consensus --cram-hmac-alg=md5 --shared-secret={SECRET}
"""


def prepare(lab: Lab) -> None:
    """Load the module and make the volume groups; let the other side wait."""
    for machine in lab.machines():
        script = (
            "modprobe drbd minor_count=128 usermode_helper=/bin/true"
            f" && pvcreate -q /dev/vda && vgcreate -q {GROUP} /dev/vda"
        )
        machine.check(["sh", "-e", "-c", script])
    lab.machines()[1].check(["sh", "-e", "-c", PEER])


def volume(name: str, size: int) -> Disk:
    """One of the disks below."""
    return Disk(dev_type=DiskType.PLAIN, logical_id=(GROUP, name), size=size, params={"stripes": 1})


def mirror(prefix: str = "d", size: int = SIZE) -> Disk:
    """The mirror, over the volumes of a name."""
    return Disk(
        dev_type=DiskType.DRBD,
        logical_id=("uuid-1", "uuid-2", PORT, MINOR, PEER_MINOR, SECRET),
        uuid="disk-uuid",
        size=size,
        iv_name="disk/0",
        params=PARAMETERS,
        dynamic_params={
            "local-ip": LOCAL,
            "remote-ip": REMOTE,
            "local-minor": MINOR,
            "remote-minor": PEER_MINOR,
        },
        children=(volume(f"{prefix}_data", size), volume(f"{prefix}_meta", META_SIZE)),
    )


WHOLE: Final = BlockDevStatus(
    dev_path=f"/dev/drbd{MINOR}", major=147, minor=MINOR, is_degraded=False, ldisk_status=LocalDiskStatus.OKAY
)


def scenario(node: Node) -> None:
    """Live through it."""
    assert mirrors.usermode_helper(node) == "/bin/true"
    assert verify_drbd.used_minors(node) == []
    disk = make(node)
    watch_first_copy(node, disk)
    change_role(node, disk)
    part_and_meet(node, disk)
    freeze(node, disk)
    disk = exchange_disks(node, disk)
    disk = grow(node, disk)
    go_down_and_up(node, disk)
    for _ in range(2):
        blockdev.remove(node, disk)
    assert blockdev_data.dimensions(node, (disk, *(disk.children or ()))) == [None, None, None]
    assert verify_drbd.used_minors(node) == []


def make(node: Node) -> Disk:
    """Make the disks below and the mirror."""
    disk = mirror()
    assert blockdev.find(node, disk) is None
    make_volumes(node, disk)
    make_mirror(node, disk)
    assert verify_drbd.used_minors(node) == [MINOR]
    return disk


def make_volumes(node: Node, disk: Disk) -> None:
    """Make what lies below."""
    for child in disk.children or ():
        blockdev.create(node, child, child.size, OWNER, True, f"originstname+{OWNER}", exclusive_storage=False)


def make_mirror(node: Node, disk: Disk) -> None:
    """Make the mirror over them."""
    made = blockdev.create(node, disk, SIZE, OWNER, True, f"originstname+{OWNER}", exclusive_storage=False)
    assert made == (*disk.logical_id[:5], None)


def watch_first_copy(node: Node, disk: Disk) -> None:
    """Hold the first copying, make the mirror once more as after an interruption, and see the copying end."""
    for pause in (True, True, False, False):
        assert blockdev.pause_resume_sync(node, (disk,), pause) == [(True, None)]
        if pause:
            assert mirrors.wait_sync(node, (disk,))[0] is False
            make_mirror(node, disk)
    percentages = [mirrors.wait_sync(node, (disk,))[1]]
    wait_until(node, lambda: in_sync(node, disk, percentages))
    assert percentages == sorted(percentages)
    assert percentages[0] < percentages[-1] == 100
    assert blockdev.find(node, disk) == WHOLE
    assert blockdev.mirror_status_multi(node, (disk,)) == [(True, WHOLE)]
    assert mirrors.needs_activation(node, (disk,)) == []
    assert blockdev_data.dimensions(node, (disk,)) == [(SIZE * MIB, None)]


def in_sync(node: Node, disk: Disk, percentages: list[float]) -> bool:
    """Whether both sides are the same, noting how far they are."""
    is_done, percent = mirrors.wait_sync(node, (disk,))
    percentages.append(percent)
    return is_done


def change_role(node: Node, disk: Disk) -> None:
    """Close it and open it, each twice."""
    for _ in range(2):
        blockdev.close(node, OWNER, (disk,))
    assert not node.paths.disk_link(OWNER, 0).is_symlink()
    for _ in range(2):
        blockdev.open(node, OWNER, (disk,), True)
    assert node.paths.disk_link(OWNER, 0).readlink() == Path(f"/dev/drbd{MINOR}")


def part_and_meet(node: Node, disk: Disk) -> None:
    """Stop talking to the other side and begin again."""
    for _ in range(2):
        mirrors.disconnect_network(node, (disk,))
    apart = blockdev.find(node, disk)
    assert apart == replace(WHOLE, is_degraded=True)
    assert mirrors.needs_activation(node, (disk,)) == ["disk-uuid"]
    mirrors.attach_network(node, (disk,), False)
    wait_until(node, lambda: in_sync(node, disk, []))
    assert blockdev.find(node, disk) == WHOLE


def freeze(node: Node, disk: Disk) -> None:
    """Freeze the data disk while the mirror is in use."""
    taken = blockdev.snapshot(node, disk, None, None)
    assert taken == (GROUP, "d_data.snap")
    blockdev.remove(node, volume("d_data.snap", SIZE))


def exchange_disks(node: Node, disk: Disk) -> Disk:
    """Go on without local disks, then with others, which get everything from the other side."""
    other = mirror("e")
    make_volumes(node, other)
    for _ in range(2):
        mirrors.remove_children(node, disk, disk.children or ())
    without = blockdev.find(node, disk)
    assert without == replace(WHOLE, is_degraded=True, ldisk_status=LocalDiskStatus.FAULTY)
    mirrors.add_children(node, disk, other.children or ())
    wait_until(node, lambda: in_sync(node, disk, []))
    assert blockdev.find(node, other) == WHOLE
    for child in disk.children or ():
        blockdev.remove(node, child)
    return other


def grow(node: Node, disk: Disk) -> Disk:
    """Grow it while it is in use, as the master does, each step once more as after an answer that was lost."""
    for dry_run, below in ((True, True), (False, True), (False, True), (False, False), (False, False)):
        blockdev.grow(node, disk, GROWTH, dry_run=dry_run, backing_store=below, exclusive_storage=False)
    grown = mirror("e", SIZE + GROWTH)
    assert blockdev_data.dimensions(node, (grown,)) == [((SIZE + GROWTH) * MIB, None)]
    wait_until(node, lambda: in_sync(node, grown, []))
    return grown


def go_down_and_up(node: Node, disk: Disk) -> None:
    """Shut it down and assemble it, each twice."""
    for _ in range(2):
        blockdev.shutdown(node, disk)
    assert blockdev.find(node, disk) is None
    assert mirrors.needs_activation(node, (disk,)) == ["disk-uuid"]
    for _ in range(2):
        assembled = blockdev.assemble(node, disk, OWNER, True, 0)
        assert assembled is not None
        assert assembled.dev_path == f"/dev/drbd{MINOR}"
    wait_until(node, lambda: in_sync(node, disk, []))
    assert blockdev.find(node, disk) == WHOLE
    blockdev.set_info(node, disk, "originstname+other.example.com")


def wait_until(node: Node, is_true: Callable[[], bool]) -> None:
    """Ask again and again until it is so. Raises: TimedOut."""

    def attempt() -> None:
        try:
            done = is_true()
        except BlockDeviceError as err:
            raise TryAgain(str(err)) from err
        if not done:
            raise TryAgain

    retry(node.clock, attempt, delay_s=0.2, timeout_s=PATIENCE_S)
