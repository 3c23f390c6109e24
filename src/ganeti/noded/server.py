"""The master's door: accepts connections, makes them TLS, judges their clients, and drains.

A client is judged right after the handshake, before a byte of HTTP is looked at. What goes wrong with a connection ends
that one alone. It knows nothing of calls.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import cast

from ganeti.host.listening import BACKLOG, Listener
from ganeti.noded.http import Answers, Connection, Limits
from ganeti.noded.tls import Gate, Refused

log = logging.getLogger(__name__)

COMPLAINTS = 20
COMPLAINT_WINDOW_S = 60.0


class Complaints:
    """Logs what was refused, but not more than a few a minute: a scanner must not fill the disk."""

    def __init__(self, now: Callable[[], float], most: int = COMPLAINTS, window_s: float = COMPLAINT_WINDOW_S) -> None:
        """Have logged nothing yet; `now` is a clock in seconds."""
        self._now = now
        self._most = most
        self._window_s = window_s
        self._since = now()
        self._count = 0

    def log(self, text: str, *values: object) -> None:
        """Log a warning, or count it when there were too many."""
        now = self._now()
        if now - self._since > self._window_s:
            if self._count > self._most:
                log.warning("%d more refusals were not logged", self._count - self._most)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= self._most:
            log.warning(text, *values)


class Server:
    """Serves one address; without `context` it is plain HTTP, and everybody may call."""

    def __init__(
        self,
        answers: Answers,
        *,
        context: ssl.SSLContext | None,
        gate: Gate | None,
        limits: Limits | None = None,
    ) -> None:
        """Do nothing until `listen`."""
        self._answers = answers
        self._context = context
        self._gate = gate
        self._limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(self._loop.time)
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._arrivals: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def listen(self, listeners: Sequence[Listener]) -> None:
        """Accept connections on sockets that are bound."""
        for listener in listeners:
            self._servers.append(await self._loop.create_server(self._arrival, sock=listener, backlog=BACKLOG))

    def stop_listening(self) -> None:
        """Close the sockets at once; requests that were begun go on, kept connections are closed."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._connections):
            connection.finish()

    async def drained(self) -> None:
        """Wait until every connection has ended."""
        while self._connections or self._arrivals:
            self._changed.clear()
            await self._changed.wait()

    def _arrival(self) -> asyncio.Protocol:
        return _Arrival(self._welcome)

    def _welcome(self, transport: asyncio.Transport) -> None:
        if self._context is None or self._gate is None:
            connection = self._connection()
            transport.set_protocol(connection)
            connection.begin(transport, transport)
            return
        transport.pause_reading()
        task = self._loop.create_task(self._secure(transport, self._context, self._gate))
        self._arrivals.add(task)
        task.add_done_callback(self._arrived)

    async def _secure(self, transport: asyncio.Transport, context: ssl.SSLContext, gate: Gate) -> None:
        peer = transport.get_extra_info("peername")
        connection = self._connection()
        try:
            secured = await self._loop.start_tls(
                transport,
                connection,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=self._limits.flush_s,
            )
        except OSError as err:
            self._ended(connection)
            self._explain(peer, err)
            return
        if secured is None:
            self._ended(connection)
            return
        try:
            gate.admit(cast("ssl.SSLObject", secured.get_extra_info("ssl_object")).getpeercert(binary_form=True))
        except Refused as err:
            self._complaints.log("Refused a client at %s: %s", _name(peer), err)
            connection.turn_away(secured, transport)
            return
        connection.begin(secured, transport)

    def _explain(self, peer: object, err: OSError) -> None:
        """Log why a handshake failed; a client that only looked whether the port is open is no news."""
        if isinstance(err, ssl.SSLError):
            self._complaints.log("No TLS with %s: %s", _name(peer), getattr(err, "verify_message", "") or err)
        else:
            log.debug("No TLS with %s: %s", _name(peer), err)

    def _connection(self) -> Connection:
        connection = Connection(self._answers, self._limits, self._ended)
        self._connections.add(connection)
        return connection

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._changed.set()

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arrivals.discard(task)
        self._changed.set()
        if not task.cancelled() and (err := task.exception()) is not None:
            log.error("A connection could not be served", exc_info=err)


class _Arrival(asyncio.Protocol):
    """A connection that was accepted and is not yet anything else."""

    def __init__(self, welcome: Callable[[asyncio.Transport], None]) -> None:
        self._welcome = welcome

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._welcome(cast("asyncio.Transport", transport))


def _name(peer: object) -> str:
    match peer:
        case (str(host), int(port), *_):
            return f"{host} port {port}"
        case _:
            return "an unknown address"
