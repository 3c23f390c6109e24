"""What /proc tells, from a made one and from this machine's, and ending processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganeti.errors import InvalidOutput
from ganeti.host import procfs


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with process 7, whose name has everything in it that misleads."""
    (tmp_path / "7").mkdir()
    fields = "S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 23 42"
    (tmp_path / "7/stat").write_text(f"7 (a) R 1 (b) {fields}\n")
    (tmp_path / "7/cmdline").write_bytes(b"qemu\0-name\0guest 1\0\xff\0\0")
    (tmp_path / "7/comm").write_text("a) R 1 (b\n")
    return tmp_path


def test_facts_of_a_process_with_a_misleading_name(proc: Path) -> None:
    assert procfs.start_time(7, proc=proc) == 4711
    assert procfs.is_alive(7, proc=proc)
    assert procfs.comm(7, proc=proc) == "a) R 1 (b"


def test_an_argument_list_keeps_its_words(proc: Path) -> None:
    assert procfs.cmdline(7, proc=proc) == ["qemu", "-name", "guest 1", "\\xff"]


def test_of_a_process_that_is_not_there_nothing_is_known(proc: Path) -> None:
    assert procfs.cmdline(8, proc=proc) == []
    assert procfs.comm(8, proc=proc) is None
    assert procfs.start_time(8, proc=proc) is None
    assert not procfs.is_alive(8, proc=proc)


@pytest.mark.parametrize(("state", "alive"), [("R", True), ("S", True), ("D", True), ("T", True), ("Z", False)])
def test_a_zombie_does_not_count_as_alive(proc: Path, state: str, alive: bool) -> None:
    (proc / "7/stat").write_text(f"7 (a) {state} 1 7\n")
    assert procfs.is_alive(7, proc=proc) == alive


def test_memory_is_told_in_kib(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal:        8048072 kB\nHugePages_Total:       3\nDirectMap4k:  100 kB\n")
    assert procfs.memory_info(proc=proc) == {"MemTotal": 8048072, "HugePages_Total": 3, "DirectMap4k": 100}


def test_a_memory_line_that_is_not_understood_is_shown(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal: much\n")
    with pytest.raises(InvalidOutput, match="MemTotal: much"):
        procfs.memory_info(proc=proc)


def test_processors_are_counted_by_their_own_lines(proc: Path) -> None:
    (proc / "cpuinfo").write_text("processor\t: 0\nmodel name\t: processor X\n\nprocessor\t: 1\nmodel name\t: Y\n")
    assert procfs.cpu_count(proc=proc) == 2


def test_this_machine_is_understood() -> None:
    assert procfs.memory_info()["MemTotal"] > procfs.memory_info()["MemFree"] > 0
    assert procfs.cpu_count() >= 1
    assert len(procfs.boot_id()) == 36
    assert procfs.is_alive(os.getpid())
    assert procfs.cmdline(os.getpid())[0].encode() in Path("/proc/self/cmdline").read_bytes()


# Ending --------------------------------------------------------------------------------------------------------------

Start = Callable[[str], "subprocess.Popen[bytes]"]

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def start(real_processes: None) -> Iterator[Start]:
    """Start a Python process that runs a text, says so, and then sleeps."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(text: str) -> subprocess.Popen[bytes]:
        script = f"{text}\nprint(flush=True)\nimport time; time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_that_obeys_ends_by_itself(start: Start) -> None:
    process = start("")
    assert procfs.terminate(process.pid, 10)
    assert process.wait() == -signal.SIGTERM


def test_a_deaf_process_is_killed_after_the_time(start: Start) -> None:
    process = start(DEAF)
    assert not procfs.terminate(process.pid, 0.1)
    assert process.wait() == -signal.SIGKILL


def test_a_process_that_is_not_meant_is_left_alone(start: Start) -> None:
    process = start("")
    assert procfs.terminate(process.pid, 10, is_meant=lambda pid: procfs.cmdline(pid)[0] == "qemu")
    assert process.poll() is None


def test_a_process_that_is_gone_is_fine(start: Start) -> None:
    process = start("")
    process.kill()
    process.wait()
    assert procfs.terminate(process.pid, 10)


def test_a_zombie_is_not_waited_for(start: Start) -> None:
    process = start("")
    process.kill()
    with procfs.watched(process.pid) as descriptor:
        assert procfs.wait_for_end(descriptor, 10)
    assert not procfs.is_alive(process.pid)
    assert procfs.terminate(process.pid, 10)


def test_waiting_for_a_process_that_runs_ends_with_the_time(start: Start) -> None:
    began = time.monotonic()
    with procfs.watched(start("").pid) as descriptor:
        assert not procfs.wait_for_end(descriptor, 0.05)
    assert time.monotonic() - began >= 0.05


def test_a_group_is_never_meant_by_a_number() -> None:
    with pytest.raises(OSError, match="Invalid argument"), procfs.watched(0):
        pass
