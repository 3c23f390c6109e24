"""What a node says of itself: space, memory and processors, who its master is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import CommandError, InvalidParameter, NotSupported, ProgramNotFound
from ganeti.host import net, procfs
from ganeti.host.system import System
from ganeti.model.base import Model, Parameters, Scalar
from ganeti.model.cluster import HypervisorFacts, StorageUnit
from ganeti.storage import exclusive as exclusive_storage
from ganeti.storage.observations import Observations
from ganeti.storage.units import file_system_bytes
from ganeti.tools import lvm

log = logging.getLogger(__name__)

UnitRequest = tuple[str, str, tuple[Scalar, ...]]
"""A storage unit asked for: its type, its name, the parameters of its type."""

HypervisorRequest = tuple[str, Parameters]
"""A hypervisor asked for, with its parameters."""

UNMEASURED: Final = frozenset({"blockdev", "diskless", "ext", "sharedfile", "gluster", "rados"})
"""Types of the protocol whose space nobody measures; the master does not ask for them."""


class NodeInfo(Model, frozen=True, kw_only=True):
    """The answer, in the order of the question; None for what was not asked."""

    boot_id: str
    units: tuple[StorageUnit, ...] | None
    hypervisors: tuple[HypervisorFacts, ...] | None


def get(
    node: Node,
    units: Sequence[UnitRequest] | None = None,
    hypervisors: Sequence[HypervisorRequest] | None = None,
) -> NodeInfo:
    """Measure the storage units and ask the hypervisors. Raises: InvalidParameter, NotSupported, NodeError."""
    return NodeInfo(
        boot_id=procfs.boot_id(),
        units=None if units is None else _units(node, units),
        hypervisors=None if hypervisors is None else tuple(_facts(node, *spec) for spec in hypervisors),
    )


def master_name(node: Node) -> str:
    """Name of the cluster's master as this node knows it. Raises: ConfigurationError."""
    return node.ssconf.master_node()


def has_address(node: Node, address: str) -> bool:  # noqa: ARG001 - every action has the node
    """Whether the address is one of this node's."""
    return net.is_own_address(address)


def delay(node: Node, duration_s: Annotated[float, Meta(ge=0, le=86400)]) -> None:
    """Do nothing for a while, for tests of the job queue."""
    node.clock.sleep(duration_s)


def _facts(node: Node, kind: str, hvparams: Parameters) -> HypervisorFacts:
    return node.hypervisors.get(kind).node_facts(hvparams)


def _units(node: Node, units: Sequence[UnitRequest]) -> tuple[StorageUnit, ...]:
    observed = Observations(node.system)
    return tuple(_unit(observed, *unit) for unit in units)


def _unit(observed: Observations, kind: str, name: str, parameters: tuple[Scalar, ...]) -> StorageUnit:
    match kind, parameters:
        case "file", ():
            return _file_system(name)
        case "lvm-vg", (bool(exclusive),):
            return _volume_group(observed, name, exclusive=exclusive)
        case "lvm-pv", (bool(exclusive),):
            return _spindles(observed, name, exclusive=exclusive)
        case "file" | "lvm-vg" | "lvm-pv", _:
            raise InvalidParameter("units", f"wrong parameters {list(parameters)} for storage type {kind}")
    if kind in UNMEASURED:
        raise NotSupported(kind, "telling its free space")
    raise InvalidParameter("units", f"unknown storage type {kind!r}")


def _file_system(directory: str) -> StorageUnit:
    free, size = file_system_bytes(Path(directory))
    return StorageUnit(type="file", name=directory, storage_free=free // MIB, storage_size=size // MIB)


def _volume_group(observed: Observations, name: str, *, exclusive: bool) -> StorageUnit:
    """Figures are None when the group cannot be told, is not there or is read-only."""
    try:
        groups = [group for group in observed.of(_groups) if group.name == name and not group.is_read_only]
        free = exclusive_storage.free_space(observed.of(_physical), groups[0]) if exclusive and groups else None
    except (CommandError, ProgramNotFound) as err:
        log.warning("Volume group %s cannot be measured: %s", name, err)
        groups = []
    if not groups:
        return StorageUnit(type="lvm-vg", name=name, storage_free=None, storage_size=None)
    free_mib = groups[0].free_mib if free is None else round(free)
    return StorageUnit(type="lvm-vg", name=name, storage_free=free_mib, storage_size=groups[0].size_mib)


def _spindles(observed: Observations, name: str, *, exclusive: bool) -> StorageUnit:
    """Physical volumes, empty ones and all, are counted for exclusive storage alone."""
    own: list[lvm.PhysicalVolume] = []
    if exclusive:
        try:
            own = exclusive_storage.usable(observed.of(_physical), name)
        except (CommandError, ProgramNotFound) as err:
            log.warning("The physical volumes of volume group %s cannot be counted: %s", name, err)
    free = len(exclusive_storage.empty(own))
    return StorageUnit(type="lvm-pv", name=name, storage_free=free, storage_size=len(own))


def _groups(system: System) -> list[lvm.VolumeGroup]:
    return lvm.volume_groups(system.runner)


def _physical(system: System) -> list[lvm.PhysicalVolume]:
    return lvm.physical_volumes(system.runner)
