"""Starting QEMU from a runtime, with everything around it: taps, passwords, pinning, memory; and undoing it on failure.

Used for first starts, soft reboots and incoming migrations alike. Source of the order: Ganeti 3.0.2.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ganeti.constants import MIB
from ganeti.errors import HypervisorError
from ganeti.host import files, net
from ganeti.host.net import Tap
from ganeti.host.system import System
from ganeti.hypervisor.drivers.kvm import command, console, display, nics, processes
from ganeti.hypervisor.drivers.kvm.cpu_mask import ALL_CPUS, parse_cpu_masks
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.hub import MonitorHub
from ganeti.hypervisor.drivers.kvm.layout import CHROOT_MODE, DIRECTORY_MODE, GuestFiles, Layout
from ganeti.hypervisor.drivers.kvm.parameters import flag, single_line, text
from ganeti.hypervisor.drivers.kvm.runtime import Runtime
from ganeti.hypervisor.drivers.kvm.uid_pool import PooledUid, UidPool
from ganeti.model.base import Parameters
from ganeti.model.instance import Instance
from ganeti.model.network import Nic

log = logging.getLogger(__name__)

START_TIMEOUT_S = 600.0
"""QEMU daemonizes when it is ready; touching all of a large guest's huge pages takes minutes."""
_LONGEST_REASON = 4096


class _Thread(msgspec.Struct, rename="kebab"):
    thread_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One run of a runtime. `incoming`: QEMU's address to receive the guest on; `memory_mib`: what it begins with."""

    instance: Instance
    runtime: Runtime
    facts: QemuFacts
    memory_mib: int
    paused: bool = False
    incoming: str | None = None


