"""From a call's name and body to the body of its answer: find the row, decode, run on its lane, encode.

It knows nothing of TLS and HTTP. Errors become `[false, text]` here, and the only `except Exception` of the tree is
here: whatever an action raises ends this call alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter, NodeError
from ganeti.noded import codec
from ganeti.noded.codec import InvalidBody, Signature
from ganeti.noded.table import Call, Lane

log = logging.getLogger(__name__)

SHORT_THREADS = 16
LONG_THREADS = 64


class UnknownCall(Exception):
    """There is no call of that name."""


@dataclass(frozen=True, slots=True)
class _Row:
    call: Call
    signature: Signature


class Dispatcher:
    """Answers calls of one table for one node. Its `answer` belongs to the event loop's thread."""

    def __init__(
        self,
        node: Node,
        table: Mapping[str, Call],
        *,
        short_threads: int = SHORT_THREADS,
        long_threads: int = LONG_THREADS,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the decoders; threads are started when needed. Raises: TypeError for an impossible annotation.

        `end` begins the daemon's stop; running calls are still answered.
        """
        self._node = node
        self._end = end
        self._rows = {
            name: _Row(call, Signature(call.action, body_is_argument=call.body_is_argument))
            for name, call in table.items()
        }
        self._lanes = {
            Lane.SHORT: ThreadPoolExecutor(short_threads, thread_name_prefix="short"),
            Lane.LONG: ThreadPoolExecutor(long_threads, thread_name_prefix="long"),
        }
        self._in_flight: dict[tuple[str, bytes], asyncio.Future[bytes]] = {}

    def knows(self, name: str) -> bool:
        """Whether there is a call of that name."""
        return name in self._rows

    async def answer(self, name: str, body: bytes) -> bytes:
        """The body of the answer. Raises: UnknownCall."""
        try:
            row = self._rows[name]
        except KeyError:
            raise UnknownCall(name) from None
        if row.call.lane is Lane.INSTANT:
            return self._perform(row, body)
        if row.call.ends_daemon:
            reply = await self._submit(row, body)
            if codec.is_success(reply):
                self._end()
            return reply
        if not row.call.shared:
            return await self._submit(row, body)
        key = (name, body)
        shared = self._in_flight.get(key)
        if shared is None:
            shared = self._in_flight[key] = self._submit(row, body)
            shared.add_done_callback(lambda _: self._in_flight.pop(key, None))
        # Whoever asked first may go away; the others still want the answer.
        return await asyncio.shield(shared)

    def close(self) -> None:
        """End the idle threads. Only when no call is running any more."""
        for lane in self._lanes.values():
            lane.shutdown(wait=False)

    def _submit(self, row: _Row, body: bytes) -> asyncio.Future[bytes]:
        return asyncio.wrap_future(self._lanes[row.call.lane].submit(self._perform, row, body))

    def _perform(self, row: _Row, body: bytes) -> bytes:
        name = row.call.name
        # Bodies hold secrets, so they are logged at debug level only.
        log.debug("Call %s: %s", name, body)
        try:
            arguments = row.signature.decode(body)
            return codec.encode(True, row.call.action(self._node, **arguments))
        except (InvalidParameter, InvalidBody) as err:
            log.warning("Call %s refused: %s", name, err)
            return codec.encode(False, f"{name}: {err}")
        except NodeError as err:
            log.error("Call %s failed: %s", name, err)  # noqa: TRY400 - the text says it all
            return codec.encode(False, str(err) or f"{name} failed")
        except Exception as err:
            log.exception("Call %s failed by an error of this program", name)
            return codec.encode(False, f"Error while executing {name}: {type(err).__name__}: {err}")
