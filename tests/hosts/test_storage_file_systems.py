"""File disks on real file systems, small enough to be filled: ext4 on a loop device, and tmpfs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.contract.storage_contract import (
    StorageContract,
    Workbench,
    create,
    file_bench,
    make,
    path_of,
    read,
    size_of,
    write,
)

from ganeti.actions import blockdev, blockdev_data, file_storage, storage_units
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, CommandError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType

SIZE_MIB = 64


@dataclass(frozen=True)
class FileSystem:
    """A mounted file system; `device` is the loop device below it, if any."""

    kind: str
    directory: Path
    device: Path | None


@contextmanager
def mounted(kind: str, directory: Path, options: str = "") -> Iterator[FileSystem]:
    """Mount a file system of `SIZE_MIB` MiB at `directory`."""
    runner = SystemRunner()
    directory.mkdir(parents=True)
    device: Path | None = None
    if kind == "tmpfs":
        runner.check(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m{options}", "tmpfs", directory])
    else:
        medium = directory.with_suffix(".img")
        with medium.open("wb") as file:
            file.truncate(SIZE_MIB * MIB)
        runner.check([f"mkfs.{kind}", "-q", medium])
        device = Path(runner.check(["losetup", "--find", "--show", medium]).stdout.strip())
        runner.check(["mount", device, directory])
    try:
        yield FileSystem(kind, directory, device)
    finally:
        runner.check(["umount", directory])
        if device is not None:
            runner.check(["losetup", "--detach", device])


@pytest.fixture(params=["ext4", "tmpfs"])
def file_system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    """A small file system."""
    with mounted(request.param, tmp_path / "small") as result:
        yield result


@pytest.fixture
def real_node(paths: Paths, clock: FakeClock) -> Node:
    """A node that starts real programs."""
    return Node.compose(System(paths=paths, runner=SystemRunner(), clock=clock, hostname="node1.example.com"))


def bench_on(node: Node, file_system: FileSystem) -> Workbench:
    store = file_system.directory / "store"
    store.mkdir()
    return file_bench(node, store, DiskType.FILE)


@pytest.fixture
def bench(real_node: Node, file_system: FileSystem) -> Workbench:
    """Disks on the small file system."""
    return bench_on(real_node, file_system)


class TestOnRealFileSystems(StorageContract):
    """The contract once more where holes, direct input and output and renames are the file system's own."""

    @pytest.fixture
    def bench(self, real_node: Node, file_system: FileSystem) -> Workbench:
        """Disks on the small file system."""
        return bench_on(real_node, file_system)


