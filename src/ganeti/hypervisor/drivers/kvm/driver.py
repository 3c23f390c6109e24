"""The KVM driver: what the interface of hypervisors asks, put together from the modules of this package.

Guests survive the daemon: who runs is told by pid files and processes, what a guest is by its runtime file. Nothing
here knows QEMU's options or its monitor's protocol.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from ganeti.constants import IP4_FAMILY, IP6_FAMILY, MIB
from ganeti.errors import HypervisorError
from ganeti.host import files, net, procfs
from ganeti.host.system import System
from ganeti.hypervisor import linux
from ganeti.hypervisor.base import Balloonable, DiskResizable, Hypervisor, Powercyclable
from ganeti.hypervisor.drivers.kvm import command, console, display, processes
from ganeti.hypervisor.drivers.kvm.devices import place_all
from ganeti.hypervisor.drivers.kvm.hub import MonitorHub
from ganeti.hypervisor.drivers.kvm.launch import Launch, Launcher
from ganeti.hypervisor.drivers.kvm.layout import Layout
from ganeti.hypervisor.drivers.kvm.migration import Migration
from ganeti.hypervisor.drivers.kvm.monitor_types import MonitorError
from ganeti.hypervisor.drivers.kvm.parameters import (
    PARAMETERS,
    check_together,
    flag,
    interface_on_node,
    text,
    validate_on_node,
)
from ganeti.hypervisor.drivers.kvm.probe import Prober
from ganeti.hypervisor.drivers.kvm.resize import drive_of
from ganeti.hypervisor.drivers.kvm.runtime import Runtime, load
from ganeti.hypervisor.parameters import is_unspecified, validate
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, HypervisorFacts, NodeGroup
from ganeti.model.instance import AttachedDisk, Instance, InstanceConsole, InstanceInfo, RunState

log = logging.getLogger(__name__)

DEFAULT_PROGRAM = Path(str(PARAMETERS["kvm_path"].default))
FIGURES_WAIT_S = 1.0
"""How long a status question waits for guests that have not told their figures; then the last known are given."""
POWER_BUTTON_S = 5.0
SOFT_STOP_WAIT_S = 4.0
"""How long a soft stop stays to see the guest end, so that a quick guest's stop is quick."""


