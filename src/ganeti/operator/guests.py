"""Guests of a node without a master: the inventory and the actions put together.

Every change of a guest is logged as a job and excludes every other change of the same guest.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from ganeti.actions import blockdev, disk_links, instance_queries, instances, os_scripts
from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter, NodeError, OsScriptError
from ganeti.model.instance import InstanceInfo
from ganeti.operator import definition
from ganeti.operator.inventory import GuestExists, Inventory
from ganeti.operator.models import Guest, GuestSpec, MigrateReport, MigrateRequest
from ganeti.operator.moving import move

log = logging.getLogger(__name__)


class GuestBusy(NodeError):
    """Another change of the same guest is under way."""


class MasterOwnsGuests(NodeError):
    """This node belongs to a cluster: its master makes and changes the guests."""


class Guests:
    """What an operator can do with the guests of this node."""

    def __init__(self, node: Node, inventory: Inventory) -> None:
        """Join the node and its inventory."""
        self._node = node
        self._inventory = inventory
        self._busy: set[str] = set()
        self._busy_lock = threading.Lock()

    def list(self) -> list[Guest]:
        """All guests, with what their hypervisors say of them now."""
        known = self._inventory.guests()
        live: dict[str, InstanceInfo] = {}
        for kind in sorted({instance.hypervisor for instance in known}):
            live.update({info.name: info for info in self._node.hypervisors.get(kind).all_instances_info()})
        return [Guest.show(instance, live.get(instance.name)) for instance in known]

    def show(self, name: str) -> Guest:
        """One guest. Raises: GuestNotFound."""
        instance = self._inventory.guest(name)
        driver = self._node.hypervisors.get(instance.hypervisor)
        return Guest.show(instance, driver.instance_info(name, instance.hvparams))

    def create(self, spec: GuestSpec) -> Guest:
        """Make the disks, install the operating system, and start the guest if wanted; a failure undoes all of it."""
        instance = definition.build(self._node, spec)
        with self._change("create", spec.name), ExitStack() as undo:
            if any(known.name == spec.name for known in self._inventory.guests()):
                raise GuestExists(f"there is a guest {spec.name!r} on this node already")
            self._node.hypervisors.get(spec.hypervisor).validate_parameters(instance.hvparams)
            self._check_operating_system(spec)
            definition.make_storage_directories(self._node, instance, undo)
            for index, disk in enumerate(instance.attached_disks):
                blockdev.create(
                    self._node,
                    disk,
                    disk.size,
                    instance.name,
                    on_primary=True,
                    info=f"originstname+{instance.name}",
                    exclusive_storage=False,
                )
                undo.callback(blockdev.remove, self._node, disk)
                blockdev.assemble(self._node, disk, instance.name, as_primary=True, index=index)
            undo.callback(disk_links.remove, self._node, instance.name, len(instance.attached_disks))
            os_scripts.create(self._node, instance, reinstall=False, debug=0)
            self._inventory.add(instance)
            undo.callback(self._inventory.remove, instance.name)
            if spec.start:
                instances.start(self._node, instance, startup_paused=False)
            undo.pop_all()
        log.info("Guest %s was created", spec.name)
        return self.show(spec.name)

    def start(self, name: str, *, paused: bool = False) -> Guest:
        """Start a guest; one that runs is left alone."""
        instance = self._inventory.guest(name)
        with self._change("start", name):
            for index, disk in enumerate(instance.attached_disks):
                blockdev.assemble(self._node, disk, instance.name, as_primary=True, index=index)
            instances.start(self._node, instance, startup_paused=paused)
        return self.show(name)

    def stop(self, name: str, *, timeout_s: float = 120.0) -> Guest:
        """Press the power button, and after `timeout_s` end the guest by force; one that is stopped is left alone."""
        instance = self._inventory.guest(name)
        with self._change("stop", name):
            instances.shutdown(self._node, instance, timeout_s=timeout_s)
        return self.show(name)

    def reboot(self, name: str) -> Guest:
        """Stop and start a running guest with its present definition."""
        instance = self._inventory.guest(name)
        with self._change("reboot", name):
            instances.reboot(self._node, instance, "hard", shutdown_timeout_s=120.0)
        return self.show(name)

    def grow(self, name: str, index: int, amount_mib: int) -> Guest:
        """Enlarge a disk and, if the guest runs, let it see the new size."""
        instance = self._inventory.guest(name)
        disks = instance.attached_disks
        if index >= len(disks):
            raise InvalidParameter("disk", f"guest {name} has {len(disks)} disks")
        with self._change("grow", name):
            for dry_run in (True, False):
                blockdev.grow(
                    self._node,
                    disks[index],
                    amount_mib,
                    dry_run=dry_run,
                    backing_store=True,
                    exclusive_storage=False,
                )
            grown = msgspec.structs.replace(disks[index], size=disks[index].size + amount_mib)
            changed = (*disks[:index], grown, *disks[index + 1 :])
            self._inventory.change(msgspec.structs.replace(instance, disks_info=changed))
            if self.show(name).status == "running":
                instances.resize_disk(self._node, instance, index, grown.size * 1024 * 1024)
        return self.show(name)

    def migrate(self, name: str, request: MigrateRequest) -> MigrateReport:
        """Move a running guest to another node; after a failure it goes on running here."""
        instance = self._inventory.guest(name)
        with self._change("migrate", name):
            report = move(self._node, instance, request)
            disk_links.remove(self._node, instance.name, len(instance.attached_disks))
        log.info("Guest %s moved to %s in %.1f s", name, request.address, report.seconds)
        return report

    def remove(self, name: str) -> None:
        """Stop a guest by force and destroy its disks."""
        instance = self._inventory.guest(name)
        with self._change("remove", name):
            instances.shutdown(self._node, instance, timeout_s=0)
            for disk in instance.attached_disks:
                blockdev.remove(self._node, disk)
            definition.remove_storage_directories(self._node, instance)
            self._inventory.remove(name)
        log.info("Guest %s was removed with its disks", name)

    def console(self, name: str) -> tuple[str, ...]:
        """Command that joins a terminal of this machine to the guest's serial console."""
        return instance_queries.serial_console(self._node, self._inventory.guest(name))

    def _check_operating_system(self, spec: GuestSpec) -> None:
        # A name without variant means the definition's first one, so only a variant that is given is judged.
        is_first_variant = "+" not in spec.os
        try:
            os_scripts.validate(
                self._node, True, spec.os, ("parameters",), spec.osparams, force_variant=is_first_variant
            )
        except OsScriptError as err:
            raise InvalidParameter("osparams", str(err)) from err

    @contextmanager
    def _change(self, what: str, name: str) -> Iterator[None]:
        master = self._node.ssconf.text("master_node", "")
        if master:
            raise MasterOwnsGuests(f"the guests of this node are owned by its master {master}: make the change there")
        with self._busy_lock:
            if name in self._busy:
                raise GuestBusy(f"another change of guest {name} is under way")
            self._busy.add(name)
        try:
            with self._inventory.job(what, name):
                yield
        finally:
            with self._busy_lock:
                self._busy.discard(name)
