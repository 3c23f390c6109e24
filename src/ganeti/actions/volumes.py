"""LVM's groups and volumes as the master asks for them, with no disk in mind."""

from __future__ import annotations

import logging

from ganeti.actions.node import Node
from ganeti.errors import CommandError, InvalidParameter, ProgramNotFound
from ganeti.tools import lvm

log = logging.getLogger(__name__)

VolumeStates = dict[str, tuple[str, bool, bool]]
"""`<group>/<volume>`: size in MiB as LVM prints it (two decimals), inactive, in use."""


def list_volumes(node: Node, groups: list[str] | None) -> VolumeStates:
    """The logical volumes of some groups, of all when none is named; LVM's own virtual ones are left out.

    Raises: InvalidParameter for what is no name; CommandError, also when a group does not exist; ProgramNotFound.
    """
    for index, name in enumerate(groups or ()):
        if not lvm.is_valid_name(name):
            raise InvalidParameter(f"groups[{index}]", f"{name!r} is no name of a volume group")
    found = lvm.logical_volumes(node.runner, groups or ())
    return {f"{volume.group}/{volume.name}": (volume.size, not volume.is_active, volume.is_open) for volume in found}


def list_groups(node: Node) -> dict[str, int]:
    """Size in MiB, rounded down, of each volume group; none when they cannot be listed."""
    try:
        return {group.name: int(group.size) for group in lvm.volume_groups(node.runner)}
    except (CommandError, ProgramNotFound) as err:
        log.warning("The volume groups cannot be listed: %s", err)
        return {}


def list_node_volumes(node: Node) -> list[dict[str, str]]:
    """One entry for every device that a segment of a logical volume lies on. Raises: CommandError, ProgramNotFound."""
    return [
        {"name": place.name, "size": place.size, "dev": device, "vg": place.group}
        for place in lvm.placements(node.runner)
        for device in lvm.device_names(place.devices)
    ]
