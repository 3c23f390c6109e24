"""What the packaged master and the packaged daemon said to each other, held against our table.

Every recorded request must be understood by our row's schema, and every recorded answer must be of the form our action
returns. The pairs are described in docs/lab.md.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.noded.harness import running

from ganeti.actions.node import Node
from ganeti.noded import table
from ganeti.noded.codec import Signature

RECORDED = tuple(Path(__file__).parent / "recorded" / name for name in ("packaged", "packaged-storage"))
STORAGE_CALLS = frozenset(
    {"lv_list", "vg_list", "node_volumes", "storage_list", "storage_modify", "storage_execute", "blockdev_wipe"}
    | {"drbd_attach_net", "drbd_disconnect_net", "drbd_wait_sync", "drbd_needs_activation", "blockdev_removechildren"}
    | {"blockdev_addchildren", "blockdev_getdimensions", "blockdev_getmirrorstatus", "blockdev_getmirrorstatus_multi"}
    | {"blockdev_pause_resume_sync", "blockdev_open", "blockdev_close", "blockdev_grow", "blockdev_rename"}
)
"""Calls that only a master with LVM and DRBD makes."""
TABLE = table.load()


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange."""

    note: str
    node: str
    request_headers: dict[str, str]
    request: object
    status: str
    reply_headers: dict[str, str]
    reply: tuple[bool, object] | None


def files() -> list[Path]:
    """The files of all recordings."""
    return [path for directory in RECORDED for path in sorted(directory.glob("*.json"))]


def pairs() -> Iterator[tuple[str, Pair]]:
    """All recorded exchanges of calls that are in the table."""
    for path in files():
        if path.stem in TABLE:
            for pair in msgspec.json.decode(path.read_bytes(), type=list[Pair]):
                yield path.stem, pair


def name_of(value: object) -> str | None:
    """How a parameter is shown."""
    return value if isinstance(value, str) else None


ALL_PAIRS = list(pairs())


@functools.cache
def signature(name: str) -> Signature:
    """The row's schema."""
    call = TABLE[name]
    return Signature(call.action, body_is_argument=call.body_is_argument)


def forms_of_result(name: str) -> tuple[object, ...]:
    """The types an action's result may have."""
    hint = typing.get_type_hints(TABLE[name].action, include_extras=True)["return"]
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if is_union else (hint,)


def is_of_form(payload: object, form: object) -> bool:
    """Whether a payload can be read as a result of that type."""
    try:
        msgspec.json.decode(json.dumps(payload).encode(), type=form)
    except msgspec.ValidationError:
        return False
    return True


def test_there_are_recordings_and_all_are_calls_of_the_protocol() -> None:
    names = {path.stem for path in files()} - {"sequences"}
    assert len(names) >= 50
    assert names <= set(table.PROTOCOL_CALLS)
    assert names >= STORAGE_CALLS
    assert len({name for name, _ in ALL_PAIRS}) >= 50


@pytest.mark.parametrize(("name", "pair"), ALL_PAIRS, ids=name_of)
def test_a_request_of_the_packaged_master_is_understood(name: str, pair: Pair) -> None:
    signature(name).decode(json.dumps(pair.request).encode())


@pytest.mark.parametrize(("name", "pair"), [item for item in ALL_PAIRS if item[1].reply], ids=name_of)
def test_an_answer_of_the_packaged_daemon_is_one_our_action_could_give(name: str, pair: Pair) -> None:
    assert pair.reply is not None
    succeeded, payload = pair.reply
    if succeeded:
        assert any(is_of_form(payload, form) for form in forms_of_result(name)), payload
    else:
        assert isinstance(payload, str)


def test_version_is_answered_as_the_packaged_daemon_does(node: Node) -> None:
    (pair,) = [pair for name, pair in ALL_PAIRS if name == "version"]
    with running(node, TABLE) as server:
        reply = server.post("version", json.dumps(pair.request))
    assert pair.reply == (True, reply.payload)
    assert [name for name, _ in reply.headers] == list(pair.reply_headers)
    assert f"{reply.version} {reply.status} OK" == pair.status
    changing = {"Date", "Content-Length"}
    assert {name: value for name, value in reply.headers if name not in changing} == {
        name: value for name, value in pair.reply_headers.items() if name not in changing
    }
