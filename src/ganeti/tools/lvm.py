"""LVM's reports: volume groups, physical and logical volumes, as vgs, pvs and lvs of lvm2 2.03 print them in JSON.

Reads only; `tools.lvm_commands` changes. Sizes are MiB (binary) with fractions unless the name says bytes. Must not
know what a volume is for. Source: lvs(8) and pvs(8) for the attribute letters, lvm(8) for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeVar

import msgspec

from ganeti.errors import InvalidOutput
from ganeti.host.runner import Runner

_Report = dict[str, list[dict[str, list[dict[str, str]]]]]
Row = TypeVar("Row", bound=msgspec.Struct)

_NAME: Final = re.compile(r"[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*")
_RESERVED: Final = frozenset({".", "..", "snapshot", "pvmove"})


def is_valid_name(name: object) -> bool:
    """Whether a volume or a group may be called so: nothing of it can be an option, a path or a name LVM keeps."""
    return (
        isinstance(name, str)
        and _NAME.fullmatch(name) is not None
        and name not in _RESERVED
        and "_mlog" not in name
        and "_mimage" not in name
    )


class VolumeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `vgs`."""

    name: str = msgspec.field(name="vg_name")
    free: float = msgspec.field(name="vg_free")
    size: float = msgspec.field(name="vg_size")
    attributes: str = msgspec.field(name="vg_attr")

    @property
    def free_mib(self) -> int:
        """Free space, rounded."""
        return round(self.free)

    @property
    def size_mib(self) -> int:
        """Size, rounded."""
        return round(self.size)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be made in it."""
        return self.attributes.startswith("r")


class _Missing(msgspec.Struct, frozen=True, kw_only=True):
    count: int = msgspec.field(name="vg_missing_pv_count")


class _PhysicalRow(msgspec.Struct, frozen=True, kw_only=True):
    uuid: str = msgspec.field(name="pv_uuid")
    name: str = msgspec.field(name="pv_name")
    group: str = msgspec.field(name="vg_name")
    free: float = msgspec.field(name="pv_free")
    size: float = msgspec.field(name="pv_size")
    used: float = msgspec.field(name="pv_used")
    attributes: str = msgspec.field(name="pv_attr")
    volume: str = msgspec.field(name="lv_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalVolume:
    """A disk or partition of a group (of none when `group` is empty) and the logical volumes on it, by name."""

    name: str
    group: str
    free: float
    size: float
    used: float
    attributes: str
    volumes: tuple[str, ...]

    @property
    def is_allocatable(self) -> bool:
        """Whether the administrator lets new volumes use it."""
        return self.attributes.startswith("a")

    @property
    def is_usable(self) -> bool:
        """Whether a new volume can lie on it: allocatable, neither exported nor missing."""
        return self.is_allocatable and self.attributes[1:3].strip("-") == ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies on it; a MiB more or less is LVM's own."""
        return self.size <= self.free + 1


class LogicalVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `lvs`; `size` is the text as printed, which is what travels."""

    group: str = msgspec.field(name="vg_name")
    name: str = msgspec.field(name="lv_name")
    size: str = msgspec.field(name="lv_size")
    attributes: str = msgspec.field(name="lv_attr")

    @property
    def is_virtual(self) -> bool:
        """Whether it is LVM's own (the origin of a virtual snapshot)."""
        return self.attributes[:1] == "v"

    @property
    def is_active(self) -> bool:
        """Whether it has a device."""
        return self.attributes[4:5] not in ("", "-")

    @property
    def is_open(self) -> bool:
        """Whether something uses it."""
        return self.attributes[5:6] == "o"


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where one segment of a volume lies: `devices` as `/dev/sda(0),/dev/sdb(0)`, the first extent in parentheses."""

    name: str = msgspec.field(name="lv_name")
    size: str = msgspec.field(name="lv_size")
    devices: str = msgspec.field(name="devices")
    group: str = msgspec.field(name="vg_name")


class _Segment(msgspec.Struct, frozen=True, kw_only=True):
    group: str = msgspec.field(name="vg_name")
    name: str = msgspec.field(name="lv_name")
    attributes: str = msgspec.field(name="lv_attr")
    size_bytes: int = msgspec.field(name="lv_size")
    major: int = msgspec.field(name="lv_kernel_major")
    minor: int = msgspec.field(name="lv_kernel_minor")
    extent_bytes: int = msgspec.field(name="vg_extent_size")
    stripes: int = msgspec.field(name="stripes")
    devices: str = msgspec.field(name="devices")
    tags: str = msgspec.field(name="lv_tags")
    origin: str = msgspec.field(name="origin")
    group_free_bytes: int = msgspec.field(name="vg_free")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A logical volume and all that can be told of it; `stripes` is that of the last segment, which growing extends."""

    group: str
    name: str
    attributes: str
    size_bytes: int
    numbers: tuple[int, int] | None
    """Major and minor device number; None while it is not active."""
    extent_bytes: int
    stripes: int
    physical_volumes: tuple[str, ...]
    tags: tuple[str, ...]
    origin: str
    """Of a snapshot: what it was taken of; else empty."""
    group_free_bytes: int

    @property
    def is_active(self) -> bool:
        """Whether it has a device that takes input and output (a suspended one does not)."""
        return self.attributes[4:5] == "a"

    @property
    def is_broken(self) -> bool:
        """Whether data is gone: LVM made up its storage (`v`), or a physical volume is missing (`p`)."""
        return self.attributes.startswith("v") or self.attributes[8:9] == "p"


