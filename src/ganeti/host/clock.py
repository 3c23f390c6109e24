"""Time, and waiting for something with a deadline. Tests use `FakeClock`, so that nothing in them sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ganeti.errors import TimedOut

T = TypeVar("T")


class TryAgain(Exception):
    """Raised by an attempt of `retry` that wants to be made again."""


class Clock(Protocol):
    """Where time comes from."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class FakeClock:
    """A clock that moves only when somebody sleeps; `sleeps` lists how long each wait was."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.now = start
        self.sleeps: list[float] = []

    def time(self) -> float:
        """Seconds since the epoch, as far as this clock is concerned."""
        return self.now

    def monotonic(self) -> float:
        """The same figure: this clock never goes back."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.sleeps.append(seconds)
        self.now += seconds


def retry(
    clock: Clock,
    attempt: Callable[[], T],
    *,
    delay_s: float,
    timeout_s: float,
    factor: float = 1.0,
    longest_s: float | None = None,
) -> T:
    """Make `attempt` until it returns, waiting `delay_s` (growing by `factor` up to `longest_s`) between.

    The attempt is made at least once. Raises: TimedOut when it still asks for another one after `timeout_s`.
    """
    deadline = clock.monotonic() + timeout_s
    while True:
        try:
            return attempt()
        except TryAgain as again:
            if clock.monotonic() >= deadline:
                raise TimedOut(str(again) or f"nothing happened within {timeout_s:g} s") from again
        clock.sleep(delay_s)
        delay_s *= factor
        if longest_s is not None:
            delay_s = min(delay_s, longest_s)
