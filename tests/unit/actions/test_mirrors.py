"""Disks with a copy on another node: what is waited for, what is asked again, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.storage.scripted import Script, ScriptedDevice, ScriptedDevices, mirrored, plain

from ganeti.actions import mirrors
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, InvalidParameter, NotSupported
from ganeti.host.clock import FakeClock
from ganeti.host.system import System
from ganeti.host.transcript import ReplayRunner
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import BlockDevice, Mirrored, MirrorState

GOOD = MirrorState(
    is_standalone=False,
    is_connected=True,
    is_in_resync=False,
    is_diskless=False,
    is_up_to_date=True,
    is_peer_up_to_date=True,
    sync_percent=None,
)
WAITING = replace(GOOD, is_connected=False, is_peer_up_to_date=False)
ALONE = replace(WAITING, is_standalone=True)


def syncing(percent: float | None) -> MirrorState:
    return replace(GOOD, is_connected=False, is_in_resync=True, is_up_to_date=False, sync_percent=percent)


@dataclass
class MirrorScript(Script):
    """States a disk is seen in, look by look (the last stays), and how often the machine was looked at."""

    seen: dict[str, list[MirrorState]] = field(default_factory=dict)
    rounds: int = 0
    refuses_again: set[str] = field(default_factory=set)


class MirroredDevice(ScriptedDevice, Mirrored):
    """Has a copy on another node as far as the script says."""

    def __init__(
        self, system: System, disk: Disk, children: Sequence[BlockDevice | None], script: MirrorScript
    ) -> None:
        super().__init__(system, disk, children, script)
        self.mirror_script = script

    def mirror_state(self) -> MirrorState:
        self.script.note("state", self.name)
        states = self.mirror_script.seen[self.name]
        return states.pop(0) if len(states) > 1 else states[0]

    def disconnect_network(self) -> None:
        self.script.note("disconnect", self.name)

    def attach_network(self, *, both_primary: bool) -> None:
        method = "attach both primary" if both_primary else "attach network"
        if self.name in self.script.named(method) and self.name in self.mirror_script.refuses_again:
            raise BlockDeviceError(f"{self.name} has another secret")
        self.script.note(method, self.name)

    def add_children(self, children: Sequence[BlockDevice]) -> None:
        self.script.note("add", " ".join(child.disk.describe() for child in children))

    def remove_children(self, paths: Sequence[Path]) -> None:
        self.script.note("remove", " ".join(map(str, paths)))


class Pathless(ScriptedDevice):
    """A device whose path is only known once it was found."""

    found = False

    @property
    def dev_path(self) -> Path | None:
        return Path("/dev/found") / self.name if self.found else None

    def attach(self) -> bool:
        self.found = super().attach()
        return self.found


class Devices(ScriptedDevices):
    """Those of DRBD's type have a copy elsewhere, those of the type of files have no path before they are found."""

    mirror_script: MirrorScript

    def device(self, disk: Disk, children: Sequence[BlockDevice | None] = ()) -> BlockDevice:
        if disk.dev_type is DiskType.DRBD:
            return MirroredDevice(self.machine, disk, children, self.mirror_script)
        if disk.dev_type is DiskType.FILE:
            return Pathless(self.machine, disk, children, self.script)
        return super().device(disk, children)

    def observing(self) -> Devices:
        self.mirror_script.rounds += 1
        return self


@pytest.fixture
def script() -> MirrorScript:
    return MirrorScript(seen={"one": [GOOD], "two": [GOOD]})


@pytest.fixture
def mirror_node(system: System, script: MirrorScript) -> Node:
    devices = Devices(system, script)
    devices.mirror_script = script
    return replace(Node.compose(system), storage=devices)


def disk(name: str) -> Disk:
    return msgspec.structs.replace(mirrored(name), uuid=f"uuid-{name}")


DISKS = (disk("one"), disk("two"))


# What is no mirror, or not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda node, disks: mirrors.disconnect_network(node, disks),
        lambda node, disks: mirrors.attach_network(node, disks, False),
        lambda node, disks: mirrors.wait_sync(node, disks),
    ],
)
def test_all_are_found_before_the_first_is_touched(mirror_node: Node, script: MirrorScript, act: object) -> None:
    assert callable(act)
    script.missing.add("two")
    with pytest.raises(BlockDeviceError, match="two"):
        act(mirror_node, DISKS)
    with pytest.raises(NotSupported, match="plain"):
        act(mirror_node, (disk("one"), plain("volume")))
    assert {method for method, _ in script.calls} == {"attach"}


@pytest.mark.parametrize("act", [mirrors.add_children, mirrors.remove_children])
def test_only_mirrors_change_their_children(mirror_node: Node, act: object) -> None:
    assert callable(act)
    with pytest.raises(NotSupported, match="plain"):
        act(mirror_node, plain("volume"), (plain("data"), plain("meta")))


