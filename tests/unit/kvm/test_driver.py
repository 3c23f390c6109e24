"""The driver without any QEMU: what it says of guests that are gone, and what it refuses before it starts one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti.errors import HypervisorError, UnsafePath
from ganeti.host.system import System
from ganeti.hypervisor.drivers.kvm import Kvm
from ganeti.hypervisor.drivers.kvm.parameters import PARAMETERS
from ganeti.hypervisor.parameters import defaults
from ganeti.model.instance import Instance, RunState


@pytest.fixture
def driver(system: System) -> Iterator[Kvm]:
    result = Kvm(system)
    yield result
    result.close()


def guest(name: str = "g1") -> Instance:
    return Instance(name=name, hypervisor="kvm", hvparams=defaults(PARAMETERS), beparams={"maxmem": 64, "minmem": 64})


def test_a_guest_that_switched_itself_off_is_known_as_shut_down_until_it_is_stopped(driver: Kvm) -> None:
    files = driver.layout.guest("g1")
    files.runtime.write_text("")
    files.shutdown_marker.write_text("")

    (info,) = driver.all_instances_info()
    assert info == driver.instance_info("g1")
    assert (info.hypervisor_id, info.memory, info.vcpus, info.state) == (-1, 0, 0, RunState.SHUTDOWN)
    assert driver.list_instances() == []

    driver.stop(guest())
    assert driver.instance_info("g1") is None


def test_what_a_guest_left_is_not_a_guest(driver: Kvm) -> None:
    files = driver.layout.guest("g1")
    files.runtime.write_text("")
    files.pid.write_text("4194305\n")  # above the largest number Linux gives
    assert driver.all_instances_info() == []
    assert driver.list_instances() == []
    driver.cleanup("g1")
    assert not files.runtime.exists()
    assert not files.pid.exists()


def test_questions_about_no_guests_start_no_thread(driver: Kvm) -> None:
    before = threading.active_count()
    assert driver.all_instances_info() == []
    assert driver.instance_info("g1") is None
    assert threading.active_count() == before


def test_a_name_that_leaves_the_directories_is_refused(driver: Kvm) -> None:
    for question in (driver.instance_info, driver.cleanup):
        with pytest.raises(UnsafePath):
            question("../x")


def test_a_name_with_a_comma_is_refused(driver: Kvm) -> None:
    with pytest.raises(HypervisorError, match="comma"):
        driver.start(guest("a,b"), (), startup_paused=False)


def test_only_one_at_a_time_starts_a_guest_and_the_other_undoes_nothing(driver: Kvm) -> None:
    files = driver.layout.guest("g1")
    with driver.launcher.starting("g1"):
        files.runtime.write_text("of the first")
        with pytest.raises(HypervisorError, match="being started already"), driver.launcher.starting("g1"):
            pass
        with driver.launcher.starting("g2"):
            pass
    with driver.launcher.starting("g1"):
        pass
    assert files.runtime.read_text() == "of the first"


def test_a_file_that_cannot_be_written_is_an_error_of_the_guest(driver: Kvm) -> None:
    with pytest.raises(HypervisorError, match="cannot start instance g1"), driver.launcher.starting("g1"):
        Path("/nonexistent/file").write_text("")


def test_a_guest_without_record_cannot_be_sent_or_read(driver: Kvm) -> None:
    with pytest.raises(HypervisorError, match="what instance g1 was started with"):
        driver.migration_info(guest())
    with pytest.raises(HypervisorError, match="not running"):
        driver.reboot(guest())


def test_a_missing_binary_is_reported(driver: Kvm) -> None:
    missing = defaults(PARAMETERS) | {"kvm_path": "/nonexistent/kvm", "kvm_flag": "disabled"}
    assert "the KVM binary /nonexistent/kvm does not exist" in str(driver.verify(missing))
    with pytest.raises(HypervisorError, match="/nonexistent/kvm"):
        driver.node_facts(missing)
