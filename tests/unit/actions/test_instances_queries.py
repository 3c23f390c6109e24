"""Questions about guests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.actions.conftest import GivenHypervisors, Obedient, RecordingHypervisor, running

from ganeti.actions import instance_queries
from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, InvalidParameter
from ganeti.model.instance import Instance, InstanceInfo


@pytest.fixture
def second(behaviour: Obedient) -> Obedient:
    """What a second hypervisor of the node does."""
    return Obedient()


@pytest.fixture
def two(guest_node: Node, behaviour: Obedient, second: Obedient) -> Node:
    """A node with the hypervisors `a` and `b`."""
    drivers = {
        "a": RecordingHypervisor(guest_node.system, behaviour),
        "b": RecordingHypervisor(guest_node.system, second),
    }
    return replace(guest_node, hypervisors=GivenHypervisors(dict(drivers)))


PARAMETERS: dict[str, dict[str, bool | int | float | str | None]] = {"a": {"x": 1}, "b": {"y": 2}}


def test_names_come_in_the_order_of_the_hypervisors(two: Node, behaviour: Obedient, second: Obedient) -> None:
    behaviour.guests = {"guest1": running("guest1")}
    second.guests = {"guest0": running("guest0"), "guest1": running("guest1")}
    assert instance_queries.list_instances(two, ["b", "a"], PARAMETERS) == ["guest0", "guest1", "guest1"]
    assert behaviour.named("list") == [({"x": 1},)]
    assert second.named("list") == [({"y": 2},)]


def test_a_hypervisor_that_fails_is_named(two: Node, second: Obedient) -> None:
    second.errors["list"] = HypervisorError("out of order")
    with pytest.raises(HypervisorError, match=r"hypervisor b.*out of order"):
        instance_queries.list_instances(two, ["a", "b"], PARAMETERS)


def test_a_hypervisor_without_parameters_is_refused_by_name(two: Node) -> None:
    with pytest.raises(InvalidParameter, match="hypervisor b"):
        instance_queries.list_instances(two, ["b"], {"a": {}})
    with pytest.raises(InvalidParameter, match="hypervisor b"):
        instance_queries.all_info(two, ["b"], {"a": {}})


def test_one_guest_is_found_or_not(two: Node, behaviour: Obedient) -> None:
    behaviour.guests = {"guest1": running("guest1")}
    assert instance_queries.info(two, "guest1", "a", {}) == running("guest1")
    assert instance_queries.info(two, "guest1", "b", {}) is None


def test_guests_of_all_hypervisors_are_put_together(two: Node, behaviour: Obedient, second: Obedient) -> None:
    behaviour.guests = {"guest1": running("guest1")}
    second.guests = {"guest2": running("guest2", memory=64)}
    found = instance_queries.all_info(two, ["a", "b"], PARAMETERS)
    assert {name: info.memory for name, info in found.items()} == {"guest1": 128, "guest2": 64}


def test_a_guest_two_hypervisors_see_alike_is_there_once(two: Node, behaviour: Obedient, second: Obedient) -> None:
    behaviour.guests = second.guests = {"guest1": running("guest1")}
    assert list(instance_queries.all_info(two, ["a", "b"], PARAMETERS)) == ["guest1"]


@pytest.mark.parametrize("other", [running("guest1", memory=64), running("guest1", vcpus=2)])
def test_a_guest_of_two_sizes_is_an_error(
    two: Node, behaviour: Obedient, second: Obedient, other: InstanceInfo
) -> None:
    behaviour.guests = {"guest1": running("guest1")}
    second.guests = {"guest1": other}
    with pytest.raises(HypervisorError, match="guest1"):
        instance_queries.all_info(two, ["a", "b"], PARAMETERS)


def test_a_console_that_is_no_command_is_an_error(guest_node: Node, guest: Instance) -> None:
    with pytest.raises(HypervisorError, match="no serial console"):
        instance_queries.serial_console(guest_node, guest)
