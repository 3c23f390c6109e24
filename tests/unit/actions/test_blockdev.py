"""Life of disks: order of steps, undo, and which failures stop what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest
from tests.unit.storage.scripted import (
    Script,
    ScriptedDevice,
    ScriptedDevices,
    mirrored,
    name_of,
    plain,
    single,
    state,
)

from ganeti.actions import blockdev
from ganeti.actions.blockdev import Assembled
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, CommandError, FileStoragePathError, NotSupported
from ganeti.host.clock import FakeClock
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType, LocalDiskStatus
from ganeti.storage.base import BlockDevice
from ganeti.storage.observations import Observations

BROKEN = BlockDeviceError("broken")
BUSY = CommandError(["lvremove"], "exited with status 5", "in use")
OWNER = "guest1"


@pytest.fixture
def script() -> Script:
    """What the devices do."""
    return Script()


@pytest.fixture
def scripted(system: System, script: Script) -> Node:
    """A node whose disks follow the script."""
    return replace(Node.compose(system), storage=ScriptedDevices(system, script))


def create(node: Node, disk: Disk, *, on_primary: bool = True) -> object:
    return blockdev.create(node, disk, disk.size, OWNER, on_primary, "text", exclusive_storage=False)


def notes(node: Node) -> dict[str, str]:
    return {path.name: path.read_text() for path in node.paths.bdev_cache_dir.iterdir()}


# Creation ------------------------------------------------------------------------------------------------------------


def test_create_makes_activates_opens_and_labels_in_order(scripted: Node, script: Script) -> None:
    assert create(scripted, single("d")) == ("rbd", "d")
    assert script.calls == [("create", "d"), ("assemble", "d"), ("force open", "d"), ("set_info", "d")]
    assert notes(scripted) == {"bdev_scripted_d": "guest1 primary disk/0\n"}


def test_create_on_a_secondary_activates_only_what_both_nodes_use(scripted: Node, script: Script) -> None:
    create(scripted, single("s"), on_primary=False)
    create(scripted, plain("p"), on_primary=False)
    assert script.named("assemble") == ["p"]
    assert script.named("force open") == ["p"]
    assert script.named("set_info") == ["s", "p"]
    assert notes(scripted) == {"bdev_scripted_p": "guest1 secondary not_visible\n"}


def test_create_activates_the_children_before_it_makes_the_parent(scripted: Node, script: Script) -> None:
    create(scripted, mirrored("m"), on_primary=False)
    order = [call for call in script.calls if call[0] != "open"]
    assert order == [
        ("assemble", "m.data"),
        ("assemble", "m.meta"),
        ("create", "m"),
        ("assemble", "m"),
        ("set_info", "m"),
    ]
    assert script.named("force open") == []


def test_create_never_tells_the_secret(scripted: Node) -> None:
    assert create(scripted, mirrored("m")) == ("node1", "m", 11000, 0, 0, None)


@pytest.mark.parametrize("step", ["assemble", "force open", "set_info"])
def test_create_removes_the_device_when_a_later_step_fails(scripted: Node, script: Script, step: str) -> None:
    script.fail(step, "d", BROKEN)
    with pytest.raises(BlockDeviceError, match=r"^broken$"):
        create(scripted, single("d"))
    assert script.calls[-2:] == [("shutdown", "d"), ("remove", "d")]
    assert notes(scripted) == {}


def test_create_says_what_is_left_when_it_cannot_be_undone(scripted: Node, script: Script) -> None:
    script.fail("set_info", "d", BROKEN)
    script.fail("remove", "d", BUSY)
    with pytest.raises(BlockDeviceError, match=r"^broken; rbd rbd/d .* left behind: lvremove failed.*in use"):
        create(scripted, single("d"))


def test_a_device_that_was_there_before_is_not_removed(scripted: Node, script: Script) -> None:
    script.fail("create", "d", BlockDeviceError("exists"))
    with pytest.raises(BlockDeviceError, match="exists"):
        create(scripted, single("d"))
    assert script.named("remove") == []


def test_a_child_that_cannot_be_activated_stops_the_creation(scripted: Node, script: Script) -> None:
    script.fail("assemble", "m.meta", BUSY)
    with pytest.raises(CommandError):
        create(scripted, mirrored("m"))
    assert script.named("create") == []


# Activity ------------------------------------------------------------------------------------------------------------


def test_assemble_on_the_primary_links_and_notes_the_disk(scripted: Node) -> None:
    link = scripted.paths.disk_link(OWNER, 3)
    assert blockdev.assemble(scripted, mirrored("m"), OWNER, True, 3) == ("/dev/scripted/m", str(link), None)
    assert str(link.readlink()) == "/dev/scripted/m"
    assert notes(scripted) == {
        "bdev_scripted_m": "guest1 primary disk/0\n",
        "bdev_scripted_m.data": "guest1 primary not_visible\n",
        "bdev_scripted_m.meta": "guest1 primary not_visible\n",
    }


def test_assemble_on_a_secondary_makes_no_link(scripted: Node) -> None:
    assert blockdev.assemble(scripted, plain("p"), OWNER, False, 0) == Assembled("/dev/scripted/p", None, None)
    assert list(scripted.paths.disk_links_dir.iterdir()) == []
    assert notes(scripted) == {"bdev_scripted_p": "guest1 secondary not_visible\n"}


def test_assemble_of_what_a_secondary_does_not_use_is_none(scripted: Node) -> None:
    assert blockdev.assemble(scripted, single("s"), OWNER, False, 0) is None


def test_a_disk_without_user_space_access_cannot_be_asked_for_it(scripted: Node) -> None:
    disk = msgspec.structs.replace(single("s"), params={"access": "userspace"})
    with pytest.raises(BlockDeviceError, match="user space"):
        blockdev.assemble(scripted, disk, OWNER, True, 0, hypervisor="kvm")


@pytest.mark.parametrize(("exclusive", "verb"), [(True, "open"), (False, "open shared")])
def test_open_finds_all_opens_all_and_links_all(scripted: Node, script: Script, exclusive: bool, verb: str) -> None:
    blockdev.open(scripted, OWNER, (single("a"), single("b")), exclusive)
    assert script.calls == [("attach", "a"), ("attach", "b"), (verb, "a"), (verb, "b")]
    assert sorted(path.name for path in scripted.paths.disk_links_dir.iterdir()) == ["guest1:0", "guest1:1"]


@pytest.mark.parametrize("act", ["open", "close"])
def test_open_and_close_touch_nothing_when_a_disk_is_missing(scripted: Node, script: Script, act: str) -> None:
    script.missing = {"b"}
    disks = (single("a"), single("b"))
    with pytest.raises(BlockDeviceError, match="rbd/b"):
        blockdev.open(scripted, OWNER, disks, True) if act == "open" else blockdev.close(scripted, OWNER, disks)
    assert script.named(act) == []


def test_open_goes_on_after_a_failure_and_tells_all(scripted: Node, script: Script) -> None:
    script.fail("open", "a", BROKEN)
    script.fail("open", "b", BlockDeviceError("bad"))
    with pytest.raises(BlockDeviceError, match=r"^broken,bad$"):
        blockdev.open(scripted, OWNER, (single("a"), single("b"), single("c")), True)
    assert [path.name for path in scripted.paths.disk_links_dir.iterdir()] == ["guest1:2"]


def test_close_removes_the_links_only_when_all_disks_were_closed(scripted: Node, script: Script) -> None:
    disks = (single("a"), single("b"))
    blockdev.open(scripted, OWNER, disks, True)
    script.fail("close", "a", BROKEN)
    with pytest.raises(BlockDeviceError, match=r"^broken$"):
        blockdev.close(scripted, OWNER, disks)
    assert script.named("close") == ["a", "b"]
    assert len(list(scripted.paths.disk_links_dir.iterdir())) == 2
    blockdev.close(scripted, OWNER, disks)
    assert list(scripted.paths.disk_links_dir.iterdir()) == []


def test_close_without_a_guest_leaves_links_alone(scripted: Node) -> None:
    link = scripted.paths.disk_link("", 0)
    link.symlink_to("/dev/null")
    blockdev.close(scripted, "", (single("a"),))
    assert link.is_symlink()


def test_shutdown_goes_on_below_a_failure_and_keeps_its_note(scripted: Node, script: Script) -> None:
    blockdev.assemble(scripted, mirrored("m"), OWNER, True, 0)
    script.fail("shutdown", "m", BROKEN)
    with pytest.raises(BlockDeviceError, match=r"^broken$"):
        blockdev.shutdown(scripted, mirrored("m"))
    assert script.named("shutdown") == ["m", "m.data", "m.meta"]
    assert list(notes(scripted)) == ["bdev_scripted_m"]
    assert scripted.paths.disk_link(OWNER, 0).is_symlink()


def test_shutdown_of_a_missing_disk_succeeds(scripted: Node, script: Script) -> None:
    script.missing = {"m", "m.data", "m.meta"}
    blockdev.shutdown(scripted, mirrored("m"))
    assert script.named("shutdown") == []


def test_shutdown_does_not_hide_that_a_disk_cannot_be_looked_at(scripted: Node, script: Script) -> None:
    script.fail("attach", "a", BROKEN)
    with pytest.raises(BlockDeviceError):
        blockdev.shutdown(scripted, single("a"))


# Removal -------------------------------------------------------------------------------------------------------------


def test_remove_goes_from_the_top(scripted: Node, script: Script) -> None:
    blockdev.assemble(scripted, mirrored("m"), OWNER, True, 0)
    blockdev.remove(scripted, mirrored("m"))
    assert script.named("remove") == ["m", "m.data", "m.meta"]
    assert notes(scripted) == {}


def test_remove_waits_for_a_busy_device(scripted: Node, script: Script, clock: FakeClock) -> None:
    script.fail("remove", "a", BUSY, times=3)
    blockdev.remove(scripted, single("a"))
    assert clock.sleeps == [3.0, 3.0, 3.0]


def test_remove_gives_up_after_half_a_minute_and_goes_on_below(
    scripted: Node, script: Script, clock: FakeClock
) -> None:
    script.fail("remove", "m", BUSY, times=100)
    with pytest.raises(BlockDeviceError, match="lvremove failed: exited with status 5: in use"):
        blockdev.remove(scripted, mirrored("m"))
    assert sum(clock.sleeps) == 30.0
    assert script.named("remove")[-2:] == ["m.data", "m.meta"]


def test_remove_counts_what_it_cannot_look_at_as_missing(scripted: Node, script: Script) -> None:
    script.fail("attach", "a", BROKEN)
    blockdev.remove(scripted, single("a"))
    assert script.named("remove") == []


def test_remove_of_a_forbidden_path_is_no_success(node: Node) -> None:
    with pytest.raises(FileStoragePathError):
        blockdev.remove(node, Disk(dev_type=DiskType.FILE, logical_id=("loop", "/etc/passwd")))


# Changes -------------------------------------------------------------------------------------------------------------


def test_what_a_device_cannot_do_is_said_by_name(scripted: Node) -> None:
    with pytest.raises(NotSupported, match="rbd does not support growing"):
        blockdev.grow(scripted, single("a"), 1, dry_run=False, backing_store=True, exclusive_storage=False)
    with pytest.raises(NotSupported, match="rbd does not support snapshots"):
        blockdev.snapshot(scripted, single("a"), None, None)
    with pytest.raises(BlockDeviceError, match="rbd does not support renaming"):
        blockdev.rename(scripted, ((single("a"), ("rbd", "b")),))


def test_rename_tries_every_disk_and_tells_all_failures(node: Node) -> None:
    store = node.paths.root / "srv/store"
    store.mkdir(parents=True)
    node.paths.file_storage_paths_file.write_text(f"{store}\n")
    disks = [Disk(dev_type=DiskType.FILE, logical_id=("loop", str(store / name)), size=1) for name in "abcd"]
    for disk in (disks[0], disks[2], disks[3]):
        create(node, disk)
    new = [("loop", str(store / name)) for name in ("A", "B", "d", "D")]
    with pytest.raises(BlockDeviceError, match=r"/b .*not found.*; cannot rename to .*File exists"):
        blockdev.rename(node, tuple(zip(disks, new, strict=True)))
    assert sorted(path.name for path in store.iterdir()) == ["A", "D", "c"]
    assert len(notes(node)) == 1


def test_set_info_of_a_missing_disk_fails(scripted: Node, script: Script) -> None:
    script.missing = {"a"}
    with pytest.raises(BlockDeviceError, match="not found"):
        blockdev.set_info(scripted, single("a"), "text")


# State ---------------------------------------------------------------------------------------------------------------


def test_find_tells_the_state_of_the_device_alone(scripted: Node, script: Script) -> None:
    script.states = {"m": state(), "m.data": state(degraded=True)}
    status = blockdev.find(scripted, mirrored("m"))
    assert status is not None
    assert status.is_degraded is False


def test_mirror_status_folds_in_the_worst_of_the_children(scripted: Node, script: Script) -> None:
    script.states = {
        "m": state(percent=50.0, seconds=10),
        "m.data": state(percent=20.0, degraded=True, local=LocalDiskStatus.FAULTY),
        "m.meta": state(seconds=99, local=LocalDiskStatus.SYNC),
    }
    assert blockdev.mirror_status(scripted, (mirrored("m"),)) == [
        state(percent=20.0, seconds=99, degraded=True, local=LocalDiskStatus.FAULTY)
    ]


def test_mirror_status_leaves_unknown_figures_unknown(scripted: Node, script: Script) -> None:
    script.states = {name: state() for name in ("m", "m.data", "m.meta")}
    assert blockdev.mirror_status(scripted, (mirrored("m"),)) == [state()]


def test_mirror_status_fails_for_a_missing_disk(scripted: Node, script: Script) -> None:
    script.missing = {"b"}
    with pytest.raises(BlockDeviceError, match="rbd/b"):
        blockdev.mirror_status(scripted, (single("a"), single("b")))


def test_one_bad_disk_spoils_no_other_state(scripted: Node, script: Script) -> None:
    script.missing = {"a"}
    script.fail("attach", "b", BUSY)
    answers = blockdev.mirror_status_multi(scripted, (single("a"), single("b"), single("c")))
    assert [worked for worked, _ in answers] == [False, False, True]
    assert "not found" in str(answers[0][1])
    assert "in use" in str(answers[1][1])


def test_pausing_answers_for_every_disk(scripted: Node, script: Script) -> None:
    script.missing = {"a"}
    script.fail("pause", "b", BROKEN)
    answers = blockdev.pause_resume_sync(scripted, (single("a"), single("b"), single("c")), True)
    assert answers[1:] == [(False, "broken"), (True, None)]
    assert answers[0][0] is False
    assert blockdev.pause_resume_sync(scripted, (single("c"),), False) == [(True, None)]
    assert script.named("resume") == [name_of(single("c"))]


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_creation_that_was_cut_off_anywhere_can_be_repeated(scripted: Node, script: Script, steps: int) -> None:
    """Nothing that a daemon killed in the middle leaves behind (active children, notes) is in the way."""

    class Killed(BaseException):
        """Nothing is undone by it but what needs no code."""

    calls = script.calls

    def note(method: str, name: str) -> None:
        calls.append((method, name))
        if len(calls) == steps:
            raise Killed

    dying = Script(calls=calls)
    dying.note = note  # type: ignore[method-assign]  # the moment of its death
    with pytest.raises(Killed):
        create(replace(scripted, storage=ScriptedDevices(scripted.system, dying)), mirrored("d"))
    script.calls.clear()
    create(scripted, mirrored("d"))
    assert notes(scripted) == {
        f"bdev_scripted_{name}": f"guest1 primary {place}\n"
        for name, place in (("d", "disk/0"), ("d.data", "not_visible"), ("d.meta", "not_visible"))
    }


# Looks at the machine ------------------------------------------------------------------------------------------------

MANY = tuple(mirrored(f"d{number}") for number in range(20))


@pytest.mark.parametrize(
    "action",
    [
        lambda node: blockdev.open(node, OWNER, MANY, True),
        lambda node: blockdev.close(node, OWNER, MANY),
        lambda node: blockdev.mirror_status(node, MANY),
        lambda node: blockdev.mirror_status_multi(node, MANY),
        lambda node: blockdev.pause_resume_sync(node, MANY, True),
        lambda node: blockdev.find(node, MANY[0]),
        lambda node: blockdev.shutdown(node, MANY[0]),
        lambda node: blockdev.set_info(node, MANY[0], "text"),
    ],
)
def test_one_action_looks_once_however_many_disks(
    scripted: Node, script: Script, action: Callable[[Node], object]
) -> None:
    action(scripted)
    assert script.looks == 1
    action(scripted)
    assert script.looks == 2


def test_what_was_changed_is_looked_at_again(scripted: Node, script: Script) -> None:
    script.missing = {"d.data"}  # removed by somebody else
    blockdev.remove(scripted, mirrored("d"))
    assert script.named("remove") == ["d", "d.meta"]
    assert script.looks == 2


def test_a_busy_disk_is_looked_at_anew_before_it_is_tried_again(scripted: Node, script: Script) -> None:
    script.fail("remove", "d", BUSY, times=3)
    seen: list[int] = []

    class Looking(ScriptedDevice):
        def remove(self) -> None:
            seen.append(self.observed.of(script.look))
            super().remove()

    class Devices(ScriptedDevices):
        def device(self, disk: Disk, children: Sequence[BlockDevice | None] = ()) -> BlockDevice:
            return Looking(self.machine, disk, children, script, self.seen)

        def observing(self) -> Devices:
            return Devices(self.machine, script, Observations(self.machine))

    blockdev.remove(replace(scripted, storage=Devices(scripted.system, script)), single("d"))
    assert seen == [1, 2, 3, 4]
