"""The provider that the project ships, with real loop devices: the whole contract, and what is its own."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.contract.storage_answers import ANSWERS
from tests.contract.storage_contract import (
    OWNER,
    StorageContract,
    Workbench,
    create,
    make,
    path_of,
    read,
    size_of,
    write,
)

from ganeti.actions import blockdev, external_storage
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, NotSupported
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.storage import tree

SHIPPED = Path(__file__).parents[2] / "examples/extstorage/loop"


@pytest.fixture
def real_node(paths: Paths, clock: FakeClock) -> Node:
    """A node that starts real programs."""
    return Node.compose(System(paths=paths, runner=SystemRunner(), clock=clock, hostname="node1.example.com"))


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Path]:
    """Where volumes are; the loop devices of those a test leaves go with it."""
    directory = tmp_path / "srv/volumes"
    yield directory
    for file in directory.glob("*.img"):
        for device in loop_devices(file):
            subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def bench(real_node: Node, volumes: Path) -> Workbench:
    """Volumes of the shipped provider."""
    shutil.copytree(SHIPPED, real_node.paths.ext_search_path[0] / "loop")

    def disk(name: str, size: int) -> Disk:
        return Disk(
            dev_type=DiskType.EXT,
            logical_id=("loop", f"{name}.ext.disk0"),
            size=size,
            iv_name="disk/0",
            mode=DiskMode.READ_WRITE,
            params={"provider": "loop", "access": "kernelspace", "directory": str(volumes)},
        )

    def leftovers() -> list[Path]:
        return sorted(volumes.iterdir()) if volumes.exists() else []

    return Workbench(node=real_node, disk=disk, answers=ANSWERS[DiskType.EXT], leftovers=leftovers)


class TestLoopProvider(StorageContract):
    """The contract over real loop devices."""

    @pytest.fixture
    def bench(self, bench: Workbench) -> Workbench:
        """Volumes of the shipped provider."""
        return bench


def loop_devices(file: Path) -> list[str]:
    argv = ["losetup", "--list", "--noheadings", "--output", "NAME", "--associated", str(file)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()


def image_of(bench: Workbench, disk: Disk) -> Path:
    return Path(str((disk.params or {})["directory"])) / f"{disk.logical_id[1]}.img"


def logs(bench: Workbench, action: str) -> list[Path]:
    return sorted(bench.node.paths.ext_log_dir.glob(f"{action}-*"))


def with_params(disk: Disk, **params: str) -> Disk:
    return msgspec.structs.replace(disk, params={**(disk.params or {}), **params})


def test_the_shipped_provider_is_valid(bench: Workbench) -> None:
    ((name, path, is_valid, message, parameters),) = external_storage.diagnose(bench.node)
    assert (name, is_valid, message) == ("loop", True, "")
    assert path == str(bench.node.paths.ext_search_path[0] / "loop")
    assert [parameter for parameter, _ in parameters] == ["directory"]


def test_a_volume_is_a_sparse_file_that_only_its_owner_reads(bench: Workbench) -> None:
    disk = make(bench, "one", 64)
    found = image_of(bench, disk).stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (64 * MIB, 0o600)
    assert found.st_blocks * 512 < MIB


def test_it_is_attached_once_however_often_it_is_looked_for(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    for _ in range(3):
        blockdev.find(bench.node, disk)
    assert [path_of(bench, disk)] == [Path(device) for device in loop_devices(image_of(bench, disk))]


def test_nodes_threads_that_look_at_once_share_a_device(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    blockdev.shutdown(bench.node, disk)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: blockdev.find(bench.node, disk), range(8)))
    assert len({status.dev_path for status in found if status is not None}) == 1
    assert len(loop_devices(image_of(bench, disk))) == 1


def test_whose_volume_it_is_lies_beside_it(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    assert image_of(bench, disk).with_suffix(".info").read_text() == f"originstname+{OWNER}\n"
    blockdev.set_info(bench.node, disk, "-two words\n")
    assert image_of(bench, disk).with_suffix(".info").read_text() == "_two_words_\n"


def test_shutdown_frees_the_loop_device(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    blockdev.shutdown(bench.node, disk)
    assert loop_devices(image_of(bench, disk)) == []


@pytest.mark.parametrize("operation", ["shutdown", "remove"])
def test_a_device_in_use_stays(bench: Workbench, operation: str) -> None:
    disk = make(bench, "one", 8)
    write(bench, disk, b"data")
    device = path_of(bench, disk)
    with device.open("rb"), pytest.raises(BlockDeviceError, match="is in use"):
        getattr(tree.get(bench.node.storage, disk), operation)()
    assert path_of(bench, disk) == device
    assert read(bench, disk, 0, 4) == b"data"


def test_a_volume_that_qemu_has_open_stays(bench: Workbench) -> None:
    """By its file, as with access=userspace."""
    disk = make(bench, "one", 8)
    with image_of(bench, disk).open("r+b"), pytest.raises(BlockDeviceError, match="is in use"):
        blockdev.shutdown(bench.node, disk)
    blockdev.shutdown(bench.node, disk)


def test_a_grown_volume_is_larger_for_who_has_it_open(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    with path_of(bench, disk).open("rb") as guest:
        blockdev.grow(bench.node, disk, 4, dry_run=False, backing_store=True, exclusive_storage=False)
        assert guest.seek(0, 2) == 12 * MIB


def test_growing_may_be_repeated(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    for _ in range(2):
        blockdev.grow(bench.node, disk, 4, dry_run=False, backing_store=True, exclusive_storage=False)
    assert size_of(bench, disk) == 12 * MIB


def test_closed_it_is_read_only_until_it_is_opened(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    blockdev.close(bench.node, OWNER, (disk,))
    with pytest.raises(PermissionError):
        write(bench, disk, b"data")
    blockdev.open(bench.node, OWNER, (disk,), True)
    write(bench, disk, b"data")
    assert read(bench, disk, 0, 4) == b"data"


def test_a_copy_that_takes_longer_than_a_moment_waits_for_nobody_to_write(bench: Workbench, volumes: Path) -> None:
    """On a tmpfs, whose files share no blocks."""
    volumes.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volumes], check=True)
    try:
        disk = make(bench, "one", 8)
        with path_of(bench, disk).open("rb"), pytest.raises(BlockDeviceError, match="is in use, and a copy here"):
            blockdev.snapshot(bench.node, disk, None, None)
        assert [path.suffix for path in bench.leftovers()] == [".img", ".info"]
        blockdev.remove(bench.node, disk)
    finally:
        subprocess.run(["umount", "--lazy", volumes], check=True)


def test_where_files_share_blocks_a_volume_in_use_is_frozen_at_once(
    bench: Workbench, volumes: Path, tmp_path: Path
) -> None:
    """On XFS."""
    medium = tmp_path / "xfs"
    with medium.open("wb") as file:
        file.truncate(400 * MIB)
    subprocess.run(["mkfs.xfs", "-q", medium], check=True)
    volumes.mkdir(parents=True)
    subprocess.run(["mount", "-o", "loop", medium, volumes], check=True)
    try:
        disk = make(bench, "one", 8)
        with path_of(bench, disk).open("r+b", buffering=0) as guest:
            guest.write(b"data")
            _, name = blockdev.snapshot(bench.node, disk, None, None)
            guest.write(b"more")
        assert (volumes / f"{name}.img").read_bytes()[:8] == b"data" + bytes(4)
        blockdev.remove(bench.node, disk)
    finally:
        subprocess.run(["umount", "--lazy", volumes], check=True)


def test_a_snapshot_replaces_nothing_and_lives_on_alone(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    write(bench, disk, b"data")
    provider, name = blockdev.snapshot(bench.node, disk, "kept", None)
    assert (provider, name) == ("loop", "kept")
    with pytest.raises(BlockDeviceError, match="exists"):
        blockdev.snapshot(bench.node, disk, "kept", None)
    blockdev.remove(bench.node, disk)
    kept = msgspec.structs.replace(disk, logical_id=("loop", "kept"))
    assert read(bench, kept, 0, 4) == b"data"
    blockdev.remove(bench.node, kept)
    assert bench.leftovers() == []


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"directory": "relative"}, "not an absolute path"),
        ({"directory": "/srv/../etc"}, "not an absolute path"),
        ({"directory": "/dev/null"}, "cannot hold volumes"),
        ({"frmosnap": "x"}, "there is no parameter 'FRMOSNAP'"),
    ],
)
def test_bad_parameters_make_nothing(bench: Workbench, params: dict[str, str], complaint: str) -> None:
    disk = with_params(bench.disk("one", 8), **params)
    with pytest.raises(BlockDeviceError, match=re.escape(complaint)):
        create(bench, disk)
    assert logs(bench, "create") == []
    assert bench.leftovers() == []


@pytest.mark.parametrize("name", ["-one", ".one", "one two", "a'b", "a;b", "$(id)", "a\\b", "ö", "x" * 300])
def test_hostile_names_are_refused_and_do_nothing(bench: Workbench, name: str) -> None:
    disk = msgspec.structs.replace(bench.disk("one", 8), logical_id=("loop", name))
    with pytest.raises(BlockDeviceError):
        create(bench, disk)
    assert bench.leftovers() == []


@pytest.mark.parametrize("directory", ["with blank", "-dash", "$(id)", "a'b", 'a"b', "ü"])
def test_any_directory_will_do(bench: Workbench, volumes: Path, directory: str) -> None:
    (volumes / directory).mkdir(parents=True)
    disk = with_params(bench.disk("one", 8), directory=str(volumes / directory))
    create(bench, disk)
    write(bench, disk, b"data")
    blockdev.remove(bench.node, disk)
    assert list((volumes / directory).iterdir()) == []


def test_a_link_in_the_volumes_place_is_not_followed(bench: Workbench, volumes: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(bytes(MIB))
    volumes.mkdir(parents=True)
    disk = bench.disk("one", 8)
    image_of(bench, disk).symlink_to(target)
    assert blockdev.find(bench.node, disk) is None
    with pytest.raises(BlockDeviceError, match="exists"):
        create(bench, disk)
    blockdev.remove(bench.node, disk)
    assert target.stat().st_size == MIB


def test_what_a_script_says_is_in_its_log(bench: Workbench) -> None:
    make(bench, "one", 8)
    for action in ("verify", "create", "open", "setinfo"):
        assert [path.name.startswith(f"{action}-loop-one.ext.disk0-") for path in logs(bench, action)] == [True]
    assert logs(bench, "attach") == []


# Providers that do not do what they should ---------------------------------------------------------------------------


def script(bench: Workbench, action: str, text: str) -> Path:
    """Replace a script of the provider."""
    path = bench.node.paths.ext_search_path[0] / "loop" / action
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_failing_script_is_an_error_with_the_end_of_what_it_printed(bench: Workbench) -> None:
    script(bench, "create", "seq 1 30; printf 'a\\tb\\033[31m\\n' >&2; exit 3")
    with pytest.raises(BlockDeviceError) as failure:
        create(bench, bench.disk("one", 8))
    text = str(failure.value)
    assert "volume one.ext.disk0 of storage provider loop: script create exited with status 3" in text
    assert text.splitlines()[1:] == [*map(str, range(12, 31)), "a\\tb\\x1b[31m"]


def test_a_script_ended_by_a_signal_is_an_error(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    script(bench, "detach", "kill -9 $$")
    with pytest.raises(BlockDeviceError, match="script detach ended by signal SIGKILL"):
        blockdev.shutdown(bench.node, disk)


@pytest.mark.parametrize("text", ["exit 0", "echo /dev/null", "echo", "echo no path", "exit 1", "echo; echo"])
def test_an_attach_without_device_after_create_says_what_is_left(bench: Workbench, text: str) -> None:
    script(bench, "attach", text)
    with pytest.raises(BlockDeviceError, match="was made and is left behind"):
        create(bench, bench.disk("one", 8))
    assert len(bench.leftovers()) == 1


@pytest.mark.parametrize("ending", ["", "\\n", "\\n\\n"])
def test_the_path_may_end_with_lines_or_without(bench: Workbench, ending: str) -> None:
    disk = make(bench, "one", 8)
    device = path_of(bench, disk)
    script(bench, "attach", f"printf '{device}{ending}'")
    assert path_of(bench, disk) == device


def test_a_script_without_interpreter_is_an_error(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    path = script(bench, "setinfo", "")
    path.write_text("#!/nowhere\n")
    with pytest.raises(BlockDeviceError, match="script setinfo cannot be run: its interpreter does not exist"):
        blockdev.set_info(bench.node, disk, "text")


def test_a_provider_without_the_optional_scripts_does_the_rest(bench: Workbench) -> None:
    for action in ("open", "close", "snapshot"):
        (bench.node.paths.ext_search_path[0] / "loop" / action).unlink()
    disk = make(bench, "one", 8)
    blockdev.open(bench.node, OWNER, (disk,), True)
    blockdev.close(bench.node, OWNER, (disk,))
    with pytest.raises(NotSupported, match="storage provider loop does not support snapshots"):
        blockdev.snapshot(bench.node, disk, None, None)
    assert len(bench.leftovers()) == 2


@pytest.mark.parametrize("action", ["create", "verify", "parameters.list"])
def test_a_provider_that_becomes_invalid_is_an_error_by_its_name(bench: Workbench, action: str) -> None:
    disk = make(bench, "one", 8)
    (bench.node.paths.ext_search_path[0] / "loop" / action).unlink()
    with pytest.raises(BlockDeviceError, match=f"loop: {action} is missing"):
        blockdev.find(bench.node, disk)
