"""How people reach the consoles of guests."""

from __future__ import annotations

from ganeti.actions.node import Node
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.instance import Instance, InstanceConsole


def console(
    node: Node, instance: Instance, primary_node: ClusterNode, group: NodeGroup, hvparams: Parameters
) -> InstanceConsole:
    """Describe the way to one guest's console on `primary_node`, whether it runs or not. Raises: NodeError."""
    return node.hypervisors.get(instance.hypervisor).console(instance, primary_node, group, hvparams)
