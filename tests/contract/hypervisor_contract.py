"""What every hypervisor driver must do, as a class to run against one: a subclass gives the fixtures.

The same class runs against records in files and against real emulated guests, so nothing in it assumes more than the
interface promises. Needed fixtures: `driver`, `instance`, `disks`. Optional ones: `restarted` (the driver of a daemon
started anew on the same node), `other` (the same kind on another node), `unstartable` (a guest whose start fails).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from ganeti.errors import HypervisorError, NodeError
from ganeti.host.clock import TryAgain, retry
from ganeti.hypervisor.base import Balloonable, DiskResizable, Hypervisor, Migratable
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.instance import (
    AttachedDisk,
    ConsoleKind,
    Instance,
    InstanceInfo,
    MigrationState,
    MigrationStatus,
    RunState,
)

STOP_WITHIN_S = 30.0
MIGRATE_WITHIN_S = 120.0

REQUIRED_OF_CONSOLES = {
    ConsoleKind.SSH: ("host", "user", "command"),
    ConsoleKind.VNC: ("host", "port", "display"),
    ConsoleKind.SPICE: ("host", "port"),
    ConsoleKind.MESSAGE: ("message",),
}


class HypervisorContract:
    """Tests of one driver."""

    @pytest.fixture
    def driver(self) -> Hypervisor:
        """The driver under test on a fresh node."""
        pytest.fail("a contract needs a driver")

    @pytest.fixture
    def instance(self) -> Instance:
        """A guest with filled parameters that can be started."""
        pytest.fail("a contract needs an instance")

    @pytest.fixture
    def disks(self) -> Sequence[AttachedDisk]:
        """Its disks, ready."""
        return ()

    @pytest.fixture
    def restarted(self) -> Hypervisor:
        """The driver made anew on the same node."""
        pytest.skip("no second driver object of the same node is given")

    @pytest.fixture
    def other(self) -> Hypervisor:
        """The driver of another node."""
        pytest.skip("no other node is given")

    @pytest.fixture
    def unstartable(self) -> Instance:
        """A guest whose start fails."""
        pytest.skip("no guest that cannot be started is given")

    @pytest.fixture
    def running(self, driver: Hypervisor, instance: Instance, disks: Sequence[AttachedDisk]) -> Iterator[Instance]:
        """The guest, started; ended by force afterwards."""
        driver.start(instance, disks, startup_paused=False)
        yield instance
        end(driver, instance)

    # Being there ------------------------------------------------------------------------------------------------

    def test_a_guest_that_was_never_started_is_unknown(self, driver: Hypervisor, instance: Instance) -> None:
        assert driver.list_instances(instance.hvparams) == []
        assert driver.instance_info(instance.name, instance.hvparams) is None
        assert driver.all_instances_info(instance.hvparams) == []

    def test_a_started_guest_is_listed_with_its_size(self, driver: Hypervisor, running: Instance) -> None:
        assert driver.list_instances(running.hvparams) == [running.name]
        info = driver.instance_info(running.name, running.hvparams)
        assert info is not None
        assert info.name == running.name
        assert info.state is RunState.RUNNING
        assert running.minimum_memory_mib <= info.memory <= running.maximum_memory_mib
        assert info.vcpus == running.vcpus
        assert info.time >= 0

    def test_the_list_of_all_agrees_with_the_single_question(self, driver: Hypervisor, running: Instance) -> None:
        single = driver.instance_info(running.name, running.hvparams)
        assert single is not None
        assert [shape(info) for info in driver.all_instances_info(running.hvparams)] == [shape(single)]

    def test_a_guest_can_be_started_paused(
        self, driver: Hypervisor, instance: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        driver.start(instance, disks, startup_paused=True)
        assert driver.list_instances(instance.hvparams) == [instance.name]
        end(driver, instance)

    def test_starting_a_running_guest_fails_and_leaves_it_running(
        self, driver: Hypervisor, running: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        with pytest.raises(HypervisorError, match=running.name):
            driver.start(running, disks, startup_paused=False)
        assert driver.list_instances(running.hvparams) == [running.name]

    def test_a_failed_start_leaves_nothing_running(
        self, driver: Hypervisor, unstartable: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        with pytest.raises(NodeError):
            driver.start(unstartable, disks, startup_paused=False)
        assert driver.list_instances(unstartable.hvparams) == []

    def test_a_new_driver_object_finds_the_running_guest(
        self, restarted: Hypervisor, running: Instance, driver: Hypervisor
    ) -> None:
        mine, theirs = (one.instance_info(running.name, running.hvparams) for one in (driver, restarted))
        assert mine is not None
        assert theirs is not None
        assert shape(mine) == shape(theirs)

    def test_a_name_that_leaves_its_directory_is_never_a_guest(self, driver: Hypervisor, instance: Instance) -> None:
        try:
            assert driver.instance_info("../" + instance.name, instance.hvparams) is None
        except NodeError as err:
            assert instance.name in str(err)  # noqa: PT017 - either answer is right

    # Stopping ---------------------------------------------------------------------------------------------------

    def test_a_forced_stop_ends_the_guest(self, driver: Hypervisor, running: Instance) -> None:
        end(driver, running)
        assert driver.list_instances(running.hvparams) == []
        assert driver.all_instances_info(running.hvparams) == []

    def test_stopping_an_absent_guest_is_harmless(self, driver: Hypervisor, instance: Instance) -> None:
        driver.stop(instance)
        driver.stop(instance, retry=True, timeout_s=1)
        driver.stop(instance, force=True)
        assert driver.list_instances(instance.hvparams) == []

    def test_cleaning_up_can_be_repeated(self, driver: Hypervisor, running: Instance) -> None:
        end(driver, running)
        driver.cleanup(running.name)
        driver.cleanup(running.name)
        assert driver.instance_info(running.name, running.hvparams) is None

    def test_a_stopped_guest_can_be_started_again(
        self, driver: Hypervisor, running: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        end(driver, running)
        driver.start(running, disks, startup_paused=False)
        assert driver.list_instances(running.hvparams) == [running.name]

    def test_a_rebooted_guest_runs(self, driver: Hypervisor, running: Instance) -> None:
        driver.reboot(running)
        info = driver.instance_info(running.name, running.hvparams)
        assert info is not None
        assert info.state is RunState.RUNNING

    def test_rebooting_an_absent_guest_fails(self, driver: Hypervisor, instance: Instance) -> None:
        with pytest.raises(HypervisorError, match=instance.name):
            driver.reboot(instance)

    # The node ---------------------------------------------------------------------------------------------------

    def test_the_facts_of_the_node_make_sense(self, driver: Hypervisor, instance: Instance) -> None:
        facts = driver.node_facts(instance.hvparams)
        assert 0 <= facts.memory_free <= facts.memory_total
        assert 0 < facts.memory_dom0 <= facts.memory_total
        assert facts.cpu_total > 0
        assert facts.cpu_dom0 <= facts.cpu_total

    def test_a_guest_starts_with_memory_between_its_bounds(self, driver: Hypervisor, instance: Instance) -> None:
        wide = with_memory(instance, minimum=1, maximum=2)
        greedy = with_memory(instance, minimum=1, maximum=10**9)
        stubborn = with_memory(instance, minimum=10**9, maximum=10**9)
        assert driver.startup_memory_mib(wide) == 2
        assert 1 <= driver.startup_memory_mib(greedy) < 10**9
        assert driver.startup_memory_mib(stubborn) == 10**9

    def test_a_usable_hypervisor_has_nothing_to_complain_of(self, driver: Hypervisor, instance: Instance) -> None:
        assert driver.verify(instance.hvparams) is None

    def test_the_parameters_of_the_guest_are_accepted(self, driver: Hypervisor, instance: Instance) -> None:
        driver.validate_parameters(instance.hvparams)

    def test_missing_parameters_are_refused_by_name(self, driver: Hypervisor, instance: Instance) -> None:
        for name in driver.parameters:
            rest = {key: value for key, value in instance.hvparams.items() if key != name}
            with pytest.raises(HypervisorError, match=name):
                driver.validate_parameters(rest)

    def test_a_console_has_what_its_kind_needs(self, driver: Hypervisor, instance: Instance) -> None:
        console = driver.console(instance, ClusterNode(name="node1"), NodeGroup(name="default"), instance.hvparams)
        assert console.instance == instance.name
        assert all(getattr(console, name) for name in REQUIRED_OF_CONSOLES[console.kind])

    # Capabilities -----------------------------------------------------------------------------------------------

    def test_memory_of_an_absent_guest_cannot_be_changed(self, driver: Hypervisor, instance: Instance) -> None:
        if not isinstance(driver, Balloonable):
            pytest.skip("no balloon")
        with pytest.raises(HypervisorError, match=instance.name):
            driver.balloon(instance, 64)

    def test_a_disk_of_an_absent_guest_cannot_be_resized(self, driver: Hypervisor, instance: Instance) -> None:
        if not isinstance(driver, DiskResizable):
            pytest.skip("disks keep their size")
        with pytest.raises(HypervisorError, match=instance.name):
            driver.resize_disk(instance, 0, 1024 * 1024)

    def test_a_guest_moves_to_another_node(
        self, driver: Hypervisor, other: Hypervisor, running: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        source, target = migratable(driver), migratable(other)
        info = source.migration_info(running)
        target.accept(running, info, "127.0.0.1", disks)
        source.migrate(running, "127.0.0.1", live=True)
        assert finished(driver, running).status is MigrationState.COMPLETED
        source.finalize_source(running, success=True, live=True)
        target.finalize_target(running, info, success=True)
        assert driver.list_instances(running.hvparams) == []
        assert other.list_instances(running.hvparams) == [running.name]
        end(other, running)

    def test_a_guest_that_did_not_move_goes_on_here(
        self, driver: Hypervisor, other: Hypervisor, running: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        source, target = migratable(driver), migratable(other)
        info = source.migration_info(running)
        target.accept(running, info, "127.0.0.1", disks)
        target.finalize_target(running, info, success=False)
        source.finalize_source(running, success=False, live=True)
        assert driver.list_instances(running.hvparams) == [running.name]
        assert other.list_instances(running.hvparams) == []

    def test_a_node_does_not_accept_a_guest_it_runs(
        self, driver: Hypervisor, running: Instance, disks: Sequence[AttachedDisk]
    ) -> None:
        target = migratable(driver)
        with pytest.raises(HypervisorError, match=running.name):
            target.accept(running, target.migration_info(running), "127.0.0.1", disks)
        assert driver.list_instances(running.hvparams) == [running.name]


def shape(info: InstanceInfo) -> tuple[str, int, int, RunState]:
    """What does not change from one question to the next."""
    return info.name, info.memory, info.vcpus, info.state


def with_memory(instance: Instance, *, minimum: int, maximum: int) -> Instance:
    """The guest with other bounds of its memory."""
    beparams = {**instance.beparams, "minmem": minimum, "maxmem": maximum}
    return msgspec.structs.replace(instance, beparams=beparams)


def end(driver: Hypervisor, instance: Instance) -> None:
    """End a guest by force and wait until it is gone."""

    def gone() -> None:
        if driver.instance_info(instance.name, instance.hvparams) is not None:
            raise TryAgain(f"{instance.name} is still there")

    driver.stop(instance, force=True)
    retry(driver.system.clock, gone, delay_s=0.05, timeout_s=STOP_WITHIN_S)
    driver.cleanup(instance.name)


def migratable(driver: Hypervisor) -> Migratable:
    """The driver as one that can move guests; skips the test otherwise."""
    if not isinstance(driver, Migratable):
        pytest.skip("guests cannot be moved")
    return driver


def finished(driver: Hypervisor, instance: Instance) -> MigrationStatus:
    """Wait for the end of a migration."""

    def ask() -> MigrationStatus:
        status = migratable(driver).migration_status(instance)
        if status.status is MigrationState.ACTIVE:
            raise TryAgain("the migration did not end")
        return status

    return retry(driver.system.clock, ask, delay_s=0.1, timeout_s=MIGRATE_WITHIN_S)
