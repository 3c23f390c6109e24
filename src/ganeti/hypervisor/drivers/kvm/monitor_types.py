"""What the monitor hub tells: figures of guests, its times, its errors. Costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass

from ganeti.errors import HypervisorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times in seconds: `fresh_s` figures younger are given without asking; `idle_s` until an unused socket is given
    back; `timeout_s` how long a guest may take to tell its figures."""

    fresh_s: float = 5.0
    idle_s: float = 2.0
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestStatus:
    """What a guest said of itself at time `at` (monotonic, seconds). `memory_mib` None: it has no balloon."""

    pid: int
    vcpus: int
    memory_mib: int | None
    run_state: str
    at: float


class MonitorError(HypervisorError):
    """A guest did not do what its monitor was asked; `error_class` is QEMU's word when it refused."""

    def __init__(self, name: str, command: str, reason: str, *, error_class: str | None = None) -> None:
        super().__init__(name, command, reason)
        self.name = name
        self.command = command
        self.reason = reason
        self.error_class = error_class

    def __str__(self) -> str:
        return f"instance {self.name} did not execute {self.command}: {self.reason}"
