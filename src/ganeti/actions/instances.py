"""Starting, stopping and changing guests of this node.

The order of the steps, the pauses and what counts as running are those of Ganeti 3.0, as masters rely on them. Knows no
kind of hypervisor.
"""

from __future__ import annotations

import logging
import math
from typing import Literal

from ganeti.actions import disk_links, reasons
from ganeti.actions.node import Node
from ganeti.actions.reasons import ReasonTrail
from ganeti.errors import HypervisorError, NodeError, NotSupported
from ganeti.host.clock import TryAgain, retry
from ganeti.hypervisor.base import Balloonable, DiskResizable, Hypervisor
from ganeti.model.base import Mib, Parameters
from ganeti.model.instance import Instance, RunState

log = logging.getLogger(__name__)

SOFT_STOP_PAUSE_S = 5.0
FORCED_STOP_PAUSE_S = 1.0

RebootType = Literal["soft", "hard"]
"""`soft` keeps the virtual hardware; `hard` starts the guest anew from its present parameters."""


def start(node: Node, instance: Instance, *, startup_paused: bool = False, reason: ReasonTrail | None = None) -> None:
    """Start a guest; one that runs is left alone.

    Links to its disks are made first and removed again when the hypervisor fails. Raises: NodeError.
    """
    driver = node.hypervisors.get(instance.hypervisor)
    if _is_running(driver, instance):
        _check_record(node, driver, instance)
        return
    disks = disk_links.gather_and_link(node, instance)
    try:
        driver.start(instance, disks, startup_paused=startup_paused)
    except NodeError as err:
        log.warning("Instance %s did not start: %s", instance.name, err)
        _unlink_unless_running(node, driver, instance)
        raise
    log.info("Instance %s was started", instance.name)
    if reason is not None:
        reasons.store(node, instance.name, reason)


def shutdown(node: Node, instance: Instance, *, timeout_s: float, reason: ReasonTrail | None = None) -> None:
    """Ask a guest to stop, again every 5 s for `timeout_s`, then end it by force; what a stopped one left goes too.

    Raises: HypervisorError at once when asking fails and the guest is still there (then no force is used), or when it
    survives even that.
    """
    driver = node.hypervisors.get(instance.hypervisor)
    if _is_known(driver, instance):
        if not _stop_softly(node, driver, instance, timeout_s, reason):
            _stop_by_force(node, driver, instance)
        log.info("Instance %s was stopped", instance.name)
    else:
        log.info("Instance %s is not running, only cleaning up", instance.name)
    try:
        driver.cleanup(instance.name)
    except NodeError as err:
        log.warning("Instance %s is down, but not everything it left could be removed: %s", instance.name, err)
    disk_links.remove(node, instance.name, len(instance.attached_disks))


def reboot(
    node: Node,
    instance: Instance,
    reboot_type: RebootType,
    *,
    shutdown_timeout_s: float,
    reason: ReasonTrail | None = None,
) -> None:
    """Restart a running guest; the time-out is for `hard` only, and so is the reason. Raises: NodeError."""
    driver = node.hypervisors.get(instance.hypervisor)
    if not _is_known(driver, instance):
        raise HypervisorError(f"cannot reboot instance {instance.name}: it is not running")
    if reboot_type == "soft":
        driver.reboot(instance)
        return
    shutdown(node, instance, timeout_s=shutdown_timeout_s)
    start(node, instance)
    if reason is not None:
        reasons.store(node, instance.name, reason)


def balloon(node: Node, instance: Instance, memory_mib: Mib) -> None:
    """Set the memory of a running guest; for one that is down there is nothing to do. Raises: NodeError."""
    driver = node.hypervisors.get(instance.hypervisor)
    if instance.name not in driver.list_instances(instance.hvparams):
        log.info("Instance %s is not running, its memory stays as it is", instance.name)
        return
    if not isinstance(driver, Balloonable):
        raise NotSupported(driver.kind, "changing the memory of a running instance")
    driver.balloon(instance, memory_mib)


def resize_disk(node: Node, instance: Instance, index: int, size_bytes: int) -> None:
    """Let a running guest see that disk `index` has `size_bytes` now. Raises: NodeError."""
    driver = node.hypervisors.get(instance.hypervisor)
    if not isinstance(driver, DiskResizable):
        raise NotSupported(driver.kind, "resizing the disk of a running instance")
    driver.require_running(instance)
    driver.resize_disk(instance, index, size_bytes)


def validate_parameters(node: Node, hypervisor: str, hvparams: Parameters) -> None:
    """Judge filled hypervisor parameters by what this node has. Raises: HypervisorError with name, reason and value."""
    node.hypervisors.get(hypervisor).validate_parameters(hvparams)


def _is_known(driver: Hypervisor, instance: Instance) -> bool:
    """Whether the hypervisor knows the guest, running or shut down from inside."""
    return driver.instance_info(instance.name, instance.hvparams) is not None


def _is_running(driver: Hypervisor, instance: Instance) -> bool:
    info = driver.instance_info(instance.name, instance.hvparams)
    return info is not None and info.state is RunState.RUNNING


def _check_record(node: Node, driver: Hypervisor, instance: Instance) -> None:
    """Leave a running guest alone, but put its record right where the hypervisor keeps one beside it."""
    if driver.verify_instance(instance):
        log.info("Instance %s is already running", instance.name)
        return
    log.info("Instance %s is running, restoring its record", instance.name)
    driver.restore_instance(instance, disk_links.gather_and_link(node, instance))


def _unlink_unless_running(node: Node, driver: Hypervisor, instance: Instance) -> None:
    """Remove the links to the disks, unless the start failed because somebody else's succeeded."""
    try:
        running = _is_running(driver, instance)
    except NodeError as err:
        log.warning("Instance %s: cannot ask for its state, keeping the links to its disks: %s", instance.name, err)
        return
    if not running:
        disk_links.remove(node, instance.name, len(instance.attached_disks))


def _stop_softly(
    node: Node, driver: Hypervisor, instance: Instance, timeout_s: float, reason: ReasonTrail | None
) -> bool:
    """Ask until the guest is gone or the time is over; say whether it is gone."""
    deadline = node.clock.monotonic() + timeout_s
    attempts = 0

    def ask() -> bool:
        nonlocal attempts
        attempts += 1
        try:
            driver.stop(instance, retry=attempts > 1, timeout_s=timeout_s)
        except NodeError:
            if _is_known(driver, instance):
                raise
            return True
        if reason is not None and attempts == 1:
            reasons.store(node, instance.name, reason)
        if not _is_known(driver, instance):
            return True
        if node.clock.monotonic() >= deadline:
            return False
        raise TryAgain

    # The attempts themselves keep the deadline: a TimedOut of the driver must not pass for the end of the soft phase.
    return retry(node.clock, ask, delay_s=SOFT_STOP_PAUSE_S, timeout_s=math.inf)


def _stop_by_force(node: Node, driver: Hypervisor, instance: Instance) -> None:
    log.warning("Instance %s did not stop in time, ending it by force", instance.name)
    try:
        driver.stop(instance, force=True)
    except NodeError:
        if _is_known(driver, instance):
            raise
    node.clock.sleep(FORCED_STOP_PAUSE_S)
    if _is_known(driver, instance):
        raise HypervisorError(f"instance {instance.name} is still there after it was ended by force")
