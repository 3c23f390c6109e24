"""DRBD between two machines, each with our node daemon; the test is the master that calls them over the wire.

Copies are compared below DRBD, on the volumes of both nodes, past every cache.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pytest
from lab import machines
from lab.machine_nodes import MachineNode, Refused, nodes
from tests.system.mirrored_disk import (
    GROUP,
    META_MIB,
    OWNER,
    PATIENCE_S,
    MirroredDisk,
    as_list,
    info,
    top,
)
from tests.system.stopping_point import StoppingPoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SLOW = {"resync-rate": 8192}
"""KiB/s: 32 MiB take four seconds, so that a first synchronisation can be watched."""

QUICK_TO_NOTICE = {"net-custom": "--ping-int 1"}
"""Seconds without a word after which DRBD asks whether the other node still lives."""

WHOLE = {"is_degraded": False, "ldisk_status": 1}


@dataclass
class Pair:
    """Two nodes and the disks over them; one that a test left whole is kept for the next."""

    first: MachineNode
    second: MachineNode
    planned: list[MirroredDisk] = field(default_factory=list)
    kept: list[MirroredDisk] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    minors: Iterator[int] = field(default_factory=itertools.count)

    @property
    def nodes(self) -> tuple[MachineNode, MachineNode]:
        """Both."""
        return self.first, self.second

    def plan(self, *, size: int = 16, parameters: Mapping[str, object] | None = None) -> MirroredDisk:
        """A disk that does not exist yet."""
        disk = MirroredDisk(
            self.first, self.second, next(self.minors), self.secret(), size=size, parameters=parameters or {}
        )
        self.planned.append(disk)
        return disk

    def secret(self) -> str:
        """A new secret, for which all logs are searched later."""
        self.secrets.append(secrets.token_hex(20))
        return self.secrets[-1]

    def whole_disk(self) -> MirroredDisk:
        """A disk whose copies are the same and whose primary is the first node."""
        if self.kept:
            return self.kept[0]
        disk = self.plan(parameters=QUICK_TO_NOTICE)
        disk.create()
        disk.wait_in_sync()
        return disk

    def tidy_up(self) -> None:
        """Keep the disk that is whole and remove the others; nothing else may be left."""
        self.kept = [disk for disk in self.kept if self._is_whole(disk)]
        for disk in self.planned:
            if disk not in self.kept:
                disk.remove()
        self.planned = list(self.kept)
        volumes = [f"d{disk.minor}_{part}" for disk in self.kept for part in ("data", "meta")]
        for node in self.nodes:
            assert node.machine.check(["lvs", "--noheadings", "--options=lv_name", GROUP]).stdout.split() == volumes
            used = node.call("node_verify", {"drbd-list": None}, "cluster", {})
            assert used == {"drbd-list": [disk.minor for disk in self.kept]}

    def _is_whole(self, disk: MirroredDisk) -> bool:
        states = [disk.status(node) for node in self.nodes]
        return disk.primary is self.first and all({**state, **WHOLE} == state for state in states)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two machines whose daemons run; at the end nothing is left in them."""
    with machines.lab("drbd") as lab, nodes(lab, lab.up("n1", "n2", disks=2, size_mib=1024)) as (first, second):
        made = Pair(first, second)

        def prepare(node: MachineNode) -> None:
            script = (
                "modprobe dm-mod && modprobe drbd minor_count=128 usermode_helper=/bin/true"
                f" && pvcreate -q /dev/vda /dev/vdb && vgcreate -q {GROUP} /dev/vda /dev/vdb"
            )
            node.machine.check(["sh", "-e", "-c", script])
            StoppingPoint.install(node)
            node.start(StoppingPoint.environment(node))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(prepare, made.nodes))
        yield made
        made.kept = []
        made.tidy_up()


@pytest.fixture(autouse=True)
def _nothing_is_left_and_no_secret_told(pair: Pair) -> Iterator[None]:
    yield
    pair.tidy_up()
    for node in pair.nodes:
        log = node.log()
        assert "Listening" in log
        assert [secret for secret in pair.secrets if secret in log] == []


@pytest.fixture
def disk(pair: Pair) -> Iterator[MirroredDisk]:
    """A disk whose copies are the same and whose primary is the first node."""
    made = pair.whole_disk()
    pair.kept = []
    yield made
    pair.kept = [made]


# The node ------------------------------------------------------------------------------------------------------------


def test_the_nodes_say_what_a_master_verifies(pair: Pair) -> None:
    what = {"drbd-version": None, "drbd-list": None, "drbd-helper": "/bin/true"}
    for node in pair.nodes:
        assert node.call("node_verify", what, "cluster.example.com", {}) == {
            "drbd-version": "8.4.11 (api:1/proto:86-101)",
            "drbd-list": [],
            "drbd-helper": [True, "/bin/true"],
        }
        assert node.call("drbd_helper") == "/bin/true"