def test_network_calls_look_for_no_local_copy(mirror_node: Node, script: MirrorScript) -> None:
    mirrors.disconnect_network(mirror_node, DISKS)
    mirrors.attach_network(mirror_node, DISKS, True)
    mirrors.wait_sync(mirror_node, DISKS)
    mirrors.needs_activation(mirror_node, DISKS)
    assert set(script.named("attach")) == {"one", "two"}


# Disconnecting -------------------------------------------------------------------------------------------------------


def test_disconnecting_stops_at_the_first_that_does_not_obey(mirror_node: Node, script: MirrorScript) -> None:
    script.fail("disconnect", "one", BlockDeviceError("it did not react"))
    with pytest.raises(BlockDeviceError, match="did not react"):
        mirrors.disconnect_network(mirror_node, DISKS)
    assert script.named("disconnect") == ["one"]


# Attaching -----------------------------------------------------------------------------------------------------------


def test_attaching_waits_until_every_disk_is_linked(mirror_node: Node, script: MirrorScript, clock: FakeClock) -> None:
    script.seen = {"one": [WAITING, WAITING, syncing(10)], "two": [GOOD]}
    mirrors.attach_network(mirror_node, DISKS, False)
    assert script.named("attach network") == ["one", "two"]
    assert clock.sleeps == pytest.approx([0.1, 0.15])
    assert script.rounds == 1 + 3


def test_both_primary_needs_good_copies_on_both_nodes(
    mirror_node: Node, script: MirrorScript, clock: FakeClock
) -> None:
    not_here, not_there = replace(GOOD, is_up_to_date=False), replace(GOOD, is_peer_up_to_date=False)
    script.seen = {"one": [syncing(99), not_here, not_there, GOOD], "two": [GOOD]}
    mirrors.attach_network(mirror_node, DISKS, True)
    assert len(clock.sleeps) == 3
    assert script.named("attach both primary") == ["one", "two"]


def test_a_disk_that_gave_up_is_attached_again(mirror_node: Node, script: MirrorScript) -> None:
    script.seen = {"one": [ALONE, WAITING, ALONE, GOOD], "two": [GOOD]}
    mirrors.attach_network(mirror_node, DISKS, True)
    assert script.named("attach both primary") == ["one", "two", "one", "one"]


def test_a_failure_of_attaching_again_ends_it_at_once(
    mirror_node: Node, script: MirrorScript, clock: FakeClock
) -> None:
    script.seen["one"] = [ALONE]
    script.refuses_again.add("one")
    with pytest.raises(BlockDeviceError, match="another secret"):
        mirrors.attach_network(mirror_node, DISKS, False)
    assert clock.sleeps == []


def test_waiting_for_a_link_ends_after_two_minutes(mirror_node: Node, script: MirrorScript, clock: FakeClock) -> None:
    script.seen["two"] = [WAITING]
    began = clock.now
    with pytest.raises(BlockDeviceError, match=r"two.* did not connect"):
        mirrors.attach_network(mirror_node, DISKS, False)
    assert 120 <= clock.now - began <= 125
    assert max(clock.sleeps) == 5


# Waiting for the copies ----------------------------------------------------------------------------------------------


def test_linked_disks_are_judged_by_one_look(mirror_node: Node, script: MirrorScript) -> None:
    assert mirrors.wait_sync(mirror_node, DISKS) == (True, 100)
    assert script.rounds == 1


def test_the_disk_that_is_behind_most_counts(mirror_node: Node, script: MirrorScript) -> None:
    script.seen = {"one": [syncing(80.5)], "two": [syncing(12.5)], "three": [syncing(None)]}
    assert mirrors.wait_sync(mirror_node, (*DISKS, disk("three"))) == (False, 12.5)
    assert mirrors.wait_sync(mirror_node, (disk("three"),)) == (False, 100)


def test_no_disks_are_in_sync(mirror_node: Node) -> None:
    assert mirrors.wait_sync(mirror_node, ()) == (True, 100)


def test_each_disk_has_its_time_to_link(mirror_node: Node, script: MirrorScript, clock: FakeClock) -> None:
    script.seen = {"one": [*[WAITING] * 15, GOOD], "two": [*[WAITING] * 30, syncing(3)]}
    assert mirrors.wait_sync(mirror_node, DISKS) == (False, 3)
    assert clock.sleeps == [1] * 29


def test_a_disk_that_does_not_link_is_named(mirror_node: Node, script: MirrorScript, clock: FakeClock) -> None:
    script.seen["two"] = [WAITING]
    with pytest.raises(BlockDeviceError, match="two"):
        mirrors.wait_sync(mirror_node, DISKS)
    assert clock.sleeps == [1] * 15


# Activation ----------------------------------------------------------------------------------------------------------


