"""Moving running guests between nodes: the steps of both sides. The order among the nodes is the caller's.

Source: info, migrate, status (polled), finalize. Target: accept before the guest is sent, finalize after.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ganeti.actions import disk_links
from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, NotSupported
from ganeti.hypervisor.base import Migratable
from ganeti.model.disk import Disk
from ganeti.model.instance import AttachedDisk, Instance, MigrationStatus
from ganeti.storage.base import UserspaceAccess

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
    nobody linked them (callers of 2.7 leave that to this step) they are opened here.
    """
    links = [node.paths.disk_link(instance.name, index) for index in range(len(instance.attached_disks))]
    if not all(link.is_symlink() for link in links):
        return disk_links.gather_and_link(node, instance)
    return [
        AttachedDisk(disk=disk, link=str(link), uri=_uri(node, instance, disk))
        for disk, link in zip(instance.attached_disks, links, strict=True)
    ]


def _uri(node: Node, instance: Instance, disk: Disk) -> str | None:
    if not disk.wants_userspace:
        return None
    device = node.storage.device(disk)
    if not isinstance(device, UserspaceAccess):
        raise HypervisorError(f"{disk.describe()} cannot be reached without a device of the kernel")
    return device.userspace_uri(instance.hypervisor)
