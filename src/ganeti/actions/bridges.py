"""Whether the bridges a guest's interfaces need are on this node."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host import net


def check(node: Node, bridges: list[str]) -> None:  # noqa: ARG001 - every action gets the node
    """Raises: NodeError naming the bridges that are missing; UnsafePath. A switch of Open vSwitch is not a bridge."""
    absent = missing(bridges)
    if absent:
        raise NodeError(f"bridges missing on this node: {', '.join(absent)}")


def missing(bridges: Iterable[str], sys_net: Path = net.SYS_NET) -> list[str]:
    """Those that the kernel does not know as bridges, in their order. Raises: UnsafePath."""
    return [name for name in bridges if not net.bridge_exists(name, sys_net=sys_net)]
