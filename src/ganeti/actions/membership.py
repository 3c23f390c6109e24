"""A node's place in the cluster: losing the role of a master candidate."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Final

from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host import files

log = logging.getLogger(__name__)

BACKUP_MODE: Final = 0o600


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
