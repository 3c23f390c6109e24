"""The DRBD driver against answers of a machine: which commands it runs in which situation, and which it refuses.

The life of a real device is in the transcript tests and in those between two machines.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.storage.mirrors import (
    ADD,
    DATA,
    DISK,
    META,
    NEW_MINOR,
    NOTHING,
    WITHOUT_PORT,
    Bench,
    apply_al,
    attach,
    connect,
    create_md,
    device,
    disconnect,
    metadata_size,
    proc,
    ran,
    shown,
    shown_ours,
    zero,
)
from tests.unit.storage.scripted import Script, ScriptedDevice

from ganeti.errors import BlockDeviceError, CommandError, InvalidParameter, NotSupported
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.model.disk import LocalDiskStatus
from ganeti.storage.base import MirrorState
from ganeti.storage.drivers.drbd import DrbdDisk
from ganeti.storage.drivers.drbd.driver import RESIZE_DELAY_S, RESIZE_TIMEOUT_S

BUSY = "blkdiscard: cannot open /dev/xenvg/d_meta: Device or resource busy\n"
OTHER_DATA, OTHER_META = Path("/dev/xenvg/other_data"), Path("/dev/xenvg/other_meta")


@pytest.fixture
def bench(paths: Paths, replay: Callable[..., ReplayRunner], clock: FakeClock) -> Bench:
    """A mirror on a machine whose answers are given."""
    return Bench(paths, replay, clock)


# Finding -------------------------------------------------------------------------------------------------------------


def test_a_configured_minor_is_found_with_path_and_numbers(bench: Bench) -> None:
    mirror = bench.mirror(device())
    assert (mirror.dev_path, mirror.numbers) == (None, None)
    assert mirror.attach()
    assert (mirror.dev_path, mirror.numbers) == (Path("/dev/drbd3"), (147, 3))


@pytest.mark.parametrize("answer", [NOTHING, NEW_MINOR, proc(" 4: cs:Connected ro:A/B ds:C/D C r")])
def test_a_minor_without_anything_is_not_found(bench: Bench, answer: Exchange) -> None:
    assert not bench.mirror(answer).attach()


def test_without_the_module_it_cannot_be_told(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="not loaded"):
        bench.mirror(ran("cat", "/proc/drbd", code=1)).attach()


@pytest.mark.parametrize("count", [1, 3])
def test_a_mirror_has_two_disks_below_or_none(bench: Bench, count: int) -> None:
    assert DISK.children is not None
    with pytest.raises(BlockDeviceError, match=f"two disks below it or none, not {count}"):
        bench.mirror(disk=msgspec.structs.replace(DISK, children=(DISK.children[0],) * count))


def test_one_missing_child_leaves_none(bench: Bench) -> None:
    assert bench.mirror(children=["d_data"]).present_children == []


# Creating ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [NOTHING, NEW_MINOR])
def test_create_zeroes_the_metadata_disk_and_writes_metadata(bench: Bench, seen: Exchange) -> None:
    mirror = bench.mirror(seen, *metadata_size(), zero(), create_md())
    mirror.create(exclusive_storage=False)
    assert bench.calls == ["assemble d_meta"]


@pytest.mark.parametrize("mib", [127, 1025])
def test_create_refuses_a_metadata_disk_of_another_size(bench: Bench, mib: int) -> None:
    with pytest.raises(BlockDeviceError, match="should have 128 to 1024 MiB"):
        bench.mirror(NOTHING, *metadata_size(mib)).create(exclusive_storage=False)


def test_create_takes_the_largest_metadata_disk(bench: Bench) -> None:
    bench.mirror(NOTHING, *metadata_size(1024), zero(), create_md()).create(exclusive_storage=False)


def test_create_waits_for_the_end_of_what_a_killed_one_still_runs(bench: Bench) -> None:
    mirror = bench.mirror(
        NOTHING,
        *metadata_size(),
        zero(code=1, stderr=BUSY),
        zero(),
        create_md(code=1, stdout="\nValid meta data seems to be in place.\n"),
        zero(),
        create_md(code=20, stderr="open(/dev/xenvg/d_meta) failed: Device or resource busy\n"),
        zero(),
        create_md(),
    )
    mirror.create(exclusive_storage=False)
    assert len(bench.clock.sleeps) == 3


def test_create_gives_up_when_the_metadata_disk_stays_in_use(bench: Bench) -> None:
    answers = [zero(code=1, stderr=BUSY)] * 61
    with pytest.raises(BlockDeviceError, match=r"metadata device /dev/xenvg/d_meta is in use"):
        bench.mirror(NOTHING, *metadata_size(), *answers).create(exclusive_storage=False)
    assert sum(bench.clock.sleeps) == 30


def test_create_fails_at_once_for_any_other_reason(bench: Bench) -> None:
    with pytest.raises(CommandError, match="Input/output error"):
        bench.mirror(NOTHING, *metadata_size(), zero(code=1, stderr="Input/output error\n")).create(
            exclusive_storage=False
        )


@pytest.mark.parametrize("answer", [shown(), shown_ours()])
def test_create_goes_on_from_a_device_with_just_these_disks(bench: Bench, answer: Exchange) -> None:
    bench.mirror(device("StandAlone"), answer).create(exclusive_storage=False)
    assert bench.calls == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (shown(data=OTHER_DATA, meta=OTHER_META), "with other disks"),
        (shown(meta=OTHER_META), "with other disks"),
        (shown_ours(data=None), "in use already"),
        (shown(data=None), "in use already"),
        (shown(resource="web"), "belongs to the resource web"),
    ],
)
def test_create_refuses_a_minor_in_use_otherwise(bench: Bench, answer: Exchange, reason: str) -> None:
    with pytest.raises(BlockDeviceError, match=reason):
        bench.mirror(device("Connected"), answer).create(exclusive_storage=False)


def test_create_refuses_exclusive_storage_missing_disks_and_missing_parameters(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="physical disks of their own"):
        bench.mirror().create(exclusive_storage=True)
    with pytest.raises(BlockDeviceError, match="no local disks"):
        bench.mirror(children=False).create(exclusive_storage=False)
    with pytest.raises(InvalidParameter, match="resync-rate"):
        bench.mirror(disk=msgspec.structs.replace(DISK, params={})).create(exclusive_storage=False)


# Assembling ----------------------------------------------------------------------------------------------------------

NO_SUCH_STATE = device("StandAlone", "Secondary/Unknown", "UpToDate/DUnknown")


@pytest.mark.parametrize("seen", [NOTHING, NEW_MINOR])
def test_from_nothing_it_gets_disks_and_then_addresses(bench: Bench, seen: Exchange) -> None:
    mirror = bench.mirror(seen, *ADD, apply_al(), attach(), seen, connect(), shown_ours())
    mirror.assemble()
    assert mirror.dev_path == Path("/dev/drbd3")


def test_without_disks_it_gets_addresses_alone(bench: Bench) -> None:
    bench.mirror(NOTHING, *ADD, connect(), shown_ours(data=None), children=False).assemble()


def test_without_a_port_it_gets_disks_alone(bench: Bench) -> None:
    bench.mirror(NOTHING, *ADD, apply_al(), attach(), disk=WITHOUT_PORT).assemble()


def test_with_neither_there_is_nothing_to_assemble(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="neither disks nor addresses"):
        bench.mirror(NOTHING, disk=WITHOUT_PORT, children=False).assemble()


def test_what_is_complete_is_left_alone(bench: Bench) -> None:
    bench.mirror(device(), shown_ours()).assemble()
    bench.mirror(device("Connected", disks="Diskless/UpToDate"), shown_ours(data=None), children=False).assemble()
    bench.mirror(NO_SUCH_STATE, shown(), disk=WITHOUT_PORT).assemble()


def test_a_disk_without_addresses_is_connected(bench: Bench) -> None:
    bench.mirror(NO_SUCH_STATE, shown(), connect(), shown_ours()).assemble()


def test_addresses_without_a_disk_get_it(bench: Bench) -> None:
    seen = device("Connected", disks="Diskless/UpToDate")
    bench.mirror(seen, shown_ours(data=None), apply_al(), attach()).assemble()


def test_a_configured_device_with_neither_gets_both(bench: Bench) -> None:
    seen = device("StandAlone", disks="Diskless/DUnknown")
    bench.mirror(seen, shown(data=None), apply_al(), attach(), seen, connect(), shown_ours()).assemble()


def test_our_disk_with_other_addresses_is_connected_anew(bench: Bench) -> None:
    other = shown(local="10.98.0.1:11003", remote="10.98.0.9:11003")
    answers = (disconnect(remote="ipv4:10.98.0.9:11003"), connect(), shown_ours())
    bench.mirror(device("WFConnection"), other, *answers).assemble()


def test_our_disk_gives_up_addresses_that_are_not_wanted(bench: Bench) -> None:
    bench.mirror(device("WFConnection"), shown_ours(), disconnect(), disk=WITHOUT_PORT).assemble()


def test_addresses_that_are_not_given_up_are_an_error(bench: Bench) -> None:
    other = shown(local="10.98.0.1:11003", remote="10.98.0.9:11003")
    refusal = disconnect(remote="ipv4:10.98.0.9:11003", code=10, stderr="Failure: (162)\n")
    with pytest.raises(BlockDeviceError, match=r"does not give up its addresses ipv4:10\.98\.0\.1:11003"):
        bench.mirror(device("WFConnection"), other, refusal).assemble()


@pytest.mark.parametrize(
    ("answer", "children", "reason"),
    [
        (shown(data=OTHER_DATA, meta=OTHER_META), True, "with other disks"),
        (shown_ours(data=OTHER_DATA), True, "with other disks"),
        (shown_ours(meta=OTHER_META), True, "with other disks"),
        (shown_ours(), False, "with other disks"),
        (shown(data=None, local="10.98.0.1:1", remote="10.98.0.9:1"), True, "with other addresses"),
        (shown(data=None, local="10.98.0.1:1", remote="10.98.0.9:1"), False, "with other addresses"),
        (shown(resource="web"), True, "belongs to the resource web"),
    ],
)
def test_what_may_be_somebody_elses_is_refused(bench: Bench, answer: Exchange, children: bool, reason: str) -> None:
    mirror = bench.mirror(device(), answer, children=children)
    with pytest.raises(BlockDeviceError, match=f"cannot be assembled: .*{reason}"):
        mirror.assemble()
    assert mirror.dev_path is None


def test_a_metadata_index_other_than_0_is_another_disk(bench: Bench) -> None:
    answer = shown()
    text = answer.stdout.replace(f'"{META}";', f'"{META}" [ 1 ];')
    with pytest.raises(BlockDeviceError, match="with other disks"):
        bench.mirror(device(), ran(*answer.argv, stdout=text)).assemble()


def test_a_failure_counts_when_nothing_has_changed_meanwhile(bench: Bench) -> None:
    refusal = attach(code=10, stderr="3: Failure: (104) Can not open backing device.\n")
    read = ran("dd", f"if={META}", "of=/dev/null", "bs=131072", "count=1", "iflag=direct")
    with pytest.raises(CommandError, match="Can not open backing device"):
        bench.mirror(NOTHING, *ADD, apply_al(), refusal, read, NEW_MINOR).assemble()


def test_what_a_killed_one_did_meanwhile_is_built_upon(bench: Bench) -> None:
    refusal = attach(code=10, stderr="3: Failure: (124) Device is attached to a disk (use detach first)\n")
    read = ran("dd", f"if={META}", "of=/dev/null", "bs=131072", "count=1", "iflag=direct")
    bench.mirror(
        *(NEW_MINOR, *ADD, apply_al(), refusal, read),
        *(NO_SUCH_STATE, shown(), connect(), shown_ours()),
    ).assemble()


def test_unreadable_metadata_leaves_the_other_nodes_copy(bench: Bench) -> None:
    refusal = apply_al(code=20, stderr="read failed: Input/output error\n")
    read = ran("dd", f"if={META}", "of=/dev/null", "bs=131072", "count=1", "iflag=direct", code=1)
    bench.mirror(NOTHING, *ADD, refusal, read, NOTHING, connect(), shown_ours(data=None)).assemble()


def test_unreadable_metadata_is_an_error_when_there_is_no_other_node(bench: Bench) -> None:
    refusal = apply_al(code=20, stderr="read failed: Input/output error\n")
    with pytest.raises(CommandError, match="Input/output error"):
        bench.mirror(NOTHING, *ADD, refusal, NOTHING, disk=WITHOUT_PORT).assemble()


def test_addresses_the_kernel_does_not_keep_are_an_error(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="does not keep its addresses"):
        bench.mirror(NO_SUCH_STATE, shown(), connect(), *[shown()] * 11).assemble()
    assert bench.clock.sleeps == [1] * 10


def test_assemble_needs_all_parameters(bench: Bench) -> None:
    with pytest.raises(InvalidParameter, match="also needs c-delay-target"):
        bench.mirror(disk=msgspec.structs.replace(DISK, params={"protocol": "C"})).assemble()


# Roles ---------------------------------------------------------------------------------------------------------------


def test_the_secondary_is_made_primary_and_the_primary_left_alone(bench: Bench) -> None:
    bench.mirror(device(), ran("drbdsetup", "primary", "3")).open()
    bench.mirror(device(roles="Primary/Secondary")).open(exclusive=False)


def test_force_is_passed_on_whatever_the_role(bench: Bench) -> None:
    bench.mirror(device(roles="Primary/Secondary"), ran("drbdsetup", "primary", "3", "--force")).open(force=True)


def test_the_primary_is_made_secondary_and_the_secondary_left_alone(bench: Bench) -> None:
    bench.mirror(device(roles="Primary/Secondary"), ran("drbdsetup", "secondary", "3")).close()
    bench.mirror(device()).close()


def test_a_device_that_somebody_has_open_cannot_be_closed(bench: Bench) -> None:
    held = ran("drbdsetup", "secondary", "3", code=11, stderr="State change failed: (-12) Device is held open\n")
    with pytest.raises(CommandError, match="held open"):
        bench.mirror(device(roles="Primary/Secondary"), held).close()


# Shutting down -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [NOTHING, NEW_MINOR])
def test_what_is_not_in_use_is_down_already(bench: Bench, seen: Exchange) -> None:
    bench.mirror(seen).shutdown()


@pytest.mark.parametrize(
    "answer",
    [
        shown_ours(),
        shown(),
        shown_ours(data=None),
        # the disks were renamed, or the other node's address has changed: one of both makes it ours
        shown_ours(data=OTHER_DATA, meta=OTHER_META),
        shown(local="10.98.0.7:1", remote="10.98.0.9:1"),
    ],
)
def test_shutdown_and_remove_take_the_resource_down(bench: Bench, answer: Exchange) -> None:
    mirror = bench.mirror(device(), answer, ran("drbdsetup", "down", "resource3"), NOTHING)
    mirror.remove()
    assert mirror.dev_path is None
    assert not mirror.attach()


@pytest.mark.parametrize(
    "answer",
    [
        shown(data=OTHER_DATA, meta=OTHER_META, local="10.98.0.7:1", remote="10.98.0.9:1"),
        shown(data=OTHER_DATA, meta=OTHER_META),
        shown(resource="web"),
    ],
)
def test_shutdown_refuses_what_is_somebody_elses(bench: Bench, answer: Exchange) -> None:
    with pytest.raises(BlockDeviceError, match=r"with other disks|belongs to"):
        bench.mirror(device(), answer).shutdown()


def test_without_disks_of_its_own_a_device_is_believed_to_be_ours(bench: Bench) -> None:
    bench.mirror(device(), shown(), ran("drbdsetup", "down", "resource3"), children=False).shutdown()


def test_a_failed_shutdown_forgets_the_path_too(bench: Bench) -> None:
    mirror = bench.mirror(device(), shown_ours(), ran("drbdsetup", "down", "resource3", code=11, stderr="held open"))
    with pytest.raises(CommandError, match="held open"):
        mirror.shutdown()
    assert mirror.dev_path is None


# State ---------------------------------------------------------------------------------------------------------------

PROGRESS = "\n\t[>] sync'ed: 34.9% (9/9)K\n\tfinish: 0:00:05 speed: 1 (1) K/sec"


@pytest.mark.parametrize(
    ("seen", "degraded", "local", "percent", "seconds"),
    [
        (device(), False, LocalDiskStatus.OKAY, None, None),
        (device(disks="UpToDate/Diskless"), False, LocalDiskStatus.OKAY, None, None),
        (device("WFConnection", "Primary/Unknown", "UpToDate/DUnknown"), True, LocalDiskStatus.OKAY, None, None),
        (NO_SUCH_STATE, True, LocalDiskStatus.OKAY, None, None),
        (device(disks="Diskless/UpToDate"), True, LocalDiskStatus.FAULTY, None, None),
        (device("SyncTarget", disks="Inconsistent/UpToDate", more=PROGRESS), True, LocalDiskStatus.SYNC, 34.9, 5),
        (device("SyncSource", disks="UpToDate/Inconsistent", more=PROGRESS), True, LocalDiskStatus.OKAY, 34.9, 5),
        (device("WFBitMapS", disks="Consistent/UpToDate"), True, LocalDiskStatus.SYNC, 0, None),
        (device("WFConnection", disks="Inconsistent/DUnknown"), True, LocalDiskStatus.UNKNOWN, None, None),
        (device("VerifyS"), True, LocalDiskStatus.OKAY, None, None),
    ],
)
def test_the_state_of_the_mirror(
    bench: Bench,
    seen: Exchange,
    degraded: bool,
    local: LocalDiskStatus,
    percent: float | None,
    seconds: int | None,
) -> None:
    status = bench.mirror(seen).status()
    assert (status.dev_path, status.major, status.minor) == ("/dev/drbd3", 147, 3)
    assert (status.is_degraded, status.ldisk_status) == (degraded, local)
    assert (status.sync_percent, status.estimated_time) == (percent, seconds)


def test_how_the_copies_stand_to_each_other(bench: Bench) -> None:
    seen = device("SyncTarget", "Secondary/Primary", "Inconsistent/UpToDate", PROGRESS)
    assert bench.mirror(seen).mirror_state() == MirrorState(
        is_standalone=False,
        is_connected=False,
        is_in_resync=True,
        is_diskless=False,
        is_up_to_date=False,
        is_peer_up_to_date=True,
        sync_percent=34.9,
    )


def test_the_size_is_the_kernels_word_without_opening_anything(bench: Bench) -> None:
    assert bench.mirror(device(), ran("cat", "/sys/dev/block/147:3/size", stdout="131072\n")).actual_size() == 2**26


def test_what_is_not_in_use_has_no_state(bench: Bench) -> None:
    def refused(mirror: DrbdDisk) -> None:
        for question in (mirror.status, mirror.mirror_state, mirror.actual_size, mirror.open, mirror.close):
            with pytest.raises(BlockDeviceError, match="is not active: nothing uses /dev/drbd3"):
                question()

    refused(bench.mirror(NOTHING))
    refused(bench.mirror(NEW_MINOR))


# Pausing, growing, snapshots -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pause", "verb"), [(True, "pause-sync"), (False, "resume-sync")])
def test_children_pause_before_the_device(bench: Bench, pause: bool, verb: str) -> None:
    assert bench.mirror(device(), ran("drbdsetup", verb, "3")).pause_resume_sync(pause=pause)
    assert bench.calls == [f"pause={pause} d_data", f"pause={pause} d_meta"]


@pytest.mark.parametrize(
    ("pause", "verb", "word", "works"),
    [
        (True, "pause-sync", "(134) Sync-pause flag is already set", True),
        (False, "resume-sync", "(135) Sync-pause flag is already cleared", True),
        (True, "pause-sync", "(127) Device minor not allocated", False),
    ],
)
def test_pausing_what_is_paused_is_no_failure(bench: Bench, pause: bool, verb: str, word: str, works: bool) -> None:
    refusal = ran("drbdsetup", verb, "3", code=10, stderr=f"3: Failure: {word}\n")
    assert bench.mirror(device(), refusal).pause_resume_sync(pause=pause) is works


def test_the_device_pauses_also_when_a_child_does_not(bench: Bench) -> None:
    mirror = bench.mirror(device(), ran("drbdsetup", "pause-sync", "3"))
    for child in mirror.present_children:
        child.pauses = False  # type: ignore[attr-defined] # the double of this test
    assert not mirror.pause_resume_sync(pause=True)
    assert len(bench.calls) == 2


@pytest.mark.parametrize(("dry_run", "backing"), [(True, True), (True, False), (False, True)])
def test_growing_the_layer_below_asks_the_data_disk_alone(bench: Bench, dry_run: bool, backing: bool) -> None:
    bench.mirror(device()).grow(32, dry_run=dry_run, backing_store=backing, exclusive_storage=False)
    assert bench.calls == [f"grow 32 {dry_run} {backing} False d_data"]


SIZE = "/sys/dev/block/147:3/size"


def grow(mirror: DrbdDisk) -> None:
    mirror.grow(32, dry_run=False, backing_store=False, exclusive_storage=False)


def test_growing_waits_until_both_nodes_have_agreed(bench: Bench) -> None:
    sizes = [ran("cat", SIZE, stdout=f"{mib * 2048}\n") for mib in (64, 64, 96)]
    answers = (ran("drbdsetup", "resize", "3", "--size=96m"), device(), sizes[1], device("SyncSource"), sizes[2])
    grow(bench.mirror(device(), sizes[0], *answers))
    assert bench.calls == ["grow 32 False False False d_data"]
    assert len(bench.clock.sleeps) == 1


def test_what_has_grown_is_not_resized_again(bench: Bench) -> None:
    grow(bench.mirror(device("SyncSource"), ran("cat", SIZE, stdout=f"{96 * 2048}\n")))


def test_a_device_that_does_not_grow_is_an_error(bench: Bench) -> None:
    small = ran("cat", SIZE, stdout=f"{64 * 2048}\n")
    looks = 1
    while bench.clock.now - FakeClock().now < RESIZE_TIMEOUT_S:
        bench.clock.sleep(RESIZE_DELAY_S)
        looks += 1
    answers = (device(), small, ran("drbdsetup", "resize", "3", "--size=96m"), device(), *[small, device()] * looks)
    with pytest.raises(BlockDeviceError, match="did not grow to 96 MiB: both data disks"):
        grow(bench.mirror(*answers))


def test_without_the_other_node_a_device_does_not_grow_and_nobody_waits(bench: Bench) -> None:
    small, alone = ran("cat", SIZE, stdout=f"{64 * 2048}\n"), device("WFConnection")
    with pytest.raises(BlockDeviceError, match="did not grow: it is WFConnection, not connected"):
        grow(bench.mirror(alone, small, ran("drbdsetup", "resize", "3", "--size=96m"), alone, small, alone))
    assert bench.clock.sleeps == []


def test_a_mirror_without_disks_can_neither_grow_nor_be_frozen(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="has no local disks"):
        grow(bench.mirror(device(), children=False))
    with pytest.raises(BlockDeviceError, match="has no local disks"):
        bench.mirror(children=False).snapshot(None, None)


def test_disks_below_that_can_do_neither_say_so(bench: Bench) -> None:
    mirror = bench.mirror(device())
    mirror.children = tuple(
        ScriptedDevice(mirror.system, child.disk, (), Script()) for child in mirror.present_children
    )
    with pytest.raises(NotSupported, match="growing"):
        grow(mirror)
    with pytest.raises(NotSupported, match="snapshots"):
        mirror.snapshot(None, None)


def test_a_snapshot_is_one_of_the_data_disk(bench: Bench) -> None:
    assert bench.mirror().snapshot("name", 7) == ("xenvg", "d_data.snap")
    assert bench.calls == ["snapshot name 7 d_data"]


def test_whose_disk_it_is_is_noted_with_both_disks_below(bench: Bench) -> None:
    bench.mirror().set_info("guest")
    assert bench.calls == ["guest d_data", "guest d_meta"]


# The local copy ------------------------------------------------------------------------------------------------------

DISKLESS = device("Connected", disks="Diskless/UpToDate")


def test_new_disks_get_metadata_under_a_free_minor_and_are_attached(bench: Bench) -> None:
    mirror = bench.mirror(
        *(DISKLESS, shown_ours(data=None), *metadata_size(), zero(), create_md(minor=4)),
        *(apply_al(), attach()),
        children=False,
    )
    new = bench.mirror().present_children
    mirror.add_children(new)
    assert bench.calls == ["open d_data", "open d_meta"]
    assert mirror.present_children == new


def test_disks_are_added_to_a_device_without_any(bench: Bench) -> None:
    new = bench.mirror().present_children
    with pytest.raises(BlockDeviceError, match="has a local disk already"):
        bench.mirror(device(), shown_ours(), children=False).add_children(new)
    with pytest.raises(BlockDeviceError, match="needs two disks, not 1"):
        bench.mirror(DISKLESS, children=False).add_children(new[:1])
    with pytest.raises(BlockDeviceError, match="is not active"):
        bench.mirror(NOTHING, children=False).add_children(new)


def test_unreadable_metadata_of_new_disks_is_an_error(bench: Bench) -> None:
    refusal = apply_al(code=20, stderr="read failed: Input/output error\n")
    answers = (DISKLESS, shown_ours(data=None), *metadata_size(), zero(), create_md(minor=4), refusal)
    with pytest.raises(CommandError, match="Input/output error"):
        bench.mirror(*answers, children=False).add_children(bench.mirror().present_children)


def test_the_local_disks_are_taken_away_by_their_paths(bench: Bench) -> None:
    mirror = bench.mirror(device(), shown_ours(), ran("drbdsetup", "detach", "3"))
    mirror.remove_children([DATA, META])
    assert mirror.present_children == []


@pytest.mark.parametrize("paths", [[], [DATA], [META, DATA], [OTHER_DATA, OTHER_META], [DATA, META, META]])
def test_other_disks_than_the_local_ones_are_not_taken_away(bench: Bench, paths: list[Path]) -> None:
    with pytest.raises(BlockDeviceError, match=f"has the disks {DATA} and {META}"):
        bench.mirror(device(), shown_ours()).remove_children(paths)


def test_without_local_disks_there_are_none_to_take_away(bench: Bench) -> None:
    bench.mirror(DISKLESS, shown_ours(data=None)).remove_children([DATA, META])


# The network ---------------------------------------------------------------------------------------------------------

STANDALONE = NO_SUCH_STATE
GONE = disconnect(code=10, stderr="??: Failure: (162) Invalid configuration request\n")


def test_disconnecting_ends_when_the_device_is_standalone(bench: Bench) -> None:
    seen = device("Disconnecting")
    bench.mirror(device(), device(), disconnect(), seen, seen, disconnect(), STANDALONE).disconnect_network()
    assert bench.clock.sleeps == [0.1]


def test_disconnecting_what_is_standalone_runs_nothing(bench: Bench) -> None:
    bench.mirror(STANDALONE, STANDALONE).disconnect_network()


@pytest.mark.parametrize(
    ("answer", "text"), [(disconnect(), "did not react to being disconnected"), (GONE, "could not be disconnected")]
)
def test_disconnecting_gives_up_after_a_minute(bench: Bench, answer: Exchange, text: str) -> None:
    rounds = 0
    waited, delay = 0.0, 0.1
    while waited < 60:
        waited, delay, rounds = waited + delay, min(delay * 1.5, 2), rounds + 1
    with pytest.raises(BlockDeviceError, match=rf"/dev/drbd3 {text} within 60 s"):
        bench.mirror(device(), *[device(), answer, device()] * (rounds + 1)).disconnect_network()
    assert max(bench.clock.sleeps) == 2


@pytest.mark.parametrize("dual", [False, True])
def test_connecting_says_whether_both_may_be_primary(bench: Bench, dual: bool) -> None:
    bench.mirror(STANDALONE, connect(dual=dual), shown_ours()).attach_network(both_primary=dual)


@pytest.mark.parametrize("state", ["Connected", "WFConnection", "SyncSource"])
def test_connecting_what_is_not_standalone_is_refused(bench: Bench, state: str) -> None:
    with pytest.raises(BlockDeviceError, match=f"/dev/drbd3 is {state}, not StandAlone"):
        bench.mirror(device(state)).attach_network(both_primary=False)


def test_a_device_without_addresses_has_no_network(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="no addresses of both sides"):
        bench.mirror(STANDALONE, disk=WITHOUT_PORT).disconnect_network()
    with pytest.raises(BlockDeviceError, match="no addresses of both sides"):
        bench.mirror(STANDALONE, disk=WITHOUT_PORT).attach_network(both_primary=False)
