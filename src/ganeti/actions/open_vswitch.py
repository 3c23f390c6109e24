"""Making a node's Open vSwitch."""

from __future__ import annotations

from ganeti.actions.node import Node
from ganeti.host import net


def configure(node: Node, switch: str, link: str | None = None) -> None:
    """Make a switch and join an interface to it; what is there stays.

    Raises: UnsafePath, CommandError, ProgramNotFound.
    """
    net.interface_name(switch)
    if link:
        net.interface_name(link)
    node.runner.check(["ovs-vsctl", "--may-exist", "add-br", switch])
    if link:
        node.runner.check(["ovs-vsctl", "--may-exist", "add-port", switch, link])
