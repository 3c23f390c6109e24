"""What the operator's door takes and gives; the OpenAPI description is generated from these."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ganeti.model.base import Parameters
from ganeti.model.instance import Instance, InstanceInfo, RunState

GuestName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$(?!\n)", max_length=200)]
"""A guest's name: a host name in lower case."""

MacAddress = Annotated[str, Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$(?!\n)")]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what travels through this door."""


class DiskSpec(Struct, frozen=True, kw_only=True):
    """A disk to make: its size in MiB; `sharedfile` for one that other nodes see too."""

    size_mib: Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)]
    template: Literal["file", "sharedfile"] = "file"


class NicSpec(Struct, frozen=True, kw_only=True):
    """A network interface to make; a missing MAC address is drawn at random."""

    mode: Literal["bridged", "routed", "openvswitch"] = "bridged"
    link: str = "br0"
    mac: MacAddress | None = None
    ip: str | None = None


class GuestSpec(Struct, frozen=True, kw_only=True):
    """A guest to make. `hvparams` are laid over this node's defaults of the hypervisor."""

    name: GuestName
    os: str
    hypervisor: str = "kvm"
    memory_mib: Annotated[int, Meta(ge=1)] = 128
    vcpus: Annotated[int, Meta(ge=1, le=1024)] = 1
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = ()
    hvparams: Parameters = msgspec.field(default_factory=dict)
    osparams: dict[str, str] = msgspec.field(default_factory=dict)
    start: bool = True


class Guest(Struct, frozen=True, kw_only=True):
    """A guest as this door shows it; memory in MiB, sizes in MiB, `age_s` is how old the live figures are."""

    name: str
    uuid: str
    os: str
    hypervisor: str
    status: Literal["running", "stopped"]
    memory_mib: int
    vcpus: int
    disks_mib: tuple[int, ...]
    macs: tuple[str, ...]
    age_s: float | None = None

    @classmethod
    def show(cls, instance: Instance, info: InstanceInfo | None) -> Guest:
        """Put together what is configured and what the hypervisor says."""
        running = info is not None and info.state is RunState.RUNNING
        return cls(
            name=instance.name,
            uuid=instance.uuid or "",
            os=instance.os,
            hypervisor=instance.hypervisor,
            status="running" if running else "stopped",
            memory_mib=info.memory if running and info else instance.maximum_memory_mib,
            vcpus=info.vcpus if running and info else instance.vcpus,
            disks_mib=tuple(disk.size for disk in instance.attached_disks),
            macs=tuple(nic.mac for nic in instance.nics),
            age_s=info.age_s if running and info else None,
        )


class StartRequest(Struct, frozen=True, kw_only=True):
    """How to start: paused before the first instruction, if wanted."""

    paused: bool = False


class StopRequest(Struct, frozen=True, kw_only=True):
    """How to stop: the power button for `timeout_s`, then (or with 0 at once) by force."""

    timeout_s: Annotated[float, Meta(ge=0, le=86400)] = 120.0


class GrowRequest(Struct, frozen=True, kw_only=True):
    """Which disk (from 0) to enlarge, by how many MiB."""

    disk: Annotated[int, Meta(ge=0)] = 0
    amount_mib: Annotated[int, Meta(ge=1)]


class MigrateRequest(Struct, frozen=True, kw_only=True):
    """Where to move the running guest: address and port of the other node's daemon."""

    address: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 1811
    live: bool = True


class MigrateReport(Struct, frozen=True, kw_only=True):
    """What a migration moved and how long it took; `warning` is what is left for the operator to do."""

    seconds: float
    transferred_bytes: int | None
    warning: str | None = None


class ConsoleReport(Struct, frozen=True, kw_only=True):
    """Command that joins this terminal to the guest's serial console."""

    command: tuple[str, ...]


class NodeReport(Struct, frozen=True, kw_only=True):
    """This node in short; memory in MiB."""

    name: str
    version: str
    master: str | None
    memory_total_mib: int
    memory_free_mib: int
    cpus: int
    hypervisors: dict[str, str]
    """Each hypervisor and what is wrong with it here (empty when nothing is)."""


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request failed."""

    error: str
    detail: str
