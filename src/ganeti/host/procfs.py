"""What /proc tells of processes and the machine, and ending a process without ever hitting another one.

Read by hand: the figures wanted are few, and a driver that asks for one pays for no import. Nothing here knows what a
process is for.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ganeti.errors import InvalidOutput, TimedOut

PROC: Final = Path("/proc")

_DEAD_STATES: Final = "ZXx"
"""Zombies have ended: only their parent has not yet asked how."""


def cmdline(pid: int, *, proc: Path = PROC) -> list[str]:
    """A process's argument list; empty when there is no such process, or it is a zombie or a kernel thread."""
    try:
        data = (proc / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # a process that writes over its arguments may leave no null byte at the end, or many
    text = data.decode("utf-8", "backslashreplace").rstrip("\0")
    return text.split("\0") if text else []


def comm(pid: int, *, proc: Path = PROC) -> str | None:
    """A process's short name of at most 15 bytes; None when there is no such process."""
    try:
        data = (proc / str(pid) / "comm").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return data.removesuffix(b"\n").decode("utf-8", "backslashreplace")


def is_alive(pid: int, *, proc: Path = PROC) -> bool:
    """Whether a process runs. A zombie does not count: it has ended, and holds neither memory nor files."""
    fields = _stat_fields(pid, proc)
    return fields is not None and fields[0] not in _DEAD_STATES


def start_time(pid: int, *, proc: Path = PROC) -> int | None:
    """When a process was started, in clock ticks since boot: with the number it tells it from all others of this boot.

    None when there is no such process.
    """
    fields = _stat_fields(pid, proc)
    return None if fields is None else int(fields[19])


def memory_info(*, proc: Path = PROC) -> dict[str, int]:
    """The lines of /proc/meminfo: amounts in KiB, a few plain counts. Raises: InvalidOutput."""
    path = proc / "meminfo"
    figures: dict[str, int] = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if not words or not words[0].isdigit():
            raise InvalidOutput([str(path)], "a line is not understood", line)
        figures[name] = int(words[0])
    return figures


def cpu_count(*, proc: Path = PROC) -> int:
    """How many processors are on line. (What this process may use can be fewer.)"""
    lines = (proc / "cpuinfo").read_text().splitlines()
    return sum(line.partition(":")[0].strip() == "processor" for line in lines)


def boot_id(*, proc: Path = PROC) -> str:
    """The kernel's name for this boot."""
    return (proc / "sys/kernel/random/boot_id").read_text().strip()


def _stat_fields(pid: int, proc: Path) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before it may have blanks and parentheses in it."""
    try:
        data = (proc / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return data.rpartition(b")")[2].decode("ascii").split()


# Ending a process ----------------------------------------------------------------------------------------------------


@contextmanager
def watched(pid: int) -> Iterator[int]:
    """A descriptor of a process, which stays this process's when its number is given to another.

    Raises: ProcessLookupError when there is none; a zombie still is one.
    """
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def wait_for_end(descriptor: int, timeout_s: float | None) -> bool:
    """Wait until the process of a descriptor has ended; say whether it has. A child of ours is not reaped by this."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


def terminate(pid: int, timeout_s: float, *, is_meant: Callable[[int], bool] | None = None) -> bool:
    """End a process: SIGTERM, and SIGKILL when it still runs after `timeout_s`. Say whether it ended by itself.

    A process that is not there is fine. `is_meant` looks at the process once more before the first signal: a number
    from a file may by now be somebody else's. Raises: TimedOut when it does not even end by SIGKILL (it hangs in the
    kernel); PermissionError.
    """
    with suppress(ProcessLookupError), watched(pid) as descriptor:
        if is_meant is not None and not is_meant(pid):
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if wait_for_end(descriptor, timeout_s):
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if not wait_for_end(descriptor, timeout_s):
            raise TimedOut(f"process {pid} did not end within {timeout_s:g} s of SIGKILL")
        return False
    return True
