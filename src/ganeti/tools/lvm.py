"""LVM's reports: volume groups, logical and physical volumes. Sizes are MiB (binary) with fractions as LVM gives them.

Reads only; `lvm2` has to be installed. Source: lvm.conf's report formats, lvs(8) for the attribute letters.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ganeti.errors import InvalidOutput
from ganeti.host.runner import Runner

_Report = dict[str, list[dict[str, list[dict[str, str]]]]]
Row = TypeVar("Row", bound=msgspec.Struct)


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


class PhysicalVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `pvs`."""

    name: str = msgspec.field(name="pv_name")
    group: str = msgspec.field(name="vg_name")
    free: float = msgspec.field(name="pv_free")
    size: float = msgspec.field(name="pv_size")
    attributes: str = msgspec.field(name="pv_attr")


class LogicalVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `lvs`; `size` is the text as printed, which is what travels."""

    group: str = msgspec.field(name="vg_name")
    name: str = msgspec.field(name="lv_name")
    size: str = msgspec.field(name="lv_size")
    attributes: str = msgspec.field(name="lv_attr")

    @property
    def is_virtual(self) -> bool:
        """Whether it is LVM's own (the origin of a virtual snapshot)."""
        return self.attributes[0] == "v"

    @property
    def is_active(self) -> bool:
        """Whether it has a device."""
        return self.attributes[4] != "-"

    @property
    def is_open(self) -> bool:
        """Whether something uses it."""
        return self.attributes[5] == "o"


def volume_groups(runner: Runner) -> list[VolumeGroup]:
    """All volume groups. Raises: CommandError, ProgramNotFound."""
    return _report(runner, "vgs", "vg", VolumeGroup)


def volume_group(runner: Runner, name: str) -> VolumeGroup | None:
    """A volume group that can be written to; None when there is none of that name. Raises: ProgramNotFound."""
    groups = [group for group in volume_groups(runner) if group.name == name and not group.is_read_only]
    return groups[0] if groups else None


def physical_volumes(runner: Runner) -> list[PhysicalVolume]:
    """All physical volumes, also those of no group. Raises: CommandError, ProgramNotFound."""
    return _report(runner, "pvs", "pv", PhysicalVolume)


def logical_volumes(runner: Runner) -> list[LogicalVolume]:
    """The logical volumes of all groups but LVM's own. Raises: CommandError, ProgramNotFound."""
    return [volume for volume in _report(runner, "lvs", "lv", LogicalVolume) if not volume.is_virtual]


def _report(runner: Runner, program: str, section: str, kind: type[Row]) -> list[Row]:
    fields = ",".join(field.encode_name for field in msgspec.structs.fields(kind))
    argv = [program, "--reportformat=json", "--units=m", "--nosuffix", f"--options={fields}"]
    result = runner.check(argv)
    try:
        rows = msgspec.json.decode(result.stdout, type=_Report)["report"][0][section]
        # LVM prints every figure as text
        return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]
    except (msgspec.MsgspecError, KeyError, IndexError) as err:
        raise InvalidOutput(argv, f"not the report it should be: {err}", result.stdout) from err