class Launcher:
    """Runs QEMU on this node."""

    def __init__(self, system: System, layout: Layout, hub: MonitorHub) -> None:
        """Remember what is needed."""
        self._system = system
        self._layout = layout
        self._hub = hub
        self._uids = UidPool(system)
        self._lock = threading.Lock()
        self._starting: set[str] = set()

    def launch(self, launch: Launch) -> None:
        """Run QEMU and make the guest what it shall be; on failure nothing of it is left.

        To be called within `starting`. Raises: NodeError, OSError.
        """
        instance = launch.instance
        guest = self._layout.guest(instance.name)
        processes.wait_until_gone(guest)
        guest.check_socket_paths()
        files.remove(guest.shutdown_marker)
        self._ensure_shutdown_detection(instance.hvparams)
        passwords = self._passwords(instance)
        with ExitStack() as undo:
            undo.callback(self.discard, guest)
            with ExitStack() as close_here:
                taps = self._open_taps(launch, close_here)
                if flag(instance.hvparams, "use_chroot"):
                    files.ensure_directory(guest.chroot, CHROOT_MODE)
                for index, (nic, tap) in enumerate(zip(launch.runtime.nics, taps, strict=True)):
                    if launch.incoming is None or nics.configured_early(nic):
                        self.join_network(instance, index, nic, tap.name)
                uid = self._take_uid(instance.hvparams, close_here)
                undo.callback(self._end, guest)
                self._run(launch, guest, taps, uid)
                if uid is not None:
                    files.write_atomic(guest.uid, f"{uid.number}\n")
                    uid.keep()
            self._write_nic_files(guest, taps)
            self._settle(launch, passwords)
            undo.pop_all()

    def join_network(self, instance: Instance, index: int, nic: Nic, tap: str) -> None:
        """Run the script that joins a tap to the node's network. Raises: HypervisorError."""
        script = console.shipped("kvm-ifup") or self._system.paths.kvm_ifup
        env = nics.ifup_environment(instance, index, nic, tap, self._system.paths.conf_dir)
        result = self._system.runner.run([script, tap], env=env)
        if result.failed:
            raise HypervisorError(
                f"cannot join interface {index} of instance {instance.name} ({tap}) to the network: "
                f"{script} {result.reason}: {result.output.strip()}"
            )

    def discard(self, guest: GuestFiles) -> None:
        """Remove what a stopped guest left, and give its user id back to the pool. Raises: HypervisorError."""
        number = processes.read_pid(guest.uid)
        guest.remove()
        if number is not None:
            self._uids.release(number)

    @contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """Keep others from starting the same guest: who fails must not undo the other's. Raises: HypervisorError."""
        with self._lock:
            if name in self._starting:
                raise HypervisorError(f"instance {name} is being started already")
            self._starting.add(name)
        try:
            if processes.find(self._layout.guest(name)) is not None:
                raise HypervisorError(f"instance {name} is already running")
            yield
        except OSError as err:
            raise HypervisorError(f"cannot start instance {name}: {err}") from err
        finally:
            with self._lock:
                self._starting.discard(name)

    # Before QEMU runs ------------------------------------------------------------------------------------------------

    def _ensure_shutdown_detection(self, hvparams: Parameters) -> None:
        """Guests that may switch themselves off are watched by a daemon of the packaged release."""
        paths = self._system.paths
        if not flag(hvparams, "user_shutdown"):
            return
        pid = processes.read_pid(paths.run_dir / "ganeti-kvmd.pid")
        if pid is not None and Path("/proc", str(pid)).exists():
            return
        result = self._system.runner.run([paths.daemon_util, "start", "ganeti-kvmd"])
        if result.failed:
            raise HypervisorError(f"user_shutdown is set, but ganeti-kvmd does not start: {result.output.strip()}")

    @staticmethod
    def _passwords(instance: Instance) -> dict[str, str]:
        """Passwords by protocol. Read first, so that a bad file stops nothing that runs."""
        hvparams, port = instance.hvparams, instance.network_port
        named = {"vnc": "vnc_password_file", "spice": "spice_password_file"}
        return {
            protocol: single_line(text(hvparams, name))
            for protocol, name in named.items()
            if display.takes_password(hvparams, protocol, port)
        }

    def _open_taps(self, launch: Launch, close: ExitStack) -> list[Tap]:
        if not launch.runtime.nics:
            return []
        features = nics.NicFeatures.of(launch.instance.hvparams | launch.runtime.hvparams, launch.facts)
        taps: list[Tap] = []
        for nic in launch.runtime.nics:
            name = ""
            if nic.name is not None and nic.name.startswith(nics.COMMUNICATION_PREFIX):
                name = _free_communication_tap()
            tap = net.open_tap(name, vnet_hdr=features.vnet_hdr, queues=features.queues, vhost=features.vhost)
            taps.append(close.enter_context(tap))
        return taps

    def _take_uid(self, hvparams: Parameters, close: ExitStack) -> PooledUid | None:
        if text(hvparams, "security_model") != "pool":
            return None
        return close.enter_context(self._uids.take())

    # QEMU itself -----------------------------------------------------------------------------------------------------

    def _run(self, launch: Launch, guest: GuestFiles, taps: Sequence[Tap], uid: PooledUid | None) -> None:
        hvparams = launch.instance.hvparams
        execution = command.Execution(
            taps=tuple(nics.TapHandle(fds=tap.fds, vhost_fds=tap.vhost_fds) for tap in taps),
            incoming=launch.incoming,
            pooled_user=uid.user if uid is not None else None,
        )
        part = command.execution_part(launch.runtime, hvparams, launch.facts, guest, execution)
        argv = [str(word) for word in (*launch.runtime.command, *part)]
        descriptors = [number for tap in taps for number in (*tap.fds, *tap.vhost_fds)]
        logged = _size(guest.log)
        result = self._system.runner.run(argv, pass_fds=descriptors, timeout_s=START_TIMEOUT_S)
        # with -D and -daemonize QEMU speaks to its log instead of standard error
        said = (result.output + _text_from(guest.log, logged)).strip()
        if result.failed:
            raise HypervisorError(f"QEMU cannot start instance {guest.name}: {result.reason}: {said}")
        if said:
            log.warning("QEMU says of instance %s: %s", guest.name, said)
        if processes.find(guest) is None:
            raise HypervisorError(f"QEMU was started for instance {guest.name}, but it does not run")
        log.info("QEMU runs instance %s", guest.name)

    def _end(self, guest: GuestFiles) -> None:
        """Undo: a guest that could not be made what it should be must not stay, half ready."""
        if processes.find(guest) is None:
            return
        log.warning("Ending QEMU of instance %s, whose start failed", guest.name)
        self._hub.forget(guest.name)
        processes.end(guest)

    # After QEMU runs -------------------------------------------------------------------------------------------------

    @staticmethod
    def _write_nic_files(guest: GuestFiles, taps: Sequence[Tap]) -> None:
        files.ensure_directory(guest.nics, DIRECTORY_MODE)
        for index, tap in enumerate(taps):
            files.write_atomic(guest.nic(index), tap.name, mode=0o644)

    def _settle(self, launch: Launch, passwords: dict[str, str]) -> None:
        """What QEMU takes by its monitor only; then let the guest run, unless it shall not yet."""
        name = launch.instance.name
        for protocol, password in passwords.items():
            self._hub.execute(name, "set_password", {"protocol": protocol, "password": password})
        self._pin(name, text(launch.instance.hvparams | launch.runtime.hvparams, "cpu_mask"))
        if launch.memory_mib < launch.instance.maximum_memory_mib:
            self._hub.execute(name, "balloon", {"value": launch.memory_mib * MIB})
        if launch.incoming is None and not launch.paused:
            self._hub.execute(name, "cont")

    def _pin(self, name: str, mask: str) -> None:
        masks = parse_cpu_masks(mask)
        if not masks or masks == [ALL_CPUS]:
            return
        answer = self._hub.execute(name, "query-cpus-fast")
        threads = [thread.thread_id for thread in msgspec.convert(answer, type=list[_Thread])]
        if len(masks) == 1:
            process = processes.find(self._layout.guest(name))
            tasks = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()] if process else []
            pinned = [(task, masks[0]) for task in tasks]
        elif len(masks) == len(threads):
            pinned = list(zip(threads, masks, strict=True))
        else:
            raise HypervisorError(f"cpu_mask of instance {name} has {len(masks)} parts for {len(threads)} processors")
        everywhere = frozenset(range(os.cpu_count() or 1))
        for thread, cpus in pinned:
            try:
                os.sched_setaffinity(thread, everywhere if cpus == ALL_CPUS else cpus)
            except OSError as err:
                raise HypervisorError(f"cannot pin instance {name} to processors {sorted(cpus)}: {err}") from err


def _free_communication_tap() -> str:
    """The first name of a communication tap above all in use."""
    prefix = nics.COMMUNICATION_TAP
    numbers = [
        int(entry.name.removeprefix(prefix))
        for entry in net.SYS_NET.iterdir()
        if entry.name.startswith(prefix) and entry.name.removeprefix(prefix).isdigit()
    ]
    return f"{prefix}{max(numbers, default=-1) + 1}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _text_from(path: Path, position: int) -> str:
    """What was written to a file after `position`, its last 4 KiB at most."""
    try:
        with path.open("rb") as file:
            file.seek(max(position, file.seek(0, os.SEEK_END) - _LONGEST_REASON))
            return file.read(_LONGEST_REASON).decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return ""
