"""The way to a guest's console."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.actions.conftest import GivenHypervisors, Obedient, RecordingBase

from ganeti.actions import consoles, instance_queries
from ganeti.actions.node import Node
from ganeti.errors import HypervisorError
from ganeti.hypervisor.base import Hypervisor
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.instance import ConsoleKind, Instance, InstanceConsole

NODE = ClusterNode(name="node2")
GROUP = NodeGroup(name="default")


class WithSerialConsole(RecordingBase):
    """Its guests have a serial console behind ssh."""

    def console(self, instance: Instance, node: ClusterNode, group: NodeGroup, hvparams: Parameters) -> InstanceConsole:
        return InstanceConsole(
            instance=instance.name, kind=ConsoleKind.SSH, host=node.name, user="root", command=("socat", "-", "x")
        )


def test_the_hypervisor_describes_it(guest_node: Node, guest: Instance) -> None:
    found = consoles.console(guest_node, guest, NODE, GROUP, {})
    assert (found.kind, found.host, found.display) == (ConsoleKind.VNC, "node2", 1)


def test_the_serial_console_is_a_command_of_this_machine(
    guest_node: Node, guest: Instance, behaviour: Obedient
) -> None:
    drivers: dict[str, Hypervisor] = {"recording": WithSerialConsole(guest_node.system, behaviour)}
    node = replace(guest_node, hypervisors=GivenHypervisors(drivers))
    assert instance_queries.serial_console(node, guest) == ("socat", "-", "x")


def test_a_guest_without_one_says_so(guest_node: Node, guest: Instance, tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="vnc only"):
        instance_queries.serial_console(guest_node, guest)
