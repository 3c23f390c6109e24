"""Starting and stopping the cluster's other daemons on this node, by the packaged script that knows how."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from ganeti.actions.node import Node
from ganeti.errors import CommandError

log = logging.getLogger(__name__)

ENSURABLE: Final = frozenset({"ganeti-kvmd"})
"""Daemons the master may start and stop on a node one by one."""


def ensure(node: Node, name: str, run: bool) -> bool:
    """Make a daemon run, or not run; say whether that is so now. False for any other daemon, too."""
    if name not in ENSURABLE:
        log.warning("The master may not start or stop %r alone", name)
        return False
    return control(node, "check-and-start" if run else "stop", name)


def control(node: Node, *words: str, env: Mapping[str, str] | None = None) -> bool:
    """Run the script with `words`; say whether it succeeded. Raises: ProgramNotFound."""
    result = node.runner.run([node.paths.daemon_util, *words], env=env)
    if result.failed:
        log.error("daemon-util %s %s: %s", " ".join(words), result.reason, result.output)
    return not result.failed


def start_master(node: Node, no_voting: bool) -> None:
    """Start the daemons of a master, without asking the other nodes if wanted. Raises: CommandError."""
    arguments = "--no-voting --yes-do-it" if no_voting else ""
    env = {"EXTRA_LUXID_ARGS": arguments, "EXTRA_WCONFD_ARGS": arguments}
    result = node.runner.run([node.paths.daemon_util, "start-master"], env=env)
    if result.failed:
        raise CommandError(result.argv, result.reason, result.output)


def stop_master(node: Node) -> None:
    """Stop the daemons of a master; what goes wrong is logged alone."""
    control(node, "stop-master")
