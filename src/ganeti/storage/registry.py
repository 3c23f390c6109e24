"""The block device drivers of a node, found by import."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from ganeti.errors import NotSupported
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage import drivers
from ganeti.storage.base import BlockDevice
from ganeti.storage.observations import Observations


class BlockDevices:
    """Makes driver objects for disks."""

    def __init__(self, system: System, observed: Observations | None = None) -> None:
        """Remember the machine, and what all devices made here shall share of what they see."""
        self._system = system
        self._observed = observed

    def observing(self) -> BlockDevices:
        """The same drivers for one action: its devices ask each question about the machine once."""
        return BlockDevices(self._system, Observations(self._system))

    def device(self, disk: Disk, children: Sequence[BlockDevice | None] = ()) -> BlockDevice:
        """The driver object of a disk, not attached yet. Raises: NotSupported for a type without a driver."""
        _import_drivers()
        try:
            driver = BlockDevice.registered[disk.dev_type]
        except KeyError:
            raise NotSupported(disk.dev_type, "any operation: there is no driver for it") from None
        return driver(self._system, disk, children, self._observed)

    @staticmethod
    def kinds() -> list[DiskType]:
        """Disk types there is a driver for."""
        _import_drivers()
        return sorted(BlockDevice.registered)


@cache
def _import_drivers() -> None:
    for module in pkgutil.iter_modules(drivers.__path__):
        importlib.import_module(f"{drivers.__name__}.{module.name}")
    # Loading this takes 10 ms, and nothing is asked of a driver while the daemon starts.
    from importlib.metadata import entry_points

    for entry in entry_points(group="ganeti.storage"):
        entry.load()
