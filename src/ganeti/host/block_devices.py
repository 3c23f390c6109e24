"""Block devices as the kernel knows them, by their numbers. Opens none: a passive copy of a mirror cannot be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Runner

SECTOR: Final = 512
"""Bytes of a sector of /sys/dev/block/*/size, whatever the device's own (Linux, block/genhd)."""


def size_bytes(runner: Runner, numbers: tuple[int, int]) -> int:
    """Size of a block device. Raises: BlockDeviceError when there is none of that number."""
    path = Path(f"/sys/dev/block/{numbers[0]}:{numbers[1]}/size")
    try:
        return int(runner.read(path)) * SECTOR
    except (OSError, ValueError) as err:
        raise BlockDeviceError(f"the size of block device {numbers[0]}:{numbers[1]} cannot be told: {err}") from err


def numbers(runner: Runner, path: Path) -> tuple[int, int] | None:
    """Major and minor number of a device node, links followed; None for what is none. Raises: BlockDeviceError."""
    try:
        return runner.block_device(path)
    except OSError as err:
        raise BlockDeviceError(f"cannot look at {path}: {err.strerror}") from err
