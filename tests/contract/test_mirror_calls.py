"""The calls about disks with a copy on another node, from the bytes of their arguments to the action."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganeti.errors import InvalidParameter, NodeError
from ganeti.noded import table
from ganeti.noded.calls import mirrors
from ganeti.noded.codec import Signature
from ganeti.noded.table import Lane

NODES = ["0b7a6a52-0f3a-4c5d-9e3c-5f0c5d3a1f7e", "7f1c9f0e-58f4-4c0c-a3f5-0c36f6bb1d20"]
SECRET = "0123456789abcdef0123456789abcdef01234567"


def volume(name: str, size: int) -> dict[str, object]:
    return {
        "dev_type": "plain",
        "logical_id": ["xenvg", name],
        "children": [],
        "nodes": NODES,
        "size": size,
        "params": {"stripes": 1},
        "serial_no": 1,
        "uuid": name,
        "ctime": 1.5,
        "mtime": 1.5,
    }


CHILDREN = [volume("disk0_data", 1024), volume("disk0_meta", 128)]
DISK: dict[str, object] = {
    "dev_type": "drbd",
    "logical_id": [*NODES, 11000, 0, 0, SECRET],
    "children": CHILDREN,
    "nodes": NODES,
    "iv_name": "disk/0",
    "size": 1024,
    "mode": "rw",
    "params": {"resync-rate": 61440, "protocol": "C", "dynamic-resync": False, "net-custom": ""},
    "dynamic_params": {
        "local-ip": "192.0.2.2",
        "remote-ip": "192.0.2.1",
        "local-minor": 0,
        "remote-minor": 0,
    },
    "serial_no": 1,
    "uuid": "d",
    "ctime": 1.5,
    "mtime": 1.5,
}

GOOD: dict[str, list[object]] = {
    "blockdev_addchildren": [DISK, CHILDREN],
    "blockdev_removechildren": [DISK, CHILDREN],
    "drbd_disconnect_net": [[DISK]],
    "drbd_attach_net": [[DISK], True],
    "drbd_wait_sync": [[DISK]],
    "drbd_needs_activation": [[DISK, DISK]],
    "drbd_helper": [],
}

BAD: list[tuple[str, int, object, str]] = [
    ("blockdev_addchildren", 0, None, "parent"),
    ("blockdev_addchildren", 0, {**DISK, "children": [None]}, "parent.children[0]"),
    ("blockdev_addchildren", 1, CHILDREN[0], "new"),
    ("blockdev_addchildren", 1, [CHILDREN[0], None], "new[1]"),
    ("blockdev_removechildren", 1, [{**CHILDREN[0], "size": -1}], "old[0].size"),
    ("blockdev_removechildren", 1, ["/dev/xenvg/disk0_data"], "old[0]"),
    ("drbd_disconnect_net", 0, DISK, "disks"),
    ("drbd_disconnect_net", 0, [{**DISK, "dev_type": "drbd8"}], "disks[0].dev_type"),
    ("drbd_attach_net", 1, 1, "both_primary"),
    ("drbd_attach_net", 1, None, "both_primary"),
    ("drbd_wait_sync", 0, [{**DISK, "dynamic_params": []}], "disks[0].dynamic_params"),
    ("drbd_needs_activation", 0, [DISK, {**DISK, "uuid": 5}], "disks[1].uuid"),
]

ROWS = {call.name: Signature(call.action) for call in mirrors.CALLS}


def body(*arguments: object) -> bytes:
    return json.dumps(arguments).encode()


def test_every_row_has_its_arguments_here() -> None:
    assert table.join(mirrors.CALLS).keys() == GOOD.keys()


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_a_master_sends_is_understood(name: str) -> None:
    assert len(ROWS[name].decode(body(*GOOD[name]))) == len(GOOD[name])


@pytest.mark.parametrize(("name", "index", "value", "where"), BAD)
def test_a_bad_argument_is_refused_by_name_and_the_secret_is_not_told(
    name: str, index: int, value: object, where: str
) -> None:
    arguments = [*GOOD[name]]
    arguments[index] = value
    with pytest.raises(InvalidParameter) as caught:
        ROWS[name].decode(body(*arguments))
    assert caught.value.name == where
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", sorted(name for name, arguments in GOOD.items() if arguments))
def test_an_argument_too_few_or_too_many_is_refused(name: str) -> None:
    for arguments in (GOOD[name][:-1], [*GOOD[name], None]):
        with pytest.raises(NodeError, match="argument"):
            ROWS[name].decode(body(*arguments))


def test_calls_that_wait_or_write_keep_no_short_call_waiting() -> None:
    long = {call.name for call in mirrors.CALLS if call.lane is Lane.LONG}
    assert long == {"blockdev_addchildren", "drbd_disconnect_net", "drbd_attach_net", "drbd_wait_sync"}


def test_only_questions_share_their_answer() -> None:
    shared = {call.name for call in mirrors.CALLS if call.shared}
    assert shared == {"drbd_needs_activation", "drbd_helper"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DISK]), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", sorted(GOOD))
@settings(max_examples=50)
@given(arguments=st.lists(JSON, max_size=3))
def test_garbage_is_refused_or_understood_and_nothing_else(name: str, arguments: list[object]) -> None:
    with suppress(NodeError):
        ROWS[name].decode(body(*arguments))
