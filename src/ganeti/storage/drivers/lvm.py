"""Disks that are logical volumes: `plain`, and the data and metadata of mirrored disks.

Knows volumes, and of the machine only what `lvs` reports: one report serves all disks of an action. Must not know
guests, caches of device names or other drivers.

Different from the packaged 3.0 on purpose:
- A volume is tagged as unfinished in the same step that makes it, until `set_info` replaces its tags. `create` of a
  disk whose volume carries that tag removes it and makes it again, so a creation that was interrupted can be repeated;
  any other volume in the way is an error.
- `grow` makes the disk as large as its description and the amount say, not larger by the amount than it happens to be:
  repeated after an interruption it finishes the work instead of growing twice. A device that the kernel still has at
  its old size, or suspended, is refreshed.
- A snapshot replaces an older snapshot of the same volume alone, never another volume of that name, and not before
  there is room for it.
- A volume whose physical volume is missing is faulty (the packaged daemon looks for a virtual one alone).
- Missing and exported physical volumes get no new volumes. The new name of a disk is checked like its first.
- With exclusive storage a disk that does not say its spindles (2.7) gets as many as its size needs.
- A volume that is active is not activated again. Spindles are counted over all segments, not over the last.

What lay on a volume's space before is not erased but for the first 4 KiB, and not looked at: whether to wipe is the
master's decision, and old content was written by guests.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError
from ganeti.host import block_devices
from ganeti.host.system import System
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.storage import exclusive, labels
from ganeti.storage.base import BlockDevice, Growable, LogicalId, Renamable, Snapshotable
from ganeti.storage.observations import Observations
from ganeti.tools import lvm, lvm_commands

log = logging.getLogger(__name__)

DEV: Final = Path("/dev")
KIB: Final = 1024
ALLOCATION_POLICIES: Final = ("contiguous", "cling", "normal")
"""Where growing may take space from, the best first (lvm(8), --alloc)."""


def volumes(system: System) -> lvm.Volumes:
    """All logical volumes of the machine: what the devices of one action ask for once."""
    return lvm.volumes(system.runner)


class LogicalVolume(BlockDevice, Growable, Renamable, Snapshotable, kinds=(DiskType.PLAIN,)):
    """A logical volume. One is never made inactive, so `close` and `shutdown` do nothing."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk. Raises: BlockDeviceError when its identity is not a group and a volume."""
        super().__init__(system, disk, children, observed)
        if children:
            raise BlockDeviceError(f"{disk.describe()}: a logical volume has no children")
        self._group, self._name = _names_of(disk, disk.logical_id)

    @property
    def dev_path(self) -> Path:
        """Where LVM makes the device."""
        return DEV / self._group / self._name

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Device numbers; None while the volume is not active."""
        return self._get().numbers

    def attach(self) -> bool:
        """Say whether the volume is there, active or not. Raises: CommandError when LVM cannot tell."""
        return self._find(self._name) is not None

    def create(self, *, exclusive_storage: bool) -> None:
        """Make the volume, or make it again when its making was interrupted. Raises: BlockDeviceError."""
        try:
            self._make(exclusive_storage=exclusive_storage)
        except (BlockDeviceError, CommandError) as err:
            # Looked for only now, since nothing is in the way as a rule. The space it takes may be what was missing.
            left = self._find(self._name)
            if left is None:
                raise
            if lvm_commands.UNFINISHED not in left.tags:
                raise BlockDeviceError(f"logical volume {self._called} exists already") from err
            log.warning("Logical volume %s was left unfinished and is made again", self._called)
            with self._changing():
                lvm_commands.lvremove(self.system.runner, self._group, self._name)
            self._make(exclusive_storage=exclusive_storage)

    def assemble(self) -> None:
        """Make the volume active. Raises: BlockDeviceError when there is none; CommandError."""
        if not self._get().is_active:
            with self._changing():
                lvm_commands.lvchange_activate(self.system.runner, self._group, self._name)

    def shutdown(self) -> None:
        """Nothing to do: it stays active."""

    def remove(self) -> None:
        """Destroy the volume and its snapshots; one that is missing is fine. Raises: CommandError, as when in use."""
        if not self.attach():
            log.debug("Logical volume %s was not there to be removed", self._called)
            return
        with self._changing():
            lvm_commands.lvremove(self.system.runner, self._group, self._name)

    def actual_size(self) -> int:
        """Bytes of the device, or of the volume while it has none (they differ for a snapshot)."""
        volume = self._get()
        if volume.numbers is None:
            return volume.size_bytes
        return block_devices.size_bytes(self.system.runner, volume.numbers)

    def spindles(self) -> int:
        """On how many physical volumes it lies."""
        return len(self._get().physical_volumes)

    def status(self) -> BlockDevStatus:
        """State of the volume: faulty when some of its data is on no disk."""
        is_broken = self._get().is_broken
        status = LocalDiskStatus.FAULTY if is_broken else LocalDiskStatus.OKAY
        return replace(super().status(), is_degraded=is_broken, ldisk_status=status)

    def set_info(self, text: str) -> None:
        """Make `text` the volume's only tag. Raises: BlockDeviceError, CommandError."""
        tag = labels.sanitised(text)
        tags = self._get().tags
        if (tag,) == tags or not (tag or tags):
            return
        others = [old for old in tags if old != tag]
        with self._changing():
            added = [tag] if tag and tag not in tags else []
            lvm_commands.lvchange_tags(self.system.runner, self._group, self._name, remove=others, add=added)

    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Make the volume at least disk.size + `amount_mib`; fine when it is that large already.

        A disk whose size is not known (0) grows by the amount. Raises: BlockDeviceError; CommandError.
        """
        if amount_mib < 0:
            raise BlockDeviceError(f"{self._called} cannot grow by {amount_mib} MiB: disks never shrink")
        if not backing_store:
            return
        volume = self._get()
        base = self.disk.size * MIB or volume.size_bytes
        unit = volume.extent_bytes * max(volume.stripes, 1)
        wanted = -(-(base + amount_mib * MIB) // unit) * unit
        if wanted <= volume.size_bytes:
            if not dry_run:
                self._refresh(volume)
            return
        own = self._own_room(volume, wanted - volume.size_bytes) if exclusive_storage else []
        self._extend(wanted, own, dry_run=dry_run)

    def rename(self, new_id: LogicalId) -> None:
        """Give the volume another name in its group. Raises: BlockDeviceError; CommandError when it is taken."""
        group, name = _names_of(self.disk, new_id)
        if group != self._group:
            raise BlockDeviceError(f"{self._called} cannot be renamed to {group}/{name}: that is another group")
        if name == self._name:
            return
        with self._changing():
            lvm_commands.lvrename(self.system.runner, group, self._name, name)
        self.disk = replace(self.disk, logical_id=new_id)
        self._name = name

    def snapshot(self, name: str | None, size_mib: int | None) -> LogicalId:
        """Freeze the volume as `name` (its own name with `.snap`) with room for `size_mib` (its size) of changes.

        An older snapshot of it by that name is replaced. Raises: BlockDeviceError when there is no room, or another
        volume has the name; CommandError.
        """
        new = f"{self._name}.snap" if name is None else name
        _check_names(self.disk, self._group, new)
        volume = self._get()
        size = size_mib if size_mib is not None else self.disk.size or -(-volume.size_bytes // MIB)
        old = self._find(new)
        is_half_made = old is not None and lvm_commands.SNAPSHOT in old.tags and not old.origin
        if old is not None and old.origin != self._name and not is_half_made:
            raise BlockDeviceError(f"logical volume {self._group}/{new} exists and is no snapshot of {self._called}")
        free = volume.group_free_bytes + (old.size_bytes if old else 0)
        if free < size * MIB:
            raise BlockDeviceError(
                f"no room for a snapshot of {self._called}: it needs {size} MiB, {free // MIB} MiB are free"
            )
        runner = self.system.runner
        with self._changing():
            if old is not None:
                lvm_commands.lvremove(runner, self._group, new)
            lvm_commands.lvcreate_snapshot(
                runner, self._group, self._name, new, size_mib=size, tag=lvm_commands.SNAPSHOT
            )
        return self._group, new

    @property
    def _called(self) -> str:
        return f"{self._group}/{self._name}"

    def _find(self, name: str) -> lvm.Volume | None:
        return self.observed.of(volumes).get((self._group, name))

    def _get(self) -> lvm.Volume:
        found = self._find(self._name)
        if found is None:
            raise BlockDeviceError(f"logical volume {self._called} does not exist")
        return found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Forget what was seen, also when the change failed: part of it may have been done."""
        try:
            yield
        finally:
            self.observed.forget()

    def _make(self, *, exclusive_storage: bool) -> None:
        wanted = _stripes_of(self.disk)
        place = exclusive.place_alone if exclusive_storage else exclusive.place_anywhere
        physical = place(lvm.physical_volumes(self.system.runner), self._group, self.disk)
        stripes = len(physical) if exclusive_storage else min(len(physical), wanted)
        if stripes != wanted:
            log.warning("Logical volume %s gets %d stripes instead of %d", self._called, stripes, wanted)
        names = [volume.name for volume in physical]
        with self._changing():
            self._create_with_fewer_stripes(stripes, names)

    def _create_with_fewer_stripes(self, stripes: int, physical: Sequence[str]) -> None:
        for count in range(stripes, 0, -1):
            try:
                lvm_commands.lvcreate(
                    self.system.runner,
                    self._group,
                    self._name,
                    size_mib=self.disk.size,
                    stripes=count,
                    physical=physical,
                    tag=lvm_commands.UNFINISHED,
                )
            except CommandError as err:
                if count == 1:
                    raise
                log.info("Logical volume %s cannot have %d stripes: %s", self._called, count, err)
            else:
                return

    def _own_room(self, volume: lvm.Volume, needed: int) -> list[str]:
        """Physical volumes of this volume, when what they have left is enough."""
        physical = lvm.physical_volumes(self.system.runner)
        own = [one for one in physical if one.group == self._group and one.name in volume.physical_volumes]
        room = exclusive.room_to_grow(own, [one for one in physical if one.group == self._group])
        if needed > room * MIB:
            raise BlockDeviceError(
                f"{self._called} cannot grow by {needed // MIB} MiB: its physical volumes have {int(room)} MiB left"
            )
        return [one.name for one in own]

    def _extend(self, size_bytes: int, physical: Sequence[str], *, dry_run: bool) -> None:
        for policy in ALLOCATION_POLICIES:
            try:
                with self._changing():
                    lvm_commands.lvextend(
                        self.system.runner,
                        self._group,
                        self._name,
                        size_kib=size_bytes // KIB,
                        policy=policy,
                        physical=physical,
                        dry_run=dry_run,
                    )
            except CommandError as err:
                if policy == ALLOCATION_POLICIES[-1]:
                    raise
                log.info("Logical volume %s cannot grow by policy %s: %s", self._called, policy, err)
            else:
                return

    def _refresh(self, volume: lvm.Volume) -> None:
        """Finish a growth that was interrupted after LVM had noted it and before the kernel knew."""
        if volume.numbers is None:
            return
        known = block_devices.size_bytes(self.system.runner, volume.numbers)
        if not volume.is_active or known < volume.size_bytes:
            with self._changing():
                lvm_commands.lvchange_refresh(self.system.runner, self._group, self._name)


def _names_of(disk: Disk, logical_id: LogicalId) -> tuple[str, str]:
    if len(logical_id) != 2:
        raise BlockDeviceError(f"{disk.describe()}: the identity of a logical volume is its group and its name")
    group, name = logical_id
    return _check_names(disk, group, name)


def _check_names(disk: Disk, group: object, name: object) -> tuple[str, str]:
    for part in (group, name):
        if not lvm.is_valid_name(part):
            raise BlockDeviceError(f"{disk.describe()}: {part!r} is no name of a volume group or a logical volume")
    return str(group), str(name)


def _stripes_of(disk: Disk) -> int:
    text = (disk.params or {}).get("stripes", 1)
    try:
        stripes = int(str(text))
    except ValueError as err:
        raise BlockDeviceError(f"{disk.describe()}: {text!r} is no number of stripes") from err
    if stripes < 1:
        raise BlockDeviceError(f"{disk.describe()}: {stripes} is no number of stripes")
    return stripes
