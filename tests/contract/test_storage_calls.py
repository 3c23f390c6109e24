"""The calls about disks, from the bytes of their arguments to the action."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter, NodeError
from ganeti.noded import table
from ganeti.noded.calls import disks, mirrors, volumes
from ganeti.noded.codec import Signature

DISK = {
    "dev_type": "file",
    "logical_id": ["loop", "/srv/store/disk0"],
    "children": [],
    "nodes": ["0b7a6a52-0f3a-4c5d-9e3c-5f0c5d3a1f7e"],
    "iv_name": "disk/0",
    "size": 10,
    "mode": "rw",
    "params": {},
    "dynamic_params": {},
    "serial_no": 1,
    "uuid": "d0",
    "ctime": 1.5,
    "mtime": 1.5,
}
INSTANCE = {
    "name": "guest1.example.com",
    "hypervisor": "fake",
    "hvparams": {},
    "beparams": {},
    "nics": [],
    "disks": ["d0"],
    "disks_info": [DISK],
}

GOOD: dict[str, list[object]] = {
    "bdev_sizes": [["/dev/null"]],
    "blockdev_create": [DISK, 10, "guest1.example.com", True, "originstname+guest1.example.com", False],
    "blockdev_assemble": [DISK, INSTANCE, True, 0],
    "blockdev_open": ["guest1.example.com", [DISK], True],
    "blockdev_close": ["guest1.example.com", [DISK]],
    "blockdev_shutdown": [DISK],
    "blockdev_remove": [DISK],
    "blockdev_grow": [DISK, 5, False, True, False],
    "blockdev_rename": [[[DISK, ["loop", "/srv/store/disk1"]]]],
    "blockdev_snapshot": [DISK, None, None],
    "blockdev_setinfo": [DISK, "text"],
    "blockdev_find": [DISK],
    "blockdev_getmirrorstatus": [[DISK]],
    "blockdev_getmirrorstatus_multi": [[DISK]],
    "blockdev_getdimensions": [[DISK]],
    "blockdev_pause_resume_sync": [[DISK], True],
    "blockdev_wipe": [DISK, 0, 10],
    "blockdev_convert": [DISK, DISK],
    "blockdev_image": [DISK, "/srv/image", 10],
    "file_storage_dir_create": ["/srv/store/guest1"],
    "file_storage_dir_remove": ["/srv/store/guest1"],
    "file_storage_dir_rename": ["/srv/store/guest1", "/srv/store/guest2"],
    "blockdev_addchildren": [DISK, [DISK, DISK]],
    "blockdev_removechildren": [DISK, [DISK, DISK]],
    "drbd_disconnect_net": [[DISK]],
    "drbd_attach_net": [[DISK], False],
    "drbd_wait_sync": [[DISK]],
    "drbd_needs_activation": [[DISK]],
    "drbd_helper": [],
    "extstorage_diagnose": [],
    "lv_list": [["xenvg"]],
    "vg_list": [],
    "node_volumes": [],
    "storage_modify": ["lvm-pv", [], "/dev/sda", {"allocatable": True}],
    "storage_execute": ["lvm-vg", [], "xenvg", "fix-consistency"],
    "storage_list": ["file", [["/srv/store"]], None, ["name"]],
}

BAD: list[tuple[str, int, object, str]] = [
    ("blockdev_create", 0, {**DISK, "size": -1}, "disk.size"),
    ("blockdev_create", 0, {**DISK, "unknown": 1}, "disk"),
    ("blockdev_create", 0, {**DISK, "dev_type": "floppy"}, "disk.dev_type"),
    ("blockdev_create", 0, "disk", "disk"),
    ("blockdev_create", 1, -1, "size"),
    ("blockdev_create", 2, "a/b", "owner"),
    ("blockdev_create", 3, 1, "on_primary"),
    ("blockdev_create", 5, None, "exclusive_storage"),
    ("blockdev_assemble", 1, {**INSTANCE, "name": "../x"}, "instance.name"),
    ("blockdev_assemble", 3, -1, "index"),
    ("blockdev_open", 0, "", "instance_name"),
    ("blockdev_open", 1, [DISK, None], "disks[1]"),
    ("blockdev_grow", 1, -5, "amount"),
    ("blockdev_grow", 1, 1.5, "amount"),
    ("blockdev_rename", 0, [[DISK]], "renames[0]"),
    ("blockdev_wipe", 1, -1, "offset"),
    ("blockdev_wipe", 2, -1, "size"),
    ("blockdev_image", 2, -1, "size"),
    ("blockdev_snapshot", 2, -1, "size"),
    ("blockdev_getdimensions", 0, DISK, "disks"),
    ("bdev_sizes", 0, ["/dev/sda", 5], "devices[1]"),
    ("blockdev_addchildren", 1, DISK, "new"),
    ("blockdev_removechildren", 0, [DISK], "parent"),
    ("drbd_disconnect_net", 0, [None], "disks[0]"),
    ("drbd_attach_net", 1, 1, "both_primary"),
    ("file_storage_dir_create", 0, 5, "directory"),
    ("storage_list", 1, ["/srv"], "arguments[0]"),
    ("lv_list", 0, ["xenvg", 5], "groups[1]"),
    ("storage_modify", 3, [], "changes"),
    ("storage_execute", 2, None, "name"),
]

ROWS = {call.name: Signature(call.action) for call in (*disks.CALLS, *mirrors.CALLS, *volumes.CALLS)}


def body(*arguments: object) -> bytes:
    return json.dumps(arguments).encode()


def test_the_rows_fit_into_the_table() -> None:
    assert table.join((*disks.CALLS, *mirrors.CALLS, *volumes.CALLS)).keys() == GOOD.keys()


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_a_master_sends_is_understood(name: str) -> None:
    assert len(ROWS[name].decode(body(*GOOD[name]))) == len(GOOD[name])


@pytest.mark.parametrize(("name", "index", "value", "where"), BAD)
def test_a_bad_argument_is_refused_by_name(name: str, index: int, value: object, where: str) -> None:
    arguments = [*GOOD[name]]
    arguments[index] = value
    with pytest.raises(InvalidParameter) as caught:
        ROWS[name].decode(body(*arguments))
    assert caught.value.name == where


@pytest.mark.parametrize("name", sorted(name for name, arguments in GOOD.items() if arguments))
def test_an_argument_too_few_or_too_many_is_refused(name: str) -> None:
    for arguments in (GOOD[name][:-1], [*GOOD[name], None]):
        with pytest.raises(NodeError, match="argument"):
            ROWS[name].decode(body(*arguments))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DISK]), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", sorted(GOOD))
@settings(max_examples=50)
@given(arguments=st.lists(JSON, max_size=7))
def test_garbage_is_refused_or_understood_and_nothing_else(name: str, arguments: list[object]) -> None:
    with suppress(NodeError):
        ROWS[name].decode(body(*arguments))


@pytest.mark.parametrize(
    ("wire", "size"), [(0, True), (2**43, False), (2**63, False), (-1, False), (True, False), ("5", False)]
)
def test_sizes_fit_into_what_a_file_can_be(wire: object, size: bool) -> None:
    arguments = body(DISK, 0, wire)
    if size:
        assert ROWS["blockdev_wipe"].decode(arguments)["size"] == wire
    else:
        with pytest.raises(InvalidParameter, match="size"):
            ROWS["blockdev_wipe"].decode(arguments)


# Answers -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(node: Node, tmp_path: Path) -> Callable[..., object]:
    """Make a call on a node with one allowed directory; what it answers is what the master reads."""
    store = tmp_path / "srv/store"
    store.mkdir(parents=True)
    node.paths.file_storage_paths_file.write_text(f"{store}\n")
    actions = {row.name: row.action for row in (*disks.CALLS, *mirrors.CALLS, *volumes.CALLS)}

    def make(name: str, *arguments: object) -> object:
        text = json.dumps(arguments).replace("/srv/store", str(store))
        answer = actions[name](node, **ROWS[name].decode(text.encode()))
        return json.loads(msgspec.json.encode(answer).replace(str(store).encode(), b"/srv/store"))

    return make


def test_a_disks_life_as_the_master_reads_it(call: Callable[..., object], node: Node) -> None:
    assert call("file_storage_dir_create", "/srv/store") is None
    assert call("blockdev_find", DISK) is None
    assert call("blockdev_create", *GOOD["blockdev_create"]) == ["loop", "/srv/store/disk0"]
    status = {"dev_path": "/srv/store/disk0", "is_degraded": False, "ldisk_status": 1}
    assert call("blockdev_find", DISK) == status
    assert call("blockdev_getmirrorstatus", [DISK]) == [status]
    assert call("blockdev_getmirrorstatus_multi", [DISK]) == [[True, status]]
    link = str(node.paths.disk_links_dir / "guest1.example.com:0")
    assert call("blockdev_assemble", DISK, INSTANCE, True, 0) == ["/srv/store/disk0", link, None]
    assert call("blockdev_assemble", DISK, INSTANCE, False, 0) == [True, True]
    assert call("blockdev_getdimensions", [DISK, {**DISK, "logical_id": ["loop", "/srv/store/none"]}]) == [
        [10 << 20, None],
        None,
    ]
    assert call("blockdev_pause_resume_sync", [DISK], True) == [[True, None]]
    for name in ("blockdev_wipe", "blockdev_grow", "blockdev_open", "blockdev_close", "blockdev_setinfo"):
        assert call(name, *GOOD[name]) is None
    assert call("blockdev_rename", *GOOD["blockdev_rename"]) is None
    assert call("storage_list", "file", [["/srv/store"]], None, ["name", "used"]) == [["/srv/store", 15]]
    for name in ("blockdev_shutdown", "blockdev_remove"):
        assert call(name, {**DISK, "logical_id": ["loop", "/srv/store/disk1"]}) is None
    assert call("bdev_sizes", ["/etc/hosts"]) == {}


def test_a_disk_that_cannot_be_told_is_a_text_beside_the_others(call: Callable[..., object]) -> None:
    answer = call("blockdev_getmirrorstatus_multi", [{**DISK, "logical_id": ["loop", "/etc/passwd"]}])
    assert isinstance(answer, list)
    assert answer[0][0] is False
    assert "/etc/passwd" in answer[0][1]
