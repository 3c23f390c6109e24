"""The kernel module drbd: which one it is, the state of all its devices in one look, and its helper program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Runner
from ganeti.tools.drbd import commands9, commands84, proc, status9
from ganeti.tools.drbd.commands import Commands
from ganeti.tools.drbd.devices import HIGHEST_MINOR
from ganeti.tools.drbd.proc import Version
from ganeti.tools.drbd.states import DeviceState

USERMODE_HELPER: Final = Path("/sys/module/drbd/parameters/usermode_helper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """What one look at the module told."""

    version: Version
    commands: Commands
    """The command lines this version understands."""
    minors: Sequence[int]
    """All it knows, also those without anything."""
    used: Sequence[int]
    """Those with a disk or a connection."""
    state: Callable[[int], DeviceState | None]
    """State of a minor; None for one it does not know. Raises: BlockDeviceError when it cannot be understood."""

    def unused_minor(self) -> int:
        """A minor that has nothing. Raises: BlockDeviceError when all are used."""
        free = [minor for minor in self.minors if minor not in set(self.used)]
        minor = free[0] if free else max(self.minors, default=-1) + 1
        if minor > HIGHEST_MINOR:
            raise BlockDeviceError(f"DRBD has no free minor: {HIGHEST_MINOR} is in use")
        return minor


def look(runner: Runner) -> Module:
    """Ask the kernel for all devices. Raises: BlockDeviceError when the module is missing or too old; CommandError."""
    status = proc.read(runner)
    version = status.version
    if (version.major, version.minor) == (8, 4):
        return Module(
            version=version,
            commands=commands84,
            minors=list(status.records),
            used=status.used(),
            state=status.state,
        )
    if version.major == 9:
        devices = status9.states_of_all(runner)
        return Module(
            version=version,
            commands=commands9,
            minors=list(devices),
            used=[minor for minor, state in devices.items() if state.is_in_use],
            state=devices.get,
        )
    raise BlockDeviceError(f"the kernel module drbd is version {version}, but 8.4 or 9 is needed")


def usermode_helper(runner: Runner) -> str:
    """The program the module runs at its events. Raises: BlockDeviceError when there is no module, or none is set."""
    try:
        first = runner.read(USERMODE_HELPER).partition("\n")[0]
    except FileNotFoundError as err:
        raise BlockDeviceError(f"{USERMODE_HELPER} does not exist: the kernel module drbd is not loaded") from err
    except OSError as err:
        raise BlockDeviceError(f"cannot read {USERMODE_HELPER}: {err.strerror}") from err
    if not first:
        raise BlockDeviceError(f"{USERMODE_HELPER} has no program in its first line")
    return first
