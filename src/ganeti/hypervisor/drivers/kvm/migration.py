"""Moving a running guest between nodes by QEMU's own migration: both sides' steps.

Source: Ganeti 3.0.2, over QMP. What was accepted is not recorded before it is complete: a half-received guest has no
runtime file, so that nobody takes it for one that runs.
"""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from ganeti.constants import MIB
from ganeti.errors import HypervisorError, NodeError, TimedOut
from ganeti.host import files, net
from ganeti.host.clock import TryAgain, retry
from ganeti.host.system import System
from ganeti.hypervisor.base import Migratable
from ganeti.hypervisor.drivers.kvm import processes
from ganeti.hypervisor.drivers.kvm.hub import MonitorHub
from ganeti.hypervisor.drivers.kvm.launch import Launch, Launcher
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles, Layout
from ganeti.hypervisor.drivers.kvm.nics import configured_early
from ganeti.hypervisor.drivers.kvm.parameters import number, text
from ganeti.hypervisor.drivers.kvm.probe import Prober
from ganeti.hypervisor.drivers.kvm.runtime import Runtime, load
from ganeti.model.instance import AttachedDisk, Instance, MigrationState, MigrationStatus

log = logging.getLogger(__name__)

STATUS_TRIES: Final = 5
STATUS_PAUSE_S: Final = 2.0
CANCEL_TIMEOUT_S: Final = 30.0
ARRIVAL_TIMEOUT_S: Final = 30.0

_UNDER_WAY: Final = frozenset({"setup", "active", "pre-switchover", "device", "wait-unplug", "cancelling"})
"""QEMU's words for a migration that is not over; masters know `active` only."""
_POSTCOPY: Final = "postcopy-ram"
_POSTCOPY_AFTER_ROUNDS: Final = 2
_POSTCOPY_LIMIT_SINCE: Final = (3, 0, 0)


class _Ram(msgspec.Struct, rename="kebab"):
    transferred: int = 0
    total: int = 0
    dirty_sync_count: int = 0


class _Answer(msgspec.Struct, rename="kebab"):
    """What `query-migrate` says. Source: QEMU's qapi/migration.json."""

    status: str | None = None
    ram: _Ram | None = None
    error_desc: str | None = None


class _RunState(msgspec.Struct):
    status: str


