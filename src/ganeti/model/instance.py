"""A guest as the master describes it, and what a node says of it."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from ganeti.model.base import Model, Name, Parameters, Tagged
from ganeti.model.disk import Disk
from ganeti.model.network import Nic


class AdminState(StrEnum):
    """What the administrator wants the guest to be."""

    UP = "up"
    DOWN = "down"
    OFFLINE = "offline"


class Instance(Tagged, frozen=True, kw_only=True):
    """A guest with filled parameters.

    `disks` are UUIDs; the disk objects sent along are `disks_info`. Node identifiers are UUIDs.
    """

    name: Name
    primary_node: str | None = None
    secondary_nodes: tuple[str, ...] | None = None
    os: str = ""
    hypervisor: str = ""
    hvparams: Parameters = msgspec.field(default_factory=dict)
    beparams: Parameters = msgspec.field(default_factory=dict)
    osparams: dict[str, str] | None = None
    osparams_private: dict[str, str] | None = None
    admin_state: AdminState | None = None
    admin_state_source: str | None = None
    nics: tuple[Nic, ...] = ()
    disks: tuple[str, ...] | None = None
    disks_info: tuple[Disk, ...] | None = None
    disk_template: str | None = None
    disks_active: bool | None = None
    network_port: int | None = None
    forthcoming: bool | None = None

    def __repr__(self) -> str:
        """Show the guest by name only: its parameters may be secret."""
        return f"Instance({self.name})"

    @property
    def attached_disks(self) -> tuple[Disk, ...]:
        """The disk objects sent along, in order; none for a diskless guest."""
        return self.disks_info or ()

    @property
    def maximum_memory_mib(self) -> int:
        """Memory the guest may grow to."""
        return int(self.beparams.get("maxmem") or 0)

    @property
    def minimum_memory_mib(self) -> int:
        """Memory the guest is never ballooned below at start."""
        return int(self.beparams.get("minmem") or 0)

    @property
    def vcpus(self) -> int:
        """Number of virtual processors."""
        return int(self.beparams.get("vcpus") or 1)


class AttachedDisk(Model, frozen=True, kw_only=True):
    """A disk as a hypervisor driver gets it: ready, with the node's link to it and, for user space access, its URI."""

    disk: Disk
    link: str | None = None
    uri: str | None = None


class RunState(IntEnum):
    """State of a guest the hypervisor knows."""

    RUNNING = 0
    SHUTDOWN = 1


class InstanceInfo(Model, frozen=True, kw_only=True, omit_defaults=False):
    """What the hypervisor says of one guest: memory in MiB, CPU time in seconds.

    `age_s` is how old the figures are; it does not travel to the master.
    """

    name: str
    hypervisor_id: int
    memory: int
    vcpus: int
    state: RunState
    time: float
    age_s: float = 0.0

    def wire(self) -> dict[str, int | float]:
        """The four keys the master knows; it refuses any other."""
        return {"memory": self.memory, "vcpus": self.vcpus, "state": int(self.state), "time": self.time}


class MigrationState(StrEnum):
    """Where a migration stands on the source node."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    POSTCOPY_ACTIVE = "postcopy-active"


class MigrationStatus(Model, frozen=True, kw_only=True):
    """Progress of a migration; the amounts are bytes and absent while unknown."""

    status: MigrationState
    transferred_ram: int | None = None
    total_ram: int | None = None
    postcopy_status: str | None = None


class ConsoleKind(StrEnum):
    """How a person reaches a guest's console."""

    SSH = "ssh"
    VNC = "vnc"
    SPICE = "spice"
    MESSAGE = "msg"


class InstanceConsole(Model, frozen=True, kw_only=True):
    """How to reach a guest's console. Required: ssh: host, user, command; vnc: host, port, display; msg: message."""

    instance: str
    kind: ConsoleKind
    message: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    command: tuple[str, ...] | None = None
    display: int | None = None
