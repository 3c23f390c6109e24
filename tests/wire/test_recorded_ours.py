"""What our daemon answered under the packaged master, held against what the packaged daemon answers there.

The recording is made by tests/system/test_drop_in.py. Two answers have the same shape when their keys, types, truth
values and plain words agree (lab.recordings).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from lab.recordings import Json, shape

from ganeti.noded import table
from ganeti.noded.codec import Signature

RECORDED = Path(__file__).parent / "recorded"
TABLE = table.load()

NEEDED = frozenset(
    {"version", "master_node_name", "node_activate_master_ip", "hooks_runner", "node_verify", "upload_file_single"}
    | {"write_ssconf_files", "upload_file", "node_crypto_tokens", "node_ensure_daemon", "node_ssh_key_add"}
    | {"jobqueue_update", "node_info", "hypervisor_validate_params", "os_validate", "bridges_exist", "os_diagnose"}
    | {"file_storage_dir_create", "blockdev_create", "blockdev_getmirrorstatus", "instance_os_add", "instance_start"}
    | {"all_instances_info", "instance_info", "blockdev_find", "instance_shutdown", "blockdev_shutdown"}
    | {"blockdev_assemble", "blockdev_remove", "file_storage_dir_remove", "instance_metadata_modify"}
    | {"node_leave_cluster", "node_ssh_key_remove"}
)
"""What the master asks from its making to the end of a guest on a file disk, and while a node leaves and joins."""


UNRECORDED: dict[str, Json] = {"node_start_master_daemons": None}
"""Payloads of calls that the recording of the packaged daemon has not: its day has no change of the master."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange."""

    note: str
    request_headers: dict[str, str]
    request: object
    status: str
    reply_headers: dict[str, str]
    reply: tuple[bool, object]


def pairs(whose: str) -> Iterator[tuple[str, Pair]]:
    """The recorded exchanges of one daemon."""
    for path in sorted((RECORDED / whose).glob("*.json")):
        if path.stem != "sequences":
            for pair in msgspec.json.decode(path.read_bytes(), type=list[Pair]):
                yield path.stem, pair


def shape_of_reply(pair: Pair) -> Json:
    """The shape of a successful answer's payload."""
    return shape(msgspec.to_builtins(pair.reply[1]))


OURS = list(pairs("ours"))


def packaged_shapes(name: str) -> list[Json]:
    """Shapes the packaged daemon was seen to answer with."""
    if name in UNRECORDED:
        return [UNRECORDED[name]]
    path = RECORDED / "packaged" / f"{name}.json"
    known = msgspec.json.decode(path.read_bytes(), type=list[dict[str, object]])
    replies = [each["reply"] for each in known]
    return [shape(reply[1]) for reply in replies if isinstance(reply, list) and reply[0] is True]


def test_everything_the_master_needs_was_asked_and_answered() -> None:
    answered = {name for name, pair in OURS if pair.reply[0]}

    assert answered >= NEEDED
    assert [name for name, pair in OURS if not pair.reply[0]] == []


@pytest.mark.parametrize(("name", "pair"), OURS, ids=[name for name, _ in OURS])
def test_a_recorded_request_is_still_understood(name: str, pair: Pair) -> None:
    call = TABLE[name]

    Signature(call.action, body_is_argument=call.body_is_argument).decode(msgspec.json.encode(pair.request))


@pytest.mark.parametrize(("name", "pair"), OURS, ids=[name for name, _ in OURS])
def test_our_answers_have_the_shape_of_the_packaged_daemons(name: str, pair: Pair) -> None:
    known = packaged_shapes(name)

    # an empty list is of the shape of any list
    assert shape_of_reply(pair) in known or (pair.reply[1] == [] and all(isinstance(each, list) for each in known))


def test_our_replies_have_the_headers_of_the_packaged_daemon() -> None:
    headers = {tuple(pair.reply_headers) for _, pair in OURS}

    assert headers == {("Connection", "Date", "Server", "Content-Length")}
    assert {pair.reply_headers["Server"] for _, pair in OURS} == {"Ganeti 3.0.2"}
    assert {pair.status for _, pair in OURS} == {"HTTP/1.1 200 OK"}
