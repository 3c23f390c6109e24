"""The metadata daemon, which tells guests about themselves: its socket's one question that concerns a node daemon.

A message is JSON and ends with the character ETX; the answer says whether it succeeded, and what was wrong. Source: the
exchanges of 3.0.2's daemons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ganeti.errors import NodeError
from ganeti.host import unix_sockets

END: Final = b"\x03"
LONGEST_ANSWER: Final = 1024 * 1024


class _Answer(msgspec.Struct, frozen=True):
    success: bool
    result: object = None


def update_config(path: Path, metadata: dict[str, object], *, timeout_s: float) -> None:
    """Hand over what is known of a guest. `timeout_s` is for each read and write.

    Raises: OSError when the daemon cannot be reached; NodeError with its reason when it refuses.
    """
    message = msgspec.json.encode({"method": "updateConfig", "args": [metadata]}) + b"\n" + END
    reply = b""
    with unix_sockets.connect(path, timeout_s=timeout_s) as connection:
        connection.sendall(message)
        while not reply.endswith(END):
            part = connection.recv(65536)
            if not part or len(reply) > LONGEST_ANSWER:
                raise NodeError("the metadata daemon ended the connection without an answer")
            reply += part
    try:
        answer = msgspec.json.decode(reply.removesuffix(END), type=_Answer)
    except msgspec.DecodeError as err:
        raise NodeError(f"the metadata daemon's answer is not understood: {err}") from err
    if not answer.success:
        raise NodeError(f"the metadata daemon refuses: {_reason(answer.result)}")


def _reason(result: object) -> str:
    """The text in `["kind of error", ["text"]]`, or whatever else was sent."""
    match result:
        case [_, [str(text), *_]]:
            return text
        case _:
            return str(result)
