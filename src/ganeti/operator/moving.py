"""Moving a running guest to another node, in the order of steps a master would use, both sides finalised always."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

from ganeti.actions import migration
from ganeti.actions.node import Node
from ganeti.constants import EXTERNALLY_MIRRORED
from ganeti.errors import NodeError, NotSupported
from ganeti.host.clock import TryAgain, retry
from ganeti.host.paths import Paths
from ganeti.model.instance import Instance, MigrationState, MigrationStatus
from ganeti.operator.models import MigrateReport, MigrateRequest
from ganeti.operator.peer import Peer, PeerError, PeerRefusal

log = logging.getLogger(__name__)

POLL_S = 0.2
LONGEST_S = 24 * 3600.0


def move(
    node: Node, instance: Instance, request: MigrateRequest, connect: Callable[[Paths, str, int], Peer] = Peer
) -> MigrateReport:
    """Move the guest; return when it runs on the other node and is gone here.

    Raises: NodeError, and then the guest still runs here and the other node has forgotten it (or the text says what is
    left to do).
    """
    for disk in instance.attached_disks:
        if disk.dev_type not in EXTERNALLY_MIRRORED:
            raise NotSupported(disk.dev_type, "migration: another node cannot see such a disk (use sharedfile)")
    began = node.clock.monotonic()
    with connect(node.paths, request.address, request.port) as peer:
        peer.require_same_protocol()
        migration.check_migratable(node, instance)
        info = migration.migration_info(node, instance)
        with ExitStack() as undo:
            peer.open_disks(instance.name, instance.attached_disks)
            undo.callback(peer.close_disks, instance.name, instance.attached_disks)
            _accept(node, peer, instance, info, live=request.live)
            undo.callback(_forget, node, peer, instance, info, live=request.live)
            migration.migrate(node, instance, request.address, live=request.live)
            status = _wait(node, instance)
            if status.status is not MigrationState.COMPLETED:
                raise NodeError(f"migration of {instance.name} to {request.address} ended as {status.status}")
            undo.pop_all()
        # From here on the guest runs there: its copy here is ended first, whatever the other node says next.
        migration.finalize_source(node, instance, success=True, live=request.live)
        warning = _hand_over(peer, instance, info)
    return MigrateReport(
        seconds=node.clock.monotonic() - began, transferred_bytes=status.transferred_ram, warning=warning
    )


def _hand_over(peer: Peer, instance: Instance, info: str) -> str | None:
    """Tell the other node that the guest is its own now; return what is left to do when that fails."""
    try:
        peer.finalize(instance, info, success=True)
    except PeerError as err:
        text = f"guest {instance.name} runs on {peer.address}, but that node could not take it over: {err}"
        log.warning("%s", text)
        return text
    return None


def _accept(node: Node, peer: Peer, instance: Instance, info: str, *, live: bool) -> None:
    """Let the other node wait for the guest."""
    try:
        peer.accept(instance, info, peer.address)
    except PeerRefusal:
        # It has taken back what it began. Telling it to forget could end another guest of that name.
        raise
    except PeerError:
        _forget(node, peer, instance, info, live=live)
        raise


def _wait(node: Node, instance: Instance) -> MigrationStatus:
    def finished() -> MigrationStatus:
        status = migration.migration_status(node, instance)
        if status.status in (MigrationState.ACTIVE, MigrationState.POSTCOPY_ACTIVE):
            raise TryAgain(f"migration of {instance.name} did not end")
        return status

    return retry(node.clock, finished, delay_s=POLL_S, timeout_s=LONGEST_S)


def _forget(node: Node, peer: Peer, instance: Instance, info: str, *, live: bool) -> None:
    """Take both sides back after a failure; what cannot be taken back is logged, the first failure is what counts."""
    try:
        peer.finalize(instance, info, success=False)
    except NodeError as err:
        log.warning("%s may still hold a half-received guest %s: %s", peer.address, instance.name, err)
    try:
        migration.finalize_source(node, instance, success=False, live=live)
    except NodeError as err:
        log.warning("Guest %s may be left paused on this node: %s", instance.name, err)
