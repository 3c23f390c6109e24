"""What the monitor hub tells: figures of guests, its times, its errors. Costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass

from ganeti.errors import HypervisorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times in seconds: `fresh_s` figures younger are given without asking; `idle_s` until an unused socket is given
    back; `timeout_s` how long a guest may take to tell its figures."""

    fresh_s: float = 3.0
    idle_s: float = 2.0
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestStatus:
    """What a guest said of itself at time `at` (monotonic, seconds). `memory_mib` None: it has no balloon.

    `is_current` is false from the moment it was told to change.
    """

    pid: int
    vcpus: int
    memory_mib: int | None
    run_state: str
    at: float
    is_current: bool = True

    def is_fresh(self, now: float, fresh_s: float) -> bool:
        """Whether it is young enough at time `now` to be given without asking again."""
        return self.is_current and now - self.at < fresh_s


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
