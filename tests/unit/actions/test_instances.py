"""Starting, stopping and changing guests."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.actions.conftest import GivenHypervisors, Obedient, RecordingBase, RecordingHypervisor, running

from ganeti.actions import instances
from ganeti.actions.node import Node
from ganeti.actions.reasons import ReasonTrail
from ganeti.errors import BlockDeviceError, HypervisorError, NotSupported, TimedOut
from ganeti.host.clock import FakeClock
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType
from ganeti.model.instance import Instance, InstanceInfo, RunState

TRAIL: ReasonTrail = [("gnt:client:test", "because", 1)]


@pytest.fixture
def disk(guest_node: Node, tmp_path: Path) -> Disk:
    """A file disk of the node that is there."""
    directory = tmp_path / "disks"
    directory.mkdir()
    guest_node.paths.file_storage_paths_file.parent.mkdir(parents=True, exist_ok=True)
    guest_node.paths.file_storage_paths_file.write_text(f"{directory}\n")
    file = directory / "disk0"
    file.write_bytes(b"\0" * 4096)
    return Disk(dev_type=DiskType.FILE, logical_id=("loop", str(file)), size=1)


@pytest.fixture
def guest_with_disk(guest: Instance, disk: Disk) -> Instance:
    """The guest with that disk."""
    return msgspec.structs.replace(guest, disks_info=(disk,))


def link(node: Node) -> Path:
    """Where the link to the guest's disk is."""
    return node.paths.disk_link("guest1", 0)


def soft_stops(behaviour: Obedient) -> list[tuple[object, ...]]:
    """(retry, time) of each soft stop."""
    return [(retry, when) for force, retry, _, when in behaviour.named("stop") if not force]


