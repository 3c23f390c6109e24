"""Calls about disks and the directories of file disks."""

from __future__ import annotations

from ganeti.actions import blockdev, blockdev_data, file_storage
from ganeti.actions.blockdev import Index
from ganeti.actions.node import Node
from ganeti.model.base import Mib
from ganeti.model.disk import Disk
from ganeti.model.instance import Instance
from ganeti.noded.table import Call, Lane


def assemble(
    node: Node, disk: Disk, instance: Instance, on_primary: bool, index: Index
) -> blockdev.Assembled | tuple[bool, bool]:
    """Two elements when nothing had to be made active, else three: the master unpacks them."""
    assembled = blockdev.assemble(
        node, disk, instance.name, as_primary=on_primary, index=index, hypervisor=instance.hypervisor
    )
    return (True, True) if assembled is None else assembled


def grow(node: Node, disk: Disk, amount: Mib, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
    """All five are needed: a master that sends fewer is an old one that means another thing by them."""
    blockdev.grow(node, disk, amount, dry_run=dry_run, backing_store=backing_store, exclusive_storage=exclusive_storage)


CALLS = (
    Call("bdev_sizes", blockdev_data.sizes),
    # these write a mirror's metadata, wait for its other half, and wait for who has the disk open
    Call("blockdev_create", blockdev.create, lane=Lane.LONG),
    Call("blockdev_assemble", assemble, lane=Lane.LONG),
    Call("blockdev_remove", blockdev.remove, lane=Lane.LONG),
    Call("blockdev_open", blockdev.open),
    Call("blockdev_close", blockdev.close),
    Call("blockdev_shutdown", blockdev.shutdown),
    Call("blockdev_grow", grow),
    Call("blockdev_rename", blockdev.rename),
    Call("blockdev_snapshot", blockdev.snapshot),
    Call("blockdev_setinfo", blockdev.set_info),
    Call("blockdev_find", blockdev.find),
    Call("blockdev_getmirrorstatus", blockdev.mirror_status),
    Call("blockdev_getmirrorstatus_multi", blockdev.mirror_status_multi, shared=True),
    Call("blockdev_getdimensions", blockdev_data.dimensions),
    Call("blockdev_pause_resume_sync", blockdev.pause_resume_sync),
    Call("blockdev_wipe", blockdev_data.wipe, lane=Lane.LONG),
    Call("blockdev_convert", blockdev_data.convert, lane=Lane.LONG),
    Call("blockdev_image", blockdev_data.image, lane=Lane.LONG),
    Call("file_storage_dir_create", file_storage.create_directory),
    Call("file_storage_dir_remove", file_storage.remove_directory),
    Call("file_storage_dir_rename", file_storage.rename_directory),
)
