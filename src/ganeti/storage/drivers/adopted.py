"""Disks that are somebody else's block devices, adopted by their path: a partition, a volume of a storage array.

Knows a path. Their data is never made, moved or destroyed here: only a guest writes to them, and a wipe or an image
that was asked for. Must not know guests, caches of device names or other drivers.

The path may be a link; where it leads has to be below /dev. Different from the packaged 3.0 on purpose: assembling one
that is not there, or is no block device, is an error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError, UnsafePath
from ganeti.host import block_devices
from ganeti.host.paths import absolute, below
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import BlockDevice
from ganeti.storage.observations import Observations

FAMILY: Final = "manual"
"""First word of every identity."""

DEV: Final = Path("/dev")


class AdoptedDisk(BlockDevice, kinds=(DiskType.BLOCKDEV,)):
    """A block device of the node."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk. Raises: BlockDeviceError when it is described otherwise, or lies elsewhere."""
        super().__init__(system, disk, children, observed)
        if children:
            raise BlockDeviceError(f"{disk.describe()}: an adopted device has no children")
        self._device = _device_of(disk)
        self._numbers: tuple[int, int] | None = None

    @property
    def dev_path(self) -> Path:
        """The path it was adopted by."""
        return self._device

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Those of the device; None before it was looked for."""
        return self._numbers

    def attach(self) -> bool:
        """Say whether there is a block device at the path. Raises: BlockDeviceError."""
        self._numbers = block_devices.numbers(self.system.runner, self._device)
        return self._numbers is not None

    def create(self, *, exclusive_storage: bool) -> None:
        """Do nothing: it is there, or it is told when it is assembled."""
        if exclusive_storage:
            raise BlockDeviceError(f"{self._device}: an adopted device's physical disks are not known")

    def assemble(self) -> None:
        """Check that the device is there."""
        if not self.attach():
            raise BlockDeviceError(f"{self._device} is not there, or is no block device")

    def shutdown(self) -> None:
        """Nothing to do for a device that is not ours."""

    def remove(self) -> None:
        """Leave the device and its data alone; the guest has it no longer."""

    def actual_size(self) -> int:
        """Size of the device in bytes."""
        if self._numbers is None:
            raise BlockDeviceError(f"{self._device} was not found")
        return block_devices.size_bytes(self.system.runner, self._numbers)

    def import_argv(self) -> list[str]:
        """Refuse: a whole disk's content is not written over somebody else's data."""
        raise BlockDeviceError(f"{self._device} is an adopted device, whose content is not replaced by a copy")


def _device_of(disk: Disk) -> Path:
    match disk.logical_id:
        case (str(family), str(path)) if family == FAMILY:
            pass
        case _:
            raise BlockDeviceError(f"{disk.describe()}: the identity of an adopted device is {FAMILY!r} and its path")
    try:
        below(DEV, os.path.realpath(absolute(path)))
    except UnsafePath as err:
        raise BlockDeviceError(f"{disk.describe()}: an adopted device lies below {DEV}: {err}") from err
    return Path(path)
