"""The watcher's pause: until then it leaves the cluster alone."""

from __future__ import annotations

import logging
from typing import Final

from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host import files

log = logging.getLogger(__name__)

FILE_MODE: Final = 0o644
KEPT_S: Final = 3600
"""How long a pause that is over is remembered."""


def set_pause(node: Node, until_s: float | None) -> None:
    """Pause the watcher until a time (seconds since the epoch, fractions do not count), or not at all."""
    path = node.paths.watcher_pause_file
    if until_s is None:
        files.remove(path)
        log.info("The watcher's pause is over")
        return
    files.write_atomic(path, f"{int(until_s)}\n", mode=FILE_MODE)
    log.info("The watcher pauses until %d", until_s)


def pause(node: Node) -> int | None:
    """Until when the watcher pauses; None when it does not. A file that says nothing, or is long over, is removed."""
    path = node.paths.watcher_pause_file
    try:
        text = files.read_text(path, limit=100)
        until_s = int(text)
    except FileNotFoundError:
        return None
    except (NodeError, ValueError) as err:
        log.warning("Removing %s, which holds no time: %s", path, err)
        files.remove(path)
        return None
    now = node.clock.time()
    if until_s + KEPT_S < now:
        files.remove(path)
    return until_s if until_s >= now else None
