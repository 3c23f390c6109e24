"""Moving running guests between nodes: the steps of both sides. The order among the nodes is the caller's.

Source: info, migrate, status (polled), finalize. Target: accept before the guest is sent, finalize after.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ganeti.actions import disk_links
from ganeti.actions.node import Node
from ganeti.errors import NotSupported
from ganeti.hypervisor.base import Migratable
from ganeti.model.disk import Disk
from ganeti.model.instance import AttachedDisk, Instance, MigrationStatus
from ganeti.storage import tree
from ganeti.storage.registry import BlockDevices

log = logging.getLogger(__name__)


def check_migratable(node: Node, instance: Instance) -> None:
    """Check on the source that the guest can be moved; missing links to its disks are worth a warning only.

    Raises: HypervisorError when it is not running.
    """
    driver = node.hypervisors.get(instance.hypervisor)
    driver.require_running(instance)
    for index in range(len(instance.attached_disks)):
        link = node.paths.disk_link(instance.name, index)
        if not link.is_symlink():
            log.warning("Instance %s: the link %s to its disk %d is missing", instance.name, link, index)


def migration_info(node: Node, instance: Instance) -> str:
    """Text the target needs, to be handed on unchanged (source). Raises: NodeError."""
    return _driver(node, instance).migration_info(instance)


def accept(node: Node, instance: Instance, info: str, target: str) -> None:
    """Get ready to receive the guest on address `target` of this node, its disks being open already (target).

    Raises: NodeError.
    """
    _driver(node, instance).accept(instance, info, target, _disks(node, instance))


def migrate(node: Node, instance: Instance, target: str, *, live: bool) -> None:
    """Begin to send the guest to address `target`; may return before it is over (source). Raises: NodeError."""
    _driver(node, instance).migrate(instance, target, live=live)


def migration_status(node: Node, instance: Instance) -> MigrationStatus:
    """How far it is (source). Raises: NodeError."""
    return _driver(node, instance).migration_status(instance)


def finalize_source(node: Node, instance: Instance, *, success: bool, live: bool) -> None:
    """End the guest's life here, or after a failure let it go on (source). Raises: NodeError."""
    _driver(node, instance).finalize_source(instance, success=success, live=live)
    if success:
        log.info("Instance %s has left this node", instance.name)
        node.records.left(instance.name)


def finalize_target(node: Node, instance: Instance, info: str, *, success: bool) -> None:
    """Keep the received guest for good, or after a failure end what came of it (target). Raises: NodeError."""
    _driver(node, instance).finalize_target(instance, info, success=success)
    if success:
        log.info("Instance %s has come to this node", instance.name)
        node.records.arrived(instance)


def _driver(node: Node, instance: Instance) -> Migratable:
    driver = node.hypervisors.get(instance.hypervisor)
    if not isinstance(driver, Migratable):
        raise NotSupported(driver.kind, "migration")
    return driver


def _disks(node: Node, instance: Instance) -> Sequence[AttachedDisk]:
    """The guest's disks as the target opened them.

    They are not opened a second time: another node has them open too, and a plain `open` asks for them alone. Where
    nobody opened them (callers of 2.7 leave that to this step) it is done here.
    """
    devices = node.storage.observing()
    attached = [_attached(node, devices, instance, index, disk) for index, disk in enumerate(instance.attached_disks)]
    if all(disk.link is not None or disk.uri is not None for disk in attached):
        return attached
    return disk_links.gather_and_link(node, instance)


def _attached(node: Node, devices: BlockDevices, instance: Instance, index: int, disk: Disk) -> AttachedDisk:
    link = node.paths.disk_link(instance.name, index)
    uri = disk_links.userspace_uri(tree.get(devices, disk), instance.hypervisor) if disk.wants_userspace else None
    return AttachedDisk(disk=disk, link=str(link) if link.is_symlink() else None, uri=uri)
