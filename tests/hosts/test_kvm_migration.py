"""Real guests moved between two nodes on one machine, each below a root of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from tests.hosts.kvm_node import (
    Console,
    KvmNode,
    booted,
    changed,
    guest,
    kvm_nodes,
    wait_until_sent,
)

from ganeti.errors import HypervisorError
from ganeti.model.instance import AttachedDisk, Instance, MigrationState

HERE = "127.0.0.1"


@pytest.fixture
def nodes() -> Iterator[list[KvmNode]]:
    with kvm_nodes(2) as both:
        yield both


def run_state(node: KvmNode, name: str) -> str:
    answer = node.driver.hub.execute(name, "query-status")
    assert isinstance(answer, dict)
    return str(answer["status"])


def accept(node: KvmNode, instance: Instance, info: str, disks: tuple[AttachedDisk, ...] = (), at: str = HERE) -> None:
    for index, disk in enumerate(disks):
        node.paths.disk_link(instance.name, index).symlink_to(str(disk.disk.logical_id[1]))
    node.driver.accept(instance, info, at, ())


def move(source: KvmNode, target: KvmNode, instance: Instance, *, live: bool = True, at: str = HERE) -> None:
    """The whole of a migration that succeeds."""
    info = source.driver.migration_info(instance)
    accept(target, instance, info, at=at)
    source.driver.migrate(instance, at, live=live)
    assert wait_until_sent(source, instance) is MigrationState.COMPLETED
    source.driver.finalize_source(instance, success=True, live=live)
    target.driver.finalize_target(instance, info, success=True)


def test_a_guest_goes_on_counting_on_the_other_node(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest()
    disks = (source.disk(instance.name),)
    with booted(source, instance, disks) as console:
        console.wait_for("LAB-TICK 2")
        info = source.driver.migration_info(instance)
        accept(target, instance, info, disks)
        # what is half here is nobody's guest yet
        assert target.driver.all_instances_info() == []
        with Console(target.driver.layout.guest(instance.name).serial) as there:
            source.driver.migrate(instance, HERE, live=True)
            assert wait_until_sent(source, instance) is MigrationState.COMPLETED
            source.driver.finalize_source(instance, success=True, live=True)
            target.driver.finalize_target(instance, info, success=True)
            tick = there.wait_for("LAB-TICK ") + there.wait_for(" mem=")
        assert int(tick.rpartition("LAB-TICK ")[2].split()[0]) > 2
    assert source.driver.list_instances() == []
    assert not source.driver.layout.guest(instance.name).runtime.exists()
    (there_now,) = target.driver.all_instances_info()
    assert there_now.name == instance.name


def test_the_moved_guest_belongs_to_its_new_node(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest(use_guest_agent=True)
    disk = source.disk(instance.name)
    source.driver.start(instance, (disk,), startup_paused=False)
    info = source.driver.migration_info(instance)
    accept(target, instance, info, (disk,))
    source.driver.migrate(instance, HERE, live=True)
    assert wait_until_sent(source, instance) is MigrationState.COMPLETED
    source.driver.finalize_source(instance, success=True, live=True)
    target.driver.finalize_target(instance, info, success=True)

    record = target.driver.migration_info(instance)
    assert str(source.paths.root) + "/" not in record.replace(str(disk.disk.logical_id[1]), "")
    target.driver.reboot(instance)
    assert run_state(target, instance.name) == "running"


def test_there_and_back_again(nodes: list[KvmNode]) -> None:
    one, two = nodes
    instance = guest()
    one.driver.start(instance, (), startup_paused=False)
    move(one, two, instance)
    move(two, one, instance)
    assert run_state(one, instance.name) == "running"
    assert two.driver.list_instances() == []


def test_a_guest_sent_paused_runs_on_the_other_side(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest()
    source.driver.start(instance, (), startup_paused=False)
    move(source, target, instance, live=False)
    assert run_state(target, instance.name) == "running"


def test_a_guest_started_paused_stays_paused_over_a_migration(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest()
    source.driver.start(instance, (), startup_paused=True)
    move(source, target, instance)
    assert run_state(target, instance.name) == "prelaunch"


def test_ipv6_addresses_are_written_in_brackets(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest()
    source.driver.start(instance, (), startup_paused=False)
    move(source, target, instance, at="::1")
    assert run_state(target, instance.name) == "running"


def test_capabilities_are_set_on_both_sides_and_cleared_afterwards(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest(migration_caps="xbzrle:auto-converge")
    source.driver.start(instance, (), startup_paused=False)
    move(source, target, instance)
    states = target.driver.hub.execute(instance.name, "query-migrate-capabilities")
    assert isinstance(states, list)
    assert {each["capability"] for each in states if each["state"]} == set()


def test_with_postcopy_the_target_takes_over_before_all_is_sent(nodes: list[KvmNode]) -> None:
    source, target = nodes
    # a guest that writes, a slow line and no downtime: it would never be over without
    instance = guest(migration_caps="postcopy-ram", migration_bandwidth=20, migration_downtime=1)
    with booted(source, instance):
        move(source, target, instance)
    assert run_state(target, instance.name) == "running"


def test_an_unknown_capability_leaves_no_half_guest_on_the_target(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest()
    source.driver.start(instance, (), startup_paused=False)
    info = source.driver.migration_info(instance)
    with pytest.raises(HypervisorError, match="migrate-set-capabilities"):
        accept(target, changed(instance, migration_caps="teleport"), info)
    assert target.driver.list_instances() == []


def test_nobody_listening_is_a_failure_and_the_guest_goes_on(nodes: list[KvmNode]) -> None:
    source, _ = nodes
    instance = guest()
    source.driver.start(instance, (), startup_paused=False)
    source.driver.migrate(instance, HERE, live=True)
    assert wait_until_sent(source, instance) is MigrationState.FAILED
    source.driver.finalize_source(instance, success=False, live=True)
    assert run_state(source, instance.name) == "running"


def test_a_target_that_dies_costs_the_migration_not_the_guest(nodes: list[KvmNode]) -> None:
    source, target = nodes
    # so slow that it cannot be over before the other side is killed
    instance = guest(migration_bandwidth=1)
    with booted(source, instance):
        info = source.driver.migration_info(instance)
        accept(target, instance, info)
        source.driver.migrate(instance, HERE, live=False)
        pid = int(target.driver.layout.guest(instance.name).pid.read_text())
        os.kill(pid, signal.SIGKILL)
        assert wait_until_sent(source, instance) is MigrationState.FAILED
        target.driver.finalize_target(instance, info, success=False)
        source.driver.finalize_source(instance, success=False, live=False)

        assert run_state(source, instance.name) == "running"
        assert target.driver.list_instances() == []
        source.driver.migrate(instance, HERE, live=True)  # and it can be tried again
        source.driver.finalize_source(instance, success=False, live=True)


def test_a_migration_under_way_is_cancelled_by_a_failure_told(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance = guest(migration_bandwidth=1)
    with booted(source, instance):
        info = source.driver.migration_info(instance)
        accept(target, instance, info)
        source.driver.migrate(instance, HERE, live=True)
        assert source.driver.migration_status(instance).status is MigrationState.ACTIVE
        source.driver.finalize_source(instance, success=False, live=True)
        target.driver.finalize_target(instance, info, success=False)

        assert source.driver.migration_status(instance).status is MigrationState.CANCELLED
        assert run_state(source, instance.name) == "running"
        assert not target.driver.layout.guest(instance.name).qmp.exists()


def test_a_port_in_use_is_told_and_leaves_nothing(nodes: list[KvmNode]) -> None:
    source, target = nodes
    instance, other = guest(), guest("g2.test")
    other = changed(other, migration_port=instance.hvparams["migration_port"])
    for each in (instance, other):
        source.driver.start(each, (), startup_paused=True)
    accept(target, instance, source.driver.migration_info(instance))
    with pytest.raises(HypervisorError, match="Address already in use"):
        accept(target, other, source.driver.migration_info(other))
    assert target.driver.list_instances() == [instance.name]


def test_what_does_not_run_cannot_be_sent(nodes: list[KvmNode]) -> None:
    with pytest.raises(HypervisorError, match="not running"):
        nodes[0].driver.migrate(guest(), HERE, live=True)
