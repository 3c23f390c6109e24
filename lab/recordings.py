"""Turns what the proxy recorded into the wire tests' files: secrets taken out, one pair of every shape.

The files' form is described in docs/lab.md. It must not know how a recording is made.
"""

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from lab.processes import LabError
from lab.recorder import Action, Exchange

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

PLACEHOLDER = "removed"
CHECKOUT = str(Path(__file__).resolve().parent.parent)
INSTALLED = "/usr/lib/ganeti-node"
"""Stands in recordings for the checkout they were made from, whose place means nothing elsewhere."""
# Uploaded files whose whole content is a secret, by name, and dictionary keys whose values are.
SECRET_FILES = frozenset(
    ("rapi.pem", "spice.pem", "server.pem", "client.pem", "hmac.key", "cluster-domain-secret", "vnc-cluster-password")
)
SECRET_KEYS = frozenset(("osparams_private", "osparams_secret", "osparams_private_cluster"))
UPLOADS = frozenset(("upload_file", "upload_file_single", "jobqueue_update"))
_DRBD_ID_LENGTH = 6
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARIABLE = re.compile(r"[A-Z]\w*")
_WORD = re.compile(r"[a-z][a-z_-]{0,15}")


def write(actions: Sequence[Action], directory: Path, *, secrets: Iterable[str] = ()) -> None:
    """Write one file a call, and the order of the calls of every action.

    Raises:
        LabError: one of `secrets`, the cluster's own, would be in a file; nothing is written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pairs: dict[str, dict[str, dict[str, Json]]] = {}
    for action in actions:
        for exchange in action.exchanges:
            pair = as_pair(exchange, action.note)
            kept = pairs.setdefault(exchange.call, {})
            kept.setdefault(
                json.dumps([sender(exchange.request_headers), shape(pair["request"]), shape(pair["reply"])]), pair
            )
    files = {call: _lines(kept.values()) for call, kept in sorted(pairs.items())}
    files["sequences"] = _lines(_sequence(action) for action in actions)
    files = {call: text.replace(CHECKOUT, INSTALLED) for call, text in files.items()}
    for secret in secrets:
        leaking = [name for name, text in files.items() if secret in text]
        if leaking:
            raise LabError(f"a secret of the cluster is in the recording of {', '.join(leaking)}")
    for name, text in files.items():
        (directory / f"{name}.json").write_text(text)


def differences(reference: Path, other: Path) -> Iterator[str]:
    """Name the replies in one recording whose shape no reply to the same call has in another, the reference."""
    for file in sorted(other.glob("*.json")):
        if file.name == "sequences.json":
            continue
        known = [shape(pair["reply"]) for pair in _read(reference / file.name)]
        for pair in _read(file):
            if shape(pair["reply"]) not in known:
                yield f"{file.stem}, at {pair['note']}: {json.dumps(pair['reply'])}"


def _read(file: Path) -> list[dict[str, Json]]:
    pairs: list[dict[str, Json]] = json.loads(file.read_text()) if file.exists() else []
    return pairs


def as_pair(exchange: Exchange, note: str) -> dict[str, Json]:
    """Return an exchange in the files' form, without secrets."""
    request = without_secrets(_body(exchange.request_body))
    if exchange.call in UPLOADS:
        request = _without_uploaded_secrets(request)
    return {
        "note": note,
        "node": exchange.node,
        "request_headers": dict(exchange.request_headers),
        "request": request,
        "status": exchange.status_line,
        "reply_headers": dict(exchange.reply_headers),
        "reply": without_secrets(_body(exchange.reply_body)),
    }


def _body(text: str) -> Json:
    """Return what the body means; one that is no JSON, as of an HTTP error, stays text."""
    try:
        value: Json = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value


def sender(headers: Mapping[str, str]) -> str:
    """Say which of the master's two clients sent a request: `jobs` (and tools) or `daemons` (luxid, wconfd)."""
    return "jobs" if "User-Agent" in headers else "daemons"


def without_secrets(value: Json) -> Json:
    """Return the value with private keys, private OS parameters and DRBD secrets replaced."""
    match value:
        case dict():
            return {key: _hidden(item) if key in SECRET_KEYS else without_secrets(item) for key, item in value.items()}
        case list() if len(value) == _DRBD_ID_LENGTH and all(isinstance(item, int) for item in value[2:5]):
            # the logical id of a DRBD disk: two nodes, port, two minors, secret
            return [*value[:5], PLACEHOLDER]
        case list():
            return [without_secrets(item) for item in value]
        case str() if "PRIVATE KEY" in value:
            return PLACEHOLDER
        case _:
            return value


def _hidden(value: Json) -> Json:
    return dict.fromkeys(value, PLACEHOLDER) if isinstance(value, dict) else PLACEHOLDER if value else value


def _without_uploaded_secrets(request: Json) -> Json:
    """Look into `[path, [encoding, data], ...]`, which is the request or its only element."""
    assert isinstance(request, list)
    if isinstance(request[0], list):
        return [_without_uploaded_secrets(request[0]), *request[1:]]
    path, encoded, *rest = request
    assert isinstance(path, str)
    assert isinstance(encoded, list)
    encoding, data = encoded
    assert isinstance(data, str)
    text = zlib.decompress(base64.b64decode(data)).decode() if encoding == 1 else data
    if PurePosixPath(path).name in SECRET_FILES or "PRIVATE KEY" in text:
        text = PLACEHOLDER + "\n"
    elif text.startswith("{"):
        content: Json = json.loads(text)
        clean = without_secrets(content)
        text = text if clean == content else json.dumps(clean)
    else:
        return request
    if encoding == 1:
        text = base64.b64encode(zlib.compress(text.encode(), 3)).decode()
    return [path, [encoding, text], *rest]


def shape(value: Json) -> Json:
    """Return what makes a value another variant: keys, types, truth values and plain words, but no names or numbers."""
    match value:
        case dict():
            if value and all(_VARIABLE.fullmatch(key) for key in value):
                # the environment of hooks: free in number and text
                return "ENVIRONMENT"
            return {_shape_key(key): shape(item) for key, item in sorted(value.items())}
        case [int(encoding), str()] if not isinstance(encoding, bool):
            # uploaded text: plain or packed
            return [encoding, "ENCODED"]
        case list():
            # a list of many alike is as good as one of one, the order of unlike ones counts
            shapes: list[Json] = []
            for item in map(shape, value):
                if item not in shapes:
                    shapes.append(item)
            return shapes
        case None | bool():
            return value
        case str():
            return value if _WORD.fullmatch(value) else "TEXT"
        case _:
            return type(value).__name__


def _shape_key(key: str) -> str:
    return "UUID" if _UUID.fullmatch(key) else "NAME" if "." in key or "/" in key else key


def _sequence(action: Action) -> dict[str, Json]:
    calls: list[Json] = [
        {"node": exchange.node, "sender": sender(exchange.request_headers), "call": exchange.call}
        for exchange in action.exchanges
    ]
    return {"note": action.note, "calls": calls}


def _lines(items: Iterable[dict[str, Json]]) -> str:
    """Return a JSON list with one item a line, so that a change of one pair is a change of one line."""
    return "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n"