class Kvm(Migration, Hypervisor, Balloonable, DiskResizable, Powercyclable, kind="kvm"):
    """Runs each guest in a QEMU process of its own."""

    parameters = PARAMETERS

    def __init__(self, system: System) -> None:
        """Make the directories. Raises: HypervisorError."""
        super().__init__(system)
        self.layout = Layout.of(system.paths)
        self.layout.make_directories()
        self.prober = Prober(system.runner)
        self.hub = MonitorHub(lambda name: self.layout.guest(name).qmp)
        self.launcher = Launcher(system, self.layout, self.hub)

    def close(self) -> None:
        """End the connections to the guests, which live on."""
        self.hub.close()

    # Starting and stopping -------------------------------------------------------------------------------------------

    def start(self, instance: Instance, disks: Sequence[AttachedDisk], *, startup_paused: bool) -> None:
        """Run QEMU for a guest. Raises: HypervisorError."""
        if "," in instance.name:
            raise HypervisorError(f"instance {instance.name}: QEMU guests cannot have a comma in their name")
        self.validate_parameters(instance.hvparams)
        facts = self.prober.facts(Path(text(instance.hvparams, "kvm_path")))
        placed_disks, placed_nics = place_all(disks, instance.nics, instance.hvparams)
        place = command.Place(
            files=self.layout.guest(instance.name),
            data_dir=self.system.paths.data_dir,
            binding=self._binding(instance.hvparams),
        )
        saved = command.saved_part(instance, facts, place)
        runtime = Runtime(command=tuple(saved), nics=placed_nics, hvparams=instance.hvparams, disks=placed_disks)
        self._run_saved(instance, runtime, paused=startup_paused)

    def stop(
        self,
        instance: Instance,
        *,
        force: bool = False,
        retry: bool = False,  # noqa: ARG002 - pressing the power button again does no harm
        timeout_s: float | None = None,
    ) -> None:
        """Press the power button, or end QEMU. A guest without ACPI has no power button and is ended."""
        guest = self.layout.guest(instance.name)
        process = processes.find(guest)
        if process is not None and (force or not flag(instance.hvparams, "acpi")):
            self._end(guest)
        elif process is not None:
            self._press_power_button(instance.name, timeout_s)
            _wait_for_end(process.pid, min(timeout_s or 0.0, SOFT_STOP_WAIT_S))
        files.remove(guest.shutdown_marker)

    def cleanup(self, instance_name: str) -> None:
        """Remove a stopped guest's files. Raises: HypervisorError when it runs."""
        guest = self.layout.guest(instance_name)
        if processes.find(guest) is not None:
            raise HypervisorError(f"instance {instance_name} still runs, its files are needed")
        self._remove_files(guest)

    def reboot(self, instance: Instance) -> None:
        """Switch a running guest off and on with the hardware it was started with. Raises: HypervisorError.

        A guest that is awake gets a moment to stop by itself.
        """
        guest = self.layout.guest(instance.name)
        process = processes.find(guest)
        if process is None:
            raise HypervisorError(f"cannot reboot instance {instance.name}: it is not running")
        runtime = load(self._runtime_text(guest))
        status = self.hub.status({instance.name: process.pid}, wait_s=FIGURES_WAIT_S).get(instance.name)
        if status is not None and status.run_state == "running":
            self.stop(instance, timeout_s=SOFT_STOP_WAIT_S)
        self._end(guest)
        self._run_saved(instance, runtime, paused=False)

    # What is known ---------------------------------------------------------------------------------------------------

    def list_instances(self, hvparams: Parameters | None = None) -> list[str]:  # noqa: ARG002
        """Names of the guests whose process runs."""
        return [name for name in self.layout.with_pid_file() if processes.find(self.layout.guest(name)) is not None]

    def instance_info(self, name: str, hvparams: Parameters | None = None) -> InstanceInfo | None:  # noqa: ARG002
        """What is known of one guest; None when it neither runs nor switched itself off."""
        return next(iter(self._infos([name])), None)

    def all_instances_info(self, hvparams: Parameters | None = None) -> list[InstanceInfo]:  # noqa: ARG002
        """What is known of every guest that runs or switched itself off. Takes a second at most."""
        return self._infos(self.layout.with_runtime())

    def node_facts(self, hvparams: Parameters | None = None) -> HypervisorFacts:
        """Memory and processors of the node, and QEMU's version. Raises: HypervisorError."""
        version = self.prober.facts(self._program(hvparams)).version
        return msgspec.structs.replace(linux.node_facts(), hv_version=version)

    def console(self, instance: Instance, node: ClusterNode, group: NodeGroup, hvparams: Parameters) -> InstanceConsole:
        """The serial line, else VNC, else SPICE, else a message that there is none."""
        return console.describe(
            instance, node, group, hvparams, files=self.layout.guest(instance.name), paths=self.system.paths
        )

    def console_argv(self, name: str) -> list[str]:
        """Command that joins a terminal of this machine to a guest's serial line. Raises: UnsafePath."""
        return console.serial_command(self.layout.guest(name), self.system.paths)

    def verify(self, hvparams: Parameters | None = None) -> str | None:
        """What is missing on this node; that KVM cannot be used is a fault unless it is not wanted."""
        problems: list[str] = []
        program = self._program(hvparams)
        if not program.is_file():
            problems.append(f"the KVM binary {program} does not exist")
        if console.find_socat() is None:
            problems.append("the program socat does not exist, consoles need it")
        kvm_problem = self.prober.kvm_problem()
        if kvm_problem is not None and hvparams is not None and text(hvparams, "kvm_flag") != "disabled":
            problems.append(f"KVM cannot be used, though kvm_flag is not disabled: {kvm_problem}")
        return "; ".join(problems) or None

    def validate_parameters(self, hvparams: Parameters) -> None:
        """Judge filled parameters on this node. Raises: HypervisorError."""
        validate(self.parameters, hvparams)
        check_together(hvparams)
        facts = self.prober.facts(Path(text(hvparams, "kvm_path")))
        validate_on_node(hvparams, facts, interface_on_node)
        if text(hvparams, "kvm_flag") == "enabled" and facts.kvm_problem is not None:
            raise HypervisorError(f"kvm_flag is enabled, but KVM cannot be used on this node: {facts.kvm_problem}")

    # Changing a running guest ----------------------------------------------------------------------------------------

    def balloon(self, instance: Instance, memory_mib: int) -> None:
        """Ask the guest to give memory back or take it again; it does so in its own time. Raises: HypervisorError."""
        self.hub.execute(instance.name, "balloon", {"value": memory_mib * MIB})

    def resize_disk(self, instance: Instance, index: int, size_bytes: int) -> None:
        """Make the guest see a disk's new size. Raises: HypervisorError."""
        guest = self.layout.guest(instance.name)
        runtime = load(self._runtime_text(guest))
        if index >= len(runtime.disks):
            raise HypervisorError(f"instance {instance.name} was started with {len(runtime.disks)} disks")
        blocks = self.hub.execute(instance.name, "query-block")
        device = drive_of(runtime.disks[index], blocks)
        self.hub.execute(instance.name, "block_resize", {"device": device, "size": size_bytes})
        log.info("Instance %s: disk %d has %d bytes now", instance.name, index, size_bytes)

    def powercycle(self, hvparams: Parameters | None = None) -> None:  # noqa: ARG002
        """Restart the node at once."""
        linux.powercycle(self.system.runner)

    # Inside ----------------------------------------------------------------------------------------------------------

    def _press_power_button(self, name: str, timeout_s: float | None) -> None:
        """Press it; a guest that hangs does not hear it, which is no error: its caller will use force then."""
        try:
            self.hub.execute(name, "system_powerdown", timeout_s=min(timeout_s or POWER_BUTTON_S, POWER_BUTTON_S))
        except MonitorError as err:
            if err.error_class is not None:
                raise
            log.warning("Instance %s does not hear its power button: %s", name, err.reason)

    def _run_saved(self, instance: Instance, runtime: Runtime, *, paused: bool) -> None:
        """Write the runtime file, then run QEMU; a failure leaves neither."""
        guest = self.layout.guest(instance.name)
        facts = self.prober.facts(Path(text(instance.hvparams, "kvm_path")))
        with self.launcher.starting(instance.name), ExitStack() as undo:
            undo.callback(self._remove_files, guest)
            self._write_runtime(guest, runtime.dump())
            self.launcher.launch(
                Launch(
                    instance=instance,
                    runtime=runtime,
                    facts=facts,
                    memory_mib=self.startup_memory_mib(instance),
                    paused=paused,
                )
            )
            undo.pop_all()

    def _infos(self, names: Sequence[str]) -> list[InstanceInfo]:
        running = {}
        result: dict[str, InstanceInfo] = {}
        for name in names:
            guest = self.layout.guest(name)
            process = processes.find(guest)
            if process is not None:
                running[name] = process
            elif guest.shutdown_marker.exists():
                result[name] = InstanceInfo(
                    name=name, hypervisor_id=-1, memory=0, vcpus=0, state=RunState.SHUTDOWN, time=0
                )
        known = self.hub.status({name: process.pid for name, process in running.items()}, wait_s=FIGURES_WAIT_S)
        now = time.monotonic()
        for name, process in running.items():
            status = known.get(name)
            memory = status.memory_mib if status is not None else None
            result[name] = InstanceInfo(
                name=name,
                hypervisor_id=process.pid,
                memory=process.memory_mib if memory is None else memory,
                vcpus=process.vcpus if status is None else status.vcpus,
                state=RunState.RUNNING,
                time=0,
                age_s=0.0 if status is None else now - status.at,
            )
        return [result[name] for name in names if name in result]

    def _binding(self, hvparams: Parameters) -> display.Binding:
        family = IP4_FAMILY
        marker = self.system.paths.ssconf("primary_ip_family")
        if marker.is_file() and files.read_text(marker).strip() == str(IP6_FAMILY):
            family = IP6_FAMILY
        return display.resolve(
            hvparams,
            interface_exists=interface_on_node,
            addresses_of=lambda name: [str(address.ip) for address in net.interface_addresses(name)],
            primary_version=4 if family == IP4_FAMILY else 6,
        )

    @staticmethod
    def _program(hvparams: Parameters | None) -> Path:
        given = (hvparams or {}).get("kvm_path")
        return DEFAULT_PROGRAM if is_unspecified(given) else Path(str(given))


def _wait_for_end(pid: int, timeout_s: float) -> None:
    try:
        with procfs.watched(pid) as descriptor:
            procfs.wait_for_end(descriptor, timeout_s)
    except ProcessLookupError:
        return
