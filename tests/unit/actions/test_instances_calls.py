"""The calls about guests as a master makes them: decoded from the wire's form, answered in the wire's form."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from tests.unit.actions.conftest import Obedient, running

from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, InvalidParameter
from ganeti.host.clock import FakeClock
from ganeti.model.instance import InstanceInfo, RunState
from ganeti.noded import codec, table
from ganeti.noded.calls import instances as calls

INSTANCE = {
    "name": "guest1",
    "primary_node": "6d5a13c3-5e9c-46e9-a609-01665518abad",
    "os": "labos+default",
    "hypervisor": "recording",
    "hvparams": {"migration_mode": "live"},
    "beparams": {
        "always_failover": False,
        "auto_balance": True,
        "maxmem": 128,
        "minmem": 128,
        "spindle_use": 1,
        "vcpus": 1,
    },
    "osparams": {},
    "osparams_private": {},
    "admin_state": "up",
    "admin_state_source": "admin",
    "nics": [
        {
            "mac": "aa:00:00:32:62:36",
            "nicparams": {"link": "br0", "mode": "bridged", "vlan": ""},
            "uuid": "be2656e4-a4ab-43e7-ae8e-fb7383d60fd0",
        }
    ],
    "disks": [],
    "disks_active": True,
    "serial_no": 3,
    "ctime": 1795520019.899447,
    "mtime": 1795520020.778013,
    "uuid": "be2783dd-5fad-40d1-aee2-8afbb19b9403",
    "tags": [],
    "secondary_nodes": [],
    "disks_info": [],
}
"""As a packaged master sends it."""

AS_CONFIGURED = {
    **{key: value for key, value in INSTANCE.items() if key not in {"disks_info", "secondary_nodes"}},
    "hvparams": {},
    "beparams": {},
    "nics": [{"mac": "aa:00:00:32:62:36", "nicparams": {}, "uuid": "be2656e4-a4ab-43e7-ae8e-fb7383d60fd0"}],
}
"""The unfilled form of the query daemon."""

QUESTION = {
    "instance": AS_CONFIGURED,
    "node": {
        "name": "node1.example.com",
        "primary_ip": "192.0.2.1",
        "secondary_ip": "192.0.2.1",
        "master_candidate": True,
        "offline": False,
        "drained": False,
        "group": "8f1e6e3a-0000-4000-8000-000000000001",
        "master_capable": True,
        "vm_capable": True,
        "ndparams": {"ssh_port": 2222},
        "powered": True,
        "hv_state_static": {},
        "disk_state_static": {},
        "serial_no": 1,
        "ctime": 1.0,
        "mtime": 1.0,
        "uuid": "6d5a13c3-5e9c-46e9-a609-01665518abad",
        "tags": [],
    },
    "group": {
        "name": "default",
        "members": [],
        "ndparams": {"ssh_port": 22, "oob_program": ""},
        "alloc_policy": "preferred",
        "ipolicy": {"minmax": [{"max": {"disk-size": 1024}}], "disk-templates": ["file"], "vcpu-ratio": 4.0},
        "diskparams": {"drbd": {"resync-rate": 1024}},
        "networks": {},
        "serial_no": 1,
        "ctime": 1.0,
        "mtime": 1.0,
        "uuid": "8f1e6e3a-0000-4000-8000-000000000001",
        "tags": [],
    },
    "hvParams": {"migration_mode": "live"},
    "beParams": {"maxmem": 128},
}

TRAIL = [["gnt:client:gnt-instance", "add", 1795520018577911040], ["gnt:opcode:instance_create", "job=7", 1.5e18]]


@pytest.fixture
def call(guest_node: Node) -> Callable[..., object]:
    """Make a call: its name and its arguments (or its whole body) as JSON values."""
    rows = table.join(calls.CALLS)

    def make(name: str, *arguments: object, body: object = None) -> object:
        row = rows[name]
        signature = codec.Signature(row.action, body_is_argument=row.body_is_argument)
        decoded = signature.decode(msgspec.json.encode(arguments if body is None else body))
        succeeded, payload = json.loads(codec.encode(True, row.action(guest_node, **decoded)))
        assert succeeded
        return payload

    return make


def reason(node: Node) -> list[list[object]]:
    """The stored trail of the guest."""
    found: list[list[object]] = json.loads(node.paths.reason_file("guest1").read_text())
    return found


def test_start_adds_the_node_to_the_reason_trail(
    call: Callable[..., object], guest_node: Node, clock: FakeClock, behaviour: Obedient
) -> None:
    assert call("instance_start", INSTANCE, True, TRAIL) is None
    assert behaviour.named("start") == [("guest1", [], True)]
    assert reason(guest_node) == [*TRAIL, ["gnt:daemon:noded:start", "", int(clock.now) * 10**9]]


def test_shutdown_adds_the_node_to_the_reason_trail(
    call: Callable[..., object], guest_node: Node, run_guest: Callable[[InstanceInfo], None]
) -> None:
    run_guest(running("guest1"))
    assert call("instance_shutdown", INSTANCE, 120, []) is None
    assert [entry[0] for entry in reason(guest_node)] == ["gnt:daemon:noded:shutdown"]


def test_a_hard_reboot_stores_one_entry(
    call: Callable[..., object], guest_node: Node, run_guest: Callable[[InstanceInfo], None]
) -> None:
    run_guest(running("guest1"))
    assert call("instance_reboot", INSTANCE, "hard", 120, []) is None
    assert [entry[0] for entry in reason(guest_node)] == ["gnt:daemon:noded:reboot"]


def test_a_full_reboot_is_not_the_nodes_business(call: Callable[..., object]) -> None:
    with pytest.raises(InvalidParameter, match="reboot_type"):
        call("instance_reboot", INSTANCE, "full", 120, [])


def test_a_guest_that_is_not_there_is_an_empty_object(call: Callable[..., object]) -> None:
    assert call("instance_info", "guest1", "recording", {}) == {}


def test_a_guest_is_four_figures_and_nothing_else(
    call: Callable[..., object], run_guest: Callable[[InstanceInfo], None]
) -> None:
    run_guest(running("guest1"))
    expected = {"memory": 128, "vcpus": 1, "state": 0, "time": 1.5}
    assert call("instance_info", "guest1", "recording", {"migration_mode": "live"}) == expected
    assert call("all_instances_info", ["recording"], {"recording": {}}) == {"guest1": expected}
    assert call("instance_list", ["recording"], {"recording": {}}) == ["guest1"]


def test_a_guest_that_switched_itself_off_has_state_one(
    call: Callable[..., object], run_guest: Callable[[InstanceInfo], None]
) -> None:
    run_guest(msgspec.structs.replace(running("guest1"), state=RunState.SHUTDOWN, memory=0, vcpus=0))
    answer = call("all_instances_info", ["recording"], {"recording": {}})
    assert answer == {"guest1": {"memory": 0, "vcpus": 0, "state": 1, "time": 1.5}}


def test_a_migration_goes_through_its_calls(
    call: Callable[..., object], behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
) -> None:
    run_guest(running("guest1"))
    assert call("instance_migratable", INSTANCE) is None
    assert call("migration_info", INSTANCE) == "opaque"
    assert call("accept_instance", INSTANCE, "opaque", "192.0.2.2") is None
    assert call("instance_migrate", "cluster.example.com", INSTANCE, "192.0.2.2", True) is None
    status = call("instance_get_migration_status", INSTANCE)
    assert status == {"status": "active", "transferred_ram": 1, "total_ram": 2}
    assert call("instance_finalize_migration_src", INSTANCE, True, False) is None
    assert call("instance_finalize_migration_dst", INSTANCE, "opaque", True) is None
    assert behaviour.named("accept") == [("opaque", "192.0.2.2", [])]
    assert behaviour.named("migrate") == [("192.0.2.2", True)]
    assert behaviour.named("finalize_source") == [(True, False)]
    assert behaviour.named("finalize_target") == [("opaque", True)]


def test_memory_and_parameters_and_bridges(
    call: Callable[..., object], behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
) -> None:
    run_guest(running("guest1"))
    assert call("instance_balloon_memory", INSTANCE, 96) is None
    assert behaviour.named("balloon") == [(96,)]
    assert call("hypervisor_validate_params", "recording", {"x": None, "y": True}) is None
    assert call("bridges_exist", []) is None


@pytest.mark.parametrize("memory", [-1, 1.5, "96", None])
def test_a_wrong_amount_of_memory_is_refused_by_name(call: Callable[..., object], memory: object) -> None:
    with pytest.raises(InvalidParameter, match="memory_mib"):
        call("instance_balloon_memory", INSTANCE, memory)


def test_an_unknown_field_of_a_guest_is_refused(call: Callable[..., object]) -> None:
    with pytest.raises(InvalidParameter, match="instance"):
        call("migration_info", {**INSTANCE, "colour": "blue"})


def test_the_display_of_a_console_is_a_text(call: Callable[..., object]) -> None:
    answer = call("instance_console_info", body={"guest1": QUESTION})
    assert answer == {
        "guest1": {
            "instance": "guest1",
            "kind": "vnc",
            "host": "node1.example.com",
            "port": 5901,
            "display": "1",
            "command": ["socat", "-"],
        }
    }


def test_a_console_that_cannot_be_told_does_not_hide_the_others(
    call: Callable[..., object], behaviour: Obedient
) -> None:
    unknown = {**QUESTION, "instance": {**AS_CONFIGURED, "name": "guest2", "hypervisor": "qnx"}}
    answer = call("instance_console_info", body={"guest1": QUESTION, "guest2": unknown})
    assert isinstance(answer, dict)
    assert answer["guest1"]["kind"] == "vnc"
    assert answer["guest2"]["kind"] == "msg"
    assert "qnx" in answer["guest2"]["message"]


def test_consoles_of_no_guests_are_none(call: Callable[..., object]) -> None:
    assert call("instance_console_info", body={}) == {}


def test_a_failure_reaches_the_caller(call: Callable[..., object], behaviour: Obedient) -> None:
    behaviour.errors["start"] = HypervisorError("no memory left")
    with pytest.raises(HypervisorError, match="no memory left"):
        call("instance_start", INSTANCE, False, [])
