"""The embedded inventory: what goes in comes out, and every change is logged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ganeti.errors import HypervisorError, NodeError
from ganeti.host.clock import FakeClock
from ganeti.model.disk import Disk, DiskType
from ganeti.model.instance import Instance
from ganeti.operator.inventory import GuestExists, GuestNotFound, Inventory


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path / "inventory.sqlite", FakeClock())


def guest(name: str) -> Instance:
    disk = Disk(dev_type=DiskType.FILE, logical_id=("loop", f"/srv/{name}/disk0"), size=64)
    return Instance(name=name, hypervisor="fake", hvparams={"kernel_path": "", "acpi": True}, disks_info=(disk,))


def test_a_guest_comes_back_as_it_went_in(inventory: Inventory) -> None:
    inventory.add(guest("one.example"))

    assert inventory.guest("one.example") == guest("one.example")


def test_guests_are_listed_by_name(inventory: Inventory) -> None:
    for name in ("c", "a", "b"):
        inventory.add(guest(name))

    assert [found.name for found in inventory.guests()] == ["a", "b", "c"]


def test_a_second_guest_of_the_same_name_is_refused(inventory: Inventory) -> None:
    inventory.add(guest("one"))

    with pytest.raises(GuestExists, match="one"):
        inventory.add(guest("one"))


def test_an_unknown_guest_is_named_in_the_error(inventory: Inventory) -> None:
    with pytest.raises(GuestNotFound, match="nobody"):
        inventory.guest("nobody")


def test_removing_an_unknown_guest_is_fine(inventory: Inventory) -> None:
    inventory.remove("nobody")


def test_a_guest_that_arrives_replaces_its_old_definition(inventory: Inventory) -> None:
    inventory.add(guest("one"))

    inventory.arrived(Instance(name="one", hypervisor="kvm"))

    assert inventory.guest("one").hypervisor == "kvm"


def test_guests_survive_reopening(tmp_path: Path) -> None:
    Inventory(tmp_path / "db", FakeClock()).add(guest("one"))

    assert Inventory(tmp_path / "db", FakeClock()).guest("one") == guest("one")


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "db")
    db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(NodeError, match="newer version"):
        Inventory(tmp_path / "db", FakeClock())


def test_a_job_that_fails_is_logged_with_its_error(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path / "db", FakeClock())

    with pytest.raises(HypervisorError), inventory.job("start", "one"):
        raise HypervisorError("no memory left")

    db = sqlite3.connect(tmp_path / "db")
    rows = db.execute("SELECT what, guest, ended IS NOT NULL, error FROM job").fetchall()
    db.close()
    assert rows == [("start", "one", 1, "no memory left")]


def test_a_job_that_is_done_has_no_error(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path / "db", FakeClock())

    with inventory.job("stop", "one"):
        pass

    db = sqlite3.connect(tmp_path / "db")
    rows = db.execute("SELECT what, ended IS NOT NULL, error FROM job").fetchall()
    db.close()
    assert rows == [("stop", 1, None)]
