"""A node's place in the cluster: losing the role of a master candidate, and leaving altogether."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path
from typing import Final

from ganeti.actions import ensure_daemon, job_queue
from ganeti.actions.node import Node
from ganeti.config import ssh_key_files
from ganeti.errors import NodeError
from ganeti.host import files

log = logging.getLogger(__name__)

BACKUP_MODE: Final = 0o600
STOPPED: Final = ("ganeti-confd", "ganeti-mond", "ganeti-kvmd")
"""Daemons that end with the membership."""


def demote_from_candidate(node: Node) -> None:
    """Put the cluster's configuration aside (a copy stays beside it). Raises: NodeError on the master; OSError."""
    if node.ssconf.master_node() == node.hostname:
        raise NodeError("this node is the master and cannot be demoted")
    path = node.paths.cluster_conf_file
    if not path.is_file():
        return
    stamp = time.strftime("%Y-%m-%d_%H_%M_%S", time.localtime(node.clock.time()))
    backup = path.with_name(f"{path.name}.backup-{stamp}.{secrets.token_hex(4)}")
    files.write_atomic(backup, path.read_bytes(), mode=BACKUP_MODE)
    files.remove(path)
    log.info("Demoted: %s is now %s", path, backup)


def leave_cluster(node: Node, modify_ssh_setup: bool) -> str:
    """Remove the cluster's secrets and data from this node and stop its daemons; what the user is told.

    Regular files go, directories, links and hidden files stay. `modify_ssh_setup` takes the cluster's DSA key out of
    use, which only old clusters have; other keys may be the administrator's. What can be done by hand later is logged
    when it fails. Raises: OSError when data cannot be removed; LockTimeout.
    """
    for directory in (node.paths.data_dir, node.paths.crypto_keys_dir):
        _remove_files(directory)
    if node.paths.queue_dir.is_dir():
        job_queue.purge(node)
    if modify_ssh_setup:
        _remove_ssh_key(node)
    for name in STOPPED:
        ensure_daemon.control(node, "stop", name)
    log.info("This node has left its cluster")
    return "the node has left the cluster, its daemon is stopping"


def _remove_files(directory: Path) -> None:
    for name in files.visible_names(directory) if directory.is_dir() else ():
        path = directory / name
        if path.is_file() and not path.is_symlink():
            path.unlink()


def _remove_ssh_key(node: Node) -> None:
    private = node.paths.root_ssh_dir / "id_dsa"
    public = private.with_suffix(".pub")
    try:
        ssh_key_files.withdraw(node.paths.authorized_keys_file, files.read_text(public).splitlines())
        for path in (private, public):
            files.remove(path)
    except (OSError, NodeError) as err:
        log.info("No DSA key of the cluster is removed: %s", err)
