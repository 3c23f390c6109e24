"""Waiting with a deadline."""

from __future__ import annotations

import pytest

from ganeti.errors import TimedOut
from ganeti.host.clock import FakeClock, SystemClock, TryAgain, retry


class Attempts:
    """Asks for another attempt `failures` times, then returns how many were made."""

    def __init__(self, failures: int, text: str = "") -> None:
        self.made = 0
        self._failures = failures
        self._text = text

    def __call__(self) -> int:
        self.made += 1
        if self.made <= self._failures:
            raise TryAgain(self._text)
        return self.made


def test_success_at_once_does_not_wait(clock: FakeClock) -> None:
    assert retry(clock, Attempts(0), delay_s=1, timeout_s=10) == 1
    assert clock.sleeps == []


def test_the_wait_grows_up_to_its_longest(clock: FakeClock) -> None:
    assert retry(clock, Attempts(4), delay_s=1, timeout_s=100, factor=2, longest_s=3) == 5
    assert clock.sleeps == [1, 2, 3, 3]


def test_it_gives_up_after_the_time_with_the_last_text(clock: FakeClock) -> None:
    attempts = Attempts(1000, "the disk is still in use")
    with pytest.raises(TimedOut, match="the disk is still in use"):
        retry(clock, attempts, delay_s=1, timeout_s=5)
    assert sum(clock.sleeps) == 5
    assert attempts.made == 6


def test_without_a_text_it_says_how_long_it_waited(clock: FakeClock) -> None:
    with pytest.raises(TimedOut, match="nothing happened within 5 s"):
        retry(clock, Attempts(1000), delay_s=1, timeout_s=5)


def test_no_time_still_means_one_attempt(clock: FakeClock) -> None:
    attempts = Attempts(1000)
    with pytest.raises(TimedOut):
        retry(clock, attempts, delay_s=1, timeout_s=0)
    assert attempts.made == 1


def test_other_errors_end_it_at_once(clock: FakeClock) -> None:
    def attempt() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        retry(clock, attempt, delay_s=1, timeout_s=5)
    assert clock.sleeps == []


def test_the_machines_clock_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() >= before + 0.001
    assert clock.time() > 1_700_000_000