Volumes = Mapping[tuple[str, str], Volume]
"""All logical volumes by group and name."""


def volume_groups(runner: Runner, names: Sequence[str] = ()) -> list[VolumeGroup]:
    """The volume groups named, all for none. Raises: CommandError, also when one does not exist; ProgramNotFound."""
    return _report(runner, "vgs", "vg", VolumeGroup, names)


def missing_volumes(runner: Runner, group: str) -> int:
    """How many physical volumes of a group are not there. Raises: CommandError, also when there is no such group."""
    return sum(row.count for row in _report(runner, "vgs", "vg", _Missing, [group]))


def physical_volumes(runner: Runner, names: Sequence[str] = ()) -> list[PhysicalVolume]:
    """The physical volumes named, all for none, sorted by name. Raises: CommandError, ProgramNotFound."""
    rows = _report(runner, "pvs", "pv", _PhysicalRow, names)
    # All missing ones have the name `[unknown]`, so it is the UUID that tells them apart.
    rows.sort(key=lambda row: (row.name, row.uuid, row.volume))
    return [_physical_volume(list(same)) for _, same in groupby(rows, key=lambda row: row.uuid)]


def logical_volumes(runner: Runner, groups: Sequence[str] = ()) -> list[LogicalVolume]:
    """The logical volumes of the groups named (all for none) but LVM's own. Raises: CommandError, ProgramNotFound."""
    found = _report(runner, "lvs", "lv", LogicalVolume, groups)
    return [volume for volume in found if not volume.is_virtual]


def placements(runner: Runner) -> list[Placement]:
    """Every segment of every logical volume. Raises: CommandError, ProgramNotFound."""
    return _report(runner, "lvs", "lv", Placement)


def volumes(runner: Runner) -> Volumes:
    """All logical volumes with everything that can be told of them, by one command. Raises: CommandError."""
    found: dict[tuple[str, str], Volume] = {}
    for row in _report(runner, "lvs", "lv", _Segment, units="b"):
        key = (row.group, row.name)
        before = found[key].physical_volumes if key in found else ()
        found[key] = Volume(
            group=row.group,
            name=row.name,
            attributes=row.attributes,
            size_bytes=row.size_bytes,
            numbers=(row.major, row.minor) if row.major >= 0 and row.minor >= 0 else None,
            extent_bytes=row.extent_bytes,
            stripes=row.stripes,
            physical_volumes=_distinct((*before, *device_names(row.devices))),
            tags=_distinct(row.tags.split(",")),
            origin=row.origin,
            group_free_bytes=row.group_free_bytes,
        )
    return found


def device_names(devices: str) -> list[str]:
    """Names in a `devices` column, without the extents they begin with."""
    return [part.partition("(")[0].strip() for part in devices.split(",")]


def _physical_volume(rows: Sequence[_PhysicalRow]) -> PhysicalVolume:
    row = rows[0]
    return PhysicalVolume(
        name=row.name,
        group=row.group,
        free=row.free,
        size=row.size,
        used=row.used,
        attributes=row.attributes,
        volumes=_distinct(row.volume for row in rows),
    )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _report(
    runner: Runner, program: str, section: str, kind: type[Row], names: Sequence[str] = (), *, units: str = "m"
) -> list[Row]:
    fields = ",".join(field.encode_name for field in msgspec.structs.fields(kind))
    argv = [program, "--reportformat=json", f"--units={units}", "--nosuffix", f"--options={fields}"]
    if names:
        argv += ["--", *names]
    result = runner.check(argv)
    try:
        rows = msgspec.json.decode(result.stdout, type=_Report)["report"][0][section]
        # LVM prints every figure as text
        return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]
    except (msgspec.MsgspecError, KeyError, IndexError) as err:
        raise InvalidOutput(argv, f"not the report it should be: {err}", result.stdout) from err
