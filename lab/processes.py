"""Running programs and watching processes of the machine, for the lab alone; it must not know what they are for."""

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class LabError(Exception):
    """The lab cannot do what it was asked for; the text says what and why."""


class CommandFailed(LabError):
    """A program ended with another status than 0."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with {status}: {output.strip()}")
        self.argv = list(argv)
        self.status = status
        self.output = output


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a program left: exit status and decoded output."""

    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout_s: float = 300.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run a program to its end.

    Raises:
        CommandFailed: its status is not 0 and `check` is set.
        LabError: it did not end in `timeout_s`, or there is no such program.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=None if env is None else {**os.environ, **env},
        )
    except subprocess.TimeoutExpired as err:
        raise LabError(f"{' '.join(argv)} did not end in {timeout_s} s") from err
    except FileNotFoundError as err:
        raise LabError(f"no program {argv[0]}: `python3 -m lab install` installs what the lab needs") from err
    if check and done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stdout + done.stderr)
    return Result(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process named so that a reused number is never taken for it: pid and start time in clock ticks."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Name the living process `pid`.

        Raises:
            ProcessLookupError: there is none.
        """
        start = _start_ticks(pid)
        if start is None:
            raise ProcessLookupError(pid)
        return cls(pid=pid, start=start)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what `str()` wrote."""
        pid, start = text.split()
        return cls(pid=int(pid), start=int(start))

    def __str__(self) -> str:
        return f"{self.pid} {self.start}"

    def is_alive(self) -> bool:
        return _start_ticks(self.pid) == self.start

    def kill(self, timeout_s: float = 60.0) -> None:
        """End the process at once and wait until it is gone; nothing happens when it was gone already."""
        try:
            # the descriptor holds on to the process, so what is checked is what gets the signal
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.is_alive():
                return
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if not select.select([pidfd], [], [], timeout_s)[0]:
                raise LabError(f"process {self.pid} did not end in {timeout_s} s")
        finally:
            os.close(pidfd)

    def wait_gone(self, timeout_s: float = 60.0) -> None:
        """Wait until the process has ended by itself."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive() and not select.select([pidfd], [], [], timeout_s)[0]:
                raise LabError(f"process {self.pid} did not end in {timeout_s} s")
        finally:
            os.close(pidfd)

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the second field is the program's name in parentheses and may hold blanks: count behind it
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
