"""What a hypervisor is: a small mandatory interface, optional capabilities beside it, and registration by class.

A driver is one module or package below `hypervisor/drivers`. There is one object a kind and node; it is used by many
threads at once, so it keeps nothing that is not safe for that. Guests survive the daemon: what a driver must remember
of them is on disk or in the process table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ganeti.errors import HypervisorError
from ganeti.host.system import System
from ganeti.hypervisor.parameters import Parameter, validate
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, HypervisorFacts, NodeGroup
from ganeti.model.instance import AttachedDisk, Instance, InstanceConsole, InstanceInfo, MigrationStatus


class Hypervisor(ABC):
    """One way to run guests. Methods raise HypervisorError (or another NodeError) on failure."""

    kind: ClassVar[str] = ""
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    registered: ClassVar[dict[str, type[Hypervisor]]] = {}

    def __init_subclass__(cls, kind: str = "", **kwargs: object) -> None:
        """Register the driver for its kind."""
        super().__init_subclass__(**kwargs)
        cls.kind = kind
        if kind:
            Hypervisor.registered[kind] = cls

    def __init__(self, system: System) -> None:
        """Make the driver's directories; start nothing."""
        self.system = system

    @abstractmethod
    def start(self, instance: Instance, disks: Sequence[AttachedDisk], *, startup_paused: bool) -> None:
        """Start a guest that is not running, paused before its first instruction if wanted."""

    @abstractmethod
    def stop(
        self, instance: Instance, *, force: bool = False, retry: bool = False, timeout_s: float | None = None
    ) -> None:
        """Ask the guest to stop, or with `force` end it. A soft stop need not wait. Absent guests are fine.

        `retry` tells that it was asked before; `timeout_s` when a soft stop is to be given up.
        """

    def cleanup(self, instance_name: str) -> None:  # noqa: B027 - most drivers need nothing
        """Remove what a stopped guest left on the node."""

    @abstractmethod
    def reboot(self, instance: Instance) -> None:
        """Restart the running guest with its present virtual hardware; return when it runs again."""

    @abstractmethod
    def list_instances(self, hvparams: Parameters | None = None) -> list[str]:
        """Names of the guests that are running."""

    @abstractmethod
    def instance_info(self, name: str, hvparams: Parameters | None = None) -> InstanceInfo | None:
        """What is known of one guest; None when the hypervisor knows none of that name."""

    @abstractmethod
    def all_instances_info(self, hvparams: Parameters | None = None) -> list[InstanceInfo]:
        """What is known of every guest; one that does not answer never delays the others."""

    @abstractmethod
    def node_facts(self, hvparams: Parameters | None = None) -> HypervisorFacts:
        """Memory and processors of the node as this hypervisor sees them."""

    @abstractmethod
    def console(self, instance: Instance, node: ClusterNode, group: NodeGroup, hvparams: Parameters) -> InstanceConsole:
        """How a person reaches the guest's console."""

    @abstractmethod
    def verify(self, hvparams: Parameters | None = None) -> str | None:
        """What is wrong with the hypervisor on this node, as one text; None when nothing is."""

    def validate_parameters(self, hvparams: Parameters) -> None:
        """Judge filled parameters on this node. Raises: HypervisorError with name, reason and value."""
        validate(self.parameters, hvparams)

    def verify_instance(self, instance: Instance) -> bool:  # noqa: ARG002 - most drivers keep no record beside the guest
        """Whether the record of a running guest is as it should be."""
        return True

    def restore_instance(self, instance: Instance, disks: Sequence[AttachedDisk]) -> None:  # noqa: B027
        """Put the record of a running guest right again."""

    def startup_memory_mib(self, instance: Instance) -> int:
        """How much memory a guest starts with: what is free, between its minimum and maximum."""
        free = self.node_facts(instance.hvparams).memory_free
        return max(instance.minimum_memory_mib, min(instance.maximum_memory_mib, free))

    def require_running(self, instance: Instance) -> None:
        """Raises: HypervisorError when the guest is not running."""
        if instance.name not in self.list_instances(instance.hvparams):
            raise HypervisorError(f"instance {instance.name} is not running")


class Migratable(ABC):
    """Hypervisors that can move a guest to another node. Source and target speak through the master only."""

    @abstractmethod
    def migration_info(self, instance: Instance) -> str:
        """Text for the target node, handed on unchanged (source)."""

    @abstractmethod
    def accept(self, instance: Instance, info: str, target: str, disks: Sequence[AttachedDisk]) -> None:
        """Prepare to receive the guest on address `target` of this node (target)."""

    @abstractmethod
    def migrate(self, instance: Instance, target: str, *, live: bool) -> None:
        """Begin to send the guest to address `target`; may return early (source)."""

    @abstractmethod
    def migration_status(self, instance: Instance) -> MigrationStatus:
        """How far it is (source)."""

    @abstractmethod
    def finalize_source(self, instance: Instance, *, success: bool, live: bool) -> None:
        """End the guest's life here, or let it go on after a failure (source)."""

    @abstractmethod
    def finalize_target(self, instance: Instance, info: str, *, success: bool) -> None:
        """Take the guest over for good, or end the half-received one (target)."""


class Balloonable(ABC):
    """Hypervisors that can change a running guest's memory."""

    @abstractmethod
    def balloon(self, instance: Instance, memory_mib: int) -> None:
        """Set the memory the guest may use."""


class DiskResizable(ABC):
    """Hypervisors that can tell a running guest that its disk became larger."""

    @abstractmethod
    def resize_disk(self, instance: Instance, index: int, size_bytes: int) -> None:
        """Make the guest see disk `index` with `size_bytes`."""


class Powercyclable(ABC):
    """Hypervisors that can restart the node at once."""

    @abstractmethod
    def powercycle(self, hvparams: Parameters | None = None) -> None:
        """Restart the node without shutting anything down. Does not return on success."""
