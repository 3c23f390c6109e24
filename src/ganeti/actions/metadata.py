"""What guests may know of themselves, handed on to the metadata daemon of this node."""

from __future__ import annotations

import logging
from typing import Final

from ganeti.actions import ensure_daemon
from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host.clock import TryAgain, retry
from ganeti.tools import metad

log = logging.getLogger(__name__)

DAEMON: Final = "ganeti-metad"
ANSWER_S: Final = 30.0
START_S: Final = 10.0


def update(node: Node, metadata: dict[str, object]) -> None:
    """Hand on what the master sent (it has secrets in it); the daemon is started when it does not run.

    Raises: NodeError when it cannot be started or refuses; TimedOut.
    """
    try:
        metad.update_config(node.paths.metad_socket, metadata, timeout_s=ANSWER_S)
    except (FileNotFoundError, ConnectionRefusedError) as err:
        log.info("Starting the metadata daemon, which does not answer: %s", err)
    else:
        return
    if not ensure_daemon.control(node, "start", DAEMON):
        raise NodeError("the metadata daemon cannot be started; the log says why")
    retry(node.clock, lambda: _attempt(node, metadata), delay_s=0.1, timeout_s=START_S)


def _attempt(node: Node, metadata: dict[str, object]) -> None:
    try:
        metad.update_config(node.paths.metad_socket, metadata, timeout_s=ANSWER_S)
    except (FileNotFoundError, ConnectionRefusedError) as err:
        raise TryAgain(f"the metadata daemon does not answer: {err}") from err
