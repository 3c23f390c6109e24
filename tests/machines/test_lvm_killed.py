"""Our process is killed (SIGKILL) in the middle of making or growing a disk; then the same call again succeeds.

A script in front of LVM's program kills the process at a known command: before the program does anything (and it never
does), while it begins (it goes on alone, as it would), or after it has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.machines import volume_group
from tests.machines.volume_group import GROUP, disk, report

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import Disk

OWNER = "guest1.example.com"
INFO = f"originstname+{OWNER}"

PROCESS = """
import sys
from pathlib import Path

import msgspec

from ganeti.actions import blockdev
from ganeti.actions.node import Node
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.model.disk import Disk

node = Node.compose(System(paths=Paths(root=Path(sys.argv[1]))))
disk = msgspec.json.decode(sys.argv[2], type=Disk)
if sys.argv[3] == "create":
    blockdev.create(node, disk, disk.size, "guest1.example.com", True, "originstname+guest1.example.com",
                    exclusive_storage=False)
elif sys.argv[3] == "grow":
    blockdev.grow(node, disk, 8, dry_run=False, backing_store=True, exclusive_storage=False)
else:
    blockdev.snapshot(node, disk, None, None)
"""

# What holds the lock is the program itself, so whoever gets it afterwards knows that it has ended.
WRAPPER = """#!/bin/sh
PATH={path}
exec 9>{lock}
flock 9
case {when} in
    before) kill -KILL $PPID; exit 1 ;;
    during) kill -KILL $PPID; exec {program} "$@" ;;
    after) {program} "$@"; kill -KILL $PPID ;;
esac
"""


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    """A volume group on two disks."""
    with volume_group.volume_group(SystemRunner(), "/dev/vda", "/dev/vdb") as name:
        yield name


@pytest.fixture
def node(system: System, real_runner: SystemRunner, group: str) -> Iterator[Node]:
    """A node with that group, which is empty afterwards."""
    yield Node.compose(replace(system, runner=real_runner))
    volume_group.empty(real_runner)


@pytest.fixture
def other(node: Node) -> Iterator[bytes]:
    """Somebody else's disk, which has this content, and still has it at the end."""
    create(node, disk("other", 8))
    data = os.urandom(8 * MIB)
    path_of("other").write_bytes(data)
    yield data
    assert path_of("other").read_bytes() == data


def path_of(name: str) -> Path:
    """Where a disk is."""
    return Path(f"/dev/{GROUP}/{name}.disk0")


def create(node: Node, which: Disk) -> None:
    blockdev.create(node, which, which.size, OWNER, True, INFO, exclusive_storage=False)


def grow(node: Node, which: Disk) -> None:
    blockdev.grow(node, which, 8, dry_run=False, backing_store=True, exclusive_storage=False)


def size_of(node: Node, which: Disk) -> int:
    (found,) = blockdev_data.dimensions(node, (which,))
    assert found is not None
    return found[0]


