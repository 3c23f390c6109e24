"""Directories of file disks: making, removing and renaming them.

Every path is checked against the administrator's list and reached without following links. The packaged 3.0 computes
that check for directories and ignores its result; here a directory that is not allowed is refused.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.errors import FileStoragePathError
from ganeti.storage import allowed_paths, file_system

log = logging.getLogger(__name__)

DIRECTORY_MODE = 0o700
"""What is left of the packaged daemon's 0750 under its umask of 077."""

GLUSTER_DIRECTORY = "ganeti"
"""What the master of 3.0.2 sends for gluster disks: a directory in the volume, which it cannot know the place of.

Making a disk makes it, other guests' disks lie in it too, and a packaged node makes one of that name in its own root.
"""


def create_directory(node: Node, directory: str) -> None:
    """Make a directory and those on the way to it; one that is there is fine. Raises: FileStoragePathError."""
    if directory == GLUSTER_DIRECTORY:
        return
    try:
        allowed_paths.make_directories(node.paths, Path(directory), DIRECTORY_MODE)
    except OSError as err:
        raise FileStoragePathError(f"cannot make the directory {directory}: {err.strerror}") from err


def remove_directory(node: Node, directory: str) -> None:
    """Remove an empty directory; one that is missing is fine. Raises: FileStoragePathError."""
    if directory == GLUSTER_DIRECTORY:
        return
    path = Path(directory)
    try:
        with allowed_paths.open_parent(node.paths, path) as parent:
            os.rmdir(path.name, dir_fd=parent)
    except FileNotFoundError:
        log.debug("%s was not there to be removed", path)
    except OSError as err:
        raise FileStoragePathError(f"cannot remove the directory {directory}: {err.strerror}") from err


def rename_directory(node: Node, old: str, new: str) -> None:
    """Give a directory another path; fine when that has been done already. Raises: FileStoragePathError."""
    source, target = Path(old), Path(new)
    for path in (source, target):
        allowed_paths.check(node.paths, path)
    try:
        with allowed_paths.open_parent(node.paths, target) as target_dir:
            if _is_there(source, node) or not _exists(target.name, target_dir):
                with allowed_paths.open_parent(node.paths, source) as source_dir:
                    _check_directory(source, source_dir)
                    file_system.rename_without_replacing(source_dir, source.name, target_dir, target.name)
    except OSError as err:
        raise FileStoragePathError(f"cannot rename the directory {old} to {new}: {err.strerror}") from err


def _is_there(path: Path, node: Node) -> bool:
    try:
        with allowed_paths.open_parent(node.paths, path) as parent:
            return _exists(path.name, parent)
    except FileNotFoundError:
        return False


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _check_directory(path: Path, parent: int) -> None:
    if not stat.S_ISDIR(os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode):
        raise FileStoragePathError(f"{path} is not a directory")
