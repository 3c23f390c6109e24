"""Facts about files the master has to know before it begins."""

from __future__ import annotations

import logging
from pathlib import Path

from ganeti.actions.node import Node

log = logging.getLogger(__name__)


def size(node: Node, path: str) -> int | None:  # noqa: ARG001 - every action has the node
    """Size of a file in bytes, links followed; None when it cannot be looked at. Any path may be asked for."""
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError) as err:  # ValueError: a null character
        log.debug("Cannot look at %s: %s", path, err)
        return None
