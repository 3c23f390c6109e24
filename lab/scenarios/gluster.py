"""A disk in a GlusterFS volume that the machine serves to itself."""

from __future__ import annotations

from msgspec.structs import replace

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.model.disk import Disk, DiskMode, DiskType
from lab.machine_qemu import Hardware
from lab.machines import Lab

MACHINES = {"n1": Hardware(disks=1)}
SERVER = "10.98.0.1"
OWNER = "guest1.example.com"
DISK = Disk(
    dev_type=DiskType.GLUSTER,
    logical_id=("loop", "ganeti/8d0c2f6e.0"),
    size=8,
    iv_name="disk/0",
    mode=DiskMode.READ_WRITE,
    params={"host": SERVER, "port": 24007, "volume": "gv0", "access": "userspace"},
)


def prepare(lab: Lab) -> None:
    """Serve the volume gv0."""
    (machine,) = lab.machines()
    machine.check(["mkfs.ext4", "-q", "/dev/vda"])
    machine.check(["mount", "/dev/vda", "/mnt"])
    machine.check(["modprobe", "fuse"])
    machine.check(["glusterd"])
    machine.check(["gluster", "--mode=script", "volume", "create", "gv0", f"{SERVER}:/mnt/brick", "force"])
    machine.check(["gluster", "--mode=script", "volume", "start", "gv0"])


def scenario(node: Node) -> None:
    """From a volume that is not mounted to a disk that is gone."""
    mount_point = node.paths.root / "gluster"
    node.paths.ssconf("gluster_storage_dir").write_text(f"{mount_point}\n")
    node.paths.file_storage_paths_file.write_text(f"{mount_point}\n")
    path = mount_point / "ganeti/8d0c2f6e.0"

    assert blockdev.find(node, DISK) is None
    created = blockdev.create(node, DISK, 8, OWNER, True, f"originstname+{OWNER}", exclusive_storage=False)
    assert created == DISK.logical_id
    assembled = blockdev.assemble(node, DISK, OWNER, True, 0, hypervisor="kvm")
    assert assembled is not None
    assert assembled.dev_path == str(path)
    assert assembled.uri == f"gluster://{SERVER}:24007/gv0/ganeti/8d0c2f6e.0"
    blockdev.open(node, OWNER, (DISK,), True)
    blockdev_data.wipe(node, DISK, 0, 8)
    blockdev.grow(node, DISK, 4, dry_run=False, backing_store=True, exclusive_storage=False)
    grown = replace(DISK, size=12)
    assert blockdev_data.dimensions(node, (grown,)) == [(12 * MIB, None)]
    ((is_told, state),) = blockdev.mirror_status_multi(node, (grown,))
    assert is_told, state
    blockdev.close(node, OWNER, (grown,))
    blockdev.shutdown(node, grown)
    assert path.exists()
    blockdev.remove(node, grown)
    assert blockdev.find(node, grown) is None
    # The node leaves the volume mounted for other disks; the scenario's files go, and it is among them.
    node.runner.check(["umount", str(mount_point)])
