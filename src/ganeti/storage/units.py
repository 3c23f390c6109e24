"""What disks are taken from: directories with their sizes, usage and free space.

Knows no single disk and no allowed directories: the caller says which unit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ganeti.constants import MIB
from ganeti.errors import StorageError

FILE_TYPES = ("file", "sharedfile", "gluster")

Cell = str | int | bool
Row = list[Cell]


def file_row(directory: Path, fields: Sequence[str]) -> Row:
    """Values of the fields (keys of `FILE_COLUMNS`) of a directory; sizes in MiB, rounded. Raises: StorageError."""
    return [FILE_COLUMNS[field](directory) for field in fields]


def file_system_bytes(directory: Path) -> tuple[int, int]:
    """Bytes free for unprivileged users, and bytes in all, of the file system of a directory. Raises: StorageError."""
    try:
        state = os.statvfs(directory)
    except (OSError, ValueError) as err:
        raise StorageError(f"cannot tell the space of {str(directory)!r}: {err}") from err
    return state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize


def used_bytes(directory: Path) -> int:
    """Sizes of everything below a directory and its own, links not followed; what goes meanwhile does not count.

    Raises: StorageError.
    """
    try:
        total = directory.lstat().st_size
        for place, directories, names in os.walk(directory, onerror=_raise_unless_gone):
            total += sum(_size(Path(place, name)) for name in (*directories, *names))
    except OSError as err:
        raise StorageError(f"cannot tell what {directory} uses: {err.strerror}: {err.filename}") from err
    return total


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _raise_unless_gone(err: OSError) -> None:
    if not isinstance(err, FileNotFoundError):
        raise err


FILE_COLUMNS: dict[str, Callable[[Path], Cell]] = {
    "name": str,
    "used": lambda path: round(used_bytes(path) / MIB),
    "free": lambda path: round(file_system_bytes(path)[0] / MIB),
    "size": lambda path: round(file_system_bytes(path)[1] / MIB),
    "allocatable": lambda _: True,
}
