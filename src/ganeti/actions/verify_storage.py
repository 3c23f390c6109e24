"""Verification of storage: LVM as it reports itself, and the directories of file disks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from ganeti.actions.node import Node
from ganeti.errors import CommandError, FileStoragePathError, NotSupported, ProgramNotFound
from ganeti.storage import allowed_paths
from ganeti.tools import lvm

log = logging.getLogger(__name__)


def logical_volumes(node: Node) -> dict[str, tuple[str, bool, bool]] | str:
    """Of all groups, `<group>/<volume>`: size in MiB as text, inactive, in use; or why it cannot be told."""
    try:
        volumes = lvm.logical_volumes(node.runner)
    except (CommandError, ProgramNotFound) as err:
        return str(err)
    return {f"{volume.group}/{volume.name}": (volume.size, not volume.is_active, volume.is_open) for volume in volumes}


def volume_groups(node: Node) -> dict[str, int]:
    """Size in MiB by name; none when they cannot be listed."""
    try:
        return {group.name: int(group.size) for group in lvm.volume_groups(node.runner)}
    except (CommandError, ProgramNotFound) as err:
        log.warning("The volume groups cannot be listed: %s", err)
        return {}


def physical_volumes(node: Node, groups: Sequence[str]) -> list[dict[str, object]]:
    """The physical volumes of some groups (all for none), sizes in MiB. Raises: CommandError."""
    try:
        volumes = lvm.physical_volumes(node.runner)
    except ProgramNotFound as err:
        log.warning("The physical volumes cannot be listed: %s", err)
        return []
    return [
        {
            "name": volume.name,
            "vg_name": volume.group,
            "size": volume.size,
            "free": volume.free,
            "attributes": volume.attributes,
            "lv_list": [],
        }
        for volume in volumes
        if not groups or volume.group in groups
    ]


def shared_volumes(physical: Sequence[object]) -> list[object]:
    """Physical volumes that several logical ones share. Raises: NotSupported when there are any to look at."""
    if physical:
        raise NotSupported("lvm", "telling which physical volumes are shared")
    return []


def forbidden_paths(node: Node) -> list[str]:
    """Directories that are allowed for file disks though they never may be."""
    return allowed_paths.wrong_entries(node.paths)


def path_problem(node: Node, path: str) -> str | UnsetType:
    """What keeps file disks out of a directory; UNSET when nothing does."""
    try:
        directory, _ = allowed_paths.check(node.paths, path, itself=True)
    except FileStoragePathError as err:
        return str(err)
    if not directory.is_dir():
        return f"file storage path {directory} does not exist or is not a directory"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"file storage path {directory} is not writable"
    return UNSET
