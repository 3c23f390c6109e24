"""The contract of storage on files in a GlusterFS volume, mounted by the node and opened by QEMU over the network."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import msgspec
import pytest
from tests.contract.storage_answers import ANSWERS
from tests.contract.storage_contract import OWNER, StorageContract, Workbench, create, make, path_of, read, write

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError
from ganeti.host.clock import SystemClock
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskMode, DiskType

SERVER = os.environ.get("GLUSTER_SERVER", "")
NUMBERS = count()
"""Of the tests: each has a directory of its own in the volume."""


def mounts(mount_point: Path) -> int:
    return [line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines()].count(str(mount_point))


@pytest.fixture
def mount_point(system: System, tmp_path: Path) -> Iterator[Path]:
    """The cluster's gluster storage directory; nothing is mounted there yet, nor after the test."""
    directory = tmp_path / "run-ganeti/gluster"
    system.paths.ssconf("gluster_storage_dir").write_text(f"{directory}\n")
    system.paths.file_storage_paths_file.write_text(f"{directory}\n")
    yield directory
    while mounts(directory):
        subprocess.run(["umount", directory], check=True)


@pytest.fixture
def bench(system: System, real_runner: SystemRunner, mount_point: Path) -> Workbench:
    """Disks in a directory of the volume gv0."""
    place = f"ganeti{next(NUMBERS)}"
    params: Parameters = {"host": SERVER, "port": 24007, "volume": "gv0", "access": "kernelspace"}

    def disk(name: str, size: int) -> Disk:
        return Disk(
            dev_type=DiskType.GLUSTER,
            logical_id=("loop", f"{place}/{name}.0"),
            size=size,
            iv_name="disk/0",
            mode=DiskMode.READ_WRITE,
            params=params,
        )

    def leftovers() -> list[Path]:
        return sorted((mount_point / place).iterdir()) if (mount_point / place).exists() else []

    node = Node.compose(replace(system, runner=real_runner, clock=SystemClock()))
    return Workbench(node=node, disk=disk, answers=ANSWERS[DiskType.GLUSTER], leftovers=leftovers)


class TestGluster(StorageContract):
    """The contract on a mounted volume."""

    @pytest.fixture
    def bench(self, bench: Workbench) -> Workbench:
        """Disks in the volume."""
        return bench


def mount(volume: str, directory: Path) -> None:
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "glusterfs", f"{SERVER}:/{volume}", directory], check=True)


def with_params(disk: Disk, **params: str | int) -> Disk:
    return msgspec.structs.replace(disk, params={**(disk.params or {}), **params})


def test_the_volume_is_mounted_when_it_is_needed_and_stays(bench: Workbench, mount_point: Path) -> None:
    disk = make(bench, "one", 8)
    assert mounts(mount_point) == 1
    blockdev.remove(bench.node, disk)
    assert mounts(mount_point) == 1


def test_disks_that_are_looked_for_at_once_mount_it_once(bench: Workbench, mount_point: Path) -> None:
    disk = make(bench, "one", 8)
    subprocess.run(["umount", mount_point], check=True)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: blockdev.find(bench.node, disk), range(4)))
    assert None not in found
    assert mounts(mount_point) == 1


def test_a_volume_that_the_administrator_mounted_is_used(bench: Workbench, mount_point: Path) -> None:
    mount("gv0", mount_point)
    make(bench, "one", 8)
    assert mounts(mount_point) == 1


def test_another_volume_in_its_place_is_refused(bench: Workbench, mount_point: Path) -> None:
    mount("other", mount_point)
    with pytest.raises(BlockDeviceError, match=re.escape(f"{SERVER}:/other (fuse.glusterfs) is mounted at")):
        create(bench, bench.disk("one", 8))
    assert list(mount_point.iterdir()) == []


def test_another_file_system_in_its_place_is_refused(bench: Workbench, mount_point: Path) -> None:
    mount_point.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount_point], check=True)
    with pytest.raises(BlockDeviceError, match=r"tmpfs \(tmpfs\) is mounted at"):
        create(bench, bench.disk("one", 8))
    assert list(mount_point.iterdir()) == []


def test_the_same_volume_of_another_server_is_refused(bench: Workbench, mount_point: Path) -> None:
    mount("gv0", mount_point)
    with pytest.raises(BlockDeviceError, match="unmount it first"):
        create(bench, with_params(bench.disk("one", 8), host="192.0.2.1"))


@pytest.mark.parametrize(
    ("params", "reason"),
    [({"volume": "nope"}, "cannot be mounted at"), ({"port": 1}, "cannot be mounted at"), ({"host": "no.invalid"}, "")],
)
def test_a_volume_that_cannot_be_mounted_makes_no_disk(
    bench: Workbench, mount_point: Path, params: dict[str, str | int], reason: str
) -> None:
    with pytest.raises(BlockDeviceError, match=reason or "address of host 'no.invalid' cannot be told"):
        create(bench, with_params(bench.disk("one", 8), **params))
    assert mounts(mount_point) == 0
    assert list(mount_point.glob("*")) == []


def test_a_link_in_the_volume_leads_nowhere(bench: Workbench, mount_point: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    mount("gv0", mount_point)
    disk = bench.disk("one", 8)
    (mount_point / str(disk.logical_id[1])).parent.symlink_to(target)
    with pytest.raises(BlockDeviceError, match="link"):
        create(bench, disk)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("name", ["one.0", "blank, per%20cent, que?stion#mark and ü"])
def test_qemu_opens_the_same_disk_by_its_address(bench: Workbench, name: str) -> None:
    wanted = bench.disk("one", 8)
    identity = ("loop", str(wanted.logical_id[1]).replace("one.0", name))
    disk = with_params(msgspec.structs.replace(wanted, logical_id=identity), access="userspace")
    create(bench, disk)
    write(bench, disk, b"a" * 512)
    assembled = blockdev.assemble(bench.node, disk, OWNER, True, 0, hypervisor="kvm")
    assert assembled is not None
    assert assembled.uri is not None
    assert assembled.uri.startswith(f"gluster://{SERVER}:24007/gv0/ganeti")
    commands = ["-c", "read -P 0x61 0 512", "-c", "write -P 0x62 512 512", "-c", "flush"]
    done = subprocess.run(
        ["qemu-io", "-f", "raw", *commands, assembled.uri], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(bench, disk, 0, 1024) == b"a" * 512 + b"b" * 512


def test_a_disk_of_another_node_is_seen_by_this_one(bench: Workbench, tmp_path: Path) -> None:
    """Mounted a second time, as on another node."""
    disk = make(bench, "one", 8)
    write(bench, disk, b"data")
    other = tmp_path / "other"
    mount("gv0", other)
    try:
        seen = other / str(disk.logical_id[1])
        assert seen.stat().st_size == 8 * MIB
        assert seen.read_bytes()[:4] == b"data"
    finally:
        subprocess.run(["umount", other], check=True)


def test_a_wiped_range_gives_its_space_back(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    write(bench, disk, b"x" * (8 * MIB))
    os.sync()
    before = path_of(bench, disk).stat().st_blocks
    blockdev_data.wipe(bench.node, disk, 0, 8)
    assert before * 512 >= 8 * MIB
    assert path_of(bench, disk).stat().st_blocks * 512 < MIB
