"""Block devices by their numbers, from the kernel's own files and from transcripts of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ganeti.errors import BlockDeviceError
from ganeti.host import block_devices
from ganeti.host.runner import Runner, SystemRunner
from ganeti.host.transcript import RecordingRunner, ReplayRunner

Replay = Callable[..., ReplayRunner]
SIZE = Path("/sys/dev/block/253:4/size")


class Unreadable(SystemRunner):
    """A machine that cannot be looked at."""

    def read(self, path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    def block_device(self, path: Path) -> tuple[int, int] | None:
        raise PermissionError(13, "Permission denied", str(path))


def test_the_size_is_counted_in_sectors_of_512_bytes(replay: Replay) -> None:
    assert block_devices.size_bytes(replay(f"$ cat {SIZE}\n> 20480\n= 0\n"), (253, 4)) == 10 << 20


@pytest.mark.parametrize("answer", ["= 1", "> none\n= 0", "= 0"])
def test_a_device_without_size_is_named(replay: Replay, answer: str) -> None:
    with pytest.raises(BlockDeviceError, match="253:4"):
        block_devices.size_bytes(replay(f"$ cat {SIZE}\n{answer}\n"), (253, 4))


def test_numbers_are_those_of_a_block_device_and_of_nothing_else(replay: Replay) -> None:
    asked = "$ stat -Lc %Hr:%Lr /dev/x"
    assert block_devices.numbers(replay(f"{asked}\n> 253:4\n= 0\n"), Path("/dev/x")) == (253, 4)
    assert block_devices.numbers(replay(f"{asked}\n= 1\n"), Path("/dev/x")) is None


def test_what_cannot_be_looked_at_is_an_error_of_the_device() -> None:
    runner: Runner = Unreadable()
    with pytest.raises(BlockDeviceError, match=r"/dev/x.*Permission denied"):
        block_devices.numbers(runner, Path("/dev/x"))
    with pytest.raises(BlockDeviceError, match="Permission denied"):
        block_devices.size_bytes(runner, (253, 4))


def test_neither_files_nor_character_devices_nor_links_to_nowhere_are_block_devices(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "file", tmp_path / "link", tmp_path / "pipe", tmp_path / "file/x", Path("/dev/null")):
        assert SystemRunner().block_device(path) is None


def test_a_file_of_the_kernel_is_read_recorded_and_played_back(tmp_path: Path) -> None:
    transcript, kernel_file = tmp_path / "transcript", tmp_path / "size"
    kernel_file.write_text("20480\n")
    runner = RecordingRunner(SystemRunner(), transcript)
    assert runner.read(kernel_file) == "20480\n"
    assert runner.block_device(kernel_file) is None
    with pytest.raises(FileNotFoundError):
        runner.read(tmp_path / "none")
    with ReplayRunner(transcript.read_text()) as replaying:
        assert replaying.read(kernel_file) == "20480\n"
        assert replaying.block_device(kernel_file) is None
        with pytest.raises(FileNotFoundError, match="none"):
            replaying.read(tmp_path / "none")
