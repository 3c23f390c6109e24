"""Life of a guest's disk on this node: create, assemble, open, close, shut down, remove, grow, rename; and its state.

Order of steps and their undo; what a step does is the driver's business. Contents are `blockdev_data`'s. Whatever an
action looks at, it looks at once for all its disks: they share what was seen of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from ganeti.actions import device_cache, disk_links
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, NodeError, NotSupported, TimedOut
from ganeti.host import clock
from ganeti.model.base import Mib, Name
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.storage import tree
from ganeti.storage.base import BlockDevice, Growable, LogicalId, Renamable, Snapshotable
from ganeti.storage.registry import BlockDevices

log = logging.getLogger(__name__)

Index = Annotated[int, Meta(ge=0)]
"""Place of a disk in its guest, from 0."""

REMOVE_TIMEOUT_S = 30.0
REMOVE_DELAY_S = 3.0


class Assembled(NamedTuple):
    """Where an active disk is. `link` and `uri` are for the guest's primary node alone."""

    dev_path: str | None
    link: str | None
    uri: str | None


def create(
    node: Node,
    disk: Disk,
    size: Mib,  # noqa: ARG001 - the size that counts is the disk's own, as in the packaged release
    owner: Name,
    on_primary: bool,
    info: str,
    *,
    exclusive_storage: bool,
) -> LogicalId:
    """Make a disk over children that exist already, and make it active where this node's role needs it.

    When a step after the making fails the device is removed again (the packaged daemon leaves it), or the error says
    that it stays. Raises: BlockDeviceError, CommandError, NotSupported.
    """
    devices = node.storage.observing()
    note = _note(node, owner, on_primary=on_primary)
    children = [_assemble_below(devices, child, disk, note, on_primary=on_primary) for child in disk.children or ()]
    device = devices.device(disk, children)
    device.create(exclusive_storage=exclusive_storage)
    with ExitStack() as undo:
        undo.push(_Discard(node, device))
        if on_primary or disk.assembled_on_secondary:
            device.assemble()
            if on_primary or disk.opened_on_secondary:
                device.open(force=True)
            note(device)
        device.set_info(info)
        undo.pop_all()
    log.info("Created %s for %s", disk.describe(), owner)
    return (*disk.logical_id[:5], None) if disk.dev_type is DiskType.DRBD else disk.logical_id


def assemble(
    node: Node, disk: Disk, instance_name: Name, as_primary: bool, index: Index, *, hypervisor: str = ""
) -> Assembled | None:
    """Make a disk active for the guest; on the primary node link it as disk `index` too.

    None when nothing has to be active on a secondary node. May be repeated. Raises: BlockDeviceError, CommandError.
    """
    device = activate(node, disk, instance_name, as_primary)
    if device is None:
        return None
    dev_path = None if device.dev_path is None else str(device.dev_path)
    if not as_primary:
        return Assembled(dev_path, None, None)
    link = disk_links.make(node, instance_name, index, device.dev_path)
    uri = disk_links.userspace_uri(device, hypervisor)
    return Assembled(dev_path, None if link is None else str(link), uri)


def activate(node: Node, disk: Disk, owner: Name, as_primary: bool) -> BlockDevice | None:
    """Make a disk active for a guest without linking it; None when nothing has to be active in this role."""
    note = _note(node, owner, on_primary=as_primary)
    return tree.assemble(node.storage.observing(), disk, as_primary=as_primary, activated=note)


def open(node: Node, instance_name: Name, disks: tuple[Disk, ...], exclusive: bool) -> None:  # noqa: A001 - its name
    """Open and link all disks of a guest; `exclusive` false allows another node to do so too.

    All are found before the first is opened. Raises: BlockDeviceError with what failed of every disk.
    """
    devices = get_all(node, disks)

    def open_and_link(index: int, device: BlockDevice) -> None:
        device.open(exclusive=exclusive)
        disk_links.make(node, instance_name, index, device.dev_path)

    _do_to_all(devices, open_and_link)


def close(node: Node, instance_name: str, disks: tuple[Disk, ...]) -> None:
    """Close all disks of a guest and, when every one was closed and a name is given, remove its links.

    All are found before the first is closed. Raises: BlockDeviceError with what failed of every disk.
    """
    devices = get_all(node, disks)
    _do_to_all(devices, lambda _, device: device.close())
    if instance_name:
        disk_links.remove(node, instance_name, len(disks))


