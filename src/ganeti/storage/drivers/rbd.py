"""Disks that are images of a Ceph cluster, mapped by this node's kernel.

Knows images and their mappings; must not know guests, caches of device names or other drivers. An image is known by
its pool (a parameter) and its name. One that was found is mapped, also for a guest whose QEMU goes to the cluster by
itself: the links, the scripts of operating systems, wiping and copying need a path. A mapping that nobody uses holds
no lock of the image.

Different from the packaged 3.0 on purpose:
- An image that is not there is not found, instead of an error; the cluster is asked, and when it cannot be asked that
  is still an error.
- One `rbd showmapped` tells about all disks of an action, and one `rbd ls` about those of a pool that are not mapped.
  Images are mapped one at a time, so that no two calls map the same. Mapped snapshots and images of name spaces are
  not taken for the image.
- Snapshots work: a snapshot is an image of its own, a clone that shares the data with the disk it was taken of. It is
  made at once, can be mapped, copied and removed like any disk, and is named NAME.snap unless a name is given. A disk
  with such a snapshot is not removed before it.
- Renaming works (the packaged daemon says that it did and does nothing), and replaces no other image.
- Growing to the size the image already has is fine, so the call may be repeated.
- Copies write into the image instead of making it anew, and a wipe gives the space back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, LockTimeout, TimedOut
from ganeti.host import block_devices, clock, locks
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import (
    BlockDevice,
    Growable,
    LogicalId,
    Renamable,
    Snapshotable,
    UserspaceAccess,
    Wipeable,
)
from ganeti.storage.observations import Observations
from ganeti.tools import blkdiscard, rbd

log = logging.getLogger(__name__)

FAMILY: Final = "rbd"
"""First word of every identity."""

USERSPACE_HYPERVISORS: Final = frozenset({"kvm"})

SNAPSHOT_PREFIX: Final = "ganeti."
"""Begins the names of the snapshots that clones are made of; they are there for a moment."""

MAP_LOCK_TIMEOUT_S: Final = 3 * rbd.TIMEOUT_S
SIZE_TIMEOUT_S: Final = 60.0
SIZE_DELAY_S: Final = 0.2


class RbdDisk(BlockDevice, Growable, Renamable, Snapshotable, UserspaceAccess, Wipeable, kinds=(DiskType.RBD,)):
    """An image and its device."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk. Raises: BlockDeviceError."""
        super().__init__(system, disk, children, observed)
        if children:
            raise BlockDeviceError(f"{disk.describe()}: an image has no children")
        self._image = self._image_of(disk.logical_id)
        self._is_new = False
        self._device: Path | None = None
        self._numbers: tuple[int, int] | None = None

    @property
    def dev_path(self) -> Path | None:
        """The mapped device; None before it was looked for."""
        return self._device

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Those of the mapped device."""
        return self._numbers

    def attach(self) -> bool:
        """Map the image unless it is mapped; False when there is none. Raises: BlockDeviceError, CommandError."""
        device = self._mapped(self.observed.of(_mappings))
        if device is None and self._exists():
            device = self._map()
        if device is None:
            return False
        self._numbers = block_devices.numbers(self.system.runner, device)
        if self._numbers is None:
            raise BlockDeviceError(f"image {self._image} is mapped, but {device} is no block device")
        self._device = device
        return True

    def create(self, *, exclusive_storage: bool) -> None:
        """Make the image; it takes space as it is written. Raises: BlockDeviceError; CommandError when it exists."""
        self._refuse_exclusive_storage(exclusive_storage=exclusive_storage)
        rbd.create(self.system.runner, self._image, size_mib=self.disk.size)
        self.observed.forget()
        self._is_new = True

    def assemble(self) -> None:
        """Map the image."""
        if not self.attach():
            raise BlockDeviceError(f"image {self._image} does not exist")

    def shutdown(self) -> None:
        """Unmap the image, if it is mapped. Raises: CommandError when the device is in use."""
        device = self._device or self._mapped(_mappings(self.system))
        if device is not None:
            rbd.unmap(self.system.runner, device)
            self.observed.forget()
        self._device = self._numbers = None

    def remove(self) -> None:
        """Unmap and destroy the image.

        Raises: BlockDeviceError naming its snapshots; CommandError, also when some node has it mapped.
        """
        self.shutdown()
        self.observed.forget()
        runner = self.system.runner
        if rbd.remove(runner, self._image):
            return
        # One of ours, whose clone was not made: we were ended between the two.
        ours = [name for name in rbd.snapshots(runner, self._image) if name.startswith(SNAPSHOT_PREFIX)]
        for name in ours:
            rbd.remove_snapshot(runner, self._image, name)
        if ours and rbd.remove(runner, self._image):
            return
        clones = ", ".join(rbd.clones(runner, self._image))
        raise BlockDeviceError(
            f"image {self._image} has snapshots that must be removed first: {clones or 'see rbd snap ls'}"
        )

    def actual_size(self) -> int:
        """Size of the device in bytes."""
        if self._numbers is None:
            raise BlockDeviceError(f"image {self._image} is not mapped")
        return block_devices.size_bytes(self.system.runner, self._numbers)

    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Give the image its size in the description and `amount_mib`; a guest that runs sees the new size.

        Raises: BlockDeviceError, also when it is larger than that; CommandError.
        """
        if amount_mib < 0:
            raise BlockDeviceError(f"image {self._image} cannot grow by {amount_mib} MiB: disks never shrink")
        if not backing_store:
            return
        self._refuse_exclusive_storage(exclusive_storage=exclusive_storage)
        size, wanted = self.actual_size(), (self.disk.size + amount_mib) * MIB
        if size > wanted:
            raise BlockDeviceError(f"image {self._image} has {size} bytes, more than the {wanted} it is to grow to")
        if dry_run or size == wanted:
            return
        rbd.resize(self.system.runner, self._image, size_mib=self.disk.size + amount_mib)
        self._wait_for_size(wanted)

    def rename(self, new_id: LogicalId) -> None:
        """Unmap the image and give it the name in `new_id`. Raises: BlockDeviceError, CommandError."""
        new = self._image_of(new_id)
        if new == self._image:
            return
        self.shutdown()
        rbd.rename(self.system.runner, self._image, new)
        self.observed.forget()
        self.disk = replace(self.disk, logical_id=new_id)
        self._image = new

    def snapshot(self, name: str | None, size_mib: int | None) -> LogicalId:  # noqa: ARG002 - it shares what is unchanged
        """Make an image of what the disk holds now. An earlier snapshot of the same disk and name is replaced.

        Raises: BlockDeviceError when another image has that name; CommandError.
        """
        runner = self.system.runner
        new = rbd.Image(self._image.pool, name or f"{self._image.name}.snap")
        frozen = SNAPSHOT_PREFIX + new.name
        # What was written by way of the page cache shall be in it.
        runner.check(["sync", str(self._path())])
        self._freeze(frozen)
        try:
            self._clone(frozen, new)
        finally:
            rbd.remove_snapshot(runner, self._image, frozen)
            self.observed.forget()
        log.info("Took the snapshot %s of image %s", new, self._image)
        return (FAMILY, new.name)

    def userspace_uri(self, hypervisor: str) -> str:
        """QEMU's name of the image. Raises: BlockDeviceError for any hypervisor but KVM."""
        if hypervisor not in USERSPACE_HYPERVISORS:
            raise BlockDeviceError(f"hypervisor {hypervisor!r} cannot reach image {self._image} from user space")
        return f"rbd:{self._image}"

    def wipe(self, offset_mib: int, size_mib: int) -> None:
        """Let the kernel zero the range, which gives the space back."""
        if size_mib:
            self.system.runner.check(blkdiscard.zero_argv(self._path(), offset_mib=offset_mib, size_mib=size_mib))

    def _image_of(self, logical_id: LogicalId) -> rbd.Image:
        pool = (self.disk.params or {}).get("pool")
        if not isinstance(pool, str):
            raise BlockDeviceError(f"{self.disk.describe()}: the parameters name no pool")
        match logical_id:
            case (str(family), str(name)) if family == FAMILY:
                return rbd.Image(pool, name)
        raise BlockDeviceError(f"{self.disk.describe()}: the identity of an image is {FAMILY!r} and its name")

    def _refuse_exclusive_storage(self, *, exclusive_storage: bool) -> None:
        if exclusive_storage:
            raise BlockDeviceError(f"{self.disk.describe()}: images cannot have physical disks of their own")

    def _mapped(self, mappings: Sequence[rbd.Mapping]) -> Path | None:
        found = [each.device for each in mappings if each.shows(self._image)]
        if len(found) > 1:
            # Each has a page cache of its own: what is written by one is not seen by the other.
            raise BlockDeviceError(
                f"image {self._image} is mapped more than once ({', '.join(found)}): unmap those that are not in use"
            )
        return Path(found[0]) if found else None

    def _exists(self) -> bool:
        return self._is_new or self._image.name in self.observed.of(_Names(self._image.pool))

    def _map(self) -> Path | None:
        """Map the image, unless somebody did so since the mappings were looked at."""
        system = self.system
        try:
            lock = locks.exclusive(system.paths.rbd_lock, system.clock, timeout_s=MAP_LOCK_TIMEOUT_S)
        except (OSError, LockTimeout) as err:
            raise BlockDeviceError(f"image {self._image} cannot be mapped now: {err}") from err
        with lock:
            return self._mapped(_mappings(system)) or rbd.map(system.runner, self._image)

    def _freeze(self, name: str) -> None:
        runner = self.system.runner
        if rbd.create_snapshot(runner, self._image, name):
            return
        # Left by one of us who was ended before the clone was made, or just after.
        rbd.remove_snapshot(runner, self._image, name)
        if not rbd.create_snapshot(runner, self._image, name):
            raise BlockDeviceError(f"somebody else is taking the snapshot {name} of image {self._image}")

    def _clone(self, frozen: str, new: rbd.Image) -> None:
        runner = self.system.runner
        if rbd.clone(runner, self._image, frozen, new):
            return
        if not rbd.info(runner, new).is_clone_of(self._image):
            raise BlockDeviceError(f"image {new} exists and is no snapshot of {self._image}")
        earlier = replace(self.disk, logical_id=(FAMILY, new.name))
        RbdDisk(self.system, earlier, observed=self.observed).remove()
        if not rbd.clone(runner, self._image, frozen, new):
            raise BlockDeviceError(f"image {new} came back while a snapshot of {self._image} was taken")

    def _wait_for_size(self, wanted: int) -> None:
        """Wait for the kernel, which is told of a new size by the cluster."""

        def look() -> None:
            if self.actual_size() != wanted:
                raise clock.TryAgain(f"image {self._image} has grown, but {self._device} has not")

        try:
            clock.retry(self.system.clock, look, delay_s=SIZE_DELAY_S, timeout_s=SIZE_TIMEOUT_S)
        except TimedOut as err:
            raise BlockDeviceError(str(err)) from err


@dataclass(frozen=True, slots=True)
class _Names:
    """A question: which images has the pool? A cluster that does not answer is waited for once an action."""

    pool: str

    def __call__(self, system: System) -> frozenset[str]:
        """Ask the cluster."""
        return rbd.names(system.runner, self.pool)


def _mappings(system: System) -> tuple[rbd.Mapping, ...]:
    return rbd.mappings(system.runner)
