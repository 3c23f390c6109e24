"""Links `<guest>:<n>` to the disks of guests, which name them for hypervisors whatever the disks are.

Must not know hypervisors. A link may dangle or lead to an older device; making it again replaces it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError
from ganeti.host import files
from ganeti.model.disk import Disk
from ganeti.model.instance import AttachedDisk, Instance
from ganeti.storage import tree
from ganeti.storage.base import BlockDevice, UserspaceAccess
from ganeti.storage.registry import BlockDevices

log = logging.getLogger(__name__)


def make(node: Node, instance_name: str, index: int, dev_path: Path | None) -> Path | None:
    """Link disk `index` of the guest to its device in one step; None for a device without a path.

    Raises: UnsafePath for a name that is no file name; BlockDeviceError.
    """
    if dev_path is None:
        return None
    link = node.paths.disk_link(instance_name, index)
    try:
        files.replace_link(link, dev_path)
    except OSError as err:
        raise BlockDeviceError(f"cannot make the link {link} to {dev_path}: {err.strerror}") from err
    return link


def remove(node: Node, instance_name: str, count: int) -> None:
    """Remove the guest's links to its disks 0 to `count` - 1; what is no link stays, failures are only logged."""
    for index in range(count):
        link = node.paths.disk_link(instance_name, index)
        try:
            if link.is_symlink():
                files.remove(link)
        except OSError as err:
            log.warning("A stale link stays, the next start replaces it: %s: %s", link, err)


def gather_and_link(node: Node, instance: Instance) -> list[AttachedDisk]:
    """Open every disk of the guest and link it, in order; nothing is assembled.

    Raises: BlockDeviceError at the first disk that is not there or cannot be opened; those before it stay open.
    """
    devices = node.storage.observing()
    return [_open_and_link(node, devices, instance, index, disk) for index, disk in enumerate(instance.attached_disks)]


def userspace_uri(device: BlockDevice, hypervisor: str) -> str | None:
    """Address by which the hypervisor reaches the disk itself; None when it shall use the node's device.

    Raises: BlockDeviceError when the disk asks for user space access and its type has none.
    """
    if not device.disk.wants_userspace:
        return None
    if not isinstance(device, UserspaceAccess):
        raise BlockDeviceError(f"{device.disk.describe()} cannot be reached from user space")
    return device.userspace_uri(hypervisor)


def _open_and_link(node: Node, devices: BlockDevices, instance: Instance, index: int, disk: Disk) -> AttachedDisk:
    device = tree.get(devices, disk)
    device.open()
    link = make(node, instance.name, index, device.dev_path)
    uri = userspace_uri(device, instance.hypervisor)
    return AttachedDisk(disk=disk, link=None if link is None else str(link), uri=uri)
