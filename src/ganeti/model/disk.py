"""A disk of a guest, as the master describes it, and what a node says of its state."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, StrEnum

from ganeti.model.base import Mib, Model, Parameters, Tagged


class DiskType(StrEnum):
    """Device types of 3.0 (in 2.7 `plain` was called `lvm`, `drbd` was `drbd8`, and both file types were `file`)."""

    PLAIN = "plain"
    DRBD = "drbd"
    FILE = "file"
    SHAREDFILE = "sharedfile"
    BLOCKDEV = "blockdev"
    RBD = "rbd"
    EXT = "ext"
    GLUSTER = "gluster"
    DISKLESS = "diskless"


class DiskMode(StrEnum):
    """Whether the guest may write."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"


class LocalDiskStatus(IntEnum):
    """State of the local copy, ordered from good to bad (3.0 values)."""

    OKAY = 1
    SYNC = 2
    UNKNOWN = 3
    FAULTY = 4


class Disk(Tagged, frozen=True, kw_only=True):
    """A disk with its children (DRBD: data, then metadata).

    `logical_id` is the cluster-wide identity: (volume group, volume) for plain, (file driver, path) for file disks,
    six elements for DRBD of which the last is the shared secret. `size` is in MiB; 0 means "do not look at it".
    `dynamic_params` is what holds for this node alone.
    """

    dev_type: DiskType
    logical_id: tuple[str | int | None, ...]
    size: Mib = 0
    children: tuple[Disk, ...] | None = None
    iv_name: str | None = None
    mode: DiskMode | None = None
    params: Parameters | None = None
    dynamic_params: Parameters | None = None
    name: str | None = None
    nodes: tuple[str, ...] | None = None
    spindles: int | None = None
    pci: int | None = None
    hvinfo: dict[str, str | int] | None = None
    forthcoming: bool | None = None

    def __repr__(self) -> str:
        """Show the disk without the DRBD secret, so that it may be logged."""
        return f"Disk({self.describe()})"

    @property
    def created_on_secondary(self) -> bool:
        """Whether the device also exists on a node that is not the guest's primary."""
        return self.dev_type in (DiskType.PLAIN, DiskType.DRBD)

    @property
    def assembled_on_secondary(self) -> bool:
        """Whether the device is also active on a node that is not the guest's primary."""
        return self.dev_type in (DiskType.PLAIN, DiskType.DRBD)

    @property
    def opened_on_secondary(self) -> bool:
        """Whether the device is also open on a node that is not the guest's primary."""
        return self.dev_type is DiskType.PLAIN

    @property
    def children_needed(self) -> int:
        """How many children must be present to assemble the disk; -1 means all."""
        return 0 if self.dev_type is DiskType.DRBD else -1

    @property
    def wants_userspace(self) -> bool:
        """Whether the hypervisor shall reach the disk by URI instead of a local device."""
        return (self.params or {}).get("access") == "userspace"

    def walk(self) -> Iterator[Disk]:
        """This disk and everything below it, top first."""
        yield self
        for child in self.children or ():
            yield from child.walk()

    def describe(self) -> str:
        """One printable line for messages: what it is and how big, never its secret."""
        public = self.logical_id[:5] if self.dev_type is DiskType.DRBD else self.logical_id
        where = "/".join(str(part) for part in public)
        text = f"{self.dev_type} {where} ({self.iv_name or 'not visible'}, {self.size}m)"
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


class BlockDevStatus(Model, frozen=True, kw_only=True):
    """State of one device. `sync_percent` None: not syncing; `estimated_time` in seconds, None: unknown."""

    dev_path: str | None = None
    major: int | None = None
    minor: int | None = None
    sync_percent: float | None = None
    estimated_time: int | None = None
    is_degraded: bool | None = None
    ldisk_status: LocalDiskStatus | None = None