def killed(node: Node, tmp_path: Path, action: str, which: Disk, program: str, when: str) -> None:
    """Let a process begin an action and kill it at a command; then wait until that command has ended."""
    place = tmp_path / "in front"
    place.mkdir()
    lock = tmp_path / "lock"
    path = os.environ["PATH"]
    real = next(found for one in path.split(":") if (found := Path(one, program)).exists())
    wrapper = place / program
    wrapper.write_text(WRAPPER.format(path=path, lock=lock, when=when, program=real))
    wrapper.chmod(0o755)
    argv = [sys.executable, "-P", "-c", PROCESS, str(node.paths.root), msgspec.json.encode(which).decode(), action]
    done = subprocess.run(argv, env={**os.environ, "PATH": f"{place}:{path}"}, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    subprocess.run(["flock", lock, "true"], check=True, timeout=120)


@pytest.mark.parametrize(
    ("program", "when"),
    [("pvs", "before"), ("lvcreate", "before"), ("lvcreate", "during"), ("lvcreate", "after"), ("lvchange", "before")],
)
def test_a_killed_creation_is_repeated(node: Node, other: bytes, tmp_path: Path, program: str, when: str) -> None:
    one = disk("one", 16, stripes=2)
    killed(node, tmp_path, "create", one, program, when)
    create(node, one)
    assert size_of(node, one) == 16 * MIB
    assert report(SystemRunner(), "one.disk0", "lv_tags", "stripes") == {"lv_tags": INFO, "stripes": "2"}
    assert volume_group.names(SystemRunner()) == ["one.disk0", "other.disk0"]
    path_of("one").write_bytes(b"new")


def test_a_creation_killed_when_all_was_done_has_made_the_disk(node: Node, other: bytes, tmp_path: Path) -> None:
    one = disk("one", 8)
    killed(node, tmp_path, "create", one, "lvchange", "after")
    path_of("one").write_bytes(b"data")
    with pytest.raises(BlockDeviceError, match="exists already"):
        create(node, one)
    assert path_of("one").read_bytes()[:4] == b"data"
    blockdev.remove(node, one)
    create(node, one)


@pytest.mark.parametrize("fills", [False, True])
def test_a_killed_creation_is_repeated_where_its_remains_take_all_room(node: Node, tmp_path: Path, fills: bool) -> None:
    one = disk("one", 2040 if fills else 1500)
    killed(node, tmp_path, "create", one, "lvcreate", "during")
    create(node, one)
    assert size_of(node, one) == one.size * MIB


@pytest.mark.parametrize(
    ("program", "when"), [("lvs", "before"), ("lvextend", "before"), ("lvextend", "during"), ("lvextend", "after")]
)
def test_a_killed_growth_is_repeated(node: Node, other: bytes, tmp_path: Path, program: str, when: str) -> None:
    one = disk("one", 8)
    create(node, one)
    data = os.urandom(8 * MIB)
    path_of("one").write_bytes(data)
    killed(node, tmp_path, "grow", one, program, when)
    grow(node, one)
    assert size_of(node, one) == 16 * MIB
    assert path_of("one").read_bytes()[: 8 * MIB] == data


@pytest.mark.parametrize("is_suspended", [False, True])
def test_a_growth_that_only_lvm_has_noted_is_finished(node: Node, other: bytes, is_suspended: bool) -> None:
    """What a killed lvextend leaves: its notes are written, the kernel's table is old, the device may be suspended."""
    one = disk("one", 8)
    create(node, one)
    data = os.urandom(8 * MIB)
    path_of("one").write_bytes(data)
    mapped = f"{GROUP}-one.disk0"
    old = node.runner.check(["dmsetup", "table", mapped]).stdout
    grow(node, one)
    node.runner.check(["dmsetup", "load", mapped], stdin=old)
    node.runner.check(["dmsetup", "resume", mapped])
    assert size_of(node, one) == 8 * MIB
    if is_suspended:
        node.runner.check(["dmsetup", "suspend", mapped])
    grow(node, one)
    assert size_of(node, one) == 16 * MIB
    assert path_of("one").read_bytes()[: 8 * MIB] == data


@pytest.mark.parametrize(("program", "when"), [("lvcreate", "before"), ("lvcreate", "during"), ("lvremove", "after")])
def test_a_killed_snapshot_is_repeated(node: Node, other: bytes, tmp_path: Path, program: str, when: str) -> None:
    one = disk("one", 8)
    create(node, one)
    path_of("one").write_bytes(b"old")
    blockdev.snapshot(node, one, None, None)
    path_of("one").write_bytes(b"now")
    killed(node, tmp_path, "snapshot", one, program, when)
    assert blockdev.snapshot(node, one, None, None) == (GROUP, "one.disk0.snap")
    assert Path(f"/dev/{GROUP}/one.disk0.snap").read_bytes()[:3] == b"now"


def test_what_a_killed_lvcreate_leaves_of_a_snapshot_is_replaced(node: Node, other: bytes) -> None:
    """It makes a volume of the name and the tag first, and a snapshot of that afterwards."""
    one = disk("one", 8)
    create(node, one)
    node.runner.check(["lvcreate", "--quiet", "--yes", "--addtag=ganeti:snapshot", "-L8m", "-none.disk0.snap", GROUP])
    blockdev.snapshot(node, one, None, None)
    assert report(SystemRunner(), "one.disk0.snap", "origin")["origin"] == "one.disk0"
