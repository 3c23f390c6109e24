"""The monitor hub against scripted guests: good ones, slow ones, broken ones, and one that is gone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.kvm.fake_qemu import CLOSE, HANG, FakeQemu

from ganeti.constants import MIB
from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.hub import MonitorHub
from ganeti.hypervisor.drivers.kvm.monitor_types import GuestStatus, MonitorError, Timing

ME = os.getpid()
LONG_S = 60.0
"""What a wait would take that must not be there: far from what any machine needs without it."""
MakeQemu = Callable[..., FakeQemu]


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[MakeQemu]:
    """Call it with a guest's name to get its monitor."""
    made: list[FakeQemu] = []

    def make(name: str = "g1", **kwargs: int) -> FakeQemu:
        made.append(FakeQemu(tmp_path / name, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_hub(tmp_path: Path) -> Iterator[Callable[[Timing], MonitorHub]]:
    hubs: list[MonitorHub] = []

    def make(timing: Timing) -> MonitorHub:
        hubs.append(MonitorHub(lambda name: tmp_path / name, timing))
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.close()


@pytest.fixture
def hub(make_hub: Callable[[Timing], MonitorHub]) -> MonitorHub:
    return make_hub(Timing(fresh_s=60, idle_s=60, timeout_s=LONG_S))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.005)


def status_of(hub: MonitorHub, name: str = "g1", wait_s: float = LONG_S) -> GuestStatus | None:
    return hub.status({name: ME}, wait_s=wait_s).get(name)


# Commands ------------------------------------------------------------------------------------------------------------


def test_a_command_gets_its_answer(hub: MonitorHub, qemu: MakeQemu) -> None:
    qemu().answers["query-name"] = {"name": "g1"}
    assert hub.execute("g1", "query-name") == {"name": "g1"}


def test_arguments_reach_the_guest(hub: MonitorHub, qemu: MakeQemu) -> None:
    qemu().answers["echo"] = lambda arguments: arguments
    assert hub.execute("g1", "echo", {"value": 1024}) == {"value": 1024}


def test_answers_in_single_bytes_and_events_between_are_understood(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu(chunk=1)
    guest.events_before_answers = [{"event": "NIC_RX_FILTER_CHANGED", "timestamp": {"seconds": 0, "microseconds": 0}}]
    guest.answers["query-name"] = {"name": "ö"}

    def negotiate(_: object) -> object:
        # an event before the answer to the negotiation is what another client left behind: once
        guest.events_before_answers = []
        return {}

    guest.answers["qmp_capabilities"] = negotiate
    assert hub.execute("g1", "query-name") == {"name": "ö"}
    guest.events_before_answers = [{"event": "RTC_CHANGE", "timestamp": {"seconds": 0, "microseconds": 0}}] * 3
    assert hub.execute("g1", "query-name") == {"name": "ö"}


def test_a_refusal_tells_the_guests_words_and_class(hub: MonitorHub, qemu: MakeQemu) -> None:
    qemu().answers["cont"] = {"error": {"class": "GenericError", "desc": "Resetting the Virtual Machine is required"}}
    with pytest.raises(MonitorError, match="g1 did not execute cont: Resetting") as caught:
        hub.execute("g1", "cont")
    assert caught.value.error_class == "GenericError"
    assert hub.execute("g1", "query-balloon") == {"actual": 128 * MIB}


def test_no_answer_is_an_error_after_the_time_allowed_and_the_next_command_is_asked_anew(
    hub: MonitorHub, qemu: MakeQemu
) -> None:
    guest = qemu()
    guest.answers["query-slow"] = HANG
    with pytest.raises(MonitorError, match=r"no answer within 0\.05 s"):
        hub.execute("g1", "query-slow", timeout_s=0.05)
    assert hub.execute("g1", "query-status") == guest.answers["query-status"]
    assert guest.connections == 2


@pytest.mark.parametrize("reply", [CLOSE, b"garbage\r\n", b"[1, 2]\r\n", b'{"error": {"class": "G", "desc": "x"}}\r\n'])
def test_a_broken_answer_is_an_error_and_not_the_end(hub: MonitorHub, qemu: MakeQemu, reply: object) -> None:
    guest = qemu()
    guest.answers["query-odd"] = reply
    with pytest.raises(MonitorError, match="query-odd"):
        hub.execute("g1", "query-odd")
    until(lambda: guest.left.qsize() == 1)
    assert hub.execute("g1", "query-status") == guest.answers["query-status"]


@pytest.mark.parametrize("greeting", [b"", b"hello\r\n", b'{"QMP": 1}\r\n', b"\xff\xfe\r\n"])
def test_what_is_no_monitor_is_told(hub: MonitorHub, qemu: MakeQemu, greeting: bytes) -> None:
    guest = qemu()
    guest.greeting = greeting
    with pytest.raises(MonitorError):
        hub.execute("g1", "cont", timeout_s=0.2)
    until(lambda: guest.connections == guest.left.qsize())


def test_a_guest_without_socket_is_told(hub: MonitorHub) -> None:
    with pytest.raises(MonitorError, match="g1 did not execute cont"):
        hub.execute("g1", "cont")


def test_a_guest_that_goes_in_the_middle_of_a_command_is_told_at_once(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()

    def go(_: object) -> object:
        guest.disconnect()
        return HANG

    guest.answers["migrate"] = go
    with pytest.raises(MonitorError, match="migrate") as caught:
        hub.execute("g1", "migrate", timeout_s=30)
    assert "no answer within" not in str(caught.value)


def test_many_threads_share_one_session(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    guest.answers["echo"] = lambda arguments: arguments
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda number: hub.execute("g1", "echo", {"number": number}), range(100)))
    assert results == [{"number": number} for number in range(100)]
    assert guest.connections == 1


# Figures -------------------------------------------------------------------------------------------------------------


def test_figures_come_from_the_guest(hub: MonitorHub, qemu: MakeQemu) -> None:
    qemu(memory_mib=96, vcpus=3)
    status = status_of(hub)
    assert status is not None
    assert (status.memory_mib, status.vcpus, status.run_state, status.pid) == (96, 3, "running", ME)


def test_young_figures_are_not_asked_again(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    first = status_of(hub)
    asked = len(guest.received)
    assert status_of(hub) == first
    assert len(guest.received) == asked


def test_figures_are_asked_again_when_the_guest_was_told_to_change(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    status_of(hub)
    guest.answers |= {"balloon": {}, "query-balloon": {"actual": 64 * MIB}}
    hub.execute("g1", "balloon", {"value": 64 * MIB})
    status = status_of(hub)
    assert status is not None
    assert status.memory_mib == 64


def test_old_figures_are_asked_again(make_hub: Callable[[Timing], MonitorHub], qemu: MakeQemu) -> None:
    guest = qemu()
    hub = make_hub(Timing(fresh_s=0, idle_s=60, timeout_s=LONG_S))
    status_of(hub)
    guest.answers["query-balloon"] = {"actual": 64 * MIB}
    status = status_of(hub)
    assert status is not None
    assert status.memory_mib == 64
    assert guest.connections == 1


def test_a_guest_without_balloon_has_figures_but_no_memory(hub: MonitorHub, qemu: MakeQemu) -> None:
    qemu().answers["query-balloon"] = {"error": {"class": "DeviceNotActive", "desc": "No balloon device"}}
    status = status_of(hub)
    assert status is not None
    assert (status.memory_mib, status.vcpus) == (None, 1)


def test_events_change_the_figures_at_once(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    status_of(hub)
    guest.event("BALLOON_CHANGE", actual=100 * MIB)
    guest.event("STOP")
    until(lambda: (status := status_of(hub)) is not None and status.run_state == "paused")
    status = status_of(hub)
    assert status is not None
    assert status.memory_mib == 100
    guest.event("RESUME")
    until(lambda: (status := status_of(hub)) is not None and status.run_state == "running")


def test_an_event_nobody_understands_is_logged_and_changes_nothing(
    hub: MonitorHub, qemu: MakeQemu, caplog: pytest.LogCaptureFixture
) -> None:
    guest = qemu()
    before = status_of(hub)
    guest.event("BALLOON_CHANGE", actual="much")
    until(lambda: any("cannot be understood" in record.getMessage() for record in caplog.records))
    assert status_of(hub) == before


def test_one_that_hangs_costs_the_others_nothing(
    make_hub: Callable[[Timing], MonitorHub], qemu: MakeQemu, caplog: pytest.LogCaptureFixture
) -> None:
    hub = make_hub(Timing(fresh_s=0, idle_s=60, timeout_s=30))
    for number in range(5):
        qemu(f"g{number}")
    hung = qemu("hung")
    hung.answers["query-cpus-fast"] = HANG
    guests = dict.fromkeys([*(f"g{number}" for number in range(5)), "hung"], ME)

    first = time.monotonic()
    known = hub.status(guests, wait_s=0.3)
    second = time.monotonic()
    again = hub.status(guests, wait_s=LONG_S)
    third = time.monotonic()

    assert sorted(known) == sorted(again) == [f"g{number}" for number in range(5)]
    assert second - first >= 0.3
    assert third - second < LONG_S  # it is known not to answer, nobody waits for it any more
    assert sum("hung does not answer" in record.getMessage() for record in caplog.records) == 1


def test_one_that_answers_late_is_believed_again(make_hub: Callable[[Timing], MonitorHub], qemu: MakeQemu) -> None:
    hub = make_hub(Timing(fresh_s=60, idle_s=60, timeout_s=30))
    guest = qemu()
    go_on = threading.Event()
    usual = guest.answers["query-cpus-fast"]
    guest.answers["query-cpus-fast"] = lambda _: go_on.wait(10) and usual
    assert status_of(hub, wait_s=0.01) is None
    go_on.set()
    until(lambda: status_of(hub, wait_s=0.01) is not None)


def test_figures_of_another_process_are_not_given(hub: MonitorHub, qemu: MakeQemu, real_processes: None) -> None:
    guest = qemu()
    status_of(hub)
    guest.answers["query-balloon"] = HANG
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert hub.status({"g1": other.pid}, wait_s=0.05) == {}


def test_the_end_of_the_process_ends_the_session_and_the_figures(
    hub: MonitorHub, qemu: MakeQemu, real_processes: None
) -> None:
    guest = qemu()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert "g1" in hub.status({"g1": process.pid}, wait_s=5)
        process.kill()
    until(lambda: guest.left.qsize() == 1)


def test_nothing_is_started_for_no_guests(hub: MonitorHub) -> None:
    before = threading.active_count()
    assert hub.status({}, wait_s=1) == {}
    hub.forget("g1")
    assert threading.active_count() == before


# The socket and the thread -------------------------------------------------------------------------------------------


def test_an_unused_socket_is_given_back(make_hub: Callable[[Timing], MonitorHub], qemu: MakeQemu) -> None:
    hub = make_hub(Timing(fresh_s=60, idle_s=0.01, timeout_s=LONG_S))
    guest = qemu()
    hub.execute("g1", "query-status")
    assert guest.left.get(timeout=LONG_S) == 1
    assert hub.execute("g1", "query-status") == guest.answers["query-status"]


def test_a_socket_somebody_else_uses_is_waited_for(hub: MonitorHub, qemu: MakeQemu, tmp_path: Path) -> None:
    guest = qemu()
    other = MonitorHub(lambda name: tmp_path / name, Timing(idle_s=60))
    try:
        other.execute("g1", "query-status")
        with pytest.raises(MonitorError, match="query-status"):
            hub.execute("g1", "query-status", timeout_s=0.05)
    finally:
        other.close()
    assert hub.execute("g1", "query-status") == guest.answers["query-status"]


def test_forgetting_a_guest_closes_its_connection(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    status_of(hub)
    hub.forget("g1")
    assert guest.left.get(timeout=LONG_S) == 1


def test_a_closed_hub_has_no_thread_and_says_so(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    hub.execute("g1", "query-status")
    hub.close()
    hub.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "kvm-monitors"]
    assert guest.left.get(timeout=LONG_S) == 1
    with pytest.raises(HypervisorError, match="closed"):
        hub.execute("g1", "query-status")


def test_who_waits_while_the_hub_is_closed_is_told(hub: MonitorHub, qemu: MakeQemu) -> None:
    guest = qemu()
    guest.answers["query-slow"] = HANG
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(hub.execute, "g1", "query-slow", timeout_s=30)
        until(lambda: "query-slow" in guest.received)
        hub.close()
        with pytest.raises(HypervisorError):
            waiting.result(timeout=LONG_S)


def test_closing_does_not_wait_for_a_guest_that_hangs(make_hub: Callable[[Timing], MonitorHub], qemu: MakeQemu) -> None:
    hub = make_hub(Timing(fresh_s=60, idle_s=60, timeout_s=LONG_S))
    qemu().answers["query-cpus-fast"] = HANG
    assert status_of(hub, wait_s=0.01) is None
    started = time.monotonic()
    hub.close()
    assert time.monotonic() - started < LONG_S


def test_a_process_that_ends_without_closing_prints_nothing(
    qemu: MakeQemu, tmp_path: Path, real_processes: None
) -> None:
    qemu("g1")
    qemu("hung").answers["query-cpus-fast"] = HANG
    program = (
        "import logging, os, sys; from pathlib import Path\n"
        "logging.disable()\n"
        "from ganeti.hypervisor.drivers.kvm.hub import MonitorHub\n"
        "hub = MonitorHub(lambda name: Path(sys.argv[1]) / name)\n"
        "print(sorted(hub.status({'g1': os.getpid(), 'hung': os.getpid()}, wait_s=0.5)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("['g1']\n", "")


def test_the_librarys_own_complaints_are_not_logged_twice(hub: MonitorHub, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(MonitorError):
        hub.execute("g1", "cont")
    assert [record.name for record in caplog.records if record.name.startswith("qemu")] == []
