"""Handing metadata on."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti.actions import metadata
from ganeti.actions.node import Node
from ganeti.errors import NodeError, TimedOut
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import Result
from ganeti.host.system import System

OKAY = b'{"success":true,"result":null}\x03'
REFUSED = b'{"success":false,"result":["GenericError",["Could not find instance name"]]}\x03'
BROKEN = b'{"success":false,"result":"Failed to parse request"}\x03'


@pytest.fixture
def node(runner: Any, clock: FakeClock) -> Iterator[Node]:
    """A node below a root so short that a socket's address, of 107 bytes, holds its path."""
    with tempfile.TemporaryDirectory(prefix="metad-", dir="/tmp") as root:
        yield Node.compose(System(paths=Paths(root=Path(root)), runner=runner, clock=clock, hostname="node1"))


class Daemon:
    """Answers one connection at a time with the same bytes; what it was sent is in `messages`."""

    def __init__(self, node: Node, answer: bytes) -> None:
        self.messages: list[bytes] = []
        self._answer = answer
        node.paths.metad_socket.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(node.paths.metad_socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection:
                message = b""
                while not message.endswith(b"\x03"):
                    part = connection.recv(4096)
                    if not part:
                        return
                    message += part
                self.messages.append(message)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def start(node: Node) -> Iterator[Callable[[bytes], Daemon]]:
    daemons: list[Daemon] = []

    def begin(answer: bytes) -> Daemon:
        daemons.append(Daemon(node, answer))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.close()


Start = Callable[[bytes], Daemon]


def test_the_daemon_gets_everything_in_clear(node: Node, start: Start) -> None:
    daemon = start(OKAY)
    sent: dict[str, object] = {"name": "guest1", "osparams_private": {"a": "é"}, "osparams_secret": {}}

    metadata.update(node, sent)

    [message] = daemon.messages
    assert message.endswith(b"\n\x03")
    assert json.loads(message[:-1]) == {"method": "updateConfig", "args": [sent]}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (REFUSED, "refuses: Could not find instance name"),
        (BROKEN, "refuses: Failed to parse"),
        (b"", "without an answer"),
        (b'{"success":true', "without an answer"),
        (b"nonsense\x03", "not understood"),
        (b"{}\x03", "not understood"),
    ],
)
def test_what_the_daemon_refuses_is_told(node: Node, start: Start, answer: bytes, words: str) -> None:
    start(answer)

    with pytest.raises(NodeError, match=words):
        metadata.update(node, {})


def test_a_daemon_that_does_not_run_is_started(node: Node, runner: Any, start: Start) -> None:
    daemons: list[Daemon] = []
    runner.answer = lambda _: daemons.append(start(OKAY))

    metadata.update(node, {})

    assert [call.argv for call in runner.ran] == [(str(node.paths.daemon_util), "start", "ganeti-metad")]
    assert len(daemons[0].messages) == 1


def test_a_daemon_that_cannot_be_started_or_never_answers_is_told(node: Node, runner: Any) -> None:
    with pytest.raises(TimedOut, match="does not answer"):
        metadata.update(node, {})
    runner.answer = lambda call: Result(argv=call.argv, exit_code=1)
    with pytest.raises(NodeError, match="cannot be started"):
        metadata.update(node, {})
