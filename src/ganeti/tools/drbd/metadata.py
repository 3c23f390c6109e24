"""Metadata devices: their size, and making them empty. DRBD keeps there which blocks of a copy are good."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError, TimedOut
from ganeti.host import block_devices
from ganeti.host.clock import TryAgain, retry
from ganeti.host.system import System
from ganeti.tools import blkdiscard
from ganeti.tools.drbd.commands import Commands

SIZE_MIB: Final = 128
HIGHEST_SIZE_MIB: Final = 1024

IN_USE: Final = ("Device or resource busy", "Valid meta data seems to be in place")
"""What blkdiscard and drbdmeta say when somebody has the device open, or had it a moment ago and wrote metadata."""

ORPHAN_TIMEOUT_S: Final = 30.0
ORPHAN_DELAY_S: Final = 0.5


def check_size(system: System, metadata: Path) -> None:
    """Raises: BlockDeviceError unless the device is of 128 MiB to 1 GiB."""
    numbers = block_devices.numbers(system.runner, metadata)
    if numbers is None:
        raise BlockDeviceError(f"metadata device {metadata} is no block device")
    size = block_devices.size_bytes(system.runner, numbers)
    if not SIZE_MIB * MIB <= size <= HIGHEST_SIZE_MIB * MIB:
        raise BlockDeviceError(f"metadata device {metadata} has {size} bytes, but should have 128 to 1024 MiB")


def create(system: System, commands: Commands, minor: int, metadata: Path) -> None:
    """Write empty metadata over whatever is there; `minor` must have no disk. May be repeated.

    Nothing that is in use is written to: blkdiscard opens the device for itself, which dd does not. It is zeroed
    because old signatures would make drbdmeta ask questions. What an interrupted attempt still runs is waited for: if
    it went on later it would destroy the metadata. Raises: BlockDeviceError, CommandError.
    """

    def attempt() -> None:
        for argv in (
            blkdiscard.zero_argv(metadata, offset_mib=0, size_mib=SIZE_MIB),
            commands.create_metadata(minor, metadata),
        ):
            result = system.runner.run(argv)
            if result.failed and any(word in result.output for word in IN_USE):
                raise TryAgain(f"metadata device {metadata} is in use")
            result.raise_if_failed()

    try:
        retry(system.clock, attempt, delay_s=ORPHAN_DELAY_S, timeout_s=ORPHAN_TIMEOUT_S)
    except TimedOut as err:
        raise BlockDeviceError(str(err)) from err


def is_readable(system: System, metadata: Path) -> bool:
    """Whether the beginning of the device can be read, past the page cache."""
    argv = ["dd", f"if={metadata}", "of=/dev/null", "bs=131072", "count=1", "iflag=direct"]
    try:
        system.runner.check(argv)
    except CommandError:
        return False
    return True
