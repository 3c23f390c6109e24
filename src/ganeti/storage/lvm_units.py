"""Physical volumes and volume groups as storage units: their rows, their switch, and the repair of a group.

Knows no disk. Names are checked by the caller. Sizes in rows are MiB, rounded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ganeti.errors import StorageError
from ganeti.host.runner import Runner
from ganeti.storage.units import Cell, Row
from ganeti.tools import lvm, lvm_commands

log = logging.getLogger(__name__)

PHYSICAL_COLUMNS: Final[Mapping[str, Callable[[lvm.PhysicalVolume], Cell]]] = {
    "name": lambda volume: volume.name,
    "size": lambda volume: round(volume.size),
    "free": lambda volume: round(volume.free),
    "used": lambda volume: round(volume.used),
    "allocatable": lambda volume: volume.is_allocatable,
}
GROUP_COLUMNS: Final[Mapping[str, Callable[[lvm.VolumeGroup], Cell]]] = {
    "name": lambda group: group.name,
    "size": lambda group: group.size_mib,
    "free": lambda group: group.free_mib,
    "used": lambda group: group.size_mib - group.free_mib,
    "allocatable": lambda _: True,
}


def physical_rows(runner: Runner, name: str | None, fields: Sequence[str]) -> list[Row]:
    """Values of the fields of every physical volume, or of one. Raises: CommandError, also when there is no such."""
    found = lvm.physical_volumes(runner, () if name is None else (name,))
    return [[PHYSICAL_COLUMNS[field](volume) for field in fields] for volume in found]


def group_rows(runner: Runner, name: str | None, fields: Sequence[str]) -> list[Row]:
    """Values of the fields of every volume group, or of one. Raises: CommandError, also when there is no such."""
    found = lvm.volume_groups(runner, () if name is None else (name,))
    return [[GROUP_COLUMNS[field](group) for field in fields] for group in found]


def set_allocatable(runner: Runner, name: str, allocatable: bool) -> None:
    """Let new volumes use a physical volume, or not. Raises: CommandError."""
    lvm_commands.pvchange_allocatable(runner, name, allocatable=allocatable)


def fix_consistency(runner: Runner, group: str) -> None:
    """Take missing physical volumes out of a group; volumes that lay on them are lost, if need be.

    LVM first takes out those that nothing lies on. What it says and its exit status do not tell whether that was
    enough, so it is the number of missing ones that decides. Raises: StorageError when some are left; CommandError
    when there is no such group.
    """
    said = ""
    for force in (False, True):
        if lvm.missing_volumes(runner, group) == 0:
            return
        if force:
            log.warning("Volume group %s: what lies on missing physical volumes is given up", group)
        said += lvm_commands.vgreduce_missing(runner, group, force=force).output
    if lvm.missing_volumes(runner, group):
        raise StorageError(f"volume group {group} still lacks physical volumes: {said.strip()}")
