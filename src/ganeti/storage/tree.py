"""Disks with what lies below them: finding, assembling and taking apart a whole tree.

Children come before their parent on the way up, after it on the way down. Knows no single technology, and neither
guests nor caches: what else has to happen to a device is handed in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ganeti.errors import BlockDeviceError, CommandError, FileStoragePathError
from ganeti.model.disk import Disk
from ganeti.storage.base import BlockDevice
from ganeti.storage.registry import BlockDevices

log = logging.getLogger(__name__)

FAILURES = (BlockDeviceError, CommandError)
"""What a driver raises when the machine does not do what it should; anything else is a mistake of the caller."""


def find(devices: BlockDevices, disk: Disk) -> BlockDevice | None:
    """The device of a disk if it is on this node. Children that are not there are None in it. Raises as drivers do."""
    children = [find(devices, child) for child in disk.children or ()]
    device = devices.device(disk, children)
    return device if device.attach() else None


def get(devices: BlockDevices, disk: Disk) -> BlockDevice:
    """The device of a disk. Raises: BlockDeviceError when it is not on this node; as drivers do."""
    device = find(devices, disk)
    if device is None:
        raise BlockDeviceError(f"block device of {disk.describe()} was not found on this node")
    return device


def find_leniently(devices: BlockDevices, disk: Disk) -> BlockDevice | None:
    """Like `find`, but a device that cannot be looked at counts as missing; a forbidden path is still refused."""
    try:
        return find(devices, disk)
    except FileStoragePathError:
        raise
    except FAILURES as err:
        log.info("%s counts as missing: %s", disk.describe(), err)
        return None


def assemble(
    devices: BlockDevices, disk: Disk, *, as_primary: bool, activated: Callable[[BlockDevice], None]
) -> BlockDevice | None:
    """Make a disk and all below it active; None when nothing has to be active in this role.

    A child that fails is left out where the disk can do without all of them. `activated` is called with every device
    made active. Raises: BlockDeviceError, CommandError.
    """
    children = _assemble_children(devices, disk, as_primary=as_primary, activated=activated)
    if not (as_primary or disk.assembled_on_secondary):
        return None
    device = devices.device(disk, children)
    device.assemble()
    if as_primary or disk.opened_on_secondary:
        device.open()
    activated(device)
    return device


def take_down(
    disk: Disk, *, find_device: Callable[[Disk], BlockDevice | None], act: Callable[[BlockDevice], None]
) -> list[str]:
    """Do `act` to a disk's device and then to those of its children; missing ones are fine.

    A failure does not stop the rest; the texts of all are returned. What `find_device` raises stops everything.
    """
    failures: list[str] = []
    device = find_device(disk)
    if device is not None:
        try:
            act(device)
        except FAILURES as err:
            failures.append(str(err))
    for child in disk.children or ():
        failures += take_down(child, find_device=find_device, act=act)
    return failures


def _assemble_children(
    devices: BlockDevices, disk: Disk, *, as_primary: bool, activated: Callable[[BlockDevice], None]
) -> list[BlockDevice | None]:
    children: list[BlockDevice | None] = []
    for child in disk.children or ():
        try:
            children.append(assemble(devices, child, as_primary=as_primary, activated=activated))
        except FAILURES as err:
            if disk.children_needed != 0:
                raise
            log.warning("%s goes on without %s: %s", disk.describe(), child.describe(), err)
            children.append(None)
    return children
