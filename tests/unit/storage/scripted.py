"""Block devices that do what a test says and note what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ganeti.errors import NodeError
from ganeti.host.system import System
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.storage.base import BlockDevice
from ganeti.storage.observations import Observations
from ganeti.storage.registry import BlockDevices


@dataclass
class Script:
    """Errors by (method, disk), taken one by one; devices that are missing; states; and what was asked."""

    errors: dict[tuple[str, str], list[NodeError]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    states: dict[str, BlockDevStatus] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    looks: int = 0

    def look(self, _: System) -> int:
        """The question about the machine that every device has an answer in."""
        self.looks += 1
        return self.looks

    def note(self, method: str, name: str) -> None:
        """Remember a call and fail if the test wants it to."""
        self.calls.append((method, name))
        errors = self.errors.get((method, name))
        if errors:
            raise errors.pop(0)

    def fail(self, method: str, name: str, error: NodeError, times: int = 1) -> None:
        """Let a method of a disk fail."""
        self.errors[method, name] = [error] * times

    def named(self, method: str) -> list[str]:
        """Disks a method was called for, in order."""
        return [name for called, name in self.calls if called == method]


class ScriptedDevice(BlockDevice):
    """Can do nothing beyond what every device must; it is registered nowhere."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None],
        script: Script,
        observed: Observations | None = None,
    ) -> None:
        super().__init__(system, disk, children, observed)
        self.name = name_of(disk)
        self.script = script

    @property
    def dev_path(self) -> Path | None:
        return Path("/dev/scripted") / self.name

    def attach(self) -> bool:
        self.script.note("attach", self.name)
        self.observed.of(self.script.look)
        return self.name not in self.script.missing

    def create(self, *, exclusive_storage: bool) -> None:
        self.script.note("create", self.name)
        self.observed.forget()

    def assemble(self) -> None:
        self.script.note("assemble", self.name)
        self.observed.forget()

    def open(self, *, force: bool = False, exclusive: bool = True) -> None:
        self.script.note("force open" if force else "open" if exclusive else "open shared", self.name)

    def close(self) -> None:
        self.script.note("close", self.name)

    def shutdown(self) -> None:
        self.script.note("shutdown", self.name)

    def remove(self) -> None:
        self.script.note("remove", self.name)
        self.observed.forget()
        self.script.missing.add(self.name)

    def set_info(self, text: str) -> None:
        self.script.note("set_info", self.name)

    def actual_size(self) -> int:
        self.script.note("actual_size", self.name)
        return self.disk.size * 1024 * 1024

    def spindles(self) -> int | None:
        return self.disk.spindles

    def pause_resume_sync(self, *, pause: bool) -> bool:
        self.script.note("pause" if pause else "resume", self.name)
        return True

    def status(self) -> BlockDevStatus:
        return self.script.states.get(self.name) or super().status()


class ScriptedDevices(BlockDevices):
    """Makes scripted devices for disks of every type."""

    def __init__(self, system: System, script: Script, seen: Observations | None = None) -> None:
        super().__init__(system, seen)
        self.machine = system
        self.script = script
        self.seen = seen

    def observing(self) -> BlockDevices:
        return ScriptedDevices(self.machine, self.script, Observations(self.machine))

    def device(self, disk: Disk, children: Sequence[BlockDevice | None] = ()) -> BlockDevice:
        return ScriptedDevice(self.machine, disk, children, self.script, self.seen)


def name_of(disk: Disk) -> str:
    """Scripted disks are told apart by the second part of their identity."""
    return str(disk.logical_id[1])


def plain(name: str, *, size: int = 10) -> Disk:
    """A disk that both nodes of a guest activate."""
    return Disk(dev_type=DiskType.PLAIN, logical_id=("vg", name), size=size)


def mirrored(name: str) -> Disk:
    """A disk with a data and a metadata child, which can do without both."""
    return Disk(
        dev_type=DiskType.DRBD,
        logical_id=("node1", name, 11000, 0, 0, "secret"),
        size=10,
        iv_name="disk/0",
        children=(plain(f"{name}.data"), plain(f"{name}.meta", size=128)),
    )


def single(name: str, *, size: int = 10) -> Disk:
    """A disk that only the guest's primary node activates."""
    return Disk(dev_type=DiskType.RBD, logical_id=("rbd", name), size=size, iv_name="disk/0")


def state(
    *,
    percent: float | None = None,
    seconds: int | None = None,
    degraded: bool = False,
    local: LocalDiskStatus = LocalDiskStatus.OKAY,
) -> BlockDevStatus:
    """State of a device."""
    return BlockDevStatus(
        dev_path="/dev/x", sync_percent=percent, estimated_time=seconds, is_degraded=degraded, ldisk_status=local
    )