def shutdown(node: Node, disk: Disk) -> None:
    """Make a disk and all below it inactive; what is missing is fine. Links stay. Raises: BlockDeviceError."""

    devices = node.storage.observing()

    def act(device: BlockDevice) -> None:
        path = device.dev_path
        device.shutdown()
        device_cache.remove(node, path)

    _raise_joined(tree.take_down(disk, find_device=lambda one: tree.find(devices, one), act=act))


def remove(node: Node, disk: Disk) -> None:
    """Destroy a disk and all below it; what is missing is fine. A busy device is tried again for 30 s.

    Raises: BlockDeviceError naming all that failed; FileStoragePathError for a path that is not allowed.
    """

    devices = node.storage.observing()

    def act(device: BlockDevice) -> None:
        path = device.dev_path
        _remove_patiently(node, device)
        device_cache.remove(node, path)
        log.info("Removed %s", device.disk.describe())

    _raise_joined(tree.take_down(disk, find_device=lambda one: tree.find_leniently(devices, one), act=act))


def grow(node: Node, disk: Disk, amount: Mib, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
    """Make a disk larger by `amount` MiB; may be repeated but for files. The master calls it for each layer apart.

    Raises: BlockDeviceError, CommandError; NotSupported when disks of this type keep their size.
    """
    device = tree.get(node.storage.observing(), disk)
    if not isinstance(device, Growable):
        raise NotSupported(disk.dev_type, "growing")
    device.grow(amount, dry_run=dry_run, backing_store=backing_store, exclusive_storage=exclusive_storage)
    if not dry_run:
        log.info("Grew %s by %d MiB", disk.describe(), amount)


def snapshot(node: Node, disk: Disk, name: str | None, size: Mib | None) -> LogicalId:
    """Freeze a disk in time; None means the driver's own choice. Return the snapshot's identity.

    Raises: BlockDeviceError, CommandError; NotSupported when disks of this type cannot be frozen.
    """
    device = tree.get(node.storage.observing(), disk)
    if not isinstance(device, Snapshotable):
        raise NotSupported(disk.dev_type, "snapshots")
    return device.snapshot(name, size)


def rename(node: Node, renames: tuple[tuple[Disk, LogicalId], ...]) -> None:
    """Give each disk its new identity; a failure does not stop the rest.

    Raises: BlockDeviceError naming all that failed; at once when a disk cannot even be looked for.
    """
    devices = node.storage.observing()
    failures: list[str] = []
    for disk, new_id in renames:
        device = tree.find(devices, disk)
        if device is None:
            failures.append(f"{disk.describe()} was not found, so it cannot be renamed")
            continue
        if not isinstance(device, Renamable):
            failures.append(str(NotSupported(disk.dev_type, "renaming")))
            continue
        old_path = device.dev_path
        try:
            device.rename(new_id)
        except tree.FAILURES as err:
            failures.append(str(err))
            continue
        if device.dev_path != old_path:
            device_cache.remove(node, old_path)
        log.info("Renamed %s to %s", disk.describe(), "/".join(map(str, new_id[:5])))
    _raise_joined(failures)


def set_info(node: Node, disk: Disk, info: str) -> None:
    """Note with the device whose disk it is. Raises: BlockDeviceError, CommandError."""
    tree.get(node.storage.observing(), disk).set_info(info)


def find(node: Node, disk: Disk) -> BlockDevStatus | None:
    """State of a disk's own device; None when it is not on this node. Raises: BlockDeviceError, CommandError."""
    device = tree.find(node.storage.observing(), disk)
    return None if device is None else device.status()


def get_all(node: Node, disks: Sequence[Disk]) -> list[BlockDevice]:
    """The devices of some disks. Raises: BlockDeviceError at the first that is not on this node."""
    devices = node.storage.observing()
    return [tree.get(devices, disk) for disk in disks]


def pause_resume_sync(node: Node, disks: tuple[Disk, ...], pause: bool) -> list[tuple[bool, str | None]]:
    """Stop or go on synchronising; one answer a disk, (worked, what went wrong)."""
    devices = node.storage.observing()
    return [_pause_resume(devices, disk, pause=pause) for disk in disks]


def mirror_status(node: Node, disks: tuple[Disk, ...]) -> list[BlockDevStatus]:
    """State of each disk with that of its children folded in. Raises: BlockDeviceError at the first missing one."""
    return [combined_status(device) for device in get_all(node, disks)]


def mirror_status_multi(node: Node, disks: tuple[Disk, ...]) -> list[tuple[bool, BlockDevStatus | str]]:
    """Like `mirror_status`, one (True, state) or (False, text) a disk, so that a bad disk spoils no other."""
    devices = node.storage.observing()
    answers: list[tuple[bool, BlockDevStatus | str]] = []
    for disk in disks:
        try:
            answers.append((True, combined_status(tree.get(devices, disk))))
        except NodeError as err:
            log.warning("The state of %s cannot be told: %s", disk.describe(), err)
            answers.append((False, str(err)))
    return answers


def combined_status(device: BlockDevice) -> BlockDevStatus:
    """State of a device with that of its direct children folded in: the slowest and the worst count."""
    own = device.status()
    parts = [own, *(child.status() for child in device.present_children)]
    return msgspec.structs.replace(
        own,
        sync_percent=min((part.sync_percent for part in parts if part.sync_percent is not None), default=None),
        estimated_time=max((part.estimated_time for part in parts if part.estimated_time is not None), default=None),
        is_degraded=any(part.is_degraded for part in parts),
        ldisk_status=max(part.ldisk_status or LocalDiskStatus.OKAY for part in parts),
    )


class _Discard:
    """Undo of a creation: takes the device away again, or adds to the error that it could not be done."""

    def __init__(self, node: Node, device: BlockDevice) -> None:
        self._node = node
        self._device = device

    def __call__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        path = self._device.dev_path
        try:
            self._device.shutdown()
            self._device.remove()
        except tree.FAILURES as err:
            what = self._device.disk.describe()
            raise BlockDeviceError(f"{error}; {what} was made and is left behind: {err}") from error
        if path is not None:
            device_cache.remove(self._node, path)


def _assemble_below(
    devices: BlockDevices, child: Disk, parent: Disk, note: Callable[[BlockDevice], None], *, on_primary: bool
) -> BlockDevice | None:
    device = tree.assemble(devices, child, as_primary=on_primary, activated=note)
    if device is not None and (on_primary or parent.assembled_on_secondary):
        device.open()
    return device


def _note(node: Node, owner: str, *, on_primary: bool) -> Callable[[BlockDevice], None]:
    def note(device: BlockDevice) -> None:
        device_cache.update(
            node, device.dev_path, owner=owner, on_primary=on_primary, iv_name=device.disk.iv_name or None
        )

    return note


def _remove_patiently(node: Node, device: BlockDevice) -> None:
    def attempt() -> None:
        try:
            device.remove()
        except tree.FAILURES as err:
            device.observed.forget()
            raise clock.TryAgain(str(err)) from err

    try:
        clock.retry(node.clock, attempt, delay_s=REMOVE_DELAY_S, timeout_s=REMOVE_TIMEOUT_S)
    except TimedOut as err:
        raise BlockDeviceError(str(err)) from err


def _pause_resume(devices: BlockDevices, disk: Disk, *, pause: bool) -> tuple[bool, str | None]:
    try:
        worked = tree.get(devices, disk).pause_resume_sync(pause=pause)
    except NodeError as err:
        return False, str(err)
    verb = "Pause" if pause else "Resume"
    return worked, None if worked else f"{verb} of the synchronisation of {disk.iv_name or disk.describe()} failed"


def _do_to_all(devices: Sequence[BlockDevice], step: Callable[[int, BlockDevice], None]) -> None:
    failures: list[str] = []
    for index, device in enumerate(devices):
        try:
            step(index, device)
        except tree.FAILURES as err:
            failures.append(str(err))
    _raise_joined(failures, separator=",")


def _raise_joined(failures: Sequence[str], separator: str = "; ") -> None:
    if failures:
        raise BlockDeviceError(separator.join(failures))
