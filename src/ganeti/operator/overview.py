"""What the operator sees of the node itself."""

from __future__ import annotations

from ganeti.actions import os_definitions
from ganeti.actions.node import Node
from ganeti.constants import RELEASE_VERSION
from ganeti.errors import NodeError
from ganeti.hypervisor.registry import Hypervisors
from ganeti.operator.models import NodeReport
from ganeti.operator.settings import hypervisor_settings


class Overview:
    """Facts of this node."""

    def __init__(self, node: Node) -> None:
        """Remember the node."""
        self._node = node

    def report(self) -> NodeReport:
        """This node in short."""
        facts = self._node.hypervisors.get("fake").node_facts()
        return NodeReport(
            name=self._node.hostname,
            version=RELEASE_VERSION,
            master=self._node.ssconf.text("master_node", "") or None,
            memory_total_mib=facts.memory_total,
            memory_free_mib=facts.memory_free,
            cpus=facts.cpu_total,
            hypervisors={kind: self._verify(kind) for kind in Hypervisors.kinds()},
        )

    def operating_systems(self) -> dict[str, str]:
        """Each definition found, and what is wrong with it (empty when nothing is)."""
        return {entry.name: entry.message for entry in os_definitions.diagnose(self._node)}

    def _verify(self, kind: str) -> str:
        try:
            return self._node.hypervisors.get(kind).verify(hypervisor_settings(self._node, kind)) or ""
        except NodeError as err:
            return str(err)
