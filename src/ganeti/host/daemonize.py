"""Becoming a daemon: leaving the terminal, talking over pipes with the process that waits, PID files.

The only module that forks this process. Everything here is for a process that has one thread yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ganeti.errors import NodeError

COMM = Path("/proc/self/comm")
READY = b"\x00"
"""What a process writes when it does its work; anything else is the reason why it does not."""


class AlreadyRunning(NodeError):
    """Another process holds the PID file."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(path, pid)
        self.path = path
        self.pid = pid

    def __str__(self) -> str:
        return f"it is already running (process {self.pid or 'unknown'} holds {self.path})"


class Pipe:
    """A pipe between a process and its child, whose ends each side closes that it does not use."""

    def __init__(self) -> None:
        """Open it; neither end outlives an exec."""
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)

    def keep_reading(self) -> None:
        """Close the writing end."""
        os.close(self.writing)

    def keep_writing(self) -> None:
        """Close the reading end."""
        os.close(self.reading)


def start(child: Callable[[], int]) -> int:
    """Fork; the new process runs `child` and ends with its result. Returns the process ID."""
    _flush()
    pid = os.fork()
    if pid == 0:
        _run_and_exit(child)
    return pid


def detach(daemon: Callable[[], int]) -> None:
    """Run `daemon` in a process without terminal that belongs to init; returns at once in the calling process."""

    def middle() -> int:
        os.setsid()
        start(daemon)
        return 0

    pid = start(middle)
    os.waitpid(pid, 0)


def forget_inherited() -> None:
    """Close descriptors the caller left open, or whoever waits for their end (ssh) would wait for the daemon's.

    Children of this process can be waited for again, whatever the caller set.
    """
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def settle(log_file: Path | None) -> None:
    """Take on what a daemon's process has: directory `/`, umask 077, standard streams away from the terminal."""
    os.chdir("/")
    os.umask(0o077)
    redirect(Path(os.devnull), os.O_RDONLY, [0])
    redirect_output(log_file)


def redirect_output(log_file: Path | None) -> None:
    """Send standard output and error to the end of a file, or nowhere."""
    redirect(log_file or Path(os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, [1, 2])


def redirect(path: Path, flags: int, descriptors: list[int]) -> None:
    """Open a file as the given descriptors."""
    opened = os.open(path, flags | os.O_CLOEXEC, 0o600)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    if opened not in descriptors:
        os.close(opened)


def name_process(name: str) -> None:
    """Give this process the name by which the cluster's scripts find it (at most 15 characters)."""
    COMM.write_text(name)


def read_message(descriptor: int, timeout_s: float | None = None) -> bytes | None:
    """What the other side wrote at once; empty when it closed or ended, None when it did nothing in time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(None if timeout_s is None else timeout_s * 1000):
        return None
    return os.read(descriptor, 65536)


class PidFile:
    """A file with the process ID, locked as long as the process runs. The lock is a flock, as the original's."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self.path = path
        self._descriptor = -1

    def take(self) -> None:
        """Lock the file and write this process into it. Raises: AlreadyRunning; OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(self.path, pid) from err
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor

    def let_go(self) -> None:
        """Close this process's descriptor without touching file and lock: for a child that inherited it."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file, then give up the lock: another process that waits for it must make a new file."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._descriptor)


def _run_and_exit(child: Callable[[], int]) -> NoReturn:
    """Leave this process without running what the calling process has set up for its own end."""
    status = 1
    try:
        status = child()
    except SystemExit as err:
        status = err.code if isinstance(err.code, int) else 1
    except BaseException as err:
        sys.excepthook(type(err), err, err.__traceback__)
        raise
    finally:
        _flush()
        os._exit(status)


def _flush() -> None:
    """Write out what is buffered; a process may have been started without standard streams."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
