"""Load on one call of a node daemon: new or kept TLS connections, several at once, with as little work as possible.

Two processes share the connections; each drives its part from one loop over raw sockets. Nothing is resumed between
connections, as by the master's client. The processor time left is the daemon's.
"""

from __future__ import annotations

import json
import multiprocessing
import select
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection as PipeEnd
from pathlib import Path

PROCESSES = 2
READ, WRITE = select.EPOLLIN, select.EPOLLOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where and how to call."""

    port: int
    client_pem: Path
    server_pem: Path

    def context(self) -> ssl.SSLContext:
        """A client as the packaged master's: it verifies the certificate, not the name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.server_pem)
        context.load_cert_chain(self.client_pem)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to do: `at_once` connections for `seconds`, each with one request, or with many when `kept`."""

    name: str
    body: bytes
    at_once: int = 1
    seconds: float = 3.0
    kept: bool = False

    @property
    def request(self) -> bytes:
        """The bytes of one request. On a new connection it has the headers of the master's client and no others:

        with `Connection: close` the packaged daemon takes 40 ms longer.
        """
        kept = "Connection: keep-alive\r\n" if self.kept else ""
        return (
            f"POST /{self.name} HTTP/1.1\r\nHost: 127.0.0.1:1811\r\nUser-Agent: Ganeti 3.0.2\r\nAccept: */*\r\n{kept}"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of it. `latencies_s` is sorted; a connection that could not be kept counts in `connections`."""

    latencies_s: list[float]
    seconds: float
    connections: int
    answer_bytes: int


class WrongAnswer(Exception):
    """The daemon answered something else than a success."""


def run(target: Target, load: Load) -> Result:
    """Make the load. Raises: WrongAnswer, OSError."""
    processes = min(PROCESSES, load.at_once)
    shares = [load.at_once // processes + (index < load.at_once % processes) for index in range(processes)]
    workers = []
    for share in shares:
        ours, theirs = multiprocessing.Pipe()
        worker = multiprocessing.Process(target=_work, args=(target, load, share, theirs))
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    answers = [pipe.recv() for _, pipe in workers]
    for worker, _ in workers:
        worker.join()
    for answer in answers:
        if isinstance(answer, str):
            raise WrongAnswer(f"{load.name}: {answer}")
    return Result(
        latencies_s=sorted(latency for answer in answers for latency in answer["latencies"]),
        seconds=max(answer["seconds"] for answer in answers),
        connections=sum(answer["connections"] for answer in answers),
        answer_bytes=max(answer["bytes"] for answer in answers),
    )


def _work(target: Target, load: Load, at_once: int, pipe: PipeEnd) -> None:
    worker = _Worker(target, load)
    try:
        seconds = worker.run(at_once)
    except (OSError, WrongAnswer) as err:
        pipe.send(f"{type(err).__name__}: {err}")
        return
    pipe.send(
        {
            "latencies": worker.latencies,
            "seconds": seconds,
            "connections": worker.connections,
            "bytes": worker.answer_bytes,
        }
    )


Wait = tuple[socket.socket, int]


class _Worker:
    """One process's part."""

    def __init__(self, target: Target, load: Load) -> None:
        self._address = ("127.0.0.1", target.port)
        self._context = target.context()
        self._load = load
        self._request = load.request
        self._end = 0.0
        self.latencies: list[float] = []
        self.connections = 0
        self.answer_bytes = 0

    def run(self, at_once: int) -> float:
        """Drive the connections until the time is over; returns how long it took in seconds."""
        epoll = select.epoll()
        start = time.monotonic()
        self._end = start + self._load.seconds
        waiting: dict[int, Iterator[Wait]] = {}
        for _ in range(at_once):
            self._go_on(self._calls(), epoll, waiting)
        while waiting:
            for descriptor, _ in epoll.poll(60):
                self._go_on(waiting.pop(descriptor), epoll, waiting)
        epoll.close()
        return time.monotonic() - start

    @staticmethod
    def _go_on(calls: Iterator[Wait], epoll: select.epoll, waiting: dict[int, Iterator[Wait]]) -> None:
        try:
            connection, events = next(calls)
        except StopIteration:
            return
        descriptor = connection.fileno()
        waiting[descriptor] = calls
        try:
            epoll.modify(descriptor, events | select.EPOLLONESHOT)
        except FileNotFoundError:
            epoll.register(descriptor, events | select.EPOLLONESHOT)

    def _calls(self) -> Iterator[Wait]:
        """One request after the other (one at least), yielding whatever has to be waited for."""
        is_first = True
        while is_first or time.monotonic() < self._end:
            is_first = False
            begun = time.perf_counter()
            connection = yield from self._connect()
            is_kept = True
            while is_kept:
                is_kept = yield from self._exchange(connection)
                self.latencies.append(time.perf_counter() - begun)
                is_kept = is_kept and self._load.kept and time.monotonic() < self._end
                begun = time.perf_counter()
            connection.close()

    def _connect(self) -> Generator[Wait, None, ssl.SSLSocket]:
        self.connections += 1
        raw = socket.socket()
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect_ex(self._address)
        yield raw, WRITE
        connection = self._context.wrap_socket(raw, do_handshake_on_connect=False)
        while True:
            try:
                connection.do_handshake()
            except ssl.SSLWantReadError:
                yield connection, READ
            else:
                return connection

    def _exchange(self, connection: ssl.SSLSocket) -> Generator[Wait, None, bool]:
        connection.send(self._request)
        answer = b""
        size: int | None = None
        while size is None or len(answer) < size:
            try:
                data = connection.recv(262144)
            except ssl.SSLWantReadError:
                yield connection, READ
                continue
            if not data:
                break
            answer += data
            if size is None and (end := answer.find(b"\r\n\r\n")) >= 0:
                size = end + 4 + int(answer[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if not answer.startswith(b"HTTP/1.1 200 ") or len(answer) != size:
            raise WrongAnswer(repr(answer[:200]))
        head, _, body = answer.partition(b"\r\n\r\n")
        if not self.answer_bytes and json.loads(body)[0] is not True:
            raise WrongAnswer(repr(body[:200]))
        self.answer_bytes = len(body)
        return b"keep-alive" in head.lower()
