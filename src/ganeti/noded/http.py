"""HTTP on one connection: POST requests in, answers out, within limits.

The path is a call's name and the body its arguments. It knows nothing of TLS: it is given a connection whose client may
call. httptools parses; there is no ASGI server around it, because this door needs nothing of one and it would add a
third to the time the daemon takes to start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from ganeti.constants import MIB, RELEASE_VERSION

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may take. A kept connection is one whose client asked to send another request on it.

    `flush_s` is how long a client may take to receive its answer, `goodbye_s` how long to close its side after that.
    """

    head_bytes: int = 16384
    body_bytes: int = 64 * MIB
    silence_s: float = 10.0
    kept_s: float = 75.0
    handshake_s: float = 10.0
    flush_s: float = 30.0
    goodbye_s: float = 1.0


class Answers(Protocol):
    """What answers calls."""

    def knows(self, name: str) -> bool:
        """Whether there is a call of that name."""
        ...

    async def answer(self, name: str, body: bytes) -> bytes:
        """The body of the answer to a call that is known."""
        ...


@dataclass(slots=True, kw_only=True)
class _Request:
    """What is known of the request that is arriving or being answered."""

    url: bytes = b""
    version: str = "1.1"
    has_host: bool = False
    keep: bool = False
    crowded: bool = False
    announced: int = 0
    head_bytes: int = 0
    arrived_bytes: int = 0
    head_complete: bool = False
    body: list[bytes] = field(default_factory=list)
    body_bytes: int = 0
    begun: bool = False
    done: bool = False

    @property
    def name(self) -> str:
        """The call's name: the path without its leading slash."""
        return self.url.removeprefix(b"/").decode("latin-1")


