"""What a block device is: a small mandatory interface, optional capabilities beside it, and registration by class.

A driver is one module below `storage/drivers`; it knows one technology and no other driver. An object stands for one
disk on this node and is made for one action; nothing is kept between actions but what is on the machine.

Life: absent -create-> inactive -assemble-> active -open-> ready for input and output; close, shutdown and remove go
back. `assemble`, `open`, `close`, `shutdown` and `remove` may be repeated without harm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ganeti.errors import BlockDeviceError
from ganeti.host.system import System
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.storage.observations import Observations
from ganeti.tools import dd

LogicalId = tuple[str | int | None, ...]
"""Cluster-wide identity of a disk; its shape depends on the type (see `model.disk.Disk`)."""


class BlockDevice(ABC):
    """One disk on this node. Methods raise BlockDeviceError or CommandError on failure, never a bare OSError."""

    kinds: ClassVar[tuple[DiskType, ...]] = ()
    """The disk types a driver serves; a class with none is a base of others."""

    registered: ClassVar[dict[DiskType, type[BlockDevice]]] = {}

    def __init_subclass__(cls, kinds: Sequence[DiskType] = (), **kwargs: object) -> None:
        """Register the driver for its disk types."""
        super().__init_subclass__(**kwargs)
        cls.kinds = tuple(kinds)
        for kind in kinds:
            BlockDevice.registered[kind] = cls

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk; look at nothing yet. Raises: BlockDeviceError when the description makes no sense.

        `observed` is what the action has seen of the machine so far; a device of its own when nothing is shared.
        """
        self.system = system
        self.disk = disk
        self.children = tuple(children)
        self.observed = observed or Observations(system)

    @property
    @abstractmethod
    def dev_path(self) -> Path | None:
        """Where the guest's data is on this node; None while the device has no path here."""

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Major and minor device number; None for what is no block device."""
        return None

    @property
    def present_children(self) -> list[BlockDevice]:
        """The children that were found."""
        return [child for child in self.children if child is not None]

    @abstractmethod
    def attach(self) -> bool:
        """Look for the device on this node; say whether it is there."""

    @abstractmethod
    def create(self, *, exclusive_storage: bool) -> None:
        """Make the device. Raises: BlockDeviceError when it exists or `exclusive_storage` is asked in vain."""

    @abstractmethod
    def assemble(self) -> None:
        """Make it active; nobody has called `attach` before."""

    def open(self, *, force: bool = False, exclusive: bool = True) -> None:  # noqa: B027 - most need nothing
        """Make it ready for input and output here; `exclusive` false allows another node to do so too."""

    def close(self) -> None:  # noqa: B027 - most devices need nothing
        """End what `open` began."""

    @abstractmethod
    def shutdown(self) -> None:
        """Make it inactive; its data stays, its children are untouched."""

    @abstractmethod
    def remove(self) -> None:
        """Destroy the device and its data; one that is missing is fine."""

    @abstractmethod
    def actual_size(self) -> int:
        """Its size in bytes as it is now."""

    def spindles(self) -> int | None:
        """On how many physical disks it lies; None where this means nothing."""
        return None

    def pause_resume_sync(self, *, pause: bool) -> bool:
        """Stop or go on synchronising; devices without copies ask their children."""
        return all(child.pause_resume_sync(pause=pause) for child in self.present_children)

    def set_info(self, text: str) -> None:
        """Note `text` (whose disk it is) with the device where that can be done, else with its children."""
        for child in self.present_children:
            child.set_info(text)

    def status(self) -> BlockDevStatus:
        """State of this device alone."""
        numbers = self.numbers
        return BlockDevStatus(
            dev_path=None if self.dev_path is None else str(self.dev_path),
            major=numbers[0] if numbers else None,
            minor=numbers[1] if numbers else None,
            is_degraded=False,
            ldisk_status=LocalDiskStatus.OKAY,
        )

    def takes_direct_io(self) -> bool:
        """Whether it can be read and written past the page cache."""
        return True

    def export_argv(self) -> list[str]:
        """Command that writes the disk to standard output (disk.size MiB of it)."""
        return dd.read_argv(self._path(), blocks=self.disk.size, direct=self.takes_direct_io())

    def import_argv(self) -> list[str]:
        """Command that reads the disk's new content from standard input."""
        return dd.write_argv(self._path(), direct=self.takes_direct_io())

    def _path(self) -> Path:
        if self.dev_path is None:
            raise BlockDeviceError(f"{self.disk.describe()} has no path on this node")
        return self.dev_path


class Growable(ABC):
    """Devices that can be made larger."""

    @abstractmethod
    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Add `amount_mib`; only the layer meant by `backing_store` acts; `dry_run` only checks."""


class Renamable(ABC):
    """Devices whose identity can change."""

    @abstractmethod
    def rename(self, new_id: LogicalId) -> None:
        """Give the device the identity `new_id` (a logical id of the same type)."""


class Snapshotable(ABC):
    """Devices that can be frozen in time."""

    @abstractmethod
    def snapshot(self, name: str | None, size_mib: int | None) -> LogicalId:
        """Take a snapshot; None means the driver's own choice. Return its logical id."""


class UserspaceAccess(ABC):
    """Devices a hypervisor can reach without the kernel's help."""

    @abstractmethod
    def userspace_uri(self, hypervisor: str) -> str:
        """Address for the hypervisor. Raises: BlockDeviceError when it cannot use one."""


class Wipeable(ABC):
    """Devices that know a faster way to zero a range than writing it."""

    @abstractmethod
    def wipe(self, offset_mib: int, size_mib: int) -> None:
        """Make the range read as zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorState:
    """How the two copies stand to each other. `sync_percent` is None when nothing is being copied."""

    is_standalone: bool
    """Nobody talks to the other node, nor waits for it."""
    is_connected: bool
    """Both talk to each other and nothing is being copied."""
    is_in_resync: bool
    """Both talk to each other and one copy is being brought up to date, or is about to be."""
    is_diskless: bool
    """There is no local copy."""
    is_up_to_date: bool
    """The local copy is good."""
    is_peer_up_to_date: bool
    """The copy of the other node is good."""
    sync_percent: float | None


class Mirrored(ABC):
    """Devices that keep a copy on another node."""

    @abstractmethod
    def mirror_state(self) -> MirrorState:
        """How the copies stand to each other, as observed; who waits observes anew. Raises: BlockDeviceError."""

    @abstractmethod
    def disconnect_network(self) -> None:
        """Stop talking to the other node, and wait until that is so."""

    @abstractmethod
    def attach_network(self, *, both_primary: bool) -> None:
        """Begin to talk to the other node; return before it answers. Raises: BlockDeviceError unless standalone."""

    @abstractmethod
    def add_children(self, children: Sequence[BlockDevice]) -> None:
        """Give a device without local storage the children (data, then metadata) as its new local copy."""

    @abstractmethod
    def remove_children(self, paths: Sequence[Path]) -> None:
        """Go on without the local copy, which lies at `paths` (data, then metadata); fine when it has none."""
