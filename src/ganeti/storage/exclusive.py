"""Which physical volumes a disk gets: any with room, or (exclusive storage) whole ones that it shares with no other.

With exclusive storage every physical volume counts as much as the smallest one less a reserve, the standard size, and
a volume lies on as many as its size needs. Sizes are MiB with fractions. Runs nothing and changes nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.model.disk import Disk
from ganeti.tools.lvm import PhysicalVolume, VolumeGroup

log = logging.getLogger(__name__)

MARGIN: Final = 0.01
"""By which part physical volumes may differ from each other and still count as equal."""
RESERVED: Final = 0.02
"""Which part of each stays free, so that a broken one can be replaced by one a little smaller."""


def standard_size(physical: Sequence[PhysicalVolume]) -> float:
    """What each physical volume counts for: that of the smallest less margin and reserve, whole MiB."""
    return min(volume.size for volume in physical) // (1 + MARGIN + RESERVED)


def required(size_mib: int, physical: Sequence[PhysicalVolume]) -> int:
    """How many physical volumes a disk needs for itself. Raises: BlockDeviceError when they are too small for any."""
    standard = standard_size(physical)
    if standard <= 0:
        raise BlockDeviceError(f"the physical volumes of {physical[0].group} are too small for exclusive storage")
    return math.ceil(size_mib / standard)


def usable(physical: Sequence[PhysicalVolume], group: str) -> list[PhysicalVolume]:
    """Those of a group that new volumes may lie on."""
    return [volume for volume in physical if volume.group == group and volume.is_usable]


def empty(physical: Sequence[PhysicalVolume]) -> list[PhysicalVolume]:
    """Those that nothing lies on."""
    return [volume for volume in physical if volume.is_empty]


def size_problem(physical: Sequence[PhysicalVolume]) -> str | None:
    """What is wrong with their sizes for exclusive storage; None when they are nearly equal."""
    smallest, largest = (pick(volume.size for volume in physical) for pick in (min, max))
    if smallest * (1 + MARGIN) < largest * (1 - MARGIN):
        return f"physical volumes have different sizes: {smallest:.0f} to {largest:.0f} MiB"
    return None


def shared_volumes(physical: Sequence[PhysicalVolume]) -> list[tuple[str, list[str]]]:
    """Physical volumes with more than one logical volume on them, and which these are."""
    return [(volume.name, list(volume.volumes)) for volume in physical if len(volume.volumes) > 1]


def free_space(physical: Sequence[PhysicalVolume], group: VolumeGroup) -> float:
    """How much can still be made in a group with exclusive storage; never more than it has free."""
    own = usable(physical, group.name)
    return min(standard_size(own) * len(empty(own)), group.free) if own else 0.0


def place_anywhere(physical: Sequence[PhysicalVolume], group: str, disk: Disk) -> list[PhysicalVolume]:
    """Where a disk may lie: all usable ones of the group, most free space first. Raises: BlockDeviceError."""
    found = _candidates(physical, group, disk)
    free = sum(volume.free for volume in found)
    if free < disk.size:
        raise BlockDeviceError(f"no room for {disk.describe()}: {free:.0f} MiB are free in volume group {group}")
    return found


def place_alone(physical: Sequence[PhysicalVolume], group: str, disk: Disk) -> list[PhysicalVolume]:
    """Empty physical volumes for a disk alone: as many as its spindles, or as its size needs when it says none.

    Raises: BlockDeviceError.
    """
    found = _candidates(physical, group, disk)
    problem = size_problem(found)
    if problem is not None:
        log.warning("Volume group %s, exclusive storage: %s", group, problem)
    least = required(disk.size, found)
    count = least if disk.spindles is None else disk.spindles
    if count < least:
        raise BlockDeviceError(f"{disk.describe()} needs {least} physical volumes for itself, {count} were asked for")
    chosen = empty(found)[:count]
    if len(chosen) < count:
        raise BlockDeviceError(
            f"{disk.describe()} needs {count} empty physical volumes, volume group {group} has {len(chosen)}"
        )
    return chosen


def room_to_grow(own: Sequence[PhysicalVolume], of_group: Sequence[PhysicalVolume]) -> float:
    """How much a volume can still take of its own physical volumes without touching their reserve."""
    standard = standard_size(of_group)
    return sum(volume.free - (volume.size - standard) for volume in own)


def _candidates(physical: Sequence[PhysicalVolume], group: str, disk: Disk) -> list[PhysicalVolume]:
    found = sorted(usable(physical, group), key=lambda volume: volume.free, reverse=True)
    if not found:
        raise BlockDeviceError(f"{disk.describe()}: volume group {group} has no physical volumes to use")
    for volume in found:
        # A colon would begin a range of extents in lvcreate's arguments.
        if ":" in volume.name:
            raise BlockDeviceError(f"volume group {group}: physical volume {volume.name} has a colon in its name")
    return found
