"""Moving guests: both sides of it on one node."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.actions.conftest import GivenHypervisors, Obedient, RecordingBase, running

from ganeti.actions import migration
from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, NotSupported
from ganeti.model.disk import Disk, DiskType
from ganeti.model.instance import Instance, InstanceInfo, MigrationState


@dataclass
class Records:
    """Notes who came and left."""

    came: list[str] = field(default_factory=list)
    went: list[str] = field(default_factory=list)

    def arrived(self, instance: Instance) -> None:
        """Note a guest that came."""
        self.came.append(instance.name)

    def left(self, instance_name: str) -> None:
        """Note a guest that left."""
        self.went.append(instance_name)


@pytest.fixture
def records() -> Records:
    """Who came and left."""
    return Records()


@pytest.fixture
def node(guest_node: Node, records: Records) -> Node:
    """The node with these records."""
    return replace(guest_node, records=records)


@pytest.fixture
def shared_disk(node: Node, tmp_path: Path) -> Disk:
    """A file both nodes see."""
    directory = tmp_path / "shared"
    directory.mkdir()
    node.paths.file_storage_paths_file.parent.mkdir(parents=True, exist_ok=True)
    node.paths.file_storage_paths_file.write_text(f"{directory}\n")
    (directory / "disk0").write_bytes(b"\0" * 4096)
    return Disk(dev_type=DiskType.SHAREDFILE, logical_id=("loop", str(directory / "disk0")), size=1)


def test_a_guest_that_is_down_cannot_be_moved(node: Node, guest: Instance) -> None:
    with pytest.raises(HypervisorError, match="not running"):
        migration.check_migratable(node, guest)


def test_a_missing_link_is_only_worth_a_warning(
    node: Node,
    guest: Instance,
    shared_disk: Disk,
    run_guest: Callable[[InstanceInfo], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_guest(running("guest1"))
    with caplog.at_level(logging.WARNING):
        migration.check_migratable(node, msgspec.structs.replace(guest, disks_info=(shared_disk,)))
    assert "guest1:0" in caplog.text


def test_the_source_tells_starts_and_reports(node: Node, guest: Instance, behaviour: Obedient) -> None:
    assert migration.migration_info(node, guest) == "opaque"
    migration.migrate(node, guest, "10.0.0.2", live=False)
    assert behaviour.named("migrate") == [("10.0.0.2", False)]
    assert migration.migration_status(node, guest).status is MigrationState.ACTIVE


def test_accepting_uses_the_links_that_are_there_without_opening_the_disks(
    node: Node, guest: Instance, shared_disk: Disk, behaviour: Obedient
) -> None:
    link = node.paths.disk_link("guest1", 0)
    link.symlink_to("/dev/opened-by-the-master")
    migration.accept(node, msgspec.structs.replace(guest, disks_info=(shared_disk,)), "opaque", "10.0.0.2")
    assert behaviour.named("accept") == [("opaque", "10.0.0.2", [str(link)])]
    assert link.readlink() == Path("/dev/opened-by-the-master")


def test_accepting_makes_the_links_when_nobody_did(
    node: Node, guest: Instance, shared_disk: Disk, behaviour: Obedient
) -> None:
    migration.accept(node, msgspec.structs.replace(guest, disks_info=(shared_disk,)), "opaque", "10.0.0.2")
    link = node.paths.disk_link("guest1", 0)
    assert behaviour.named("accept") == [("opaque", "10.0.0.2", [str(link)])]
    assert link.readlink() == Path(str(shared_disk.logical_id[1]))


def test_a_guest_that_left_is_recorded_so(node: Node, guest: Instance, behaviour: Obedient, records: Records) -> None:
    migration.finalize_source(node, guest, success=True, live=True)
    assert behaviour.named("finalize_source") == [(True, True)]
    assert records.went == ["guest1"]


def test_a_guest_that_came_is_recorded_so(node: Node, guest: Instance, behaviour: Obedient, records: Records) -> None:
    migration.finalize_target(node, guest, "opaque", success=True)
    assert behaviour.named("finalize_target") == [("opaque", True)]
    assert records.came == ["guest1"]


def test_a_failed_move_changes_no_record(node: Node, guest: Instance, records: Records) -> None:
    migration.finalize_target(node, guest, "opaque", success=False)
    migration.finalize_source(node, guest, success=False, live=True)
    assert records == Records()


def test_no_record_changes_when_the_hypervisor_fails(
    node: Node, guest: Instance, behaviour: Obedient, records: Records
) -> None:
    behaviour.errors["finalize_source"] = HypervisorError("still there")
    with pytest.raises(HypervisorError, match="still there"):
        migration.finalize_source(node, guest, success=True, live=True)
    assert records == Records()


def test_a_hypervisor_that_cannot_move_guests_says_so(node: Node, guest: Instance, behaviour: Obedient) -> None:
    base = replace(node, hypervisors=GivenHypervisors({"recording": RecordingBase(node.system, behaviour)}))
    with pytest.raises(NotSupported, match="migration"):
        migration.migration_info(base, guest)
