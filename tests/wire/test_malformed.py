"""Malformed requests to every call of the table: the answer names what is wrong, and no action runs.

The actions are replaced by spies with the same parameters; everything else, from the body's bytes on, is real.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.host.transcript import ReplayRunner
from ganeti.noded import table
from ganeti.noded.codec import Signature
from ganeti.noded.dispatch import Dispatcher
from ganeti.noded.table import Call, Lane

EXAMPLES = 200
LEAST_REFUSED = 50
TABLE = table.load()
WITH_ARGUMENTS = sorted(name for name, call in TABLE.items() if len(inspect.signature(call.action).parameters) > 1)
WITH_AN_ARRAY = [name for name in WITH_ARGUMENTS if not TABLE[name].body_is_argument]
WITH_A_DUTY = [
    name
    for name in WITH_AN_ARRAY
    if any(p.default is p.empty for p in [*inspect.signature(TABLE[name].action).parameters.values()][1:])
]
WITHOUT_ARGUMENTS = sorted(set(TABLE) - set(WITH_ARGUMENTS))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8
)
NOT_JSON = st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()[:-1]) | st.just(b"[1]]")
ARRAYS = st.lists(VALUES, max_size=12).map(lambda values: json.dumps(values).encode())
BODIES = NOT_JSON | ARRAYS | VALUES.map(lambda value: json.dumps(value).encode())


class Spied:
    """A dispatcher with the one call under test, whose action only notes that it ran."""

    def __init__(self, name: str) -> None:
        """Put a spy in the action's place."""
        call = TABLE[name]
        self.name = name
        self.runs = 0
        self.signature = Signature(call.action, body_is_argument=call.body_is_argument)
        self.parameters = [*inspect.signature(call.action).parameters][1:]
        system = System(paths=Paths(), runner=ReplayRunner(()), clock=FakeClock())
        spy = replace(call, action=self._spy_on(call), lane=Lane.INSTANT, shared=False)
        self._dispatcher = Dispatcher(Node.compose(system), {name: spy})

    def answer(self, body: bytes) -> tuple[bool, object]:
        """What the call answers to a body."""
        data = without_loop(self._dispatcher.answer(self.name, body))
        assert data.isascii()
        assert data.endswith(b"\n")
        succeeded, payload = json.loads(data)
        return bool(succeeded), payload

    def is_meant_to_fail(self, body: bytes) -> bool:
        """Whether the schema, asked by itself, refuses the body."""
        try:
            self.signature.decode(body)
        except NodeError:
            return True
        return False

    def _spy_on(self, call: Call) -> Callable[..., object]:
        @functools.wraps(call.action)
        def spy(*args: object, **kwargs: object) -> None:
            del args, kwargs
            self.runs += 1

        return spy


def without_loop(coroutine: Coroutine[object, object, bytes]) -> bytes:
    """The result of a coroutine that waits for nothing: an event loop for each example would take most of the time."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return bytes(end.value)
    raise AssertionError("an instant call waited for something")


@functools.cache
def spied(name: str) -> Spied:
    """One spy a call, for all its examples."""
    return Spied(name)


def refuse_everywhere(names: Sequence[str], bodies: st.SearchStrategy[bytes], words: tuple[str, ...]) -> None:
    """Send each body to every call: making it takes much longer than refusing it.

    A call that would take a body is left out for it, but each must have refused enough of them.
    """
    refused: Counter[str] = Counter()

    @hypothesis.settings(max_examples=EXAMPLES)
    @given(body=bodies)
    def send_to_all(body: bytes) -> None:
        for name in names:
            call = spied(name)
            if not call.is_meant_to_fail(body):
                continue
            call.runs = 0
            succeeded, text = call.answer(body)
            assert (name, succeeded, call.runs) == (name, False, 0)
            assert isinstance(text, str)
            assert text.startswith(f"{name}: ")
            assert any(word in text for word in words)
            refused[name] += 1

    send_to_all()
    assert refused.keys() == set(names)
    assert min(refused.values()) >= LEAST_REFUSED


def test_arbitrary_bodies_are_refused_by_every_call_before_its_action_runs() -> None:
    refuse_everywhere(WITH_ARGUMENTS, BODIES, ("argument", "JSON"))


def test_what_is_not_json_is_refused_by_every_call_without_arguments() -> None:
    refuse_everywhere(WITHOUT_ARGUMENTS, NOT_JSON, ("JSON",))


@pytest.mark.parametrize("name", WITHOUT_ARGUMENTS)
@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b"[1, 2]", b'"x"'])
def test_a_call_without_arguments_takes_any_json(name: str, body: bytes) -> None:
    call = spied(name)
    call.runs = 0
    assert call.answer(body) == (True, None)
    assert call.runs == 1


@pytest.mark.parametrize("name", WITH_A_DUTY)
def test_too_few_arguments_name_the_first_that_is_missing(name: str) -> None:
    call = spied(name)
    call.runs = 0
    succeeded, text = call.answer(b"[]")
    assert (succeeded, call.runs) == (False, 0)
    assert f"invalid argument {call.parameters[0]!r}: missing" in str(text)


@pytest.mark.parametrize("name", WITH_AN_ARRAY)
def test_too_many_arguments_are_called_surplus(name: str) -> None:
    call = spied(name)
    call.runs = 0
    succeeded, text = call.answer(json.dumps([None] * (len(call.parameters) + 1)).encode())
    assert (succeeded, call.runs) == (False, 0)
    assert "surplus" in str(text)


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_an_argument_that_can_never_be_right_is_named(name: str) -> None:
    """No parameter takes an array of arrays of an object that nobody knows."""
    call = spied(name)
    call.runs = 0
    wrong = [[{"no such field": 1}]]
    body = wrong if TABLE[name].body_is_argument else [wrong] * len(call.parameters)
    succeeded, text = call.answer(json.dumps(body).encode())
    assert (succeeded, call.runs) == (False, 0)
    assert f"invalid argument '{call.parameters[0]}" in str(text)
