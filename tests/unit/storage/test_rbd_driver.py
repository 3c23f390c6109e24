"""Disks that are images of a Ceph cluster: which commands are run for them, and what comes of the answers.

A whole life on a real cluster is the scenario `rbd` of the lab; here is what only goes otherwise.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError, InvalidOutput, NodeError
from ganeti.host import locks
from ganeti.host.runner import Result
from ganeti.host.system import System
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType
from ganeti.tools import rbd

GONE = 2
"""ENOENT, which is the exit status when there is no such image, no such pool and no cluster."""
TAKEN = 17
IN_USE = 16
HAS_SNAPSHOTS = 39

Scripted = Callable[..., tuple[Node, ReplayRunner]]


def disk(name: str = "a", *, pool: str | None = "rbd", size: int = 8) -> Disk:
    params: Parameters = {"access": "kernelspace"}
    if pool is not None:
        params["pool"] = pool
    return Disk(dev_type=DiskType.RBD, logical_id=("rbd", name), size=size, iv_name="disk/0", params=params)


def said(command: str, stdout: str = "", *, status: int = 0, stderr: str = "") -> Exchange:
    return Exchange(argv=tuple(shlex.split(command)), stdout=stdout, stderr=stderr, exit_code=status)


def mapped(*entries: tuple[str, str], pool: str = "rbd", **more: str) -> Exchange:
    """What is mapped, by name and device."""
    rows = [{"id": "0", "pool": pool, "name": name, "snap": "-", "device": device} | more for name, device in entries]
    return said("rbd showmapped --format=json", json.dumps(rows))


def on(command: str, name: str = "a", *options: str, **answer: object) -> Exchange:
    """A command on an image of the pool rbd."""
    words = shlex.join(["rbd", *command.split(), "--pool=rbd", f"--image={name}", *options])
    return replace(said(words), **answer)  # type: ignore[arg-type] # the fields' own names and types


def device(number: int = 0) -> Exchange:
    return said(f"stat -Lc %Hr:%Lr /dev/rbd{number}", f"253:{number * 16}\n")


def size(mib: int, number: int = 0) -> Exchange:
    return said(f"cat /sys/dev/block/253:{number * 16}/size", f"{mib * MIB // 512}\n")


def names(*found: str, **answer: object) -> Exchange:
    """The images of the pool."""
    exchange = said("rbd ls --pool=rbd --format=json", json.dumps(found))
    return replace(exchange, **answer)  # type: ignore[arg-type] # the fields' own names and types


ATTACHED = (mapped(("a", "/dev/rbd0")), device())
"""What is asked when the image is mapped."""


@pytest.fixture
def scripted(system: System, replay: Callable[..., ReplayRunner]) -> Scripted:
    """Call it with exchanges to get a node on which exactly these commands are run, and the runner."""

    def make(*exchanges: Exchange) -> tuple[Node, ReplayRunner]:
        runner = replay(exchanges)
        return Node.compose(replace(system, runner=runner)), runner

    return make


# Names ---------------------------------------------------------------------------------------------------------------

NOT_NAMES = ("", "-x", ".x", "a/b", "a@b", "a b", "a\n", "a,b", "a:b", "a\\b", "a%b", "é", "--pool=x", "a'b", "*", "\0")


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_name_that_could_be_read_otherwise_is_refused_before_anything_is_run(node: Node, name: str) -> None:
    for one in (disk(name), disk(pool=name)):
        with pytest.raises(BlockDeviceError, match="cannot be the name"):
            blockdev.find(node, one)


@pytest.mark.parametrize("name", ["a", "7", "_x", "a.b-c+d=e~f", "0e5f.rbd.disk0"])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert rbd.Image("rbd", name).options == ("--pool=rbd", f"--image={name}")


@pytest.mark.parametrize("identity", [("rbd",), ("rbd", "a", "b"), ("manual", "a"), ("rbd", 7), ("rbd", None), ()])
def test_another_identity_is_refused(node: Node, identity: tuple[str | int | None, ...]) -> None:
    with pytest.raises(BlockDeviceError, match="identity"):
        blockdev.find(node, msgspec.structs.replace(disk(), logical_id=identity))


def test_a_disk_without_pool_is_refused(node: Node) -> None:
    with pytest.raises(BlockDeviceError, match="no pool"):
        blockdev.find(node, disk(pool=None))


def test_an_image_with_children_is_refused(node: Node) -> None:
    device = node.storage.device(disk())
    with pytest.raises(BlockDeviceError, match="no children"):
        node.storage.device(disk(), [device])


# What is mapped ------------------------------------------------------------------------------------------------------


def parsed(text: str) -> list[tuple[str, str]]:
    return [(each.name, each.device) for each in rbd.parse_mappings(Result(argv=("rbd",), stdout=text))]


def test_the_list_and_the_object_of_older_releases_are_read() -> None:
    row = '{"pool":"rbd","name":"a","snap":"-","device":"/dev/rbd0"}'
    assert parsed(f"[{row}]") == parsed(f'{{"0":{row}}}') == [("a", "/dev/rbd0")]
    assert parsed("[]") == parsed("{}") == parsed(" {}\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "null",
        "[7]",
        '[{"pool":"rbd","device":"/dev/rbd0"}]',
        '[{"name":"a","device":"/dev/rbd0"}]',
        '[{"pool":"rbd","name":"a"}]',
        '[{"pool":"rbd","name":"a","device":"/dev/sda"}]',
        '[{"pool":"rbd","name":"a","device":"/dev/rbd0/x"}]',
        "id pool name snap device\n0 rbd a - /dev/rbd0\n",
    ],
)
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(InvalidOutput):
        parsed(text)


def test_one_question_tells_about_all_disks(scripted: Scripted) -> None:
    names = [f"disk{number}" for number in range(50)]
    devices = [device(number) for number in range(50)]
    node, _ = scripted(mapped(*((name, f"/dev/rbd{number}") for number, name in enumerate(names))), *devices)
    answers = blockdev.mirror_status_multi(node, tuple(disk(name) for name in names))
    assert [worked for worked, _ in answers] == [True] * 50


@pytest.mark.parametrize(
    "other",
    [
        mapped(("b", "/dev/rbd7")),
        mapped(("a", "/dev/rbd7"), pool="other"),
        mapped(("a", "/dev/rbd7"), snap="before"),
        mapped(("a", "/dev/rbd7"), namespace="space"),
    ],
)
def test_an_image_that_is_not_mapped_is_mapped(scripted: Scripted, other: Exchange) -> None:
    node, _ = scripted(other, names("a"), other, on("map", stdout="/dev/rbd0\n"), device())
    found = blockdev.find(node, disk())
    assert found is not None
    assert (found.dev_path, found.major, found.minor) == ("/dev/rbd0", 253, 0)


def test_an_image_that_was_mapped_meanwhile_is_not_mapped_again(scripted: Scripted) -> None:
    node, _ = scripted(mapped(), names("a"), *ATTACHED)
    assert blockdev.find(node, disk()) is not None


def test_many_disks_that_are_not_mapped_are_asked_for_at_once(scripted: Scripted) -> None:
    mappings = [[mapped(), on("map", name, stdout=f"/dev/rbd{n}\n"), device(n)] for n, name in enumerate(("a", "b"))]
    node, _ = scripted(mapped(), names("a", "b"), *mappings[0], *mappings[1])
    answers = blockdev.mirror_status_multi(node, tuple(disk(name) for name in ("a", "b", "absent", "gone")))
    assert [worked for worked, _ in answers] == [True, True, False, False]


def test_a_cluster_that_does_not_answer_is_waited_for_once(scripted: Scripted) -> None:
    node, _ = scripted(mapped(), names(stdout="", exit_code=None, signal=15, timed_out=True))
    answers = blockdev.mirror_status_multi(node, tuple(disk(name) for name in ("a", "b", "c")))
    assert [("monitors" in str(answer), worked) for worked, answer in answers] == [(True, False)] * 3


def test_images_are_mapped_one_at_a_time(scripted: Scripted, system: System) -> None:
    node, _ = scripted(mapped(), names("a"))
    held = locks.try_exclusive(system.paths.rbd_lock)
    assert held is not None
    with held, pytest.raises(BlockDeviceError, match="cannot be mapped now"):
        blockdev.find(node, disk())


def test_the_lock_is_given_back_when_mapping_fails(scripted: Scripted, system: System) -> None:
    node, _ = scripted(mapped(), names("a"), mapped(), on("map", exit_code=1))
    with pytest.raises(CommandError):
        blockdev.find(node, disk())
    held = locks.try_exclusive(system.paths.rbd_lock)
    assert held is not None
    held.release()


def test_an_image_that_is_mapped_twice_is_refused_naming_both(scripted: Scripted) -> None:
    node, _ = scripted(mapped(("a", "/dev/rbd0"), ("a", "/dev/rbd3")))
    with pytest.raises(BlockDeviceError, match="/dev/rbd0, /dev/rbd3"):
        blockdev.find(node, disk())


def test_a_mapping_without_device_node_is_an_error(scripted: Scripted) -> None:
    node, _ = scripted(mapped(("a", "/dev/rbd0")), replace(device(), stdout="", exit_code=1))
    with pytest.raises(BlockDeviceError, match="/dev/rbd0 is no block device"):
        blockdev.find(node, disk())


def test_an_image_the_cluster_does_not_have_is_not_found(scripted: Scripted) -> None:
    node, _ = scripted(mapped(), names("b", "a.snap"))
    assert blockdev.find(node, disk()) is None


def test_a_cluster_that_cannot_be_asked_is_no_missing_image(scripted: Scripted) -> None:
    node, _ = scripted(mapped(), names(exit_code=GONE, stderr="rbd: couldn't connect to the cluster!\n"))
    with pytest.raises(CommandError, match="couldn't connect"):
        blockdev.find(node, disk())


def test_an_image_that_was_removed_meanwhile_is_not_found(scripted: Scripted) -> None:
    node, _ = scripted(mapped(), names("a"), mapped(), on("map", exit_code=GONE), names())
    assert blockdev.find(node, disk()) is None


def test_an_image_that_is_there_but_cannot_be_mapped_is_an_error(scripted: Scripted) -> None:
    """The program ends with the same status without the image, without the pool and without the cluster."""
    failed = on("map", exit_code=GONE, stderr="rbd: sysfs write failed\n")
    node, _ = scripted(mapped(), names("a"), mapped(), failed, names("a"))
    with pytest.raises(CommandError, match="sysfs"):
        blockdev.find(node, disk())


def test_what_takes_too_long_is_told_with_what_may_be_wrong(scripted: Scripted) -> None:
    late = on("map", exit_code=None, signal=15, timed_out=True)
    node, runner = scripted(mapped(), names("a"), mapped(), late)
    with pytest.raises(CommandError, match="monitors"):
        blockdev.find(node, disk())
    assert {asked.timeout_s for asked in runner.asked} == {rbd.TIMEOUT_S}


# Life ----------------------------------------------------------------------------------------------------------------


def test_a_new_image_is_mapped(scripted: Scripted) -> None:
    create = on("create", "a", "--size=8M", "--no-progress")
    node, _ = scripted(create, mapped(), mapped(), on("map", stdout="/dev/rbd0\n"), device())
    blockdev.create(node, disk(), 8, "guest1", True, "", exclusive_storage=False)


def test_an_image_that_cannot_be_mapped_is_taken_away_again(scripted: Scripted) -> None:
    create = on("create", "a", "--size=8M", "--no-progress")
    no_map = on("map", exit_code=6, stderr="image uses unsupported features\n")
    gone = on("rm", "a", "--no-progress")
    node, _ = scripted(create, mapped(), mapped(), no_map, mapped(), mapped(), gone)
    with pytest.raises(CommandError, match="unsupported features"):
        blockdev.create(node, disk(), 8, "guest1", True, "", exclusive_storage=False)


def test_removing_has_no_time_limit(scripted: Scripted) -> None:
    node, runner = scripted(*ATTACHED, said("rbd unmap /dev/rbd0"), on("rm", "a", "--no-progress"))
    blockdev.remove(node, disk())
    assert runner.asked[-1].timeout_s is None


def test_an_image_somebody_removed_meanwhile_is_removed(scripted: Scripted) -> None:
    gone = on("rm", "a", "--no-progress", exit_code=GONE)
    node, _ = scripted(*ATTACHED, said("rbd unmap /dev/rbd0"), gone, names())
    blockdev.remove(node, disk())


def test_a_cluster_that_went_away_is_no_removed_image(scripted: Scripted) -> None:
    gone = on("rm", "a", "--no-progress", exit_code=GONE)
    tries = [mapped(), gone, names(exit_code=GONE)] * 11
    node, _ = scripted(*ATTACHED, said("rbd unmap /dev/rbd0"), *tries[1:])
    with pytest.raises(BlockDeviceError, match="exited with status 2"):
        blockdev.remove(node, disk())


def test_an_image_that_others_have_open_is_tried_again(scripted: Scripted) -> None:
    in_use = on("rm", "a", "--no-progress", exit_code=IN_USE)
    node, _ = scripted(*ATTACHED, said("rbd unmap /dev/rbd0"), in_use, mapped(), replace(in_use, exit_code=0))
    blockdev.remove(node, disk())


def test_what_a_cut_off_snapshot_left_is_removed_with_the_image(scripted: Scripted) -> None:
    refused = on("rm", "a", "--no-progress", exit_code=HAS_SNAPSHOTS)
    left = on("snap ls", "a", "--format=json", stdout='[{"id":4,"name":"ganeti.a.snap"},{"id":5,"name":"mine"}]')
    taken_away = on("snap rm", "a", "--snap=ganeti.a.snap", "--no-progress")
    node, _ = scripted(*ATTACHED, said("rbd unmap /dev/rbd0"), refused, left, taken_away, replace(refused, exit_code=0))
    blockdev.remove(node, disk())


def test_an_image_with_snapshots_is_kept_and_they_are_named(scripted: Scripted) -> None:
    refused = on("rm", "a", "--no-progress", exit_code=HAS_SNAPSHOTS)
    left = on("snap ls", "a", "--format=json", stdout="[]")
    children = on("children", "a", "--all", "--format=json", stdout='[{"pool":"rbd","image":"a.snap"}]')
    attempt = [refused, left, children]
    again = [mapped(), *attempt] * 10
    node, _ = scripted(*ATTACHED, said("rbd unmap /dev/rbd0"), *attempt, *again)
    with pytest.raises(BlockDeviceError, match=r"removed first: rbd/a\.snap"):
        blockdev.remove(node, disk())


# Growing -------------------------------------------------------------------------------------------------------------


def grow(node: Node, amount: int = 4, *, dry_run: bool = False, backing_store: bool = True) -> None:
    blockdev.grow(node, disk(), amount, dry_run=dry_run, backing_store=backing_store, exclusive_storage=False)


def test_growing_waits_until_the_kernel_shows_the_new_size(scripted: Scripted) -> None:
    resize = on("resize", "a", "--size=12M", "--no-progress")
    node, _ = scripted(*ATTACHED, size(8), resize, size(8), size(12))
    grow(node)


def test_a_size_the_kernel_never_shows_is_an_error(scripted: Scripted) -> None:
    resize = on("resize", "a", "--size=12M", "--no-progress")
    node, runner = scripted(*ATTACHED, size(8), resize, *[size(8)] * 301)
    with pytest.raises(BlockDeviceError, match="has grown, but /dev/rbd0 has not"):
        grow(node)
    assert len(runner.asked) > 300


@pytest.mark.parametrize(("is_size", "dry_run"), [(12, False), (8, True)])
def test_what_is_large_enough_or_only_asked_about_is_not_resized(
    scripted: Scripted, is_size: int, dry_run: bool
) -> None:
    node, _ = scripted(*ATTACHED, size(is_size))
    grow(node, dry_run=dry_run)


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_image_is_never_made_smaller(scripted: Scripted, dry_run: bool) -> None:
    node, _ = scripted(*ATTACHED, size(13))
    with pytest.raises(BlockDeviceError, match="more than"):
        grow(node, dry_run=dry_run)


def test_growing_by_less_than_nothing_is_refused(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED)
    with pytest.raises(NodeError, match="never shrink"):
        grow(node, -1)


def test_the_upper_layer_of_growing_is_nothing_to_an_image(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED)
    grow(node, backing_store=False)


# Renaming and snapshots ----------------------------------------------------------------------------------------------


def test_a_device_in_use_is_not_renamed(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED, said("rbd unmap /dev/rbd0", status=IN_USE, stderr="rbd: sysfs write failed\n"))
    with pytest.raises(BlockDeviceError, match="unmap"):
        blockdev.rename(node, ((disk(), ("rbd", "b")),))


@pytest.mark.parametrize("new", [("rbd", "-b"), ("manual", "b"), ("rbd", "a", "b")])
def test_a_new_identity_that_makes_no_sense_is_refused_before_unmapping(
    scripted: Scripted, new: tuple[str | int | None, ...]
) -> None:
    node, _ = scripted(*ATTACHED)
    with pytest.raises(BlockDeviceError):
        blockdev.rename(node, ((disk(), new),))


SYNC = said("sync /dev/rbd0")
FREEZE = on("snap create", "a", "--snap=ganeti.a.snap", "--no-progress")
THAW = on("snap rm", "a", "--snap=ganeti.a.snap", "--no-progress")
CLONE = on("clone", "a", "--snap=ganeti.a.snap", "--dest-pool=rbd", "--dest=a.snap", "--rbd-default-clone-format=2")


def snapshot(node: Node) -> object:
    return blockdev.snapshot(node, disk(), None, None)


def parent(image: str, pool: str = "rbd") -> Exchange:
    answer = {"name": "a.snap", "size": 8 * MIB, "parent": {"pool": pool, "image": image, "pool_namespace": ""}}
    return on("info", "a.snap", "--format=json", stdout=json.dumps(answer))


def test_a_snapshot_is_an_image_and_nothing_is_left_of_its_making(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED, SYNC, FREEZE, CLONE, THAW)
    assert snapshot(node) == ("rbd", "a.snap")


def test_a_snapshot_may_have_a_name(scripted: Scripted) -> None:
    def named(exchange: Exchange) -> Exchange:
        return replace(exchange, argv=tuple(word.replace("a.snap", "mine") for word in exchange.argv))

    node, _ = scripted(*ATTACHED, SYNC, named(FREEZE), named(CLONE), named(THAW))
    assert blockdev.snapshot(node, disk(), "mine", 4) == ("rbd", "mine")


def test_what_a_cut_off_snapshot_left_is_replaced(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED, SYNC, replace(FREEZE, exit_code=TAKEN), THAW, FREEZE, CLONE, THAW)
    assert snapshot(node) == ("rbd", "a.snap")


def test_two_snapshots_at_once_are_refused(scripted: Scripted) -> None:
    taken = replace(FREEZE, exit_code=TAKEN)
    node, _ = scripted(*ATTACHED, SYNC, taken, THAW, taken)
    with pytest.raises(BlockDeviceError, match="somebody else"):
        snapshot(node)


def test_an_earlier_snapshot_of_the_disk_is_replaced(scripted: Scripted) -> None:
    taken = replace(CLONE, exit_code=TAKEN)
    remove = (said("rbd unmap /dev/rbd1"), on("rm", "a.snap", "--no-progress"))
    mappings = mapped(("a", "/dev/rbd0"), ("a.snap", "/dev/rbd1"))
    node, _ = scripted(mappings, device(), SYNC, FREEZE, taken, parent("a"), mappings, *remove, CLONE, THAW)
    assert snapshot(node) == ("rbd", "a.snap")


@pytest.mark.parametrize(
    "info", [parent("b"), parent("a", "other"), on("info", "a.snap", "--format=json", stdout='{"size":1}')]
)
def test_another_image_is_not_replaced_by_a_snapshot(scripted: Scripted, info: Exchange) -> None:
    node, _ = scripted(*ATTACHED, SYNC, FREEZE, replace(CLONE, exit_code=TAKEN), info, THAW)
    with pytest.raises(BlockDeviceError, match="is no snapshot of rbd/a"):
        snapshot(node)


def test_a_clone_that_cannot_be_made_leaves_no_snapshot(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED, SYNC, FREEZE, replace(CLONE, exit_code=1, stderr="rbd: clone error\n"), THAW)
    with pytest.raises(CommandError, match="clone error"):
        snapshot(node)


# Data ----------------------------------------------------------------------------------------------------------------


def test_a_wipe_is_the_kernels_zeroing(scripted: Scripted) -> None:
    zero = said("blkdiscard --zeroout --offset=1048576 --length=2097152 -- /dev/rbd0")
    node, _ = scripted(*ATTACHED, zero)
    blockdev_data.wipe(node, disk(), 1, 2)


def test_a_wipe_of_nothing_runs_nothing(scripted: Scripted) -> None:
    node, _ = scripted(*ATTACHED)
    blockdev_data.wipe(node, disk(), 8, 0)


def test_only_kvm_reaches_an_image_from_user_space(scripted: Scripted) -> None:
    wanting = msgspec.structs.replace(disk(), params={"pool": "rbd", "access": "userspace"})
    node, _ = scripted(*ATTACHED, *ATTACHED)
    assembled = blockdev.assemble(node, wanting, "guest1", True, 0, hypervisor="kvm")
    assert assembled is not None
    assert (assembled.dev_path, assembled.uri) == ("/dev/rbd0", "rbd:rbd/a")
    with pytest.raises(BlockDeviceError, match="'xen-pvm' cannot reach"):
        blockdev.assemble(node, wanting, "guest1", True, 0, hypervisor="xen-pvm")
