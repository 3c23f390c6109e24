"""Spreading a node's ssh key over the cluster, from the master: who may log in where.

Other nodes are changed by the packaged program `ssh-update`, which reads what to do from its input. Source: the
messages 3.0.2 sends and the order it sends them in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from ganeti.actions.node import Node
from ganeti.config import ssh_key_files
from ganeti.config.ssh_key_files import Keys
from ganeti.constants import IP6_FAMILY
from ganeti.errors import CommandError, ConfigurationError, InvalidParameter, NodeError, ProgramNotFound
from ganeti.host import certificates
from ganeti.tools import ssh

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3

Change = dict[str, tuple[str, Keys]]
"""What `ssh-update` is to do, by the file: an action and keys."""


class Failure(NamedTuple):
    """A node that could not be told, and why."""

    node: str
    text: str


def add(
    node: Node,
    uuid: str,
    name: str,
    potential_candidates: Sequence[str],
    *,
    to_authorized_keys: bool,
    to_public_keys: bool,
    get_public_keys: bool,
) -> list[Failure]:
    """Make the key of a new node known: to the master, then to the other nodes; tell which of those failed.

    `to_authorized_keys`: it may log in everywhere; `to_public_keys`: potential candidates know its key, which must be
    filed on the master under the node's name or UUID; `get_public_keys`: it gets to know all keys.
    Raises: ConfigurationError when its key is not known; CommandError when the node itself, or a node that is no
    potential candidate, cannot be told.
    """
    key_file = node.paths.public_keys_file
    keys = ssh_key_files.name_to_uuid(ssh_key_files.read_public_keys(key_file), name, uuid)
    if (to_public_keys or to_authorized_keys) and uuid not in keys:
        raise ConfigurationError(f"no public key of node {name} in {key_file}")
    if to_public_keys:
        ssh_key_files.write_public_keys(key_file, keys)
    own: Keys = {uuid: keys.get(uuid, [])}
    if to_authorized_keys:
        ssh_key_files.authorize(node.paths.authorized_keys_file, own[uuid])
    if get_public_keys:
        try:
            _tell(node, name, {"public_keys": ("override", keys)}, attempts=ATTEMPTS)
        except NodeError:
            if to_public_keys:
                ssh_key_files.write_public_keys(key_file, {who: key for who, key in keys.items() if who != uuid})
            raise
    change: Change = {}
    if to_authorized_keys:
        change["authorized_keys"] = ("add", own)
    failures: list[Failure] = []
    for other in _others(node):
        if other in potential_candidates:
            more: Change = {"public_keys": ("replace_or_add", own)} if to_public_keys else {}
            failures += _try(node, other, change | more)
        elif change:
            _tell(node, other, change, attempts=1)
    return failures


def remove(
    node: Node,
    uuid: str,
    name: str,
    candidate_uuids: Sequence[str],
    potential_candidates: Sequence[str],
    *,
    from_authorized_keys: bool,
    from_public_keys: bool,
    clear_authorized_keys: bool,
    clear_public_keys: bool,
    readd: bool,
) -> list[Failure]:
    """Make the other nodes forget a node's key, and the node those of the others; tell which of them failed.

    `clear_authorized_keys`: candidates may no longer log in there; `clear_public_keys`: it forgets all keys. With
    `readd` its key need not be known. Raises: InvalidParameter, ConfigurationError.
    """
    if not (from_authorized_keys or from_public_keys or clear_authorized_keys or clear_public_keys):
        raise InvalidParameter("from_authorized_keys", "nothing is to be removed")
    is_forgotten = from_authorized_keys or from_public_keys
    if is_forgotten and name == node.ssconf.master_node():
        raise InvalidParameter("name", "the master's own keys cannot be removed")
    key_file = node.paths.public_keys_file
    keys = ssh_key_files.read_public_keys(key_file)
    if is_forgotten and uuid not in keys and not readd:
        raise ConfigurationError(f"no public key of node {name} in {key_file}")
    own: Keys = {uuid: keys[uuid]} if is_forgotten and uuid in keys else {}
    failures: list[Failure] = []
    if own:
        failures += _forget(node, name, own, potential_candidates, from_authorized_keys, from_public_keys)
    others: Keys = {who: keys[who] for who in candidate_uuids if who != uuid and who in keys}
    change: Change = {"authorized_keys": ("remove", others)} if clear_authorized_keys and others else {}
    if clear_public_keys:
        change["public_keys"] = ("clear", {})
    elif from_public_keys and own:
        change["public_keys"] = ("remove", own)
    if change:
        failures += _try(node, name, change)
    if from_public_keys and uuid in keys:
        ssh_key_files.write_public_keys(key_file, {who: key for who, key in keys.items() if who != uuid})
    return failures


def _forget(
    node: Node,
    name: str,
    own: Keys,
    potential_candidates: Sequence[str],
    from_authorized_keys: bool,
    from_public_keys: bool,
) -> Iterator[Failure]:
    """Take the keys of `name` from the master's authorized keys and from the other nodes."""
    if from_authorized_keys:
        ssh_key_files.withdraw(node.paths.authorized_keys_file, (key for several in own.values() for key in several))
    everywhere: Change = {"authorized_keys": ("remove", own)} if from_authorized_keys else {}
    for other in _others(node):
        more: Change = {}
        if other in potential_candidates and from_public_keys:
            more = {"public_keys": ("remove", own)}
        if other != name and (everywhere or more):
            yield from _try(node, other, everywhere | more)


def _others(node: Node) -> list[str]:
    """The nodes that are to be told: all but the master, which is this node, and those that are off line."""
    left_out = {node.ssconf.master_node(), *node.ssconf.lines("offline_nodes")}
    return [name for name in node.ssconf.lines("node_list") if name not in left_out]


def _try(node: Node, name: str, change: Mapping[str, object]) -> Iterable[Failure]:
    try:
        _tell(node, name, change, attempts=ATTEMPTS)
    except (CommandError, ProgramNotFound) as err:
        log.warning("The ssh keys of node %s could not be changed: %s", name, err)
        return [Failure(name, str(err))]
    return []


def _tell(node: Node, name: str, change: Mapping[str, object], *, attempts: int) -> None:
    """Let a node change its key files. Raises: CommandError after the last attempt."""
    message = {
        "cluster_name": node.ssconf.cluster_name(),
        "node_daemon_certificate": certificates.first_pem(node.paths.server_pem) + "\n",
        **change,
    }
    options = ssh.stranger_options(
        node.paths.data_dir / "known_hosts", is_ipv6=node.ssconf.primary_ip_family() == IP6_FAMILY
    )
    port = node.ssconf.ssh_ports().get(name)
    if port is not None:
        options.append(f"-oPort={port}")
    command = str(node.paths.package_dir / "ssh-update")
    while True:
        attempts -= 1
        result = ssh.run(node.runner, name, command, options, stdin=msgspec.json.encode(message))
        if not result.failed or attempts <= 0:
            result.raise_if_failed()
            return
        log.info("The ssh keys of node %s: trying again after %s", name, result.reason)