# Life ----------------------------------------------------------------------------------------------------------------


def test_the_first_synchronisation_is_told_and_can_be_paused(pair: Pair) -> None:
    disk = pair.plan(size=32, parameters=SLOW)
    disk.create()
    assert pair.first.call("node_verify", {"drbd-list": None}, "cluster", {}) == {"drbd-list": [disk.minor]}

    done, percent = disk.progress(disk.secondary)
    assert not done
    assert percent < 100
    status = disk.status(disk.secondary)
    assert status["is_degraded"] is True
    assert status["ldisk_status"] == 2
    assert status["dev_path"] == disk.path
    assert (status["major"], status["minor"]) == (147, disk.minor)
    assert isinstance(status["sync_percent"], int | float)
    assert status["sync_percent"] < 100
    assert disk.status(disk.primary)["ldisk_status"] == 1

    for pause in (True, False):
        answers = disk.secondary.call("blockdev_pause_resume_sync", [disk.seen_by(disk.secondary)], pause)
        assert answers == [[True, None]]
        if pause:
            assert [disk.progress(node) for node in disk.nodes] == [(False, 0), (False, 0)]

    percentages = disk.wait_in_sync()
    assert percentages == sorted(percentages)
    assert percentages[0] < 100
    assert percentages[-1] == 100
    whole = {"dev_path": disk.path, "major": 147, "minor": disk.minor, **WHOLE}
    assert [disk.status(node) for node in disk.nodes] == [whole, whole]
    assert disk.is_equal()


def test_the_primary_role_moves(disk: MirroredDisk) -> None:
    disk.write(disk.primary, "from the first")
    assert disk.is_equal()
    with pytest.raises(Refused, match="drbd"):
        disk.open(disk.secondary)

    disk.close(disk.primary)
    disk.open(disk.secondary)
    disk.swap()

    assert disk.read_word(disk.primary) == "from the first"
    disk.write(disk.primary, "from the second")
    assert disk.is_equal()
    disk.close(disk.primary)
    disk.swap()
    disk.open(disk.primary)


def test_a_cut_network_degrades_and_what_was_written_meanwhile_is_copied_later(disk: MirroredDisk) -> None:
    disk.secondary.machine.cut()
    disk.write(disk.primary, "alone")
    wait_until(lambda: all(disk.status(node)["is_degraded"] for node in disk.nodes))
    assert disk.status(disk.primary)["ldisk_status"] == 1
    disk.disconnect()
    disk.disconnect()
    for node in disk.nodes:
        assert node.call("drbd_needs_activation", [disk.seen_by(node)]) == [disk.uuid]
    disk.write(disk.primary, "still alone", offset_mib=8)
    assert not disk.is_equal()

    disk.secondary.machine.join()
    disk.connect()
    disk.wait_in_sync()
    assert disk.is_equal()
    assert disk.status(disk.secondary)["is_degraded"] is False
    with pytest.raises(Refused, match="drbd"):
        disk.primary.call("drbd_attach_net", [disk.seen_by(disk.primary)], False)


def test_both_nodes_may_write_for_a_migration(disk: MirroredDisk) -> None:
    with pytest.raises(Refused):
        disk.open(disk.secondary, exclusive=False)

    disk.disconnect()
    disk.connect(both_primary=True)
    for node in disk.nodes:
        disk.open(node, exclusive=False)
    disk.write(disk.primary, "source")
    disk.write(disk.secondary, "target", offset_mib=8)
    assert disk.read_word(disk.secondary) == "source"
    assert disk.read_word(disk.primary, offset_mib=8) == "target"
    assert disk.is_equal()

    disk.close(disk.primary)
    disk.disconnect()
    disk.swap()
    disk.connect()
    disk.wait_in_sync()
    disk.write(disk.primary, "after")
    assert disk.is_equal()
    with pytest.raises(Refused):
        disk.open(disk.secondary)
    disk.close(disk.primary)
    disk.swap()
    disk.open(disk.primary)


