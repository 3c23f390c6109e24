"""HTTP on a connection, and its limits, without TLS."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.unit.noded.harness import Running, is_ended, read_reply, request, running

from ganeti.actions.node import Node
from ganeti.noded.http import Limits
from ganeti.noded.table import Call, Lane

LIMITS = Limits(head_bytes=4096, body_bytes=10000, silence_s=0.3, kept_s=0.3)


@dataclass
class Spy:
    """An action that notes what it was called with, and one that waits to be let go."""

    seen: list[object] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def wipe(self, node: Node, text: str) -> str:
        """Answer with the argument."""
        del node
        self.seen.append(text)
        return text

    def wait(self, node: Node) -> str:
        """Answer when told to."""
        del node
        self.begun.set()
        assert self.go_on.wait(20)
        return "waited"


@pytest.fixture
def spy() -> Spy:
    """What the table's actions do."""
    return Spy()


@pytest.fixture
def server(node: Node, spy: Spy) -> Iterator[Running]:
    """A server with small limits."""
    with running(node, table(spy), limits=LIMITS) as server:
        yield server
        spy.go_on.set()


def table(spy: Spy) -> dict[str, Call]:
    """Two calls of the protocol with actions of the test."""

    def wipe(node: Node, text: str) -> str:
        return spy.wipe(node, text)

    def wait(node: Node) -> str:
        return spy.wait(node)

    return {"blockdev_wipe": Call("blockdev_wipe", wipe), "test_delay": Call("test_delay", wait, lane=Lane.LONG)}


def exchange(server: Running, data: bytes) -> int:
    """Send bytes on a connection of their own; the status of the answer."""
    with server.connect() as connection:
        connection.sendall(data)
        return read_reply(connection).status


# Answers -------------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_headers_of_the_protocol_in_their_order(server: Running) -> None:
    reply = server.post("blockdev_wipe", '["x"]')
    assert [name for name, _ in reply.headers] == ["Connection", "Date", "Server", "Content-Length"]
    assert dict(reply.headers)["Connection"] == "close"
    assert dict(reply.headers)["Server"].startswith("Ganeti ")
    assert (reply.version, reply.status, reply.body) == ("HTTP/1.1", 200, b'[true,"x"]\n')


def test_the_connection_is_closed_after_the_answer(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(request("blockdev_wipe", '["x"]'))
        read_reply(connection)
        assert is_ended(connection)


def test_http_1_0_is_answered_as_such_and_needs_no_host(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b'POST /blockdev_wipe HTTP/1.0\r\nContent-Length: 5\r\n\r\n["x"]')
        assert read_reply(connection).version == "HTTP/1.0"


def test_a_failure_is_an_answer_with_status_200(server: Running) -> None:
    assert server.post("blockdev_wipe", "[1]").status == 200


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/html"])
def test_the_content_type_means_nothing(server: Running, content_type: str) -> None:
    data = request("blockdev_wipe", '["x"]', headers=f"Content-Type: {content_type}\r\nExpect:\r\n")
    assert exchange(server, data) == 200


def test_a_body_may_come_in_pieces(server: Running, spy: Spy) -> None:
    data = request("blockdev_wipe", json.dumps(["x" * 9000]))
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), 1000):
            connection.sendall(data[start : start + 1000])
        assert read_reply(connection).status == 200
    assert spy.seen == ["x" * 9000]


def test_a_body_beyond_ascii_is_counted_in_bytes(server: Running) -> None:
    reply = server.post("blockdev_wipe", '["Grüße 😀"]')
    assert reply.payload == "Grüße 😀"
    assert reply.body.isascii()


def test_a_client_that_closed_its_side_still_gets_its_answer(server: Running, spy: Spy) -> None:
    with server.connect() as connection:
        connection.sendall(request("test_delay", "[]"))
        connection.shutdown(socket.SHUT_WR)
        assert spy.begun.wait(20)
        spy.go_on.set()
        assert read_reply(connection).payload == "waited"


