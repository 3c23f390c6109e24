"""The calls about guests refuse what is no argument of theirs, by name, before anything is done."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.actions.test_instances_calls import INSTANCE, QUESTION, TRAIL

from ganeti.errors import InvalidParameter, NodeError
from ganeti.noded import table
from ganeti.noded.calls import instances
from ganeti.noded.codec import Signature

GOOD: dict[str, list[object]] = {
    "instance_list": [["fake"], {"fake": {"migration_mode": "live"}}],
    "instance_info": ["guest1", "fake", {"migration_mode": "live"}],
    "all_instances_info": [["fake"], {"fake": {"migration_mode": "live"}}],
    "hypervisor_validate_params": ["fake", {"migration_mode": "live"}],
    "bridges_exist": [["br0"]],
    "instance_start": [INSTANCE, False, TRAIL],
    "instance_shutdown": [INSTANCE, 120, TRAIL],
    "instance_reboot": [INSTANCE, "hard", 120, TRAIL],
    "instance_balloon_memory": [INSTANCE, 96],
    "instance_migratable": [INSTANCE],
    "migration_info": [INSTANCE],
    "accept_instance": [INSTANCE, "", "192.0.2.2"],
    "instance_migrate": ["cluster", INSTANCE, "192.0.2.2", True],
    "instance_get_migration_status": [INSTANCE],
    "instance_finalize_migration_src": [INSTANCE, True, True],
    "instance_finalize_migration_dst": [INSTANCE, "", True],
    "instance_metadata_modify": [{"name": "guest1", "osparams_private": {"password": "x"}, "osparams_secret": {}}],
    "node_powercycle": ["fake", {"migration_mode": "live"}],
}
OPTIONAL = {"node_powercycle": 1}
"""How many arguments at the end a caller may leave out."""

BAD: list[tuple[str, int, object, str]] = [
    ("instance_list", 0, "fake", "hypervisors"),
    ("instance_list", 1, {"fake": [1]}, "hvparams[...]"),
    ("instance_info", 0, None, "name"),
    ("instance_info", 2, [], "hvparams"),
    ("bridges_exist", 0, [1], "bridges[0]"),
    ("instance_start", 0, {**INSTANCE, "name": "../x"}, "instance.name"),
    ("instance_start", 0, {**INSTANCE, "admin_state": "sleepy"}, "instance.admin_state"),
    ("instance_start", 0, {**INSTANCE, "nics": [{"ip": "192.0.2.1"}]}, "instance.nics[0]"),
    ("instance_start", 0, [], "instance"),
    ("instance_start", 1, 0, "startup_paused"),
    ("instance_start", 2, [["a", "b"]], "reason_trail[0]"),
    ("instance_start", 2, [["a", None, 1]], "reason_trail[0][1]"),
    ("instance_shutdown", 1, None, "timeout"),
    ("instance_shutdown", 1, "120", "timeout"),
    ("instance_reboot", 1, "full", "reboot_type"),
    ("instance_balloon_memory", 1, -1, "memory_mib"),
    ("accept_instance", 1, None, "info"),
    ("accept_instance", 2, 5, "target"),
    ("instance_migrate", 3, "yes", "live"),
    ("instance_finalize_migration_src", 1, None, "success"),
    ("instance_finalize_migration_dst", 2, 1, "success"),
    ("instance_metadata_modify", 0, [], "metadata"),
    ("node_powercycle", 0, None, "hypervisor"),
]

ROWS = {
    call.name: Signature(call.action, body_is_argument=call.body_is_argument)
    for call in table.join(instances.CALLS).values()
}


def body(*arguments: object) -> bytes:
    """The bytes of these arguments."""
    return json.dumps(arguments).encode()


def test_every_call_is_tried_here() -> None:
    assert ROWS.keys() == GOOD.keys() | {"instance_console_info"}


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


@pytest.mark.parametrize("name", sorted(GOOD))
def test_an_argument_too_few_or_too_many_is_refused(name: str) -> None:
    required = len(GOOD[name]) - OPTIONAL.get(name, 0)
    for arguments in (GOOD[name][: required - 1], [*GOOD[name], None]):
        with pytest.raises(NodeError, match="argument"):
            ROWS[name].decode(body(*arguments))


@pytest.mark.parametrize("question", [[], [{}], {"guest1": 3}, {"guest1": {**QUESTION, "node": {}}}])
def test_a_question_for_a_console_that_is_none_is_refused(question: object) -> None:
    with pytest.raises(InvalidParameter, match="questions"):
        ROWS["instance_console_info"].decode(json.dumps(question).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*INSTANCE]), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(question=JSON)
def test_a_body_that_is_no_question_is_refused_or_understood(question: object) -> None:
    with suppress(NodeError):
        ROWS["instance_console_info"].decode(json.dumps(question).encode())


@pytest.mark.parametrize("name", sorted(GOOD))
@settings(max_examples=50)
@given(data=st.data())
def test_one_wrong_argument_among_right_ones_is_refused_by_its_name(name: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(GOOD[name]) - 1))
    arguments = [*GOOD[name]]
    arguments[index] = data.draw(JSON)
    try:
        ROWS[name].decode(body(*arguments))
    except InvalidParameter as err:
        parameter = [*ROWS[name].decode(body(*GOOD[name]))][index]
        assert err.name.startswith(parameter)  # noqa: PT017 - being understood is fine too