class Connection(asyncio.Protocol):
    """One client's connection, from when its client was admitted until it is closed.

    Bytes that arrive before `begin` are kept and not looked at.
    """

    def __init__(self, answers: Answers, limits: Limits, on_end: Callable[[Connection], None]) -> None:
        """Wait for `begin`; `on_end` is called once when the connection is gone."""
        self._answers = answers
        self._limits = limits
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._wire: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._early = b""
        self._last_data = 0.0
        self._patience_s = limits.silence_s
        self._closing_asked = False
        self._parser = HttpRequestParser(self)
        self._request = _Request()

    # What the server does with it ---------------------------------------------------------------------------------

    def begin(self, transport: asyncio.Transport, wire: asyncio.Transport) -> None:
        """Serve requests on `transport`, whose bytes travel over `wire` (itself when it is not TLS)."""
        self._transport = transport
        self._wire = wire
        self._wait_for_data(self._limits.silence_s)
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def turn_away(self, transport: asyncio.Transport, wire: asyncio.Transport) -> None:
        """Close `transport` without looking at what arrived or arrives."""
        self._request.done = True
        self._early = b""
        self._transport = transport
        self._wire = wire
        self._close(transport)

    def finish(self) -> None:
        """Take no further request; what was begun is answered."""
        self._closing_asked = True
        if self._transport is not None and self._task is None and not self._request.begun:
            self._close(self._transport)

    # What the transport tells -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if self._request.done:
            self._request.crowded = True
            return
        if self._transport is None:
            self._early += data
            return
        self._last_data = self._loop.time()
        self._request.begun = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._refuse(HTTPStatus.BAD_REQUEST, "this protocol is spoken here alone")
        except HttpParserError as err:
            self._refuse(HTTPStatus.BAD_REQUEST, f"not a request: {err}")
        if not self._request.head_complete:
            self._request.arrived_bytes += len(data)
            self._judge_head_size(self._request.arrived_bytes)

    def eof_received(self) -> bool:
        """Keep a connection whose client has only closed its sending side until it has its answer.

        TLS has no such half of a connection.
        """
        is_tls = self._transport is None or self._transport.get_extra_info("sslcontext") is not None
        return self._task is not None and not is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a call that runs goes on to its end."""
        if exc is not None:
            log.debug("Connection lost: %s", exc)
        self._stop_timer()
        self._request.done = True
        self._transport = None
        self._on_end(self)

    # What the parser tells ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notice a second request before the first is answered: it is not served, and the connection is closed."""
        if self._request.done:
            self._request.crowded = True

    def on_url(self, url: bytes) -> None:
        """Collect the path."""
        if not self._request.done:
            self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look at the headers that matter."""
        if self._request.done:
            return
        self._request.head_bytes += len(name) + len(value)
        match name.lower():
            case b"host":
                self._request.has_host = True
            case b"content-length":
                # The parser has refused anything but digits.
                self._request.announced = int(value)
            case b"connection":
                self._request.keep = value.strip().lower() == b"keep-alive"
            case _:
                pass

    def on_headers_complete(self) -> None:
        """Judge the request before its body is read."""
        request = self._request
        if request.done:
            return
        request.head_complete = True
        self._judge_head_size(request.head_bytes + len(request.url))
        request.version = self._parser.get_http_version()
        if self._parser.get_method() != b"POST":
            self._refuse(HTTPStatus.BAD_REQUEST, "only POST is spoken here")
        elif request.version not in {"1.0", "1.1"}:
            self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        elif request.version == "1.1" and not request.has_host:
            self._refuse(HTTPStatus.BAD_REQUEST, "the Host header is missing")
        elif not self._answers.knows(request.name):
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no call {request.name!r}")
        elif request.announced > self._limits.body_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the limit is {self._limits.body_bytes} bytes")

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._request.done:
            return
        self._request.body.append(body)
        self._request.body_bytes += len(body)
        if self._request.body_bytes > self._limits.body_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the limit is {self._limits.body_bytes} bytes")

    def on_message_complete(self) -> None:
        """Have the request answered."""
        if self._request.done:
            return
        self._request.done = True
        self._stop_timer()
        self._task = self._loop.create_task(self._answer(self._request.name, b"".join(self._request.body)))

    # Answers ------------------------------------------------------------------------------------------------------

    async def _answer(self, name: str, body: bytes) -> None:
        try:
            answer = await self._answers.answer(name, body)
        finally:
            self._task = None
        keep = self._request.keep and not self._request.crowded and not self._closing_asked
        self._send(HTTPStatus.OK, answer, keep=keep)
        if keep and self._transport is not None:
            self._request = _Request()
            self._wait_for_data(self._limits.kept_s)

    def _judge_head_size(self, head_bytes: int) -> None:
        if head_bytes > self._limits.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too long")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """Answer what is not a call, and close."""
        if self._request.done:
            self._request.crowded = True
            return
        self._request.done = True
        self._stop_timer()
        log.debug("Request refused: %s %s", status, text)
        self._send(status, text.encode("ascii", "backslashreplace") + b"\n", keep=False)

    def _send(self, status: HTTPStatus, body: bytes, *, keep: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            log.debug("The client has gone without waiting for its answer")
            return
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        head = (
            f"HTTP/{self._request.version} {status.value} {status.phrase}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n"
            f"Date: {date}\r\n"
            f"Server: Ganeti {RELEASE_VERSION}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode("ascii") + body)
        if not keep:
            self._close(transport)

    def _close(self, transport: asyncio.Transport) -> None:
        """Close when everything was sent; the client has a moment to do so too."""
        if transport.is_closing():
            return  # closing twice makes asyncio's TLS transport deaf to `abort`
        self._stop_timer()
        transport.close()
        self._timer = self._loop.call_later(self._limits.goodbye_s, self._check_goodbye)

    def _check_goodbye(self) -> None:
        """Cut a connection whose client has its answer but does not close: it would hold up the daemon's end."""
        if self._transport is None or self._wire is None:
            return
        if self._wire.get_write_buffer_size() == 0:
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(self._limits.goodbye_s, self._check_goodbye)

    # Silence ------------------------------------------------------------------------------------------------------

    def _wait_for_data(self, patience_s: float) -> None:
        self._last_data = self._loop.time()
        self._patience_s = patience_s
        self._timer = self._loop.call_later(patience_s, self._check_silence)

    def _check_silence(self) -> None:
        patience_s = self._limits.silence_s if self._request.begun else self._patience_s
        left_s = self._last_data + patience_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_silence)
        elif self._transport is not None:
            log.debug("Connection closed: nothing arrived for %g seconds", patience_s)
            self._transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
