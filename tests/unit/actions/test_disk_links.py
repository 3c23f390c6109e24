"""Links to disks, and notes of their use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.storage.scripted import Script, ScriptedDevices, single

from ganeti.actions import disk_links
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, UnsafePath
from ganeti.host.system import System
from ganeti.model.instance import AttachedDisk, Instance

DEVICE = Path("/dev/vg/disk")


def test_a_link_is_named_by_guest_and_index(node: Node) -> None:
    link = disk_links.make(node, "guest1", 12, DEVICE)
    assert link == node.paths.disk_links_dir / "guest1:12"
    assert link is not None
    assert link.readlink() == DEVICE


@pytest.mark.parametrize("before", ["same", "other", "file"])
def test_whatever_is_in_place_of_a_link_is_replaced(node: Node, before: str) -> None:
    link = node.paths.disk_link("guest1", 0)
    if before == "file":
        link.write_text("x")
    else:
        link.symlink_to(DEVICE if before == "same" else "/dev/older")
    disk_links.make(node, "guest1", 0, DEVICE)
    assert link.readlink() == DEVICE
    assert list(node.paths.disk_links_dir.iterdir()) == [link]


def test_a_directory_in_place_of_a_link_is_a_failure(node: Node) -> None:
    node.paths.disk_link("guest1", 0).mkdir()
    with pytest.raises(BlockDeviceError, match="cannot make the link"):
        disk_links.make(node, "guest1", 0, DEVICE)


def test_a_device_without_path_gets_no_link(node: Node) -> None:
    assert disk_links.make(node, "guest1", 0, None) is None
    assert list(node.paths.disk_links_dir.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "a\nb", "x" * 300])
def test_a_name_that_is_no_file_name_makes_no_link(node: Node, name: str) -> None:
    with pytest.raises(UnsafePath):
        disk_links.make(node, name, 0, DEVICE)
    with pytest.raises(UnsafePath):
        disk_links.remove(node, name, 1)


def test_remove_takes_links_alone_and_only_the_first_ones(node: Node) -> None:
    for index in (0, 2, 3):
        disk_links.make(node, "guest1", index, Path("/dev/dangling"))
    node.paths.disk_link("guest1", 1).write_text("no link")
    disk_links.make(node, "guest10", 0, DEVICE)
    disk_links.remove(node, "guest1", 3)
    assert sorted(path.name for path in node.paths.disk_links_dir.iterdir()) == ["guest10:0", "guest1:1", "guest1:3"]


@pytest.fixture
def script() -> Script:
    """What the devices do."""
    return Script()


@pytest.fixture
def scripted(system: System, script: Script) -> Node:
    """A node whose disks follow the script."""
    return replace(Node.compose(system), storage=ScriptedDevices(system, script))


def test_the_disks_of_a_guest_are_opened_and_linked_in_order_and_never_assembled(
    scripted: Node, script: Script
) -> None:
    disks = (single("a"), single("b"))
    attached = disk_links.gather_and_link(scripted, Instance(name="guest1", disks_info=disks))
    links = [str(scripted.paths.disk_link("guest1", index)) for index in (0, 1)]
    assert attached == [AttachedDisk(disk=disk, link=link) for disk, link in zip(disks, links, strict=True)]
    assert script.calls == [("attach", "a"), ("open", "a"), ("attach", "b"), ("open", "b")]


def test_the_first_missing_disk_stops_and_those_before_stay_open(scripted: Node, script: Script) -> None:
    script.missing = {"b"}
    with pytest.raises(BlockDeviceError, match="rbd/b"):
        disk_links.gather_and_link(
            scripted, Instance(name="guest1", disks_info=(single("a"), single("b"), single("c")))
        )
    assert script.named("open") == ["a"]
    assert scripted.paths.disk_link("guest1", 0).is_symlink()


@pytest.mark.parametrize("disks", [None, ()])
def test_a_guest_without_disks_has_none(node: Node, disks: tuple[()] | None) -> None:
    assert disk_links.gather_and_link(node, Instance(name="guest1", disks_info=disks)) == []