class Migration(Migratable, ABC):
    """The driver's part that moves guests."""

    system: System
    layout: Layout
    prober: Prober
    hub: MonitorHub
    launcher: Launcher

    def migration_info(self, instance: Instance) -> str:
        """The content of the runtime file (source). Raises: HypervisorError."""
        return self._runtime_text(self.layout.guest(instance.name))

    def accept(self, instance: Instance, info: str, target: str, disks: Sequence[AttachedDisk]) -> None:
        """Run QEMU waiting for the guest on `target`, on the port of its parameters (target)."""
        guest = self.layout.guest(instance.name)
        runtime = self._received(guest, info, disks)
        port = number(instance.hvparams, "migration_port")
        launch = Launch(
            instance=instance,
            runtime=runtime,
            facts=self.prober.facts(Path(text(instance.hvparams, "kvm_path"))),
            memory_mib=instance.maximum_memory_mib,
            incoming=f"tcp:{net.format_address(target, port)}",
        )
        with self.launcher.starting(instance.name), ExitStack() as undo:
            self.launcher.launch(launch)
            undo.callback(self._remove_files, guest)
            undo.callback(self._end, guest)
            self._set_capabilities(instance, on=True)
            undo.pop_all()
        log.info("Waiting for instance %s on %s port %d", instance.name, target, port)

    def migrate(self, instance: Instance, target: str, *, live: bool) -> None:
        """Begin to send the guest (source); a guest that is not to be sent live is paused first."""
        name = instance.name
        if processes.find(self.layout.guest(name)) is None:
            raise HypervisorError(f"cannot migrate instance {name}: it is not running")
        if not live:
            self.hub.execute(name, "stop")
        bandwidth = number(instance.hvparams, "migration_bandwidth") * MIB
        limits = {"max-bandwidth": bandwidth, "downtime-limit": number(instance.hvparams, "migration_downtime")}
        if self.prober.facts(Path(text(instance.hvparams, "kvm_path"))).version >= _POSTCOPY_LIMIT_SINCE:
            limits["max-postcopy-bandwidth"] = bandwidth
        self.hub.execute(name, "migrate-set-parameters", limits)
        self._set_capabilities(instance, on=True)
        address = net.format_address(target, number(instance.hvparams, "migration_port"))
        self.hub.execute(name, "migrate", {"uri": f"tcp:{address}"})
        log.info("Sending instance %s to %s", name, address)

    def migration_status(self, instance: Instance) -> MigrationStatus:
        """How far it is (source). Raises: HypervisorError when the guest does not answer."""
        tries = 0

        def ask() -> MigrationStatus:
            nonlocal tries
            tries += 1
            answer = self._ask(instance.name)
            status = _status(answer)
            if status is not None:
                return self._with_postcopy(instance, answer, status)
            if tries >= STATUS_TRIES:
                log.warning("Instance %s tells no state of its migration: %s", instance.name, answer.status)
                return MigrationStatus(status=MigrationState.FAILED)
            raise TryAgain

        patience = STATUS_TRIES * STATUS_PAUSE_S
        return retry(self.system.clock, ask, delay_s=STATUS_PAUSE_S, timeout_s=patience)

    def finalize_source(self, instance: Instance, *, success: bool, live: bool) -> None:  # noqa: ARG002
        """End QEMU here; after a failure stop sending and let the guest go on (source). Raises: HypervisorError."""
        guest = self.layout.guest(instance.name)
        running = processes.find(guest) is not None
        if success or not running:
            self._end(guest)
            self._remove_files(guest)
            return
        self._cancel(instance.name)
        self.hub.execute(instance.name, "cont")
        self._set_capabilities(instance, on=False)
        log.info("Instance %s goes on running here", instance.name)

    def finalize_target(self, instance: Instance, info: str, *, success: bool) -> None:
        """Record the guest as one of this node; after a failure end the half-received one (target)."""
        guest = self.layout.guest(instance.name)
        if not success:
            self._end(guest)
            self._remove_files(guest)
            return
        runtime = load(info)
        for index, nic in enumerate(runtime.nics):
            if not configured_early(nic):
                self._join_late(instance, guest, index, runtime)
        moved = runtime.relocated(guest, self.system.paths.disk_links_dir)
        self._write_runtime(guest, info if moved == runtime else moved.dump())
        self._set_capabilities(instance, on=False)
        self._wake(instance.name)
        log.info("Instance %s is here", instance.name)

    # The driver's, used here -----------------------------------------------------------------------------------------

    def _end(self, guest: GuestFiles) -> None:
        self.hub.forget(guest.name)
        processes.end(guest)

    def _remove_files(self, guest: GuestFiles) -> None:
        self.hub.forget(guest.name)
        self.launcher.discard(guest)
        files.remove(guest.shutdown_marker)

    @staticmethod
    def _runtime_text(guest: GuestFiles) -> str:
        try:
            return files.read_text(guest.runtime)
        except (OSError, NodeError) as err:
            raise HypervisorError(f"cannot read what instance {guest.name} was started with: {err}") from err

    @staticmethod
    def _write_runtime(guest: GuestFiles, content: str) -> None:
        try:
            files.write_atomic(guest.runtime, content)
        except OSError as err:
            raise HypervisorError(f"cannot write what instance {guest.name} was started with: {err}") from err

    # Inside ----------------------------------------------------------------------------------------------------------

    def _received(self, guest: GuestFiles, info: str, disks: Sequence[AttachedDisk]) -> Runtime:
        """The guest as it was sent, with this node's files and the disks as they are reached here."""
        runtime = load(info).relocated(guest, self.system.paths.disk_links_dir)
        if len(disks) != len(runtime.disks):
            return runtime
        here = tuple(
            msgspec.structs.replace(sent, link=own.link or sent.link, uri=own.uri or sent.uri)
            for sent, own in zip(runtime.disks, disks, strict=True)
        )
        return Runtime(command=runtime.command, nics=runtime.nics, hvparams=runtime.hvparams, disks=here)

    def _ask(self, name: str) -> _Answer:
        answer = self.hub.execute(name, "query-migrate")
        try:
            return msgspec.convert(answer, type=_Answer)
        except msgspec.ValidationError as err:
            raise HypervisorError(f"instance {name} gives a state of its migration nobody understands: {err}") from err

    def _with_postcopy(self, instance: Instance, answer: _Answer, status: MigrationStatus) -> MigrationStatus:
        """Let the target begin to run once enough rounds were sent, where the parameters ask for it."""
        rounds = answer.ram.dirty_sync_count if answer.ram is not None else 0
        wanted = _POSTCOPY in text(instance.hvparams, "migration_caps")
        if not wanted or answer.status != "active" or rounds < _POSTCOPY_AFTER_ROUNDS:
            return status
        self.hub.execute(instance.name, "migrate-start-postcopy")
        return msgspec.structs.replace(status, postcopy_status=MigrationState.POSTCOPY_ACTIVE.value)

    def _set_capabilities(self, instance: Instance, *, on: bool) -> None:
        names = [name for name in text(instance.hvparams, "migration_caps").split(":") if name]
        if names:
            states = [{"capability": name, "state": on} for name in names]
            self.hub.execute(instance.name, "migrate-set-capabilities", {"capabilities": states})

    def _cancel(self, name: str) -> None:
        """Stop sending, if it still goes on, and wait until it has stopped: a guest being sent cannot be changed."""
        if self._ask(name).status not in _UNDER_WAY:
            return
        self.hub.execute(name, "migrate_cancel")

        def over() -> None:
            if self._ask(name).status in _UNDER_WAY:
                raise TryAgain

        try:
            retry(self.system.clock, over, delay_s=0.1, timeout_s=CANCEL_TIMEOUT_S, factor=1.5, longest_s=1.0)
        except TimedOut as err:
            raise HypervisorError(f"the migration of instance {name} cannot be cancelled") from err

    def _join_late(self, instance: Instance, guest: GuestFiles, index: int, runtime: Runtime) -> None:
        """Join a routed interface now that the guest is here. The guest runs already: a failure is a warning."""
        try:
            tap = files.read_text(guest.nic(index)).strip()
            self.launcher.join_network(instance, index, runtime.nics[index], tap)
        except (OSError, NodeError) as err:
            log.warning("Instance %s came without network on interface %d: %s", instance.name, index, err)

    def _wake(self, name: str) -> None:
        """Let a guest run that was paused to be sent: QEMU leaves it as it was on the other side."""

        def arrived() -> str:
            state = msgspec.convert(self.hub.execute(name, "query-status"), type=_RunState).status
            if state == "inmigrate":
                raise TryAgain  # the source has sent all, but it is not all taken in yet
            return state

        try:
            state = retry(
                self.system.clock, arrived, delay_s=0.05, timeout_s=ARRIVAL_TIMEOUT_S, factor=1.5, longest_s=1
            )
        except TimedOut as err:
            raise HypervisorError(f"instance {name} was sent, but does not begin to run here") from err
        if state == "paused":
            log.info("Instance %s was sent paused, it goes on running", name)
            self.hub.execute(name, "cont")


def _status(answer: _Answer) -> MigrationStatus | None:
    """What a master understands of an answer; None when it says nothing useful."""
    word = "active" if answer.status in _UNDER_WAY else answer.status
    try:
        state = MigrationState(word or "")
    except ValueError:
        return None
    if state is MigrationState.FAILED and answer.error_desc:
        log.warning("A migration failed: %s", answer.error_desc)
    ram = answer.ram
    return MigrationStatus(
        status=state,
        transferred_ram=None if ram is None else ram.transferred,
        total_ram=None if ram is None else ram.total,
    )