# What is not a call --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /blockdev_wipe HTTP/1.1\r\nHost: n\r\n\r\n", 400),
        (b"PUT /blockdev_wipe HTTP/1.1\r\nHost: n\r\nContent-Length: 0\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: n\r\n\r\n", 400),
        (b"CONNECT node1:1811 HTTP/1.1\r\nHost: n\r\n\r\n", 400),
        (b"POST /blockdev_wipe HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]", 400),
        (b"POST /nothing HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST /blockdev_wipe/ HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST //blockdev_wipe HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST /blockdev_wipe?x=1 HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST /blockdev%5fwipe HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST /__init__ HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 404),
        (b"POST /blockdev_wipe HTTP/2.0\r\nHost: n\r\nContent-Length: 2\r\n\r\n[]", 505),
        (b"POST /blockdev_wipe HTTP/1.1\r\nHost: n\r\nContent-Length: 1x\r\n\r\n[]", 400),
        (b"POST /blockdev_wipe HTTP/1.1\r\nHost: n\r\nContent-Length: -1\r\n\r\n[]", 400),
        (b"POST /blockdev_wipe HTTP/1.1\r\nHost: n\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 400),
    ],
)
def test_what_is_not_a_call_is_refused_and_runs_nothing(server: Running, spy: Spy, data: bytes, status: int) -> None:
    assert exchange(server, data) == status
    assert spy.seen == []
    assert server.post("blockdev_wipe", '["still there"]').payload == "still there"


def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(server: Running) -> None:
    assert exchange(server, b"POST /blockdev_wipe HTTP/1.1\r\nHost: n\r\nContent-Length: 10001\r\n\r\n") == 413


def test_a_body_over_the_limit_in_pieces_without_length_is_refused(server: Running) -> None:
    head = b"POST /blockdev_wipe HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert exchange(server, head + b"2711\r\n" + b" " * 10001 + b"\r\n0\r\n\r\n") == 413


def test_a_head_over_the_limit_is_refused(server: Running) -> None:
    head = b"POST /blockdev_wipe HTTP/1.1\r\nHost: n\r\n"
    assert exchange(server, head + b"X: " + b"y" * 5000) == 431
    assert exchange(server, b"POST /" + b"y" * 5000) == 431


def test_a_whole_request_with_a_head_over_the_limit_is_refused(server: Running, spy: Spy) -> None:
    assert exchange(server, request("blockdev_wipe", '["x"]', headers=f"X: {'y' * 5000}\r\n")) == 431
    assert spy.seen == []


# Silence -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"POST /block", request("blockdev_wipe", '["x"]')[:-1]])
def test_a_client_that_falls_silent_is_dropped_without_answer(server: Running, spy: Spy, data: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(data)
        assert is_ended(connection)
    assert spy.seen == []


def test_a_call_may_take_longer_than_a_client_may_be_silent(server: Running, spy: Spy) -> None:
    with server.connect() as connection, server.connect() as silent:
        connection.sendall(request("test_delay", "[]"))
        assert spy.begun.wait(20)
        assert is_ended(silent)
        spy.go_on.set()
        assert read_reply(connection).payload == "waited"


# Kept connections ----------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_when_the_client_asks_for_it(server: Running, spy: Spy) -> None:
    with server.connect() as connection:
        for number in range(3):
            connection.sendall(request("blockdev_wipe", f'["{number}"]', headers="Connection: keep-alive\r\n"))
            assert dict(read_reply(connection).headers)["Connection"] == "keep-alive"
    assert spy.seen == ["0", "1", "2"]


def test_an_idle_kept_connection_is_closed(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(request("blockdev_wipe", '["x"]', headers="Connection: keep-alive\r\n"))
        read_reply(connection)
        assert is_ended(connection)


def test_a_second_request_before_the_first_answer_is_not_served(server: Running, spy: Spy) -> None:
    one = request("blockdev_wipe", '["x"]', headers="Connection: keep-alive\r\n")
    with server.connect() as connection:
        connection.sendall(one + one)
        assert dict(read_reply(connection).headers)["Connection"] == "close"
        assert is_ended(connection)
    assert spy.seen == ["x"]


# The end of the daemon -----------------------------------------------------------------------------------------------


def test_a_running_call_is_answered_after_the_port_was_closed(node: Node, spy: Spy) -> None:
    with running(node, table(spy)) as server, server.connect() as connection:
        connection.sendall(request("test_delay", "[]", headers="Connection: keep-alive\r\n"))
        assert spy.begun.wait(20)
        server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        spy.go_on.set()
        reply = read_reply(connection)
        assert (reply.payload, dict(reply.headers)["Connection"]) == ("waited", "close")
        server.drained()


def test_an_idle_kept_connection_does_not_hold_up_the_end(node: Node, spy: Spy) -> None:
    with running(node, table(spy)) as server, server.connect() as connection:
        connection.sendall(request("blockdev_wipe", '["x"]', headers="Connection: keep-alive\r\n"))
        read_reply(connection)
        server.stop_listening()
        assert is_ended(connection)
        server.drained()
