"""Exported guests on this node."""

from __future__ import annotations

from ganeti.actions.node import Node
from ganeti.host import files, printable


def names(node: Node) -> list[str]:
    """Names of the exports, unfinished ones (`.new`) too, sorted; none when there is no directory for them."""
    directory = node.paths.export_dir
    return [printable.safe(name) for name in files.visible_names(directory)] if directory.is_dir() else []
