"""Verification of the ssh keys of a cluster: who may log in where.

Potential master candidates know the public keys of all nodes (`ganeti_pub_keys`, a node's UUID and a key a line); the
keys of candidates, and no others but a node's own, open every node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.config import ssh_key_files
from ganeti.config.ssh_key_files import significant
from ganeti.host import files
from ganeti.model.verify import SshKeyHolder


def setup(node: Node, holders: Sequence[SshKeyHolder] | None, key_type: str) -> list[str]:
    """What is wrong with this node's keys and authorized keys, given the nodes of the cluster."""
    if holders is None:
        return ["the master sent no list of nodes to check the ssh keys by"]
    own = next((holder for holder in holders if holder.name == node.hostname), None)
    if own is None:
        return [f"this node ({node.hostname}) is not in the master's list of nodes"]
    key_file = node.paths.public_keys_file
    if not key_file.is_file():
        return [f"the file of public keys {key_file} does not exist"]
    known = ssh_key_files.read_public_keys(key_file)
    if not own.is_potential_candidate:
        return [f"{key_file} is not empty, though {own.name} is no potential master candidate"] if known else []
    offline = {holder.uuid for holder in holders if not holder.is_online}
    online = {holder.uuid for holder in holders} - offline
    problems = _differences(key_file, set(known) - offline, online)
    problems += _own_key_problems(node, known.get(own.uuid, []), key_type)
    present = [holder for holder in holders if holder.uuid in known and holder.uuid in online]
    authorized = _authorized(node)
    for holder in present:
        problems += _authorization_problems(holder, own, known[holder.uuid], authorized)
    return problems


def clutter(node: Node, holders: Sequence[SshKeyHolder] | None) -> list[str]:
    """One text about hosts of the cluster that have several lines in this node's authorized keys, or nothing.

    3.0.2 fails on this question; only an option of the verify command asks it.
    """
    names = {holder.name for holder in holders or ()}
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(_authorized_text(node).splitlines(), start=1):
        comment = line.split()[-1] if line.split() else ""
        if comment.partition("@")[2] in names:
            lines.setdefault(comment, []).append(number)
    several = {who: numbers for who, numbers in lines.items() if len(numbers) > 1}
    if not several:
        return []
    listed = "; ".join(f"{who}: lines {', '.join(map(str, numbers))}" for who, numbers in sorted(several.items()))
    return [f"there are hosts with several keys in {node.paths.authorized_keys_file}: {listed}"]


def _differences(key_file: Path, known: set[str], wanted: set[str]) -> list[str]:
    problems: list[str] = []
    if known - wanted:
        problems.append(f"{key_file} has keys of unknown nodes: {', '.join(sorted(known - wanted))}")
    if wanted - known:
        problems.append(f"{key_file} lacks the keys of nodes: {', '.join(sorted(wanted - known))}")
    return problems


def _own_key_problems(node: Node, known: Sequence[str], key_type: str) -> list[str]:
    path = node.paths.root_ssh_dir / f"id_{key_type}.pub"
    try:
        key = files.read_text(path).strip()
    except OSError as err:
        return [f"this node's public key cannot be read: {err}"]
    problems: list[str] = []
    if key not in known:
        problems.append(f"this node's key {path} is not in {node.paths.public_keys_file}")
    if len(known) > 1:
        problems.append(f"there are {len(known)} keys of this node in {node.paths.public_keys_file}")
    return problems


def _authorization_problems(
    holder: SshKeyHolder, own: SshKeyHolder, keys: Iterable[str], authorized: set[tuple[str, ...]]
) -> list[str]:
    who = f"node {holder.name} ({holder.uuid})"
    problems: list[str] = []
    for key in keys:
        is_authorized = significant(key) in authorized
        if not is_authorized and (holder.is_candidate or holder == own):
            what = "master candidate" if holder.is_candidate else "the node itself"
            problems.append(f"a key of {who}, {what}, is not in this node's authorized keys")
        if is_authorized and not holder.is_candidate and holder != own:
            problems.append(f"a key of {who}, no master candidate, is in this node's authorized keys")
    return problems


def _authorized(node: Node) -> set[tuple[str, ...]]:
    return {significant(line) for line in _authorized_text(node).splitlines()}


def _authorized_text(node: Node) -> str:
    path = node.paths.authorized_keys_file
    return files.read_text(path) if path.is_file() else ""