class TestStart:
    """`instances.start`."""

    def test_the_hypervisor_gets_the_linked_disks(
        self, guest_node: Node, guest_with_disk: Instance, behaviour: Obedient
    ) -> None:
        instances.start(guest_node, guest_with_disk, startup_paused=True)
        assert behaviour.named("start") == [("guest1", [str(link(guest_node))], True)]
        assert link(guest_node).readlink() == Path(str(guest_with_disk.attached_disks[0].logical_id[1]))

    def test_a_running_guest_is_left_alone(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(running("guest1"))
        instances.start(guest_node, guest, reason=TRAIL)
        assert behaviour.named("start") == []
        assert not guest_node.paths.reason_file("guest1").exists()

    def test_the_wrong_record_of_a_running_guest_is_restored(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(running("guest1"))
        behaviour.record_is_right = False
        instances.start(guest_node, guest)
        assert behaviour.named("restore") == [("guest1",)]
        assert behaviour.named("start") == []

    def test_a_guest_that_switched_itself_off_is_started(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(msgspec.structs.replace(running("guest1"), state=RunState.SHUTDOWN))
        instances.start(guest_node, guest)
        assert len(behaviour.named("start")) == 1

    def test_the_links_go_when_the_hypervisor_fails(
        self, guest_node: Node, guest_with_disk: Instance, behaviour: Obedient
    ) -> None:
        behaviour.errors["start"] = HypervisorError("no memory")
        with pytest.raises(HypervisorError, match="no memory"):
            instances.start(guest_node, guest_with_disk)
        assert not link(guest_node).is_symlink()

    def test_the_links_of_a_guest_that_somebody_else_started_stay(
        self, guest_node: Node, guest_with_disk: Instance, behaviour: Obedient
    ) -> None:
        class Overtaken(RecordingHypervisor):
            def start(self, instance: Instance, *args: object, **kwargs: object) -> None:
                behaviour.guests[instance.name] = running(instance.name)
                raise HypervisorError("already running")

        overtaken = GivenHypervisors({"recording": Overtaken(guest_node.system, behaviour)})
        with pytest.raises(HypervisorError, match="already running"):
            instances.start(replace(guest_node, hypervisors=overtaken), guest_with_disk)
        assert link(guest_node).is_symlink()

    def test_the_links_stay_when_nobody_knows_whether_it_runs(
        self, guest_node: Node, guest_with_disk: Instance, behaviour: Obedient
    ) -> None:
        class Silent(RecordingHypervisor):
            asked = 0

            def instance_info(self, name: str, hvparams: Parameters | None = None) -> InstanceInfo | None:
                self.asked += 1
                if self.asked > 1:
                    raise HypervisorError("no answer")
                return None

        behaviour.errors["start"] = HypervisorError("no memory")
        silent = GivenHypervisors({"recording": Silent(guest_node.system, behaviour)})
        with pytest.raises(HypervisorError, match="no memory"):
            instances.start(replace(guest_node, hypervisors=silent), guest_with_disk)
        assert link(guest_node).is_symlink()

    def test_a_missing_disk_fails_before_anything_is_started(
        self, guest_node: Node, guest_with_disk: Instance, disk: Disk, behaviour: Obedient
    ) -> None:
        Path(str(disk.logical_id[1])).unlink()
        with pytest.raises(BlockDeviceError, match="disk0"):
            instances.start(guest_node, guest_with_disk)
        assert behaviour.named("start") == []

    def test_the_reason_is_stored_after_the_start(self, guest_node: Node, guest: Instance) -> None:
        instances.start(guest_node, guest, reason=TRAIL)
        text = guest_node.paths.reason_file("guest1").read_text()
        assert text.endswith("]\n")
        assert json.loads(text) == [["gnt:client:test", "because", 1]]

    def test_an_unknown_hypervisor_fails(self, guest_node: Node, guest: Instance) -> None:
        with pytest.raises(HypervisorError, match="qnx"):
            instances.start(guest_node, msgspec.structs.replace(guest, hypervisor="qnx"))


class TestShutdown:
    """`instances.shutdown`."""

    @pytest.fixture(autouse=True)
    def started(self, run_guest: Callable[[InstanceInfo], None]) -> None:
        """The guest runs."""
        run_guest(running("guest1"))

    def test_a_guest_that_stops_at_once_costs_no_pause(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, clock: FakeClock
    ) -> None:
        instances.shutdown(guest_node, guest, timeout_s=120)
        assert clock.sleeps == []
        assert behaviour.named("stop") == [(False, False, 120, clock.now)]
        assert behaviour.named("cleanup") == [("guest1",)]

    def test_it_is_asked_again_every_five_seconds(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, clock: FakeClock
    ) -> None:
        began = clock.now
        behaviour.soft_stops_needed = 3
        instances.shutdown(guest_node, guest, timeout_s=120)
        assert soft_stops(behaviour) == [(False, began), (True, began + 5), (True, began + 10)]
        assert clock.sleeps == [5, 5]

    def test_force_follows_when_the_time_is_over(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, clock: FakeClock
    ) -> None:
        behaviour.soft_stops_needed = 99
        instances.shutdown(guest_node, guest, timeout_s=12)
        assert [force for force, *_ in behaviour.named("stop")] == [False, False, False, False, True]
        assert clock.sleeps == [5, 5, 5, 1]
        assert "guest1" not in behaviour.guests

    @pytest.mark.parametrize("timeout_s", [0, -1])
    def test_without_time_there_is_one_soft_attempt(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, clock: FakeClock, timeout_s: float
    ) -> None:
        behaviour.soft_stops_needed = 99
        instances.shutdown(guest_node, guest, timeout_s=timeout_s)
        assert [force for force, *_ in behaviour.named("stop")] == [False, True]
        assert clock.sleeps == [1]

    def test_a_guest_that_survives_force_is_reported_and_not_cleaned_up(
        self, guest_node: Node, guest: Instance, behaviour: Obedient
    ) -> None:
        behaviour.soft_stops_needed = 99
        behaviour.force_works = False
        with pytest.raises(HypervisorError, match="guest1"):
            instances.shutdown(guest_node, guest, timeout_s=0)
        assert behaviour.named("cleanup") == []

    def test_a_failure_of_force_counts_only_while_the_guest_is_there(
        self, guest_node: Node, guest: Instance, behaviour: Obedient
    ) -> None:
        class Stubborn(RecordingHypervisor):
            vanishes = False

            def stop(self, *args: object, **kwargs: object) -> None:
                if not kwargs.get("force"):
                    return
                if self.vanishes:
                    behaviour.guests.clear()
                raise HypervisorError("cannot be ended")

        driver = Stubborn(guest_node.system, behaviour)
        node = replace(guest_node, hypervisors=GivenHypervisors({"recording": driver}))
        with pytest.raises(HypervisorError, match="cannot be ended"):
            instances.shutdown(node, guest, timeout_s=0)
        driver.vanishes = True
        instances.shutdown(node, guest, timeout_s=0)
        assert behaviour.named("cleanup") == [("guest1",)]

    @pytest.mark.parametrize("error", [HypervisorError("monitor says no"), TimedOut("monitor is silent")])
    def test_a_failure_to_ask_is_final_and_uses_no_force(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, error: HypervisorError | TimedOut
    ) -> None:
        behaviour.errors["stop"] = error
        with pytest.raises(type(error), match=str(error)):
            instances.shutdown(guest_node, guest, timeout_s=120)
        assert len(behaviour.named("stop")) == 1

    def test_a_failure_to_ask_a_guest_that_is_gone_is_no_failure(
        self, guest_node: Node, guest: Instance, behaviour: Obedient
    ) -> None:
        class Vanishing(RecordingHypervisor):
            def stop(self, *args: object, **kwargs: object) -> None:
                behaviour.guests.clear()
                raise HypervisorError("no such process")

        vanishing = GivenHypervisors({"recording": Vanishing(guest_node.system, behaviour)})
        instances.shutdown(replace(guest_node, hypervisors=vanishing), guest, timeout_s=120)
        assert behaviour.named("cleanup") == [("guest1",)]

    def test_a_stopped_guest_is_cleaned_up_only(
        self, guest_node: Node, guest_with_disk: Instance, behaviour: Obedient
    ) -> None:
        behaviour.guests.clear()
        link(guest_node).symlink_to("/somewhere")
        instances.shutdown(guest_node, guest_with_disk, timeout_s=120, reason=TRAIL)
        assert behaviour.named("stop") == []
        assert behaviour.named("cleanup") == [("guest1",)]
        assert not link(guest_node).is_symlink()
        assert not guest_node.paths.reason_file("guest1").exists()

    def test_a_failed_cleanup_is_a_warning(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, caplog: pytest.LogCaptureFixture
    ) -> None:
        behaviour.errors["cleanup"] = HypervisorError("tap0 is busy")
        with caplog.at_level(logging.WARNING):
            instances.shutdown(guest_node, guest, timeout_s=120)
        assert "tap0 is busy" in caplog.text

    def test_the_reason_is_stored(self, guest_node: Node, guest: Instance) -> None:
        instances.shutdown(guest_node, guest, timeout_s=120, reason=TRAIL)
        assert json.loads(guest_node.paths.reason_file("guest1").read_text()) == [["gnt:client:test", "because", 1]]


class TestReboot:
    """`instances.reboot`."""

    def test_a_guest_that_is_down_cannot_be_rebooted(self, guest_node: Node, guest: Instance) -> None:
        with pytest.raises(HypervisorError, match="not running"):
            instances.reboot(guest_node, guest, "soft", shutdown_timeout_s=1)

    def test_soft_is_the_hypervisors_own_and_stores_no_reason(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(running("guest1"))
        instances.reboot(guest_node, guest, "soft", shutdown_timeout_s=1, reason=TRAIL)
        assert behaviour.named("reboot") == [("guest1",)]
        assert behaviour.named("stop") == []
        assert not guest_node.paths.reason_file("guest1").exists()

    def test_hard_stops_and_starts_unpaused(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(running("guest1"))
        instances.reboot(guest_node, guest, "hard", shutdown_timeout_s=33, reason=TRAIL)
        assert [call[0] for call in behaviour.calls if call[0] in {"stop", "start"}] == ["stop", "start"]
        assert behaviour.named("start") == [("guest1", [], False)]
        assert [timeout for _, _, timeout, _ in behaviour.named("stop")] == [33]
        assert guest_node.paths.reason_file("guest1").exists()


class TestRunningGuest:
    """Changes of a running guest."""

    def test_the_memory_of_a_running_guest_is_set(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(running("guest1"))
        instances.balloon(guest_node, guest, 96)
        assert behaviour.named("balloon") == [(96,)]

    def test_the_memory_of_a_stopped_guest_is_nobodys_business(
        self, guest_node: Node, guest: Instance, behaviour: Obedient
    ) -> None:
        instances.balloon(guest_node, guest, 96)
        assert behaviour.named("balloon") == []

    def test_a_disk_of_a_running_guest_gets_its_new_size(
        self, guest_node: Node, guest: Instance, behaviour: Obedient, run_guest: Callable[[InstanceInfo], None]
    ) -> None:
        run_guest(running("guest1"))
        instances.resize_disk(guest_node, guest, 1, 2048)
        assert behaviour.named("resize_disk") == [(1, 2048)]

    def test_a_disk_of_a_stopped_guest_is_refused(self, guest_node: Node, guest: Instance) -> None:
        with pytest.raises(HypervisorError, match="not running"):
            instances.resize_disk(guest_node, guest, 1, 2048)


def test_parameters_are_judged_by_the_hypervisor(guest_node: Node) -> None:
    instances.validate_parameters(guest_node, "recording", {})
    with pytest.raises(HypervisorError, match="qnx"):
        instances.validate_parameters(guest_node, "qnx", {})


def test_what_a_hypervisor_cannot_do_is_said(guest_node: Node, guest: Instance, behaviour: Obedient) -> None:
    node = replace(guest_node, hypervisors=GivenHypervisors({"recording": RecordingBase(guest_node.system, behaviour)}))
    behaviour.guests["guest1"] = running("guest1")
    with pytest.raises(NotSupported):
        instances.balloon(node, guest, 1)
    with pytest.raises(NotSupported):
        instances.resize_disk(node, guest, 0, 1)
