"""Verification of the ways between nodes: ssh, and the node daemons' port on both networks and the master's address.

Only master candidates look at others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from ganeti.actions.node import Node
from ganeti.constants import IP6_FAMILY, NODED, NODED_PORT
from ganeti.host import listening, net
from ganeti.tools import ssh

log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"

ASK_FOR_NAME: Final = 'if test -n "$GANETI_HOSTNAME"; then echo "$GANETI_HOSTNAME"; else hostname --fqdn; fi'
"""A node of a virtual cluster has its name from the environment."""


class Ping(Protocol):
    """Whether a host answers on a port; a refusal is an answer."""

    def __call__(self, target: str, port: int, *, source: str | None = None) -> bool:
        """Try, from `source` if this node has that address."""
        ...


def reach(
    node: Node,
    cluster_name: str,
    nodes: Sequence[str],
    further: dict[str, tuple[str, ...]],
    candidates: Sequence[str],
) -> dict[str, str]:
    """What is wrong with the way by ssh to each node; good ones are left out. Raises: ConfigurationError."""
    if node.hostname not in candidates:
        return {}
    ports = node.ssconf.ssh_ports()
    options = ssh.cluster_options(
        cluster_name,
        node.paths.data_dir / "known_hosts",
        is_ipv6=node.ssconf.primary_ip_family() == IP6_FAMILY,
    )
    problems: dict[str, str] = {}
    for name in (*nodes, *further.get(node.hostname, ())):
        problem = _name_problem(node, name, [*options, f"-oPort={ports[name]}"] if name in ports else options)
        if problem is not None:
            problems[name] = problem
    return problems


def net_test(
    node: Node,
    nodes: Sequence[tuple[str, str, str]],
    candidates: Sequence[str],
    ping: Ping = net.tcp_ping,
) -> dict[str, str]:
    """For each node (name, primary and secondary address) whose daemon does not answer, on which address.

    3.0.2 tries the secondary address only after the primary one has failed, and so misses a broken second network.
    """
    if node.hostname not in candidates:
        return {}
    own = next((addresses for name, *addresses in nodes if name == node.hostname), ["", ""])
    if not own[0]:
        return {node.hostname: "cannot find my own primary and secondary address in the list of nodes"}
    port = _port()
    problems: dict[str, str] = {}
    for name, primary, secondary in nodes:
        failed = [] if ping(primary, port, source=own[0]) else ["primary"]
        if secondary != primary and not ping(secondary, port, source=own[1]):
            failed.append("secondary")
        if failed:
            problems[name] = f"failure using the {' and '.join(failed)} interface"
    return problems


def master_answers(
    node: Node, master: str, address: str, candidates: Sequence[str], ping: Ping = net.tcp_ping
) -> bool | None:
    """Whether the master's address is reachable; None when this node is not to look."""
    if node.hostname not in candidates:
        return None
    # on the master itself the address must be reached over the loopback device
    return ping(address, _port(), source=LOOPBACK if master == node.hostname else None)


def _port() -> int:
    return listening.service_port(NODED, NODED_PORT)


def _name_problem(node: Node, name: str, options: Sequence[str]) -> str | None:
    result = ssh.run(node.runner, name, ASK_FOR_NAME, options)
    if result.failed:
        log.error("Cannot reach node %s by ssh: %s %s", name, result.reason, result.output.strip())
        return f"ssh problem: {result.output.strip() or f'{result.reason}, and no output'}"
    answer = result.stdout.strip()
    if answer == name:
        return None
    if name.startswith(f"{answer}."):
        return f"node name not fully qualified: expected {name}, got {answer}"
    return f"node name mismatch: expected {name}, got {answer}"
