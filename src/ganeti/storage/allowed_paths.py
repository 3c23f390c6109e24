"""Where file disks may lie: the administrator's list, the places never allowed, and the way there without links.

The list is one absolute directory a line in `Paths.file_storage_paths_file`; it is read at every use, and no list means
that nothing is allowed. Must not know what is done with a path.

The packaged 3.0 compares texts only, so a symbolic link inside an allowed directory leads anywhere. Here the way from
the allowed directory down is walked on descriptors and a link on it is refused; the allowed directory itself, named by
the administrator, may be one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ganeti.errors import FileStoragePathError, NodeError, UnsafePath
from ganeti.host import files, safe_paths
from ganeti.host.paths import Paths, absolute

log = logging.getLogger(__name__)

FORBIDDEN = frozenset(
    [Path(name) for name in ("/boot", "/dev", "/etc", "/home", "/proc", "/root", "/sys")]
    + [Path(top, name) for top in ("/", "/usr", "/usr/local") for name in ("bin", "lib", "lib32", "lib64", "sbin")]
)
"""Directories that never hold disks, whatever the list says."""


DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def is_forbidden(path: str | Path) -> bool:
    """Whether `path`, normalised, is relative or lies in a directory that never holds disks."""
    place = _normal(path)
    return not place.is_absolute() or place in FORBIDDEN or not FORBIDDEN.isdisjoint(place.parents)


def entries(paths: Paths) -> list[str]:
    """The administrator's list as written; a file that is missing or cannot be read gives none."""
    try:
        return files.significant_lines(files.read_text(paths.file_storage_paths_file))
    except FileNotFoundError:
        return []
    except (OSError, NodeError) as err:
        log.warning("No path is allowed for file storage, since the list cannot be read: %s", err)
        return []


def wrong_entries(paths: Paths) -> list[str]:
    """Entries of the list that name a place which never holds disks, normalised and sorted."""
    return sorted(str(_normal(entry)) for entry in entries(paths) if is_forbidden(entry))


def check(paths: Paths, path: str | Path, *, itself: bool = False) -> tuple[Path, Path]:
    """Return `path` and the allowed directory it lies below, by their texts alone.

    `itself` also accepts the allowed directory. Of several, the longest counts. Raises: FileStoragePathError.
    """
    try:
        place = absolute(path)
    except UnsafePath as err:
        raise FileStoragePathError(f"file storage path {str(path)!r}: {err.reason}") from err
    if is_forbidden(place):
        raise FileStoragePathError(f"file storage path {place} lies in a directory that never holds disks")
    listed = entries(paths)
    if not listed:
        raise FileStoragePathError(f"no path is allowed for file storage: {paths.file_storage_paths_file} is empty")
    holders = {_normal(entry) for entry in listed} & ({place, *place.parents} if itself else set(place.parents))
    if not holders:
        raise FileStoragePathError(f"file storage path {place} is not below a directory allowed for it")
    return place, max(holders, key=lambda holder: len(holder.parts))


@contextmanager
def open_parent(paths: Paths, path: Path) -> Iterator[int]:
    """Give a descriptor of the directory that holds `path`, reached without following a link.

    Raises: FileStoragePathError; FileNotFoundError when the directory is not there; OSError.
    """
    place, holder = check(paths, path)
    descriptor = os.open(holder, DIRECTORY)
    try:
        if place.parent != holder:
            parent = _open_below(descriptor, place.parent.relative_to(holder), place)
            os.close(descriptor)
            descriptor = parent
        yield descriptor
    finally:
        os.close(descriptor)


def make_directories(paths: Paths, path: Path, mode: int) -> None:
    """Make the directory `path` and those on the way to it, with exactly `mode`; what is there already stays.

    When one cannot be made, those made before it go again. Raises: FileStoragePathError; OSError.
    """
    place, holder = check(paths, path, itself=True)
    holder.mkdir(mode, parents=True, exist_ok=True)
    with ExitStack() as descriptors, ExitStack() as undo:
        descriptor = os.open(holder, DIRECTORY)
        descriptors.callback(os.close, descriptor)
        for name in place.relative_to(holder).parts:
            made = _make_below(descriptor, name, mode)
            if made:
                undo.callback(os.rmdir, name, dir_fd=descriptor)
            below = _open_below(descriptor, name, place)
            descriptors.callback(os.close, below)
            if made:
                os.fchmod(below, mode)
            descriptor = below
        undo.pop_all()


def _make_below(directory: int, name: str, mode: int) -> bool:
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        return False
    return True


def _open_below(directory: int, relative: str | Path, place: Path) -> int:
    try:
        return safe_paths.open_beneath(directory, str(relative), DIRECTORY, 0)
    except UnsafePath as err:
        raise FileStoragePathError(f"file storage path {place}: {err.reason}") from err


def _normal(path: str | Path) -> Path:
    text = os.path.normpath(path)
    return Path("/" + text.lstrip("/") if text.startswith("/") else text)
