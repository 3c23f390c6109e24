"""A node whose only hypervisor does what the test says and notes what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, NodeError
from ganeti.host.system import System
from ganeti.hypervisor.base import Balloonable, DiskResizable, Hypervisor, Migratable, Powercyclable
from ganeti.hypervisor.registry import Hypervisors
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, HypervisorFacts, NodeGroup
from ganeti.model.instance import (
    AttachedDisk,
    ConsoleKind,
    Instance,
    InstanceConsole,
    InstanceInfo,
    MigrationState,
    MigrationStatus,
    RunState,
)


@dataclass
class Obedient:
    """What the hypervisor does: guests by name, errors by method, and how it stops guests."""

    guests: dict[str, InstanceInfo] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    errors: dict[str, NodeError] = field(default_factory=dict)
    soft_stops_needed: int = 1
    force_works: bool = True
    record_is_right: bool = True

    def note(self, method: str, *details: object) -> None:
        """Remember a call and fail if the test wants it to."""
        self.calls.append((method, *details))
        if method in self.errors:
            raise self.errors[method]

    def named(self, method: str) -> list[tuple[object, ...]]:
        """Details of the calls of one method."""
        return [call[1:] for call in self.calls if call[0] == method]


class RecordingBase(Hypervisor):
    """Notes what it is asked, and can do nothing beyond what it must; it is registered nowhere."""

    def __init__(self, system: System, behaviour: Obedient) -> None:
        super().__init__(system)
        self.behaviour = behaviour

    def start(self, instance: Instance, disks: Sequence[AttachedDisk], *, startup_paused: bool) -> None:
        self.behaviour.note("start", instance.name, [disk.link for disk in disks], startup_paused)
        self.behaviour.guests[instance.name] = running(instance.name)

    def stop(
        self, instance: Instance, *, force: bool = False, retry: bool = False, timeout_s: float | None = None
    ) -> None:
        self.behaviour.note("stop", force, retry, timeout_s, self.system.clock.monotonic())
        self.behaviour.soft_stops_needed -= 1
        if (force and self.behaviour.force_works) or (not force and self.behaviour.soft_stops_needed <= 0):
            self.behaviour.guests.pop(instance.name, None)

    def cleanup(self, instance_name: str) -> None:
        self.behaviour.note("cleanup", instance_name)

    def reboot(self, instance: Instance) -> None:
        self.behaviour.note("reboot", instance.name)

    def list_instances(self, hvparams: Parameters | None = None) -> list[str]:
        self.behaviour.note("list", hvparams)
        return [name for name, info in self.behaviour.guests.items() if info.state is RunState.RUNNING]

    def instance_info(self, name: str, hvparams: Parameters | None = None) -> InstanceInfo | None:
        return self.behaviour.guests.get(name)

    def all_instances_info(self, hvparams: Parameters | None = None) -> list[InstanceInfo]:
        self.behaviour.note("all", hvparams)
        return list(self.behaviour.guests.values())

    def node_facts(self, hvparams: Parameters | None = None) -> HypervisorFacts:
        return HypervisorFacts(
            memory_total=4096, memory_free=2048, memory_dom0=512, cpu_total=4, cpu_nodes=1, cpu_sockets=1, cpu_dom0=4
        )

    def console(self, instance: Instance, node: ClusterNode, group: NodeGroup, hvparams: Parameters) -> InstanceConsole:
        self.behaviour.note("console", instance.name)
        return InstanceConsole(
            instance=instance.name, kind=ConsoleKind.VNC, host=node.name, port=5901, display=1, command=("socat", "-")
        )

    def verify(self, hvparams: Parameters | None = None) -> str | None:
        return None

    def verify_instance(self, instance: Instance) -> bool:
        return self.behaviour.record_is_right

    def restore_instance(self, instance: Instance, disks: Sequence[AttachedDisk]) -> None:
        self.behaviour.note("restore", instance.name)


class RecordingHypervisor(RecordingBase, Migratable, Balloonable, DiskResizable, Powercyclable):
    """The same with everything a hypervisor may be able to do."""

    def migration_info(self, instance: Instance) -> str:
        self.behaviour.note("migration_info", instance.name)
        return "opaque"

    def accept(self, instance: Instance, info: str, target: str, disks: Sequence[AttachedDisk]) -> None:
        self.behaviour.note("accept", info, target, [disk.link for disk in disks])

    def migrate(self, instance: Instance, target: str, *, live: bool) -> None:
        self.behaviour.note("migrate", target, live)

    def migration_status(self, instance: Instance) -> MigrationStatus:
        self.behaviour.note("migration_status")
        return MigrationStatus(status=MigrationState.ACTIVE, transferred_ram=1, total_ram=2)

    def finalize_source(self, instance: Instance, *, success: bool, live: bool) -> None:
        self.behaviour.note("finalize_source", success, live)

    def finalize_target(self, instance: Instance, info: str, *, success: bool) -> None:
        self.behaviour.note("finalize_target", info, success)

    def balloon(self, instance: Instance, memory_mib: int) -> None:
        self.behaviour.note("balloon", memory_mib)

    def resize_disk(self, instance: Instance, index: int, size_bytes: int) -> None:
        self.behaviour.note("resize_disk", index, size_bytes)

    def powercycle(self, hvparams: Parameters | None = None) -> None:
        self.behaviour.note("powercycle", hvparams)


class GivenHypervisors(Hypervisors):
    """Hypervisors the test made itself."""

    def __init__(self, drivers: dict[str, Hypervisor]) -> None:
        self.drivers = drivers

    def get(self, kind: str) -> Hypervisor:
        if kind not in self.drivers:
            raise HypervisorError(f"unknown hypervisor {kind!r}")
        return self.drivers[kind]


def running(name: str, *, memory: int = 128, vcpus: int = 1) -> InstanceInfo:
    """What is known of a running guest."""
    return InstanceInfo(name=name, hypervisor_id=7, memory=memory, vcpus=vcpus, state=RunState.RUNNING, time=1.5)


@pytest.fixture
def behaviour() -> Obedient:
    """What the node's hypervisor does and was asked."""
    return Obedient()


@pytest.fixture
def guest_node(system: System, behaviour: Obedient) -> Node:
    """A node with the hypervisor `recording`."""
    driver = RecordingHypervisor(system, behaviour)
    return replace(Node.compose(system), hypervisors=GivenHypervisors({"recording": driver}))


@pytest.fixture
def guest() -> Instance:
    """A guest without disks."""
    return Instance(name="guest1", hypervisor="recording", hvparams={"some": "value"}, disks_info=())


@pytest.fixture
def run_guest(behaviour: Obedient) -> Callable[[InstanceInfo], None]:
    """Put a guest on the hypervisor."""

    def put(info: InstanceInfo) -> None:
        behaviour.guests[info.name] = info

    return put
