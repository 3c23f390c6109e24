"""Disks mirrored to one other node by the kernel module drbd, 8.4 or 9.

Knows the device and that it has two disks of whatever kind below it; must not know guests, other nodes' commands, or
how the disks below are made. The version is the kernel module's; DRBD 9 is unverified on a real kernel.

Different from the packaged 3.0 on purpose:
- A command that was interrupted (the daemon killed) can be given again: `create` over a device that is already there
  with just these disks has nothing left to do and touches nothing; one with other disks is refused.
- Metadata is written only to a device nobody has open: zeroed by blkdiscard, which opens it for itself, where dd and a
  forced drbdmeta destroy what is running.
- The speed of resyncs is given while attaching, not after it. A fixed rate comes with `c-plan-ahead` 0: without, the
  module's own regulation takes the rate for a first guess.
- `open` and `close` run nothing where the role is right already; pausing what is paused is no failure.
- `grow` checks that the device has grown: the module answers yes also where it could not.
- Shutting down or removing refuses a minor that is in use with other disks and other addresses.
- The size is read from /sys, which works on the secondary node too; the device cannot even be opened there.
- The resource is named `resourceN`, and DRBD 9's nodes are numbered by their addresses (see `tools.drbd.commands9`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError, NotSupported, TimedOut
from ganeti.host import block_devices
from ganeti.host.clock import TryAgain, retry
from ganeti.host.system import System
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.storage.base import BlockDevice, Growable, LogicalId, Mirrored, MirrorState, Snapshotable
from ganeti.storage.drivers.drbd import comparison, identity, network
from ganeti.storage.drivers.drbd.comparison import Backing, Match
from ganeti.storage.observations import Observations
from ganeti.tools.drbd import metadata, module
from ganeti.tools.drbd.commands import CommandLine, Commands, run
from ganeti.tools.drbd.devices import MAJOR, Configuration
from ganeti.tools.drbd.module import Module
from ganeti.tools.drbd.parameters import DrbdParameters
from ganeti.tools.drbd.states import DeviceState

log = logging.getLogger(__name__)

RESIZE_DELAY_S: Final = 0.2
RESIZE_TIMEOUT_S: Final = 30.0
"""Both nodes have to agree on the new size."""


def look(system: System) -> Module:
    """What the kernel says of all devices; an action asks once."""
    return module.look(system.runner)


class DrbdDisk(BlockDevice, Growable, Snapshotable, Mirrored, kinds=(DiskType.DRBD,)):
    """One side of a mirror. Its children, data and metadata, may both be missing: then the other side serves it."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk. Raises: BlockDeviceError when the description makes no sense."""
        # one of them alone is of no use
        super().__init__(system, disk, () if None in children else children, observed)
        if len(children) not in (0, 2):
            raise BlockDeviceError(f"{disk.describe()}: a mirror has two disks below it or none, not {len(children)}")
        self._device = identity.device_of(disk)
        self._is_attached = False

    @property
    def dev_path(self) -> Path | None:
        """The device node; None until the device was found or assembled."""
        return self._device.path if self._is_attached else None

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Major and minor number; None until the device was found or assembled."""
        return (MAJOR, self._device.minor) if self._is_attached else None

    # Life ------------------------------------------------------------------------------------------------------------

    def attach(self) -> bool:
        """Say whether the minor has a disk or a connection. Raises: BlockDeviceError without a usable module."""
        self._is_attached = self._device.minor in self._module.used
        return self._is_attached

    def create(self, *, exclusive_storage: bool) -> None:
        """Write empty metadata; the kernel gets nothing yet. Nothing is done to a device that has just these disks."""
        if exclusive_storage:
            raise BlockDeviceError(f"{self.disk.describe()}: mirrors cannot have physical disks of their own")
        DrbdParameters.of(self.disk.params)
        _, meta = self._children()
        if self.attach():
            self._take_over()
            return
        meta.assemble()
        if not meta.attach():
            raise BlockDeviceError(f"{self.disk.describe()}: its metadata disk is not there")
        path = _path(meta)
        metadata.check_size(self.system, path)
        metadata.create(self.system, self._commands, self._device.minor, path)

    def assemble(self) -> None:
        """Give the kernel what is missing of disks and addresses; the role stays. May be repeated.

        What a killed predecessor began may end while we look, so a failure counts only when nothing has changed.
        """
        parameters = DrbdParameters.of(self.disk.params)
        before = self._present()
        try:
            self._bring_up(before, parameters)
        except CommandError as err:
            self.observed.forget(look)
            now = self._present()
            if now == before:
                raise
            log.info("Trying once more to assemble %s, which has changed meanwhile: %s", self._device.path, err)
            self._bring_up(now, parameters)
        self.observed.forget(look)
        self._is_attached = True

    def open(self, *, force: bool = False, exclusive: bool = True) -> None:  # noqa: ARG002 - see `attach_network`
        """Make this node a primary of the disk; whether both may be one is decided when they are connected.

        `force` declares the local copy good, which is right for a new disk alone.
        """
        if force or not self._state().is_primary:
            self._change(self._commands.primary(self._device, force=force))

    def close(self) -> None:
        """Make this node the secondary of the disk. Raises: CommandError when somebody has it open."""
        if not self._state().is_secondary:
            self._change(self._commands.secondary(self._device))

    def shutdown(self) -> None:
        """Make the kernel forget the device; the disks below stay. Raises: CommandError when somebody has it open."""
        if not self.attach():
            log.info("%s is not in use, so there is nothing to shut down", self._device.path)
            return
        reason = comparison.foreign(self._present(), self._device, self._backing())
        self._is_attached = False
        if reason is not None:
            raise BlockDeviceError(f"{self.disk.describe()}: {reason}")
        self._change(self._commands.down(self._device))

    def remove(self) -> None:
        """Shut it down: the data is that of the disks below."""
        self.shutdown()

    # State -----------------------------------------------------------------------------------------------------------

    def actual_size(self) -> int:
        """Size in bytes, also where it cannot be opened."""
        self._state()
        return block_devices.size_bytes(self.system.runner, (MAJOR, self._device.minor))

    def status(self) -> BlockDevStatus:
        """State of the mirror: degraded unless both sides talk and nothing has to be copied."""
        state = self._state()
        if state.is_up_to_date:
            local = LocalDiskStatus.OKAY
        elif state.is_diskless:
            local = LocalDiskStatus.FAULTY
        else:
            local = LocalDiskStatus.SYNC if state.is_in_resync else LocalDiskStatus.UNKNOWN
        return BlockDevStatus(
            dev_path=str(self._device.path),
            major=MAJOR,
            minor=self._device.minor,
            sync_percent=state.sync_percent,
            estimated_time=state.seconds_left,
            is_degraded=not (state.is_connected and state.is_up_to_date),
            ldisk_status=local,
        )

    def mirror_state(self) -> MirrorState:
        """How the copies stand to each other, as they were seen."""
        state = self._state()
        return MirrorState(
            is_standalone=state.is_standalone,
            is_connected=state.is_connected,
            is_in_resync=state.is_in_resync,
            is_diskless=state.is_diskless,
            is_up_to_date=state.is_up_to_date,
            is_peer_up_to_date=state.is_peer_up_to_date,
            sync_percent=state.sync_percent,
        )

    # What can be done to it ------------------------------------------------------------------------------------------

    def pause_resume_sync(self, *, pause: bool) -> bool:
        """Hold the resync or let it go on, the children first; a failure is logged."""
        children = [child.pause_resume_sync(pause=pause) for child in self.present_children]
        self._state()
        try:
            self._change(self._commands.pause_sync(self._device, pause=pause))
        except CommandError as err:
            if f"flag is already {'set' if pause else 'cleared'}" not in err.output:
                log.warning("%s", err)
                return False
        return all(children)

    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Grow the data disk below, or use what it has grown by; the new size follows from the description."""
        self._state()
        data, _ = self._children()
        if not isinstance(data, Growable):
            raise NotSupported(data.disk.dev_type, "growing")
        data.grow(amount_mib, dry_run=dry_run, backing_store=backing_store, exclusive_storage=exclusive_storage)
        if not (dry_run or backing_store):
            self._resize(self.disk.size + amount_mib)

    def snapshot(self, name: str | None, size_mib: int | None) -> LogicalId:
        """Freeze the data disk below; return the identity of that snapshot."""
        data, _ = self._children()
        if not isinstance(data, Snapshotable):
            raise NotSupported(data.disk.dev_type, "snapshots")
        return data.snapshot(name, size_mib)

    def disconnect_network(self) -> None:
        """Stop talking to the other node, and wait until that is so; fine when nobody talks."""
        self._state()
        self._demand_addresses()
        network.disconnect(self.system, self._commands, self._device, self._fresh_state)

    def attach_network(self, *, both_primary: bool) -> None:
        """Begin to talk to the other node. Raises: BlockDeviceError unless standalone."""
        parameters = DrbdParameters.of(self.disk.params)
        state = self._fresh_state()
        self._demand_addresses()
        if not state.is_standalone:
            raise BlockDeviceError(f"{self._device.path} is {state.connection}, not StandAlone")
        if state.has_peer:
            network.end_connection(self.system, self._commands, self._device)
        network.connect(self.system, self._commands, self._device, parameters, dual_primary=both_primary)
        self.observed.forget(look)

    def add_children(self, children: Sequence[BlockDevice]) -> None:
        """Make the two disks (data, then metadata) the local copy; all of it is copied from the other node."""
        parameters = DrbdParameters.of(self.disk.params)
        self._state()
        if len(children) != 2:
            raise BlockDeviceError(f"{self.disk.describe()} needs two disks, not {len(children)}")
        if self._present().data is not None:
            raise BlockDeviceError(f"{self._device.path} has a local disk already")
        data, meta = children
        for child in children:
            child.open()
        metadata.check_size(self.system, _path(meta))
        metadata.create(self.system, self._commands, self._module.unused_minor(), _path(meta))
        self._attach_disks((_path(data), _path(meta)), parameters)
        self.children = tuple(children)

    def remove_children(self, paths: Sequence[Path]) -> None:
        """Go on without the local disks, which must be those at `paths`; fine when there are none."""
        self._state()
        present = self._present()
        if present.data is None:
            return
        if list(paths) != [present.data, present.metadata]:
            given, has = " and ".join(map(str, paths)), f"{present.data} and {present.metadata}"
            raise BlockDeviceError(f"{self._device.path} has the disks {has}, not {given}")
        self._change(self._commands.detach(self._device))
        self.children = ()

    # Steps -----------------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        """Check that the device the kernel already has was made of our disks. Raises: BlockDeviceError."""
        present = self._present()
        local = comparison.local_match(present, self._backing())
        reason = comparison.obstacle(present, self._device, local, Match.SAME)
        if reason is None and local is not Match.SAME:
            reason = f"{self._device.path} is in use already"
        if reason is not None:
            raise BlockDeviceError(f"{self.disk.describe()}: {reason}")
        log.info("%s is there already with its disks; going on from there", self._device.path)

    def _bring_up(self, present: Configuration, parameters: DrbdParameters) -> None:
        state, wanted, device = self._module.state(self._device.minor), self._backing(), self._device
        local = comparison.local_match(present, wanted)
        net = comparison.network_match(present, device, has_peer=state is not None and state.has_peer)
        obstacle = comparison.obstacle(present, device, local, net)
        wants_network = device.local is not None and device.remote is not None
        if obstacle is None and wanted is None and not wants_network:
            obstacle = "it has neither disks nor addresses"
        if obstacle is not None:
            raise BlockDeviceError(f"{self.disk.describe()} cannot be assembled: {obstacle}")
        if state is None or not state.is_in_use:
            self._run(self._commands.add(device))
        if local is Match.ABSENT and wanted is not None:
            self._attach_disks(wanted, parameters, may_go_without=wants_network)
        if net is Match.OTHER and not network.end_connection(self.system, self._commands, device, present):
            raise BlockDeviceError(f"{device.path} does not give up its addresses {present.local} and {present.remote}")
        if net is not Match.SAME and wants_network:
            network.connect(self.system, self._commands, device, parameters, dual_primary=False)

    def _attach_disks(self, backing: Backing, parameters: DrbdParameters, *, may_go_without: bool = False) -> None:
        """Give the kernel the disks; a metadata disk that cannot be read does not stop the other node's copy."""
        data, meta = backing
        try:
            self._run(self._commands.attach(self._device, data, meta, self.disk.size, parameters))
        except CommandError as err:
            if not may_go_without or metadata.is_readable(self.system, meta):
                raise
            log.warning("%s goes on without local disks, %s cannot be read: %s", self._device.path, meta, err)
        self.observed.forget(look)

    def _resize(self, size_mib: int) -> None:
        """Have the kernel use more of the data disks.

        8.4.11 says yes also when the other node's disk is too small, and no while it copies what was added before.
        """
        if self.actual_size() >= size_mib * MIB:
            return
        self._change(self._commands.resize(self._device, size_mib))

        def check() -> None:
            if self.actual_size() >= size_mib * MIB:
                return
            state = self._fresh_state()
            if not (state.is_connected or state.is_in_resync):
                raise BlockDeviceError(f"{self._device.path} did not grow: it is {state.connection}, not connected")
            raise TryAgain

        try:
            retry(self.system.clock, check, delay_s=RESIZE_DELAY_S, timeout_s=RESIZE_TIMEOUT_S)
        except TimedOut as err:
            raise BlockDeviceError(
                f"{self._device.path} did not grow to {size_mib} MiB: both data disks have to be that large"
            ) from err

    def _run(self, commands: Sequence[CommandLine]) -> None:
        for argv in commands:
            run(self.system.runner, argv)

    def _change(self, argv: CommandLine) -> None:
        try:
            run(self.system.runner, argv)
        finally:
            self.observed.forget(look)

    # What is there ---------------------------------------------------------------------------------------------------

    @property
    def _module(self) -> Module:
        return self.observed.of(look)

    @property
    def _commands(self) -> Commands:
        return self._module.commands

    def _state(self) -> DeviceState:
        """State of a device in use. Raises: BlockDeviceError when it is not."""
        state = self._module.state(self._device.minor)
        if state is None or not state.is_in_use:
            raise BlockDeviceError(f"{self.disk.describe()} is not active: nothing uses {self._device.path}")
        self._is_attached = True
        return state

    def _fresh_state(self) -> DeviceState:
        self.observed.forget(look)
        return self._state()

    def _present(self) -> Configuration:
        """What the kernel has for the minor; nothing is asked when it has nothing."""
        if self._device.minor not in self._module.used:
            return Configuration()
        return self._commands.configuration(self.system.runner, self._device)

    def _backing(self) -> Backing | None:
        if not self.children:
            return None
        data, meta = self._children()
        return _path(data), _path(meta)

    def _children(self) -> tuple[BlockDevice, BlockDevice]:
        if len(self.present_children) != 2:
            raise BlockDeviceError(f"{self.disk.describe()} has no local disks")
        data, meta = self.present_children
        return data, meta

    def _demand_addresses(self) -> None:
        if self._device.local is None or self._device.remote is None:
            raise BlockDeviceError(f"{self.disk.describe()} has no addresses of both sides")


def _path(child: BlockDevice) -> Path:
    if child.dev_path is None:
        raise BlockDeviceError(f"{child.disk.describe()} has no path on this node")
    return child.dev_path
