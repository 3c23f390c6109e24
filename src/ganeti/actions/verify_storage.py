"""Verification of storage: LVM as it reports itself, and the directories of file disks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from ganeti.actions import volumes
from ganeti.actions.node import Node
from ganeti.errors import CommandError, FileStoragePathError, ProgramNotFound
from ganeti.host.system import System
from ganeti.storage import allowed_paths, exclusive
from ganeti.storage.observations import Observations
from ganeti.tools import lvm

log = logging.getLogger(__name__)


def logical_volumes(node: Node) -> volumes.VolumeStates | str:
    """The logical volumes of all groups; or why they cannot be told."""
    try:
        return volumes.list_volumes(node, None)
    except (CommandError, ProgramNotFound) as err:
        return str(err)


def physical_volumes(observed: Observations, groups: Sequence[str]) -> list[dict[str, object]]:
    """The physical volumes of some groups (all for none), sizes in MiB. Raises: CommandError.

    Which logical volumes lie on them is left out, as the packaged daemon does.
    """
    return [
        {
            "name": volume.name,
            "vg_name": volume.group,
            "size": volume.size,
            "free": volume.free,
            "attributes": volume.attributes,
            "lv_list": [],
        }
        for volume in _of_groups(observed, groups)
    ]


def shared_volumes(observed: Observations, groups: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Physical volumes of some groups (all for none) that several logical ones share. Raises: CommandError."""
    return exclusive.shared_volumes(_of_groups(observed, groups))


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


def _of_groups(observed: Observations, groups: Sequence[str]) -> list[lvm.PhysicalVolume]:
    try:
        return [volume for volume in observed.of(_physical) if not groups or volume.group in groups]
    except ProgramNotFound as err:
        log.warning("The physical volumes cannot be listed: %s", err)
        return []


def _physical(system: System) -> list[lvm.PhysicalVolume]:
    return lvm.physical_volumes(system.runner)
