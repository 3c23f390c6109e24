"""JSON to arguments and results to JSON, by the annotations of an action.

It knows nothing of calls, threads and HTTP. The only module that handles values of any type.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import msgspec

from ganeti.errors import InvalidParameter, NodeError

_WHERE = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_ANY_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()


class InvalidBody(NodeError):
    """The body is not JSON, or not the array of arguments it has to be."""


class Signature:
    """How the arguments of one action are read from a body."""

    def __init__(self, action: Callable[..., object], *, body_is_argument: bool = False) -> None:
        """Prepare a decoder for each parameter after the node. Raises: TypeError for an impossible annotation."""
        hints = typing.get_type_hints(action, include_extras=True)
        parameters = list(inspect.signature(action).parameters.values())[1:]
        self._names = [parameter.name for parameter in parameters]
        self._decoders = [msgspec.json.Decoder(hints[name]) for name in self._names]
        self._required = [p.name for p in parameters if p.default is p.empty]
        self._body_is_argument = body_is_argument

    def decode(self, body: bytes) -> dict[str, Any]:
        """Keyword arguments of the action. Raises: InvalidBody; InvalidParameter naming the argument."""
        if not self._names:
            _decode_anything(body)
            return {}
        if self._body_is_argument:
            return {self._names[0]: self._decode_one(0, body)}
        items = _decode_array(body)
        if len(items) > len(self._names):
            raise InvalidBody(
                f"{len(items)} arguments where {self._expected()} are expected: the last ones are surplus"
            )
        missing = [name for name in self._names[len(items) :] if name in self._required]
        if missing:
            raise InvalidParameter(missing[0], f"missing (there are {len(items)} arguments of {self._expected()})")
        return {self._names[index]: self._decode_one(index, item) for index, item in enumerate(items)}

    def _decode_one(self, index: int, data: bytes | msgspec.Raw) -> Any:
        try:
            return self._decoders[index].decode(data)
        except msgspec.ValidationError as err:
            found = _WHERE.match(str(err))
            reason, path = (found["reason"], found["path"]) if found else (str(err), None)
            raise InvalidParameter(f"{self._names[index]}{path or ''}", reason.replace("`", "")) from err
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise InvalidParameter(self._names[index], f"not valid JSON: {err}") from err

    def _expected(self) -> str:
        return f"{len(self._names)} ({', '.join(self._names)})"


def encode(succeeded: bool, payload: object) -> bytes:
    """The body of an answer: a pair in ASCII JSON and a newline. Raises: TypeError for what has no JSON form."""
    data = msgspec.json.encode((succeeded, payload), enc_hook=_plain)
    if not data.isascii():
        data = _NON_ASCII.sub(_escape, data.decode()).encode("ascii")
    return data + b"\n"


def is_success(reply: bytes) -> bool:
    """Whether an encoded answer says that the call succeeded."""
    return reply.startswith(b"[true,")


def _decode_array(body: bytes) -> list[msgspec.Raw]:
    try:
        return _ANY_ARRAY.decode(body)
    except msgspec.ValidationError as err:
        raise InvalidBody("the body is not an array of arguments") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise InvalidBody(f"the body is not valid JSON: {err}") from err


def _decode_anything(body: bytes) -> None:
    try:
        _ANYTHING.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise InvalidBody(f"the body is not valid JSON: {err}") from err


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _escape(match: re.Match[str]) -> str:
    """A character as JSON escape; beyond the basic plane as a pair of surrogates."""
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
