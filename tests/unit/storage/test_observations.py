"""What one action has seen of the machine: each question is asked once, until something was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ganeti.errors import BlockDeviceError
from ganeti.host.system import System
from ganeti.storage.observations import Observations

Look = Callable[[System], int]


def counting() -> Look:
    """A question whose answer is how often it was asked."""
    numbers: Iterator[int] = iter(range(1, 100))
    return lambda _: next(numbers)


def test_a_question_is_asked_once(system: System) -> None:
    seen, look, other = Observations(system), counting(), counting()
    assert [seen.of(look), seen.of(look), seen.of(other)] == [1, 1, 1]


def test_everything_is_forgotten_or_one_question_alone(system: System) -> None:
    seen, look, other = Observations(system), counting(), counting()
    for question in (look, other):
        seen.of(question)
    seen.forget(look)
    assert [seen.of(look), seen.of(other)] == [2, 1]
    seen.forget()
    assert [seen.of(look), seen.of(other)] == [3, 2]
    seen.forget(counting())
    assert seen.of(look) == 3


def test_a_question_that_failed_fails_again_until_it_is_forgotten(system: System) -> None:
    asked = 0

    def look(_: System) -> int:
        nonlocal asked
        asked += 1
        raise BlockDeviceError("no answer")

    seen = Observations(system)
    for _ in range(2):
        with pytest.raises(BlockDeviceError, match="no answer"):
            seen.of(look)
    assert asked == 1
    seen.forget(look)
    with pytest.raises(BlockDeviceError):
        seen.of(look)
    assert asked == 2