def test_what_is_missing_alone_or_without_local_copy_needs_activation(mirror_node: Node, script: MirrorScript) -> None:
    script.missing.add("gone")
    script.seen |= {"alone": [ALONE], "diskless": [replace(GOOD, is_diskless=True)], "waiting": [WAITING]}
    disks = tuple(disk(name) for name in ("one", "gone", "alone", "diskless", "waiting", "two"))
    assert mirrors.needs_activation(mirror_node, disks) == ["uuid-gone", "uuid-alone", "uuid-diskless"]
    assert script.rounds == 1


def test_a_disk_without_uuid_cannot_be_answered_for(mirror_node: Node) -> None:
    with pytest.raises(InvalidParameter) as caught:
        mirrors.needs_activation(mirror_node, (disk("one"), mirrored("two")))
    assert caught.value.name == "disks[1].uuid"


# The local copy ------------------------------------------------------------------------------------------------------


def test_children_are_added_as_devices_that_are_there(mirror_node: Node, script: MirrorScript) -> None:
    new = (plain("data"), plain("meta", size=128))
    mirrors.add_children(mirror_node, disk("one"), new)
    assert script.named("add") == ["plain vg/data (not visible, 10m) plain vg/meta (not visible, 128m)"]


def test_missing_children_are_not_added(mirror_node: Node, script: MirrorScript) -> None:
    script.missing.add("meta")
    with pytest.raises(BlockDeviceError, match="meta"):
        mirrors.add_children(mirror_node, disk("one"), (plain("data"), plain("meta")))
    assert script.named("add") == []


def test_children_are_removed_by_path_and_need_not_exist(mirror_node: Node, script: MirrorScript) -> None:
    script.missing |= {"data", "meta"}
    mirrors.remove_children(mirror_node, disk("one"), (plain("data"), plain("meta")))
    assert script.named("remove") == ["/dev/scripted/data /dev/scripted/meta"]


def test_children_without_a_path_of_their_own_are_looked_for(mirror_node: Node, script: MirrorScript) -> None:
    files = tuple(Disk(dev_type=DiskType.FILE, logical_id=("loop", name)) for name in ("data", "meta"))
    mirrors.remove_children(mirror_node, disk("one"), files)
    assert script.named("remove") == ["/dev/found/data /dev/found/meta"]
    script.missing.add("meta")
    with pytest.raises(BlockDeviceError, match="meta"):
        mirrors.remove_children(mirror_node, disk("one"), files)


def test_a_path_that_leads_elsewhere_is_refused(mirror_node: Node, script: MirrorScript) -> None:
    with pytest.raises(BlockDeviceError, match="not absolute and normal"):
        mirrors.remove_children(mirror_node, disk("one"), (plain("data"), plain("../../sda")))
    assert script.named("remove") == []


# Over real drivers ---------------------------------------------------------------------------------------------------

STATUS = """\
$ cat /proc/drbd
> version: 8.4.11 (api:1/proto:86-101)
> srcversion: F73C670A7EC572DB9CF3E5B
>  0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
>     ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
>  1: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----
>     ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
>  2: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----
>     ns:32768 nr:0 dw:0 dr:32768 al:8 bm:0 lo:0 pe:2 ua:0 ap:0 ep:1 wo:f oos:34816
>     [=========>..........] sync'ed: 53.0% (34816/65536)K
>     finish: 0:00:01 speed: 30,720 (30,720) K/sec
= 0
"""


def real_disk(minor: int) -> Disk:
    addresses: Parameters = {
        "local-ip": "192.0.2.1",
        "remote-ip": "192.0.2.2",
        "local-minor": minor,
        "remote-minor": minor,
    }
    return Disk(
        dev_type=DiskType.DRBD,
        logical_id=("n1", "n2", 11000 + minor, minor, minor, "secret"),
        children=(plain(f"{minor}.data"), plain(f"{minor}.meta")),
        dynamic_params=addresses,
        uuid=f"uuid-{minor}",
    )


def test_many_disks_are_asked_for_by_one_look_and_no_program(
    system: System, replay: Callable[..., ReplayRunner]
) -> None:
    disks = tuple(real_disk(minor) for minor in (0, 1, 2, 7))
    asking = Node.compose(replace(system, runner=replay(STATUS)))
    assert mirrors.needs_activation(asking, disks) == ["uuid-1", "uuid-7"]
    waiting = Node.compose(replace(system, runner=replay(STATUS)))
    assert mirrors.wait_sync(waiting, (disks[0], disks[2])) == (False, 53.0)


def test_the_helper_is_the_kernels(system: System, replay: Callable[..., ReplayRunner]) -> None:
    runner = replay("$ cat /sys/module/drbd/parameters/usermode_helper\n> /bin/true\n= 0\n")
    assert mirrors.usermode_helper(Node.compose(replace(system, runner=runner))) == "/bin/true"
