"""From a call's name and body to the body of the answer."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable

import pytest

from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError
from ganeti.noded.dispatch import Dispatcher, UnknownCall
from ganeti.noded.table import Call, Lane


def answers(node: Node, table: dict[str, Call], questions: Callable[[Dispatcher], object], threads: int = 2) -> None:
    """Run a coroutine function with a dispatcher."""

    async def run() -> None:
        dispatcher = Dispatcher(node, table, short_threads=threads, long_threads=threads)
        try:
            result = questions(dispatcher)
            assert asyncio.iscoroutine(result)
            await asyncio.wait_for(result, 20)
        finally:
            dispatcher.close()

    asyncio.run(run())


def one(node: Node, action: Callable[..., object], body: bytes = b"[]", lane: Lane = Lane.SHORT) -> list[object]:
    """The decoded answer of one call of an action."""
    found: list[object] = []

    async def ask(dispatcher: Dispatcher) -> None:
        found.extend(json.loads(await dispatcher.answer("version", body)))

    answers(node, {"version": Call("version", action, lane=lane)}, ask)
    return found


@pytest.mark.parametrize("lane", list(Lane))
def test_a_result_is_a_pair_with_true(node: Node, lane: Lane) -> None:
    def hostname(node: Node) -> str:
        return node.hostname

    assert one(node, hostname, lane=lane) == [True, "node1.example.com"]


def test_an_error_of_the_node_is_told_by_its_text_and_logged_once(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    def fail(node: Node) -> None:
        raise BlockDeviceError("disk vg/lv is in use")

    assert one(node, fail) == [False, "disk vg/lv is in use"]
    assert [record.getMessage() for record in caplog.records] == ["Call version failed: disk vg/lv is in use"]


def test_an_error_without_text_still_says_something(node: Node) -> None:
    def fail(node: Node) -> None:
        raise BlockDeviceError

    assert one(node, fail) == [False, "version failed"]


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), OSError(5, "Input/output error"), AssertionError()])
def test_an_error_of_the_program_ends_this_call_alone(
    node: Node, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(node: Node) -> None:
        raise error

    succeeded, text = one(node, fail)
    assert (succeeded, type(error).__name__ in str(text)) == (False, True)
    assert caplog.records[0].exc_info is not None


def test_a_result_without_json_form_is_a_failure(node: Node) -> None:
    def strange(node: Node) -> object:
        return object()

    assert one(node, strange)[0] is False


def test_a_refused_argument_is_named_and_the_action_does_not_run(node: Node) -> None:
    ran: list[int] = []

    def wipe(node: Node, size: int) -> None:
        ran.append(size)

    assert one(node, wipe, b'["x"]') == [False, "version: invalid argument 'size': Expected int, got str"]
    assert ran == []


def test_bodies_are_logged_at_debug_level_only(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    def wipe(node: Node, size: int) -> None:
        """Never run."""

    caplog.set_level(logging.INFO)
    one(node, wipe, b'["drbd secret"]')
    assert "drbd secret" not in caplog.text


def test_an_unknown_call_is_told_apart(node: Node) -> None:
    async def ask(dispatcher: Dispatcher) -> None:
        assert not dispatcher.knows("nothing")
        with pytest.raises(UnknownCall):
            await dispatcher.answer("nothing", b"[]")

    answers(node, {}, ask)


def test_long_calls_do_not_hold_up_short_ones(node: Node) -> None:
    go_on = threading.Event()

    def wipe(node: Node) -> None:
        assert go_on.wait(20)

    def version(node: Node) -> int:
        return 1

    async def ask(dispatcher: Dispatcher) -> None:
        waiting = [asyncio.create_task(dispatcher.answer("blockdev_wipe", b"[]")) for _ in range(20)]
        assert await dispatcher.answer("version", b"[]") == b"[true,1]\n"
        go_on.set()
        assert await asyncio.gather(*waiting) == [b"[true,null]\n"] * 20

    table = {
        "blockdev_wipe": Call("blockdev_wipe", wipe, lane=Lane.LONG),
        "version": Call("version", version),
    }
    answers(node, table, ask)


def test_an_instant_call_is_answered_when_both_lanes_are_full(node: Node) -> None:
    go_on = threading.Event()

    def wait(node: Node) -> None:
        assert go_on.wait(20)

    def version(node: Node) -> int:
        return 1

    async def ask(dispatcher: Dispatcher) -> None:
        names = ["blockdev_wipe", "node_info"] * 5
        waiting = [asyncio.create_task(dispatcher.answer(name, b"[]")) for name in names]
        assert await dispatcher.answer("version", b"[]") == b"[true,1]\n"
        go_on.set()
        await asyncio.gather(*waiting)

    table = {
        "blockdev_wipe": Call("blockdev_wipe", wait, lane=Lane.LONG),
        "node_info": Call("node_info", wait),
        "version": Call("version", version, lane=Lane.INSTANT),
    }
    answers(node, table, ask, threads=1)


class TestSharing:
    """Identical questions in flight."""

    class Counted:
        """An action that waits and counts its runs."""

        def __init__(self) -> None:
            self.runs = 0
            self.begun = threading.Event()
            self.go_on = threading.Event()

        def table(self, *, shared: bool) -> dict[str, Call]:
            """The action as a call."""

            def node_info(node: Node, question: str) -> str:
                self.runs += 1
                self.begun.set()
                assert self.go_on.wait(20)
                return question

            return {"node_info": Call("node_info", node_info, shared=shared)}

    @pytest.mark.parametrize(
        ("shared", "bodies", "runs"),
        [(True, [b'["a"]'] * 5, 1), (False, [b'["a"]'] * 5, 5), (True, [b'["a"]', b'["b"]', b'["a"]'], 2)],
    )
    def test_they_run_once_when_the_row_says_so(self, node: Node, shared: bool, bodies: list[bytes], runs: int) -> None:
        counted = self.Counted()

        async def ask(dispatcher: Dispatcher) -> None:
            waiting = [asyncio.create_task(dispatcher.answer("node_info", body)) for body in bodies]
            await asyncio.sleep(0)
            counted.go_on.set()
            found = [json.loads(answer)[1] for answer in await asyncio.gather(*waiting)]
            assert found == [json.loads(body)[0] for body in bodies]

        answers(node, counted.table(shared=shared), ask, threads=8)
        assert counted.runs == runs

    def test_a_later_question_is_asked_again(self, node: Node) -> None:
        counted = self.Counted()
        counted.go_on.set()

        async def ask(dispatcher: Dispatcher) -> None:
            await dispatcher.answer("node_info", b'["a"]')
            await dispatcher.answer("node_info", b'["a"]')

        answers(node, counted.table(shared=True), ask)
        assert counted.runs == 2

    def test_one_who_goes_away_does_not_take_the_answer_with_him(self, node: Node) -> None:
        counted = self.Counted()

        async def ask(dispatcher: Dispatcher) -> None:
            first = asyncio.create_task(dispatcher.answer("node_info", b'["a"]'))
            second = asyncio.create_task(dispatcher.answer("node_info", b'["a"]'))
            await asyncio.to_thread(counted.begun.wait, 20)
            first.cancel()
            counted.go_on.set()
            assert await second == b'[true,"a"]\n'

        answers(node, counted.table(shared=True), ask)
