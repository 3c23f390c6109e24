"""What only guests that are files do: their form on disk, and what is damaged in it."""

from __future__ import annotations

import logging
import os

import pytest

from ganeti.errors import HypervisorError, NodeError, UnsafePath
from ganeti.host.system import System
from ganeti.hypervisor import linux
from ganeti.hypervisor.drivers.fake import Fake
from ganeti.model.instance import Instance

GUEST = Instance(name="guest1", hypervisor="fake", beparams={"minmem": 64, "maxmem": 128, "vcpus": 2})


@pytest.fixture
def fake(system: System) -> Fake:
    """The driver of the test's node."""
    return Fake(system)


def record(fake: Fake, name: str, text: str) -> None:
    """Write a guest's record as another program would."""
    (fake.system.paths.run_dir / "fake-hypervisor" / name).write_text(text)


def test_a_running_guest_is_a_file_of_three_lines(fake: Fake) -> None:
    fake.start(GUEST, (), startup_paused=False)
    assert (fake.system.paths.run_dir / "fake-hypervisor/guest1").read_text() == "0\n128\n2\n"


def test_a_record_of_the_packaged_release_is_understood(fake: Fake) -> None:
    record(fake, "guest1", "0\n128\n2\n")
    info = fake.instance_info("guest1")
    assert info is not None
    assert info.wire() == {"memory": 128, "vcpus": 2, "state": 0, "time": 0}


def test_the_directory_belongs_to_root_and_its_group(fake: Fake) -> None:
    assert (fake.system.paths.run_dir / "fake-hypervisor").stat().st_mode & 0o7777 == 0o775


@pytest.mark.parametrize("text", ["", "0\n128\n", "0\n128\n2\n3\n", "0\nmuch\n2\n"])
def test_a_damaged_record_is_named_and_does_not_hide_the_others(
    fake: Fake, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    record(fake, "guest0", text)
    record(fake, "guest1", "0\n128\n2\n")
    with caplog.at_level(logging.WARNING):
        assert [info.name for info in fake.all_instances_info()] == ["guest1"]
    assert "guest0" in caplog.text
    with pytest.raises(HypervisorError, match="guest0"):
        fake.instance_info("guest0")


def test_what_cannot_be_read_is_an_error(fake: Fake) -> None:
    (fake.system.paths.run_dir / "fake-hypervisor/guest0").mkdir()
    with pytest.raises(HypervisorError, match="guest0"):
        fake.instance_info("guest0")
    with pytest.raises(HypervisorError, match="guest0"):
        fake.stop(Instance(name="guest0"))


def test_a_record_that_is_being_written_is_no_guest(fake: Fake) -> None:
    record(fake, "guest1.0123456789ab.new", "0\n")
    record(fake, "guest2.new", "0\n128\n1\n")
    assert fake.list_instances() == ["guest2.new"]


def test_memory_of_the_guests_is_not_free(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = linux.node_facts()
    monkeypatch.setattr(linux, "node_facts", lambda: facts)  # what is really free changes all the time
    record(fake, "guest1", "0\n100\n1\n")
    record(fake, "guest2", "0\n20\n1\n")
    assert fake.node_facts().memory_free == facts.memory_free - 120
    record(fake, "guest2", f"0\n{facts.memory_total}\n1\n")
    assert fake.node_facts().memory_free == 0


def test_a_missing_directory_is_reported(fake: Fake) -> None:
    (fake.system.paths.run_dir / "fake-hypervisor").rmdir()
    assert "fake-hypervisor" in str(fake.verify())
    with pytest.raises(HypervisorError, match="fake-hypervisor"):
        fake.list_instances()
    with pytest.raises(HypervisorError, match="fake-hypervisor"):
        fake.start(GUEST, (), startup_paused=False)


def test_a_node_that_is_not_set_up_is_reported(system: System) -> None:
    (system.paths.run_dir / "fake-hypervisor").touch()
    with pytest.raises(NodeError, match="fake-hypervisor"):
        Fake(system)


@pytest.mark.parametrize("name", ["../guest1", "a/b", "", ".."])
def test_a_name_that_is_no_file_name_is_refused(fake: Fake, name: str) -> None:
    with pytest.raises(UnsafePath):
        fake.instance_info(name)
    with pytest.raises(UnsafePath):
        fake.stop(Instance(name=name))


@pytest.mark.parametrize("age_s", [0.0, 100.0])
def test_a_record_changed_in_place_is_read_again(fake: Fake, system: System, age_s: float) -> None:
    path = system.paths.run_dir / "fake-hypervisor" / "guest1"
    path.write_text("0\n128\n1\n")
    changed = path.stat().st_mtime
    system.clock.sleep(changed + age_s - system.clock.time())
    before = [info.memory for info in fake.all_instances_info()]
    path.write_text("0\n256\n1\n")
    os.utime(path, (changed, changed + (1 if age_s else 0)))
    assert (before, [info.memory for info in fake.all_instances_info()]) == ([128], [256])
