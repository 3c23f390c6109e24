"""What the command line asks of the operator's door."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from ganeti.errors import NodeError

T = TypeVar("T")

NO_LIMIT_S = 24 * 3600.0
CONNECT_TIMEOUT_S = 5.0


class DoorError(NodeError):
    """The door refused a request, or nobody is behind it."""


class Client:
    """A connection to the door of this machine."""

    def __init__(self, socket_path: Path) -> None:
        """Connect when first needed."""
        self._socket_path = socket_path
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket_path)),
            base_url="http://ganeti-node",
            timeout=httpx.Timeout(NO_LIMIT_S, connect=CONNECT_TIMEOUT_S),
        )

    def get(self, path: str, kind: type[T]) -> T:
        """Ask. Raises: DoorError."""
        return self._decode(self._send("GET", path, None), kind)

    def post(self, path: str, body: msgspec.Struct | None, kind: type[T]) -> T:
        """Change something. Raises: DoorError."""
        return self._decode(self._send("POST", path, body), kind)

    def delete(self, path: str) -> None:
        """Remove something. Raises: DoorError."""
        self._send("DELETE", path, None)

    def _send(self, method: str, path: str, body: msgspec.Struct | None) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            response = self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as err:
            raise DoorError(
                f"no node daemon answers on {self._socket_path} ({err}); start it with: ganeti-noded --operator"
            ) from err
        if response.is_error:
            raise DoorError(_reason(response))
        return response.content

    @staticmethod
    def _decode(data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as err:
            raise DoorError(f"the node daemon's answer cannot be understood: {err}") from err


class _Refusal(msgspec.Struct):
    """The door's own refusals say `error`; those of the HTTP layer have `extra`."""

    detail: str
    error: str = ""
    extra: list[dict[str, object]] = msgspec.field(default_factory=list)


def _reason(response: httpx.Response) -> str:
    try:
        refusal = msgspec.json.decode(response.content, type=_Refusal)
    except msgspec.MsgspecError:
        return f"the node daemon answered {response.status_code}: {response.text[:200]}"
    details = "; ".join(f"{item.get('key', '')}: {item.get('message', '')}" for item in refusal.extra)
    return f"{refusal.detail} ({details})" if details else refusal.detail
