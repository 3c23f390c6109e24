"""Disks that are logical volumes, on an LVM in memory: what is run, in which order, and how often."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from tests.unit.storage.fake_lvm import GROUP, FakeLvm

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError
from ganeti.host.system import System
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType, LocalDiskStatus
from ganeti.storage.base import BlockDevice
from ganeti.storage.drivers.lvm import LogicalVolume
from ganeti.tools import lvm_commands

OWNER = "guest1.example.com"
INFO = f"originstname+{OWNER}"
DAMAGED = "-wi-----p-"
"""Attributes of a volume one of whose physical volumes is missing."""


@pytest.fixture
def lvm() -> FakeLvm:
    """Two physical volumes of 100 MiB in one group."""
    return FakeLvm(100, 100)


@pytest.fixture
def node(system: System, lvm: FakeLvm) -> Node:
    """A node with that group."""
    return Node.compose(replace(system, runner=lvm))


def disk(name: str = "one", size: int = 8, *, stripes: object = 1, spindles: int | None = None) -> Disk:
    """A disk by the name of its volume."""
    params: Parameters | None = {"stripes": stripes} if isinstance(stripes, int | str) else None
    return Disk(dev_type=DiskType.PLAIN, logical_id=(GROUP, name), size=size, params=params, spindles=spindles)


def create(node: Node, which: Disk, *, exclusive: bool = False) -> object:
    return blockdev.create(node, which, which.size, OWNER, True, INFO, exclusive_storage=exclusive)


def grow(node: Node, which: Disk, amount: int, *, dry_run: bool = False, exclusive: bool = False) -> None:
    blockdev.grow(node, which, amount, dry_run=dry_run, backing_store=True, exclusive_storage=exclusive)


def device(node: Node, which: Disk) -> BlockDevice:
    return node.storage.device(which)


# Names ---------------------------------------------------------------------------------------------------------------

BAD_NAMES = [
    "",
    "-x",
    "--yes",
    "a/b",
    "a b",
    "a\n",
    "\na",
    ".",
    "..",
    "snapshot",
    "pvmove",
    "a_mlog0",
    "x_mimage",
    "@t",
    "ä",
    "a:b",
]


@pytest.mark.parametrize("name", [*BAD_NAMES, 5, None])
def test_what_is_no_name_is_refused_before_anything_runs(node: Node, lvm: FakeLvm, name: str | int | None) -> None:
    for identity in ((name, "one"), (GROUP, name)):
        with pytest.raises(BlockDeviceError):
            device(node, Disk(dev_type=DiskType.PLAIN, logical_id=identity, size=8))
    lvm.add("one", 8)
    with pytest.raises(BlockDeviceError):
        blockdev.rename(node, ((disk(), (GROUP, name)),))
    if isinstance(name, str):
        with pytest.raises(BlockDeviceError):
            blockdev.snapshot(node, disk(), name, None)
    assert set(lvm.programs) <= {"lvs"}


@pytest.mark.parametrize("identity", [(), (GROUP,), (GROUP, "one", "more")])
def test_an_identity_is_a_group_and_a_volume(node: Node, identity: tuple[str, ...]) -> None:
    with pytest.raises(BlockDeviceError, match="identity"):
        device(node, Disk(dev_type=DiskType.PLAIN, logical_id=identity))


def test_a_volume_has_no_children(node: Node) -> None:
    with pytest.raises(BlockDeviceError, match="children"):
        node.storage.device(disk(), [None])


# Creation ------------------------------------------------------------------------------------------------------------


def test_creation_is_four_commands(node: Node, lvm: FakeLvm) -> None:
    assert create(node, disk()) == (GROUP, "one")
    assert lvm.programs == ["pvs", "lvcreate", "lvs", "lvchange"]
    assert lvm.ran[1] == [
        "lvcreate",
        "--yes",
        "--wipesignatures=n",
        "--addtag=ganeti:unfinished",
        "--stripes=1",
        "--size=8m",
        "--name=one",
        "--",
        GROUP,
        "/dev/sda",
        "/dev/sdb",
    ]
    assert lvm.ran[3] == [
        "lvchange",
        "--deltag=ganeti:unfinished",
        "--addtag=originstname+guest1.example.com",
        "--",
        "xenvg/one",
    ]


def test_an_interrupted_creation_is_repeated_from_the_beginning(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 180, "/dev/sda", "/dev/sdb", tags=[lvm_commands.UNFINISHED])
    create(node, disk(size=100))
    assert lvm.volumes["one"].size_mib == 100
    assert lvm.volumes["one"].tags == [INFO]


def test_a_volume_that_is_finished_is_never_made_again(node: Node, lvm: FakeLvm) -> None:
    kept = lvm.add("one", 8, tags=["somebody"])
    with pytest.raises(BlockDeviceError, match="exists already"):
        create(node, disk())
    assert lvm.volumes == {"one": kept}
    assert "lvremove" not in lvm.programs


def test_creation_without_room_says_so(node: Node, lvm: FakeLvm) -> None:
    with pytest.raises(BlockDeviceError, match="200 MiB are free"):
        create(node, disk(size=201))
    assert lvm.volumes == {}


def test_creation_that_lvm_refuses_has_its_text(node: Node, lvm: FakeLvm) -> None:
    lvm.failing["lvcreate"] = "no such thing as a free extent"
    with pytest.raises(CommandError, match="no such thing"):
        create(node, disk())


def test_a_volume_that_cannot_be_tagged_is_removed_again(node: Node, lvm: FakeLvm) -> None:
    lvm.failing["lvchange"] = "no"
    with pytest.raises(CommandError):
        create(node, disk())
    assert lvm.volumes == {}


def test_a_group_without_physical_volumes_to_use_makes_nothing(node: Node, lvm: FakeLvm) -> None:
    for physical, attributes in zip(lvm.physical.values(), ("u--", "a-m"), strict=True):
        physical.attributes = attributes
    with pytest.raises(BlockDeviceError, match="no physical volumes"):
        create(node, disk())


@pytest.mark.parametrize(("stripes", "got"), [(1, 1), (2, 2), (3, 2), ("2", 2), (None, 1)])
def test_stripes_are_as_many_as_wanted_and_there(node: Node, lvm: FakeLvm, stripes: object, got: int) -> None:
    create(node, disk(stripes=stripes))
    assert lvm.volumes["one"].stripes == got


def test_stripes_that_do_not_fit_become_fewer(node: Node, lvm: FakeLvm) -> None:
    lvm.add("full", 96, "/dev/sda")
    create(node, disk(size=80, stripes=2))
    assert lvm.volumes["one"].physical == ["/dev/sdb"]
    assert lvm.programs.count("lvcreate") == 2


@pytest.mark.parametrize("stripes", [0, -1, "many"])
def test_no_number_of_stripes_makes_nothing(node: Node, lvm: FakeLvm, stripes: int | str) -> None:
    with pytest.raises(BlockDeviceError, match="stripes"):
        create(node, disk(stripes=stripes))
    assert "lvcreate" not in lvm.programs


# Exclusive storage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "spindles", "got"), [(8, 1, 1), (8, 2, 2), (8, None, 1), (97, None, 1), (98, None, 2), (98, 3, 3)]
)
def test_exclusive_storage_takes_whole_physical_volumes(
    system: System, size: int, spindles: int | None, got: int
) -> None:
    lvm = FakeLvm(100, 100, 100, 100)
    lvm.add("other", 8, "/dev/sda")
    node = Node.compose(replace(system, runner=lvm))
    create(node, disk(size=size, spindles=spindles), exclusive=True)
    assert lvm.volumes["one"].physical == ["/dev/sdb", "/dev/sdc", "/dev/sdd"][:got]
    assert blockdev_data.dimensions(node, (disk(),)) == [(lvm.volumes["one"].size_mib * MIB, got)]


@pytest.mark.parametrize(("size", "spindles", "text"), [(98, 1, "1 were asked for"), (8, 2, "has 1")])
def test_exclusive_storage_without_enough_of_them_is_refused(
    node: Node, lvm: FakeLvm, size: int, spindles: int, text: str
) -> None:
    lvm.add("other", 8, "/dev/sda")
    with pytest.raises(BlockDeviceError, match=text):
        create(node, disk(size=size, spindles=spindles), exclusive=True)
    assert "lvcreate" not in lvm.programs


def test_exclusive_storage_grows_on_its_own_and_keeps_the_reserve(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 80, "/dev/sda")
    grow(node, disk(size=80), 16, exclusive=True)
    assert lvm.ran[-1] == ["lvextend", "--alloc=contiguous", "--size=98304k", "--", "xenvg/one", "/dev/sda"]
    with pytest.raises(BlockDeviceError, match="1 MiB left"):
        grow(node, disk(size=96), 4, exclusive=True)


# Growth --------------------------------------------------------------------------------------------------------------


def test_growth_reaches_the_promised_size_in_whole_extents_of_all_stripes(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 16, "/dev/sda", "/dev/sdb", stripes=2)
    grow(node, disk(size=10), 7)
    assert lvm.volumes["one"].size_mib == 24


def test_growth_may_be_repeated(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    for _ in range(2):
        grow(node, disk(size=8), 8)
    assert lvm.volumes["one"].size_mib == 16
    assert lvm.programs == ["lvs", "lvextend", "lvs"]


def test_growth_that_the_kernel_does_not_know_of_is_finished(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 16, device_mib=8)
    grow(node, disk(size=8), 8)
    assert lvm.ran[-1] == ["lvchange", "--refresh", "--", "xenvg/one"]


def test_a_suspended_volume_goes_on_after_a_repeated_growth(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 16, attributes="-wi-s-----")
    grow(node, disk(size=8), 8)
    assert lvm.volumes["one"].attributes == "-wi-a-----"


def test_a_disk_of_unknown_size_grows_by_the_amount(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 16)
    grow(node, disk(size=0), 8)
    assert lvm.volumes["one"].size_mib == 24


def test_a_dry_run_tests_and_changes_nothing(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    grow(node, disk(size=8), 8, dry_run=True)
    assert lvm.ran[-1] == ["lvextend", "--test", "--alloc=contiguous", "--size=16384k", "--", "xenvg/one"]
    lvm.add("large", 32, device_mib=8)
    grow(node, disk("large", 8), 8, dry_run=True)
    assert lvm.programs == ["lvs", "lvextend", "lvs"]


def test_growth_takes_worse_places_when_the_better_are_taken(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    lvm.failing["lvextend --alloc=c"] = "no room here"
    grow(node, disk(size=8), 8)
    assert [argv[1] for argv in lvm.ran[1:]] == ["--alloc=contiguous", "--alloc=cling", "--alloc=normal"]
    lvm.failing["lvextend"] = "no room anywhere"
    with pytest.raises(CommandError, match="no room anywhere"):
        grow(node, disk(size=16), 8)


def test_the_layer_above_is_none_of_its_business(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    blockdev.grow(node, disk(), 8, dry_run=False, backing_store=False, exclusive_storage=False)
    assert lvm.volumes["one"].size_mib == 8


def test_a_volume_never_shrinks(node: Node) -> None:
    with pytest.raises(BlockDeviceError, match="never shrink"):
        LogicalVolume(node.system, disk()).grow(-1, dry_run=False, backing_store=True, exclusive_storage=False)


# Snapshots -----------------------------------------------------------------------------------------------------------


def test_a_snapshot_has_the_disks_name_and_size_unless_others_are_given(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    assert blockdev.snapshot(node, disk(), None, None) == (GROUP, "one.snap")
    assert blockdev.snapshot(node, disk(), "other", 4) == (GROUP, "other")
    assert {name: volume.size_mib for name, volume in lvm.volumes.items()} == {"one": 8, "one.snap": 8, "other": 4}
    assert [argv[-1] for argv in lvm.ran if argv[0] == "lvcreate"] == ["xenvg/one"] * 2


def test_a_snapshot_of_the_same_volume_is_replaced(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 100)
    lvm.add("one.snap", 60, "/dev/sdb", origin="one")
    assert blockdev.snapshot(node, disk(size=100), None, 90) == (GROUP, "one.snap")
    assert lvm.volumes["one.snap"].size_mib == 90


def test_a_snapshot_whose_making_was_interrupted_is_replaced(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    lvm.add("one.snap", 8, tags=[lvm_commands.SNAPSHOT])
    blockdev.snapshot(node, disk(), None, None)
    assert lvm.volumes["one.snap"].origin == "one"


@pytest.mark.parametrize("origin", ["", "two"])
def test_a_snapshot_never_replaces_another_volume(node: Node, lvm: FakeLvm, origin: str) -> None:
    lvm.add("one", 8)
    kept = lvm.add("one.snap", 8, origin=origin)
    with pytest.raises(BlockDeviceError, match="no snapshot of"):
        blockdev.snapshot(node, disk(), None, None)
    with pytest.raises(BlockDeviceError, match="no snapshot of"):
        blockdev.snapshot(node, disk(), "one", None)
    assert lvm.volumes["one.snap"] is kept


def test_an_old_snapshot_stays_when_there_is_no_room_for_the_new_one(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 100)
    kept = lvm.add("one.snap", 20, "/dev/sdb", origin="one")
    with pytest.raises(BlockDeviceError, match="no room"):
        blockdev.snapshot(node, disk(size=101), None, None)
    assert lvm.volumes["one.snap"] is kept


# The rest of its life ------------------------------------------------------------------------------------------------


def test_an_inactive_volume_is_activated_and_an_active_one_left_alone(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8, attributes="-wi-------")
    for _ in range(2):
        blockdev.assemble(node, disk(), OWNER, True, 0)
    assert lvm.programs == ["lvs", "lvchange", "lvs"]


def test_removal_looks_first(node: Node, lvm: FakeLvm) -> None:
    blockdev.remove(node, disk())
    assert "lvremove" not in lvm.programs
    lvm.add("one", 8)
    blockdev.remove(node, disk())
    assert lvm.volumes == {}


def test_nothing_is_removed_when_lvm_cannot_tell_what_there_is(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    lvm.failing["lvs"] = "locking failed"
    blockdev.remove(node, disk())
    assert "lvremove" not in lvm.programs


def test_a_volume_keeps_its_group(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 8)
    with pytest.raises(BlockDeviceError, match="another group"):
        blockdev.rename(node, ((disk(), ("othervg", "two")),))
    blockdev.rename(node, ((disk(), (GROUP, "one")),))
    assert "lvrename" not in lvm.programs
    blockdev.rename(node, ((disk(), (GROUP, "two")),))
    assert list(lvm.volumes) == ["two"]


@pytest.mark.parametrize(
    ("before", "text", "after", "commands"),
    [
        ([], "-a b\n", ["_a_b_"], 1),
        (["x", "y"], "a", ["a"], 1),
        (["a"], "a", ["a"], 0),
        (["a", "b"], "a", ["a"], 1),
        (["b"], "", [], 1),
        ([], "", [], 0),
    ],
)
def test_a_text_is_the_only_tag(
    node: Node, lvm: FakeLvm, before: list[str], text: str, after: list[str], commands: int
) -> None:
    volume = lvm.add("one", 8, tags=before)
    blockdev.set_info(node, disk(), text)
    assert volume.tags == after
    assert lvm.programs.count("lvchange") == commands


@pytest.mark.parametrize("attributes", [DAMAGED, "vwi-a-----"])
def test_a_volume_with_lost_data_is_faulty(node: Node, lvm: FakeLvm, attributes: str) -> None:
    lvm.add("one", 8, attributes=attributes)
    status = blockdev.find(node, disk())
    assert status is not None
    assert status.is_degraded is True
    assert status.ldisk_status is LocalDiskStatus.FAULTY


def test_an_inactive_volume_has_a_size_and_no_numbers(node: Node, lvm: FakeLvm) -> None:
    lvm.add("one", 12, attributes="-wi-------")
    assert blockdev_data.dimensions(node, (disk(),)) == [(12 * MIB, 1)]
    status = blockdev.find(node, disk())
    assert status is not None
    assert msgspec.to_builtins(status) == {"dev_path": "/dev/xenvg/one", "is_degraded": False, "ldisk_status": 1}


# Many disks ----------------------------------------------------------------------------------------------------------


def test_one_report_answers_for_all_disks(system: System) -> None:
    lvm = FakeLvm(2000)
    disks = tuple(disk(f"disk{number}") for number in range(200))
    for number in range(200):
        lvm.add(f"disk{number}", 8)
    node = Node.compose(replace(system, runner=lvm))

    answers = blockdev.mirror_status_multi(node, disks)
    assert [worked for worked, _ in answers] == [True] * 200
    assert lvm.programs == ["lvs"]

    assert blockdev_data.dimensions(node, disks) == [(8 * MIB, 1)] * 200
    assert lvm.programs == ["lvs"] * 2
    assert len(blockdev.mirror_status(node, disks)) == 200
    assert lvm.programs == ["lvs"] * 3


def test_what_was_seen_is_forgotten_after_every_change(node: Node, lvm: FakeLvm) -> None:
    one = LogicalVolume(node.system, disk())
    assert one.attach() is False
    one.create(exclusive_storage=False)
    assert one.attach() is True
    one.grow(8, dry_run=False, backing_store=True, exclusive_storage=False)
    assert one.actual_size() == 16 * MIB
    one.rename((GROUP, "two"))
    assert one.attach() is True
    one.set_info("a")
    one.set_info("a")
    assert lvm.programs.count("lvchange") == 1
    assert one.snapshot(None, None) == (GROUP, "two.snap")
    with pytest.raises(BlockDeviceError, match="no room"):
        one.snapshot("more", 190)
    one.remove()
    assert one.attach() is False
    lvm.add("two", 8, tags=[lvm_commands.UNFINISHED])
    one.create(exclusive_storage=False)
    assert one.attach() is True


def test_a_report_that_fails_is_not_asked_for_again(node: Node, lvm: FakeLvm) -> None:
    lvm.failing["lvs"] = "locking failed"
    answers = blockdev.mirror_status_multi(node, tuple(disk(f"disk{number}") for number in range(5)))
    assert all(not worked and "locking failed" in str(text) for worked, text in answers)
    assert lvm.programs == ["lvs"]
