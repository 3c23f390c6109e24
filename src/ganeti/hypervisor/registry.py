"""The hypervisors of a node: drivers found by import, one object a kind, made when first asked for."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from functools import cache

from ganeti.errors import HypervisorError
from ganeti.host.system import System
from ganeti.hypervisor import drivers
from ganeti.hypervisor.base import Hypervisor


class Hypervisors:
    """All hypervisors this node could run guests with."""

    def __init__(self, system: System) -> None:
        """Make no driver yet."""
        self._system = system
        self._objects: dict[str, Hypervisor] = {}
        self._lock = threading.Lock()

    def get(self, kind: str) -> Hypervisor:
        """The driver of that kind. Raises: HypervisorError when there is none."""
        with self._lock:
            if kind not in self._objects:
                self._objects[kind] = self._class(kind)(self._system)
            return self._objects[kind]

    @staticmethod
    def kinds() -> list[str]:
        """Names of all hypervisors there is a driver for."""
        _import_drivers()
        return sorted(Hypervisor.registered)

    @staticmethod
    def _class(kind: str) -> type[Hypervisor]:
        _import_drivers()
        try:
            return Hypervisor.registered[kind]
        except KeyError:
            raise HypervisorError(f"unknown hypervisor {kind!r}") from None


@cache
def _import_drivers() -> None:
    for module in pkgutil.iter_modules(drivers.__path__):
        importlib.import_module(f"{drivers.__name__}.{module.name}")
    # Loading this takes 10 ms, and nothing is asked of a driver while the daemon starts.
    from importlib.metadata import entry_points

    for entry in entry_points(group="ganeti.hypervisor"):
        entry.load()
