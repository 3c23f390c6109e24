"""Guests that exist as files only: for tests, and for trying a cluster without any virtual machine.

A running guest is a file of its name with three lines: `0`, memory in MiB, number of processors. The form is that of
Ganeti 3.0, so that the two can take turns on a node.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence

from ganeti.errors import HypervisorError
from ganeti.host import files
from ganeti.host.paths import component
from ganeti.host.system import System
from ganeti.hypervisor import linux
from ganeti.hypervisor.base import Balloonable, DiskResizable, Hypervisor, Migratable, Powercyclable
from ganeti.hypervisor.parameters import MIGRATION_MODE, Parameter
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, HypervisorFacts, NodeGroup
from ganeti.model.instance import (
    AttachedDisk,
    ConsoleKind,
    Instance,
    InstanceConsole,
    InstanceInfo,
    MigrationState,
    MigrationStatus,
    RunState,
)

log = logging.getLogger(__name__)

_MODE = 0o775
_LARGEST_RECORD = 256
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.new$")
"""Names `files.write_atomic` uses until a record is complete."""
_SETTLED_S = 2.0

_Mark = tuple[int, int]
"""Inode and the time it was last changed, in nanoseconds: a file with the same ones has the same content."""


class Fake(Hypervisor, Migratable, Balloonable, DiskResizable, Powercyclable, kind="fake"):
    """Keeps one small file a guest below `<run>/fake-hypervisor`."""

    parameters = {"migration_mode": Parameter(default="live", required=True, syntax=MIGRATION_MODE)}  # noqa: RUF012 - ClassVar by the base

    def __init__(self, system: System) -> None:
        """Make the directory of the records. Raises: HypervisorError."""
        super().__init__(system)
        self._root = system.paths.run_dir / "fake-hypervisor"
        self._prefix = f"{self._root}/"
        self._known: dict[str, tuple[_Mark, InstanceInfo]] = {}
        try:
            files.ensure_directory(self._root, _MODE)
        except OSError as err:
            raise HypervisorError(f"cannot make {self._root}: {err.strerror}") from err

    def start(self, instance: Instance, disks: Sequence[AttachedDisk], *, startup_paused: bool) -> None:  # noqa: ARG002
        """Write the guest's record; disks and pause mean nothing here."""
        if self._read(instance.name) is not None:
            raise HypervisorError(f"instance {instance.name} is already running")
        self._write(instance, self.startup_memory_mib(instance))

    def stop(
        self,
        instance: Instance,
        *,
        force: bool = False,  # noqa: ARG002 - a record goes at once either way
        retry: bool = False,  # noqa: ARG002
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> None:
        """Remove the guest's record."""
        try:
            files.remove(self._root / component(instance.name))
        except OSError as err:
            raise HypervisorError(f"cannot stop instance {instance.name}: {err.strerror}") from err

    def reboot(self, instance: Instance) -> None:
        """Nothing happens to a record when its guest restarts."""
        self.require_running(instance)

    def list_instances(self, hvparams: Parameters | None = None) -> list[str]:  # noqa: ARG002
        """Names of the records, sorted."""
        try:
            names = os.listdir(self._root)  # noqa: PTH208 - names only: 1000 guests are listed in one call
        except OSError as err:
            raise HypervisorError(f"cannot list {self._root}: {err.strerror}") from err
        return sorted(name for name in names if _TEMPORARY.search(name) is None)

    def instance_info(self, name: str, hvparams: Parameters | None = None) -> InstanceInfo | None:  # noqa: ARG002
        """Read one record. Raises: HypervisorError when it is unreadable."""
        return self._read(name)

    def all_instances_info(self, hvparams: Parameters | None = None) -> list[InstanceInfo]:  # noqa: ARG002
        """Every record; one that is unreadable is left out, so that it does not hide the others.

        A record is read again only when its file is another one or was changed: half the time of reading all.
        """
        found: dict[str, tuple[_Mark, InstanceInfo]] = {}
        # What was changed just now may be changed again within the same tick of the file system's clock.
        settled_ns = int((self.system.clock.time() - _SETTLED_S) * 1e9)
        infos: list[InstanceInfo] = []
        for name, mark in self._marks():
            known = self._known.get(name)
            try:
                info = known[1] if known is not None and known[0] == mark else self._read_entry(name)
            except HypervisorError as err:
                log.warning("Leaving out fake instance %s: %s", name, err)
                continue
            if info is None:
                continue
            infos.append(info)
            if mark[1] < settled_ns:
                found[name] = mark, info
        self._known = found
        return infos

    def node_facts(self, hvparams: Parameters | None = None) -> HypervisorFacts:
        """The node's facts; what the guests were given is not free."""
        facts = linux.node_facts()
        used = sum(info.memory for info in self.all_instances_info(hvparams))
        return HypervisorFacts(
            memory_total=facts.memory_total,
            memory_free=max(0, facts.memory_free - used),
            memory_dom0=facts.memory_dom0,
            cpu_total=facts.cpu_total,
            cpu_nodes=facts.cpu_nodes,
            cpu_sockets=facts.cpu_sockets,
            cpu_dom0=facts.cpu_dom0,
        )

    def console(
        self,
        instance: Instance,
        node: ClusterNode,  # noqa: ARG002
        group: NodeGroup,  # noqa: ARG002
        hvparams: Parameters,  # noqa: ARG002
    ) -> InstanceConsole:
        """Say that there is none."""
        return InstanceConsole(
            instance=instance.name, kind=ConsoleKind.MESSAGE, message="A fake instance has no console"
        )

    def verify(self, hvparams: Parameters | None = None) -> str | None:  # noqa: ARG002
        """Look for the directory of the records."""
        return None if self._root.is_dir() else f"directory {self._root} is missing"

    def balloon(self, instance: Instance, memory_mib: int) -> None:
        """Note the new memory size."""
        self.require_running(instance)
        self._write(instance, memory_mib)

    def resize_disk(self, instance: Instance, index: int, size_bytes: int) -> None:  # noqa: ARG002
        """A fake guest sees no disks, so it needs only be there."""
        self.require_running(instance)

    def migration_info(self, instance: Instance) -> str:  # noqa: ARG002
        """The target needs to know nothing."""
        return ""

    def accept(self, instance: Instance, info: str, target: str, disks: Sequence[AttachedDisk]) -> None:  # noqa: ARG002
        """Refuse a guest that is here already."""
        if self._read(instance.name) is not None:
            raise HypervisorError(f"instance {instance.name} is already running")

    def migrate(self, instance: Instance, target: str, *, live: bool) -> None:
        """Nothing has to be sent."""
        self.require_running(instance)
        log.debug("Fake instance %s moves to %s, live=%s", instance.name, target, live)

    def migration_status(self, instance: Instance) -> MigrationStatus:  # noqa: ARG002
        """It is complete as soon as somebody asks."""
        return MigrationStatus(status=MigrationState.COMPLETED)

    def finalize_source(self, instance: Instance, *, success: bool, live: bool) -> None:  # noqa: ARG002
        """Forget a guest that has left."""
        if success:
            self.stop(instance)

    def finalize_target(self, instance: Instance, info: str, *, success: bool) -> None:  # noqa: ARG002
        """Record a guest that has come, or forget one that has not."""
        if success:
            self._write(instance, self.startup_memory_mib(instance))
        else:
            self.stop(instance)

    def powercycle(self, hvparams: Parameters | None = None) -> None:  # noqa: ARG002
        """Restart the node: only the guests are fake."""
        linux.powercycle(self.system.runner)

    def _marks(self) -> list[tuple[str, _Mark]]:
        """Names of the records, with what tells whether a file was changed. Raises: HypervisorError."""
        marks: list[tuple[str, _Mark]] = []
        try:
            with os.scandir(self._root) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(".new") and _TEMPORARY.search(name):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed since it was listed
                    marks.append((name, (status.st_ino, status.st_ctime_ns)))
        except OSError as err:
            raise HypervisorError(f"cannot list {self._root}: {err.strerror}") from err
        return marks

    def _write(self, instance: Instance, memory_mib: int) -> None:
        record = f"0\n{memory_mib}\n{instance.vcpus}\n"
        try:
            files.write_atomic(self._root / component(instance.name), record)
        except OSError as err:
            raise HypervisorError(f"cannot write the record of instance {instance.name}: {err.strerror}") from err

    def _read(self, name: str) -> InstanceInfo | None:
        return self._read_entry(component(name))

    def _read_entry(self, name: str) -> InstanceInfo | None:
        """Read a record whose name is known to be one component."""
        # Bare system calls: pathlib and buffered files make a listing of 1000 guests four times slower.
        try:
            descriptor = os.open(f"{self._prefix}{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise HypervisorError(f"cannot read the record of instance {name}: {err.strerror}") from err
        try:
            record = os.read(descriptor, _LARGEST_RECORD)
        except OSError as err:
            raise HypervisorError(f"cannot read the record of instance {name}: {err.strerror}") from err
        finally:
            os.close(descriptor)
        try:
            number, memory, vcpus = (int(line) for line in record.splitlines())
        except ValueError as err:
            raise HypervisorError(f"the record of instance {name} is not three numbers: {record!r}") from err
        return InstanceInfo(name=name, hypervisor_id=number, memory=memory, vcpus=vcpus, state=RunState.RUNNING, time=0)
