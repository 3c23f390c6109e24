"""A server on a port of the loopback interface in this process, and a client that sends bytes to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.host import certificates
from ganeti.host.clock import SystemClock
from ganeti.host.listening import open_listener
from ganeti.noded.dispatch import Dispatcher
from ganeti.noded.http import Limits
from ganeti.noded.server import Server
from ganeti.noded.table import Call
from ganeti.noded.tls import Gate, server_context

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    version: str

    @property
    def payload(self) -> object:
        """The second element of a pair whose first is true."""
        succeeded, payload = json.loads(self.body)
        assert succeeded is True, payload
        return payload

    @property
    def failure(self) -> str:
        """The text of a failed call."""
        succeeded, text = json.loads(self.body)
        assert succeeded is False, text
        return str(text)


class Running:
    """A server that runs in a thread."""

    def __init__(self, port: int, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self._server = server
        self._loop = loop

    def stop_listening(self) -> None:
        """Close the port, as at the daemon's end."""
        done = threading.Event()

        def stop() -> None:
            self._server.stop_listening()
            done.set()

        self._loop.call_soon_threadsafe(stop)
        assert done.wait(PATIENCE_S)

    def drained(self) -> None:
        """Wait for the last connection's end."""
        asyncio.run_coroutine_threadsafe(self._server.drained(), self._loop).result(PATIENCE_S)

    def connect(self, context: ssl.SSLContext | None = None) -> socket.socket:
        """A connection, made TLS with `context`."""
        raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        if context is None:
            return raw
        try:
            return context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise

    def post(self, name: str, body: str | bytes, context: ssl.SSLContext | None = None) -> Reply:
        """One request on a connection of its own. Raises: OSError when there is no answer."""
        with self.connect(context) as connection:
            connection.sendall(request(name, body))
            return read_reply(connection)


@contextlib.contextmanager
def running(
    node: Node, table: Mapping[str, Call], *, limits: Limits | None = None, tls: bool = False, threads: int = 4
) -> Iterator[Running]:
    """Serve a table on a free port; at the end everything must have been answered."""
    started = threading.Event()
    ended = threading.Event()
    found: list[Running] = []

    async def serve() -> None:
        dispatcher = Dispatcher(node, table, short_threads=threads, long_threads=threads)
        context = gate = None
        if tls:
            pem = node.paths.server_pem
            context, gate = server_context(pem, pem, pem), Gate(node.paths, certificates.first_der(pem))
        server = Server(dispatcher, context=context, gate=gate, limits=limits)
        listener = open_listener(SystemClock(), "127.0.0.1", 0)
        await server.listen([listener])
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        found.append(Running(listener.getsockname()[1], server, loop))
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        started.set()
        await stop.wait()
        server.stop_listening()
        await asyncio.wait_for(server.drained(), PATIENCE_S)
        dispatcher.close()
        ended.set()

    stops: list[object] = []
    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert started.wait(PATIENCE_S)
    try:
        yield found[0]
    finally:
        for stop in stops:
            assert callable(stop)
            stop()
        thread.join()
    assert ended.is_set()


def client(identity: Path | None, authority: Path) -> ssl.SSLContext:
    """A client as the master's: it verifies the server against the cluster's certificate, not its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority)
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def request(name: str, body: str | bytes, *, version: str = "1.1", headers: str = "") -> bytes:
    """A request as the master sends it."""
    content = body.encode() if isinstance(body, str) else body
    head = f"POST /{name} HTTP/{version}\r\nHost: node1\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return head.encode() + content


def read_reply(connection: socket.socket) -> Reply:
    """One answer. Raises: ConnectionError when the connection ends before."""
    file = connection.makefile("rb")
    line = file.readline()
    if not line:
        raise ConnectionResetError("no answer")
    version, status, _ = line.decode().split(" ", 2)
    headers = []
    while header := file.readline().decode().strip():
        name, _, value = header.partition(": ")
        headers.append((name, value))
    body = file.read(int(dict(headers)["Content-Length"]))
    return Reply(int(status), tuple(headers), body, version)


def is_ended(connection: socket.socket) -> bool:
    """Wait for the other side to close; false when it sends something."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
