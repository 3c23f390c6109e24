"""Questions about guests: which run here and what is known of them. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, InvalidParameter, NodeError
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.instance import ConsoleKind, Instance, InstanceInfo


def list_instances(node: Node, hypervisors: Sequence[str], hvparams: Mapping[str, Parameters]) -> list[str]:
    """Names of the running guests of some hypervisors, in their order; one that two of them see is there twice.

    `hvparams` holds the cluster's parameters of each. Raises: NodeError naming the hypervisor that failed.
    """
    names: list[str] = []
    for kind in hypervisors:
        parameters = _of(hvparams, kind)
        try:
            names.extend(node.hypervisors.get(kind).list_instances(parameters))
        except NodeError as err:
            raise HypervisorError(f"cannot list the instances of hypervisor {kind}: {err}") from err
    return names


def info(node: Node, name: str, hypervisor: str, hvparams: Parameters) -> InstanceInfo | None:
    """What a hypervisor knows of one guest; None when there is none of that name. Raises: NodeError."""
    return node.hypervisors.get(hypervisor).instance_info(name, hvparams)


def all_info(node: Node, hypervisors: Sequence[str], hvparams: Mapping[str, Parameters]) -> dict[str, InstanceInfo]:
    """What some hypervisors know of all their guests.

    Raises: HypervisorError when two of them know a name but differ in its memory or processors.
    """
    found: dict[str, InstanceInfo] = {}
    for kind in hypervisors:
        for guest in node.hypervisors.get(kind).all_instances_info(_of(hvparams, kind)):
            other = found.get(guest.name)
            if other is not None and (other.memory, other.vcpus) != (guest.memory, guest.vcpus):
                raise HypervisorError(
                    f"instance {guest.name} is known to two hypervisors, with {other.memory} and {guest.memory} MiB, "
                    f"{other.vcpus} and {guest.vcpus} processors"
                )
            found[guest.name] = guest
    return found


def serial_console(node: Node, instance: Instance) -> tuple[str, ...]:
    """Command that joins a terminal of this machine to the guest's console. Raises: HypervisorError without one."""
    driver = node.hypervisors.get(instance.hypervisor)
    here = ClusterNode(name=node.hostname)
    console = driver.console(instance, here, NodeGroup(name=""), instance.hvparams)
    if console.kind is not ConsoleKind.SSH or not console.command:
        raise HypervisorError(
            console.message or f"instance {instance.name} has no serial console ({console.kind} only)"
        )
    return console.command


def _of(hvparams: Mapping[str, Parameters], kind: str) -> Parameters:
    try:
        return hvparams[kind]
    except KeyError:
        raise InvalidParameter("hvparams", f"there are no parameters for hypervisor {kind}") from None
