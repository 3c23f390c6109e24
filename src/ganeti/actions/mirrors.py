"""Disks that keep a copy on another node: their network, how far the copies are, and exchange of the local copy.

Order of steps and what is waited for. It asks devices what they can do and never what they are; how a device talks to
the other node is its driver's business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, InvalidParameter, NotSupported, TimedOut
from ganeti.host import clock
from ganeti.model.disk import Disk
from ganeti.storage import tree
from ganeti.storage.base import BlockDevice, Mirrored, MirrorState
from ganeti.storage.registry import BlockDevices
from ganeti.tools.drbd import module

log = logging.getLogger(__name__)

T = TypeVar("T")

LINK_DELAY_S: Final = 0.1
LINK_DELAY_FACTOR: Final = 1.5
LINK_LONGEST_DELAY_S: Final = 5.0
LINK_TIMEOUT_S: Final = 120.0

SYNC_DELAY_S: Final = 1.0
SYNC_TIMEOUT_S: Final = 15.0


# The network ---------------------------------------------------------------------------------------------------------


def disconnect_network(node: Node, disks: tuple[Disk, ...]) -> None:
    """Stop talking to the other node; may be repeated. All are found before the first is disconnected.

    Raises: BlockDeviceError at the first that does not obey, the rest is not tried; NotSupported.
    """
    for _, device in _network_sides(node, disks):
        device.disconnect_network()
    log.info("Disconnected %s", _list(disks))


def attach_network(node: Node, disks: tuple[Disk, ...], both_primary: bool) -> None:
    """Begin to talk to the other node and wait until both talk; with `both_primary` both may open the disk.

    All are found before the first is attached. Both primary is ready only when both copies are good, since both will be
    written; otherwise a copy may still be brought up to date. A device that gave up meanwhile (the other node was not
    ready) is attached again. Raises: BlockDeviceError, also after 120 s; NotSupported.
    """
    for _, device in _network_sides(node, disks):
        device.attach_network(both_primary=both_primary)
    is_ready = _both_are_good if both_primary else _is_linked

    def attempt() -> None:
        waiting = [disk for disk, device in _network_sides(node, disks) if not _look(device, both_primary, is_ready)]
        if waiting:
            raise clock.TryAgain(f"{_list(waiting)} did not connect to the other node in {LINK_TIMEOUT_S:g} s")

    _retry(
        node,
        attempt,
        delay_s=LINK_DELAY_S,
        factor=LINK_DELAY_FACTOR,
        longest_s=LINK_LONGEST_DELAY_S,
        limit_s=LINK_TIMEOUT_S,
    )
    log.info("Connected %s%s", _list(disks), ", both primary" if both_primary else "")


def wait_sync(node: Node, disks: tuple[Disk, ...]) -> tuple[bool, float]:
    """Whether nothing is being copied any more, and the percentage of the disk that is behind most.

    It does not wait for the copying, but up to 15 s for each disk to talk to the other node.
    Raises: BlockDeviceError for one that does not; NotSupported.
    """
    states: list[MirrorState] = []
    while waiting := disks[len(states) :]:
        # one look for all; those behind the first that is not ready have their own time later
        def attempt(waiting: tuple[Disk, ...] = waiting) -> list[MirrorState]:
            seen = [device.mirror_state() for _, device in _network_sides(node, waiting)]
            ready = next((index for index, state in enumerate(seen) if not _is_linked(state)), len(seen))
            if ready == 0:
                raise clock.TryAgain(f"{waiting[0].describe()} is not connected to the other node")
            return seen[:ready]

        states += _retry(node, attempt, delay_s=SYNC_DELAY_S, limit_s=SYNC_TIMEOUT_S)
    percentages = [state.sync_percent for state in states if state.sync_percent is not None]
    return not any(state.is_in_resync for state in states), min([100, *percentages])


def needs_activation(node: Node, disks: tuple[Disk, ...]) -> list[str]:
    """Uuids of the disks that are not there, talk to nobody or have no local copy, hence are to be assembled.

    Raises: BlockDeviceError when the machine cannot be asked; NotSupported.
    """
    devices = node.storage.observing()
    wanted: list[str] = []
    for index, disk in enumerate(disks):
        if disk.uuid is None:
            raise InvalidParameter(f"disks[{index}].uuid", "a disk is named by it in the answer")
        device = tree.find(devices, _without_children(disk))
        if device is None:
            wanted.append(disk.uuid)
            continue
        state = _mirrored(device).mirror_state()
        if state.is_standalone or state.is_diskless:
            wanted.append(disk.uuid)
    return wanted


# The local copy ------------------------------------------------------------------------------------------------------


def add_children(node: Node, parent: Disk, new: tuple[Disk, ...]) -> None:
    """Give a disk without local storage a local copy on `new` (data, then metadata), which must be there.

    Raises: BlockDeviceError, CommandError; NotSupported.
    """
    devices = node.storage.observing()
    device = _mirrored(tree.get(devices, parent))
    device.add_children([tree.get(devices, disk) for disk in new])
    log.info("%s has its local copy on %s", parent.describe(), _list(new))


def remove_children(node: Node, parent: Disk, old: tuple[Disk, ...]) -> None:
    """Let a disk go on without its local copy on `old` (data, then metadata); may be repeated.

    What has the same path wherever it is need not exist any more. Raises: BlockDeviceError, CommandError; NotSupported.
    """
    devices = node.storage.observing()
    device = _mirrored(tree.get(devices, parent))
    device.remove_children([_path(devices, disk) for disk in old])
    log.info("%s has no local copy", parent.describe())


def _path(devices: BlockDevices, disk: Disk) -> Path:
    path = devices.device(disk).dev_path
    if path is None:
        path = tree.get(devices, disk).dev_path
    if path is None:
        raise BlockDeviceError(f"{disk.describe()} has no path on this node")
    if not path.is_absolute() or ".." in path.parts:
        raise BlockDeviceError(f"the path of {disk.describe()} is not absolute and normal: {path}")
    return path


# The kernel's module -------------------------------------------------------------------------------------------------


def usermode_helper(node: Node) -> str:
    """Program that the kernel calls when something happens to a DRBD disk. Raises: BlockDeviceError."""
    return module.usermode_helper(node.runner)


# Looking -------------------------------------------------------------------------------------------------------------


def _network_sides(node: Node, disks: Sequence[Disk]) -> list[tuple[Disk, Mirrored]]:
    """Devices of the disks as they are now, all seen at one time. Raises: BlockDeviceError for one not there."""
    devices = node.storage.observing()
    return [(disk, _mirrored(tree.get(devices, _without_children(disk)))) for disk in disks]


def _without_children(disk: Disk) -> Disk:
    """The disk alone: its network side needs no local copy, and looking for that takes a program."""
    return msgspec.structs.replace(disk, children=())


def _mirrored(device: BlockDevice) -> Mirrored:
    if not isinstance(device, Mirrored):
        raise NotSupported(device.disk.dev_type, "copies on another node")
    return device


def _look(device: Mirrored, both_primary: bool, is_ready: Callable[[MirrorState], bool]) -> bool:
    state = device.mirror_state()
    if state.is_standalone:
        device.attach_network(both_primary=both_primary)
        return False
    return is_ready(state)


def _is_linked(state: MirrorState) -> bool:
    return state.is_connected or state.is_in_resync


def _both_are_good(state: MirrorState) -> bool:
    return state.is_connected and state.is_up_to_date and state.is_peer_up_to_date


def _retry(
    node: Node,
    attempt: Callable[[], T],
    *,
    delay_s: float,
    limit_s: float,
    factor: float = 1.0,
    longest_s: float | None = None,
) -> T:
    try:
        return clock.retry(node.clock, attempt, delay_s=delay_s, timeout_s=limit_s, factor=factor, longest_s=longest_s)
    except TimedOut as err:
        raise BlockDeviceError(str(err)) from err


def _list(disks: Sequence[Disk]) -> str:
    return ", ".join(disk.describe() for disk in disks)