def test_the_local_copy_is_replaced_while_the_disk_is_in_use(disk: MirroredDisk) -> None:
    disk.write(disk.primary, "kept")
    node, seen = disk.primary, disk.seen_by(disk.primary)
    old = disk.volumes
    new = [disk.volume("data_new", disk.size), disk.volume("meta_new", META_MIB)]
    for volume in new:
        node.call("blockdev_create", top(volume), volume["size"], OWNER, True, info(), False)

    for _ in range(2):
        node.call("blockdev_removechildren", seen, old)
    assert disk.status(node)["ldisk_status"] == 4
    assert node.call("drbd_needs_activation", [seen]) == [disk.uuid]
    assert disk.read_word(node) == "kept"
    retired = [disk.volume("data_old", disk.size), disk.volume("meta_old", META_MIB)]
    for before, after in ((old, retired), (new, old)):
        pairs = [[one, other["logical_id"]] for one, other in zip(before, after, strict=True)]
        node.call("blockdev_rename", pairs)
    node.call("blockdev_addchildren", seen, old)
    with pytest.raises(Refused):
        node.call("blockdev_addchildren", seen, old)

    for volume in retired:
        node.call("blockdev_remove", top(volume))
    disk.wait_in_sync()
    disk.write(node, "more", offset_mib=8)
    assert disk.is_equal()


def test_it_grows_while_in_use(disk: MirroredDisk) -> None:
    before = disk.size
    disk.write(disk.primary, "kept", size_mib=before)

    disk.grow(8)

    disk.wait_in_sync()
    sizes = [as_list(node.call("blockdev_getdimensions", [disk.seen_by(node)])) for node in disk.nodes]
    assert sizes == [[[(before + 8) << 20, None]]] * 2
    disk.write(disk.primary, "added", offset_mib=before)
    assert disk.read_word(disk.primary) == "kept"
    assert disk.is_equal()


def test_what_is_down_needs_activation_until_it_is_assembled(disk: MirroredDisk) -> None:
    disk.write(disk.primary, "kept")

    def needed(node: MachineNode) -> object:
        return node.call("drbd_needs_activation", [disk.seen_by(node)])

    assert [needed(node) for node in disk.nodes] == [[], []]
    disk.close(disk.primary)
    disk.secondary.call("blockdev_shutdown", disk.seen_by(disk.secondary))
    assert [needed(node) for node in disk.nodes] == [[], [disk.uuid]]
    disk.shutdown()
    assert [needed(node) for node in disk.nodes] == [[disk.uuid]] * 2
    assert disk.primary.call("blockdev_find", disk.seen_by(disk.primary)) is None

    for _ in range(2):
        disk.assemble()
    disk.wait_in_sync()
    assert [needed(node) for node in disk.nodes] == [[], []]
    assert disk.read_word(disk.primary) == "kept"
    assert disk.is_equal()


def test_another_secret_on_one_side_is_a_clear_error(pair: Pair, disk: MirroredDisk) -> None:
    disk.close(disk.primary)
    disk.shutdown()
    disk.assemble(secret_of_secondary=pair.secret())

    with pytest.raises(Refused, match="not connected to the other node") as caught:
        disk.progress(disk.primary)

    assert disk.secret not in str(caught.value)
    assert disk.status(disk.primary)["is_degraded"] is True
    disk.close(disk.primary)
    disk.shutdown()
    disk.assemble()
    disk.wait_in_sync()
    assert disk.is_equal()


# kill -9 -------------------------------------------------------------------------------------------------------------


def test_a_creation_killed_again_and_again_can_be_made_in_the_end(pair: Pair) -> None:
    disk = pair.plan()
    disk.create_all_volumes()
    disk.create_device(disk.secondary)

    for command in ("drbdmeta .*create-md", "drbdsetup .*attach"):
        StoppingPoint(disk.primary, command, "after").kill_during(partial(disk.create_device, disk.primary))
    disk.create_device(disk.primary)

    disk.wait_in_sync()
    disk.write(disk.primary, "whole")
    assert disk.is_equal()


def test_a_growth_killed_in_each_layer_can_be_made_again(disk: MirroredDisk) -> None:
    before = disk.size
    disk.write(disk.primary, "kept", size_mib=before)

    def grow(node: MachineNode, *, backing: bool) -> None:
        node.call("blockdev_grow", disk.seen_by(node), 8, False, backing, False)

    grow(disk.secondary, backing=True)
    for command, when, backing in (("lvextend", "after", True), ("drbdsetup .*resize", "before", False)):
        StoppingPoint(disk.primary, command, when).kill_during(partial(grow, disk.primary, backing=backing))
        grow(disk.primary, backing=backing)
    disk.size += 8

    disk.wait_in_sync()
    sizes = [volume_bytes(node, disk) for node in disk.nodes]
    assert sizes == [disk.size << 20] * 2
    for offset in (0, before - 1):
        assert disk.read_word(disk.primary, offset_mib=offset) == "kept"
    disk.write(disk.primary, "added", offset_mib=before)
    assert disk.is_equal()


def volume_bytes(node: MachineNode, disk: MirroredDisk) -> int:
    """How large the volume with the data is."""
    volume = f"{GROUP}/d{disk.minor}_data"
    options = ["--noheadings", "--nosuffix", "--units=b", "--options=lv_size"]
    return int(node.machine.check(["lvs", *options, volume]).stdout)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen"