def fill(bench: Workbench) -> Path:
    """Use up all space of the file system."""
    path = bench.leftovers()[0].parent.parent / "filler"
    with path.open("wb", buffering=0) as file:
        for block in (MIB, 4096, 1):
            try:
                while file.write(b"f" * block):
                    pass
            except OSError:
                continue
    return path


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@contextmanager
def serving(content: bytes) -> Iterator[str]:
    """An HTTP server whose every answer is `content`, without saying its length; gives its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if "missing" in self.path else 200)
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Space ---------------------------------------------------------------------------------------------------------------


def test_disks_may_promise_more_than_there_is(bench: Workbench) -> None:
    disk = make(bench, "one", 4 * SIZE_MIB)
    assert size_of(bench, disk) == 4 * SIZE_MIB * MIB
    assert allocated(path_of(bench, disk)) < MIB


def test_a_wipe_gives_the_space_back_even_on_a_full_file_system(bench: Workbench) -> None:
    disk = make(bench, "one", 16)
    write(bench, disk, b"x" * (16 * MIB))
    fill(bench)
    blockdev_data.wipe(bench.node, disk, 4, 8)
    assert read(bench, disk, 0, 16 * MIB) == b"x" * (4 * MIB) + bytes(8 * MIB) + b"x" * (4 * MIB)
    assert 8 * MIB <= allocated(path_of(bench, disk)) < 9 * MIB


def test_growing_on_a_full_file_system_is_refused_by_the_dry_run(bench: Workbench) -> None:
    disk = make(bench, "one", 8)
    fill(bench)
    with pytest.raises(BlockDeviceError, match="0 MiB are free"):
        blockdev.grow(bench.node, disk, 1, dry_run=True, backing_store=True, exclusive_storage=False)
    assert size_of(bench, disk) == 8 * MIB


@pytest.mark.parametrize("source", ["image", "disk", "url"])
def test_a_full_file_system_is_an_error_of_every_copy(bench: Workbench, tmp_path: Path, source: str) -> None:
    target, other = make(bench, "one", 48), bench.disk("two", 48)
    image = tmp_path / "image"
    image.write_bytes(b"i" * (48 * MIB))
    if source == "disk":
        create(bench, other)
        write(bench, other, b"o" * (40 * MIB))
    else:
        fill(bench)
    with serving(image.read_bytes()) as address:
        copies: dict[str, Callable[[], None]] = {
            "disk": lambda: blockdev_data.convert(bench.node, other, target),
            "image": lambda: blockdev_data.image(bench.node, target, str(image), 48),
            "url": lambda: blockdev_data.image(bench.node, target, f"{address}/image", 48),
        }
        with pytest.raises(CommandError, match="No space left"):
            copies[source]()
    assert size_of(bench, target) == 48 * MIB
    assert [path.name for path in bench.leftovers()] == (["one", "two"] if source == "disk" else ["one"])


def test_a_disk_that_cannot_be_made_leaves_no_file(real_node: Node, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path / "few", ",nr_inodes=4") as few:
        bench = bench_on(real_node, few)
        made = [make(bench, name, 1) for name in ("one", "two")]
        with pytest.raises(BlockDeviceError, match="No space left"):
            make(bench, "three", 1)
        assert [path.name for path in bench.leftovers()] == ["one", "two"]
        for disk in made:
            blockdev.remove(bench.node, disk)


def test_a_disk_larger_than_a_file_can_be_leaves_no_file(real_node: Node, tmp_path: Path) -> None:
    with mounted("ext4", tmp_path / "small") as small:
        bench = bench_on(real_node, small)
        with pytest.raises(BlockDeviceError, match="File too large"):
            make(bench, "one", 2**25)
        assert bench.leftovers() == []


def test_directories_that_do_not_fit_leave_none(real_node: Node, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path / "few", ",nr_inodes=4") as few:
        bench = bench_on(real_node, few)
        store = few.directory / "store"
        with pytest.raises(BlockDeviceError, match="No space left"):
            file_storage.create_directory(real_node, str(store / "a/b/c/d"))
        assert bench.leftovers() == []


def test_space_is_that_of_the_file_system(bench: Workbench, file_system: FileSystem) -> None:
    unit = ("file", [[str(file_system.directory)]], None, ["free", "size", "used"])
    before = storage_units.list_units(bench.node, *unit)[0]
    disk = make(bench, "one", 16)
    write(bench, disk, b"x" * (16 * MIB))
    os.sync()
    after = storage_units.list_units(bench.node, *unit)[0]
    assert int(before[0]) - int(after[0]) in range(16, 19)
    assert int(after[2]) - int(before[2]) == 16
    assert int(after[1]) in range(SIZE_MIB - 16, SIZE_MIB + 1)


def test_the_size_of_a_block_device_is_told(real_node: Node, tmp_path: Path) -> None:
    with mounted("ext4", tmp_path / "small") as small:
        assert blockdev_data.sizes(real_node, [str(small.device), "/dev/null"]) == {str(small.device): SIZE_MIB}


# Copies --------------------------------------------------------------------------------------------------------------


def pattern(size: int) -> bytes:
    """Bytes that are the same nowhere near each other."""
    return os.urandom(4096) * (size // 4096 + 1)


def test_a_disk_is_copied_whole(bench: Workbench) -> None:
    source, target = make(bench, "one", 6), make(bench, "two", 6)
    content = pattern(6 * MIB)[: 6 * MIB]
    write(bench, source, content)
    blockdev_data.convert(bench.node, source, target)
    assert read(bench, target, 0, 6 * MIB) == content


def test_a_source_that_is_too_short_does_not_make_the_target_longer(bench: Workbench) -> None:
    source, target = make(bench, "one", 6), make(bench, "two", 6)
    os.truncate(path_of(bench, source), MIB + 7)
    blockdev_data.convert(bench.node, source, target)
    assert size_of(bench, target) == 6 * MIB


@pytest.mark.parametrize("length", [3 * MIB, 3 * MIB - 1000, 1, 0])
@pytest.mark.parametrize("is_url", [False, True])
def test_an_image_covers_the_beginning_and_the_rest_stays(
    bench: Workbench, tmp_path: Path, length: int, is_url: bool
) -> None:
    disk = make(bench, "one", 5)
    write(bench, disk, b"x" * (5 * MIB))
    content = pattern(length)[:length]
    (tmp_path / "image").write_bytes(content)
    with serving(content) as address:
        blockdev_data.image(bench.node, disk, f"{address}/image" if is_url else str(tmp_path / "image"), 3)
    assert read(bench, disk, 0, 5 * MIB) == content + b"x" * (5 * MIB - length)
    assert size_of(bench, disk) == 5 * MIB


@pytest.mark.parametrize("surplus", [1, 5 * MIB])
def test_more_than_asked_for_from_a_url_is_an_error_and_goes_nowhere(bench: Workbench, surplus: int) -> None:
    disk = make(bench, "one", 5)
    write(bench, disk, b"x" * (5 * MIB))
    with serving(b"i" * (2 * MIB + surplus)) as address, pytest.raises(CommandError):
        blockdev_data.image(bench.node, disk, f"{address}/image", 2)
    assert read(bench, disk, 2 * MIB, 3 * MIB) == b"x" * (3 * MIB)


def test_a_missing_page_is_an_error_and_goes_nowhere(bench: Workbench) -> None:
    disk = make(bench, "one", 1)
    with serving(b"not found") as address, pytest.raises(CommandError, match="404"):
        blockdev_data.image(bench.node, disk, f"{address}/missing", 1)
    assert read(bench, disk, 0, MIB) == bytes(MIB)


def test_a_guests_header_changes_nothing(bench: Workbench, tmp_path: Path) -> None:
    """A guest may write anything, so also what looks like another format that names another file."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * MIB)
    overlay = tmp_path / "overlay"
    SystemRunner().check(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, overlay])
    source, target = make(bench, "one", 1), make(bench, "two", 1)
    write(bench, source, overlay.read_bytes())
    blockdev_data.convert(bench.node, source, target)
    assert read(bench, target, 0, MIB) == read(bench, source, 0, MIB)
    assert b"ssss" not in read(bench, target, 0, MIB)


def test_a_disk_of_another_node_is_seen_by_this_one(real_node: Node, file_system: FileSystem, tmp_path: Path) -> None:
    """A shared file disk made on one node is assembled on another over the same directory."""
    bench = bench_on(real_node, file_system)
    other_paths = Paths(root=tmp_path / "other")
    for directory in (other_paths.conf_dir, other_paths.disk_links_dir, other_paths.bdev_cache_dir):
        directory.mkdir(parents=True)
    other = Node.compose(System(paths=other_paths, runner=SystemRunner(), hostname="node2"))
    theirs = file_bench(other, file_system.directory / "store", DiskType.SHAREDFILE)
    disk: Disk = theirs.disk("one", 2)
    create(bench, disk)
    write(bench, disk, b"data")
    assert blockdev.assemble(other, disk, "guest1", True, 0) is not None
    assert read(theirs, disk, 0, 4) == b"data"
