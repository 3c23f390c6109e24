"""Storage providers of this node, for whoever wants to know which disks of type `ext` it can hold."""

from __future__ import annotations

from ganeti.actions.node import Node
from ganeti.storage import providers

Row = tuple[str, str, bool, str, list[tuple[str, str]]]
"""Name, path, whether it is valid, what is wrong, and its parameters as (name, description)."""


def diagnose(node: Node) -> list[Row]:
    """One row an entry of the search path, valid or not."""
    return [
        (found.name, found.path, not found.message, found.message, list(found.parameters))
        for found in providers.diagnose(node.paths)
    ]
