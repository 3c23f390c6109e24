"""Which of a guest's drives is which disk, by what its monitor says. Pure."""

from __future__ import annotations

import msgspec

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.disks import source
from ganeti.model.instance import AttachedDisk


class _Inserted(msgspec.Struct):
    file: str = ""


class _Block(msgspec.Struct):
    device: str = ""
    inserted: _Inserted | None = None


def drive_of(attached: AttachedDisk, blocks: object) -> str:
    """Name of a disk's drive in the answer of `query-block`. Raises: HypervisorError.

    Drives QEMU was given a device option for are called as their disk; others are found by their file.
    """
    try:
        drives = msgspec.convert(blocks, type=list[_Block])
    except msgspec.ValidationError as err:
        raise HypervisorError(f"the answer of query-block cannot be understood: {err}") from err
    wanted = str((attached.disk.hvinfo or {}).get("id", ""))
    path = source(attached)
    for drive in drives:
        if drive.device and (drive.device == wanted or (drive.inserted is not None and drive.inserted.file == path)):
            return drive.device
    raise HypervisorError(f"disk {attached.disk.describe()} is none of the running guest")
