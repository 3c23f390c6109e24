"""Command lines of util-linux' blkdiscard, in MiB. Its zeroing is the kernel's, which always reads back as zero."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganeti.constants import MIB

ZEROOUT: Final = "--zeroout"
"""Without it the range is only given back, and what it reads as afterwards is the device's affair."""


def zero_argv(device: Path, *, offset_mib: int, size_mib: int) -> list[str]:
    """Make a range of a device read as zero; refused while a file system on it is mounted."""
    return ["blkdiscard", ZEROOUT, f"--offset={offset_mib * MIB}", f"--length={size_mib * MIB}", "--", str(device)]
