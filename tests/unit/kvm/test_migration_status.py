"""How far a migration is, by what a scripted guest says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.kvm.fake_qemu import FakeQemu

from ganeti.errors import HypervisorError
from ganeti.host.clock import FakeClock
from ganeti.host.system import System
from ganeti.hypervisor.drivers.kvm import Kvm
from ganeti.hypervisor.drivers.kvm.hub import MonitorHub
from ganeti.hypervisor.drivers.kvm.parameters import PARAMETERS
from ganeti.hypervisor.parameters import defaults
from ganeti.model.base import Scalar
from ganeti.model.instance import Instance, MigrationState, MigrationStatus


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[FakeQemu]:
    result = FakeQemu(tmp_path / "g1")
    yield result
    result.close()


@pytest.fixture
def driver(system: System, qemu: FakeQemu) -> Iterator[Kvm]:
    result = Kvm(system)
    result.hub = MonitorHub(lambda _: qemu.path)
    yield result
    result.hub.close()


def guest(**hvparams: Scalar) -> Instance:
    return Instance(name="g1", hypervisor="kvm", hvparams=defaults(PARAMETERS) | hvparams)


RAM = {"transferred": 1000, "total": 4000, "remaining": 3000, "dirty-sync-count": 3}


@pytest.mark.parametrize("word", ["setup", "active", "pre-switchover", "device", "wait-unplug", "cancelling"])
def test_everything_that_is_not_over_is_active(driver: Kvm, qemu: FakeQemu, word: str) -> None:
    qemu.answers["query-migrate"] = {"status": word}
    assert driver.migration_status(guest()) == MigrationStatus(status=MigrationState.ACTIVE)


@pytest.mark.parametrize("word", ["completed", "failed", "cancelled", "postcopy-active"])
def test_the_words_masters_know_are_passed_on_with_the_amounts(driver: Kvm, qemu: FakeQemu, word: str) -> None:
    qemu.answers["query-migrate"] = {"status": word, "ram": RAM}
    status = driver.migration_status(guest())
    assert status == MigrationStatus(status=MigrationState(word), transferred_ram=1000, total_ram=4000)


def test_the_reason_of_a_failure_is_logged(driver: Kvm, qemu: FakeQemu, caplog: pytest.LogCaptureFixture) -> None:
    qemu.answers["query-migrate"] = {"status": "failed", "error-desc": "Unable to write to socket: Broken pipe"}
    assert driver.migration_status(guest()).status is MigrationState.FAILED
    assert "Broken pipe" in caplog.text


@pytest.mark.parametrize("answer", [{}, {"status": "none"}, {"status": "news"}])
def test_saying_nothing_five_times_is_a_failure(
    driver: Kvm, qemu: FakeQemu, clock: FakeClock, answer: dict[str, str]
) -> None:
    qemu.answers["query-migrate"] = answer
    assert driver.migration_status(guest()).status is MigrationState.FAILED
    assert qemu.received.count("query-migrate") == 5
    assert clock.sleeps == [2.0] * 4


def test_saying_nothing_at_first_is_not(driver: Kvm, qemu: FakeQemu) -> None:
    answers = iter([{}, {}, {"status": "active"}])
    qemu.answers["query-migrate"] = lambda _: next(answers)
    assert driver.migration_status(guest()).status is MigrationState.ACTIVE


def test_a_guest_that_is_not_all_there_is_waited_for_and_woken(driver: Kvm, qemu: FakeQemu) -> None:
    states = iter(["inmigrate", "inmigrate", "paused"])
    qemu.answers |= {"query-status": lambda _: {"status": next(states)}, "cont": {}}
    info = '[["kvm"], [], {}, []]\n'
    driver.finalize_target(guest(), info, success=True)
    assert qemu.received.count("cont") == 1
    assert driver.layout.guest("g1").runtime.read_text() == info


def test_a_guest_that_never_arrives_is_told(driver: Kvm, qemu: FakeQemu) -> None:
    qemu.answers["query-status"] = {"status": "inmigrate"}
    with pytest.raises(HypervisorError, match="does not begin to run here"):
        driver.finalize_target(guest(), '[["kvm"], [], {}, []]', success=True)


def test_an_answer_nobody_understands_is_an_error(driver: Kvm, qemu: FakeQemu) -> None:
    qemu.answers["query-migrate"] = {"status": ["active"]}
    with pytest.raises(HypervisorError, match="nobody understands"):
        driver.migration_status(guest())


def test_a_guest_that_does_not_answer_is_an_error_at_once(driver: Kvm, qemu: FakeQemu, clock: FakeClock) -> None:
    qemu.answers["query-migrate"] = {"error": {"class": "GenericError", "desc": "no"}}
    with pytest.raises(HypervisorError, match="query-migrate"):
        driver.migration_status(guest())
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("caps", "rounds", "begun"),
    [("postcopy-ram", 2, True), ("xbzrle:postcopy-ram", 3, True), ("postcopy-ram", 1, False), ("xbzrle", 9, False)],
)
def test_the_target_takes_over_after_two_rounds_where_wanted(
    driver: Kvm, qemu: FakeQemu, caps: str, rounds: int, begun: bool
) -> None:
    qemu.answers |= {
        "query-migrate": {"status": "active", "ram": RAM | {"dirty-sync-count": rounds}},
        "migrate-start-postcopy": {},
    }
    status = driver.migration_status(guest(migration_caps=caps))
    assert status.status is MigrationState.ACTIVE
    assert status.postcopy_status == ("postcopy-active" if begun else None)
    assert ("migrate-start-postcopy" in qemu.received) is begun
