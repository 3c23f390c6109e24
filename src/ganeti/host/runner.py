"""The one place where programs are started.

Every caller gets a `Runner` and gives argv lists; `shell` stands apart so that it can be found. What the kernel answers
in files of its own and about device nodes is asked here too, so that a transcript holds it in order with the programs.
Tests use a `FakeRunner` of `host.fake_runner` instead, mostly the `ReplayRunner` of `host.transcript`.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal as signals
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, Protocol, TypedDict

from ganeti.errors import CommandError, ProgramNotFound
from ganeti.host import procfs

log = logging.getLogger(__name__)

Argument = str | Path


class Secret(str):
    """A word of a command that only the program itself may see: logs, errors and transcripts show `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Hide the word."""
        return "Secret('***')"


def shown(argv: Sequence[Argument]) -> tuple[str, ...]:
    """The words of a command as anybody may see them."""
    return tuple("***" if isinstance(word, Secret) else str(word) for word in argv)


LINGER_S: Final = 5.0
"""How long a program out of time may take to end after SIGTERM, and its output to close after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a program ended and what it printed. Exactly one of `exit_code` and `signal` is set."""

    argv: tuple[str, ...]
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = 0
    signal: int | None = None
    timed_out: bool = False

    @property
    def failed(self) -> bool:
        """Whether it was ended by a signal or gave an exit status other than zero."""
        return self.exit_code != 0

    @property
    def output(self) -> str:
        """Standard output followed by standard error."""
        return self.stdout + self.stderr

    @property
    def reason(self) -> str:
        """Why it failed, in a few words; empty on success."""
        if not self.failed:
            return ""
        text = f"exited with status {self.exit_code}"
        if self.signal is not None:
            text = f"ended by signal {signals.Signals(self.signal).name}"
        return f"{text}, time-out" if self.timed_out else text

    def raise_if_failed(self) -> Result:
        """Return this result. Raises: CommandError when the program failed."""
        if self.failed:
            raise CommandError(self.argv, self.reason, self.output)
        return self


class RunOptions(TypedDict, total=False):
    """What `Runner.run` takes by name, for runners that hand it on to another one as it came."""

    env: Mapping[str, str] | None
    reset_env: bool
    cwd: Argument
    stdin: str | bytes | None
    timeout_s: float | None
    output: Path | None
    pass_fds: Sequence[int]


class Runner(Protocol):
    """Starts programs and waits for them."""

    def run(
        self,
        argv: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        reset_env: bool = False,
        cwd: Argument = "/",
        stdin: str | bytes | None = None,
        timeout_s: float | None = None,
        output: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Run a program to its end, whatever its exit status.

        The environment is the daemon's plus `LC_ALL=C` plus `env`, or exactly `env` with `reset_env`. Standard input
        is `stdin`, or at end-of-file. With `output` both streams are appended to that file instead of captured. On
        time-out the program and its children get SIGTERM, and SIGKILL when it has ended or after 5 s.
        Raises: ProgramNotFound; CommandError when it is there but cannot be started.
        """
        ...

    def check(
        self,
        argv: Sequence[Argument],
        *,
        stdin: str | bytes | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Run a program that has to succeed. Raises: CommandError, ProgramNotFound."""
        return self.run(argv, stdin=stdin, timeout_s=timeout_s).raise_if_failed()

    def read(self, path: Path) -> str:
        """Contents of a file the kernel makes up, below /proc or /sys. Raises: OSError."""
        ...

    def block_device(self, path: Path) -> tuple[int, int] | None:
        """Major and minor number of a block device, links followed; None for what is none or not there.

        Raises: OSError when it cannot be looked at.
        """
        ...

    def shell(self, script: str, *, timeout_s: float | None = None) -> Result:
        """Run a text by `/bin/sh -c`. Every value in it must have been quoted by the caller."""
        return self.run(["/bin/sh", "-c", script], timeout_s=timeout_s)


def become(argv: Sequence[str]) -> NoReturn:
    """Let a program take this process's place and terminal. Raises: ProgramNotFound."""
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 - no shell is wanted
    except FileNotFoundError as err:
        raise ProgramNotFound(argv[0]) from err


class SystemRunner(Runner):
    """Runs real programs."""

    def __init__(self, *, linger_s: float = LINGER_S) -> None:
        """Give programs out of time `linger_s` to end after SIGTERM."""
        self._linger_s = linger_s

    def run(
        self,
        argv: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        reset_env: bool = False,
        cwd: Argument = "/",
        stdin: str | bytes | None = None,
        timeout_s: float | None = None,
        output: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Run a program to its end (see `Runner.run`)."""
        words, visible = tuple(str(word) for word in argv), shown(argv)
        log.debug("Running %s", shlex.join(visible))
        with ExitStack() as stack:
            log_file = None if output is None else stack.enter_context(output.open("ab"))
            process = self._start(
                words,
                visible,
                env={**({} if reset_env else {**os.environ, "LC_ALL": "C"}), **(env or {})},
                cwd=str(cwd),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                log_file=log_file,
                pass_fds=pass_fds,
            )
        timed_out = False
        try:
            stdout, stderr = process.communicate(_data(stdin), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
            stdout, stderr = self._end(process)
        except BaseException:
            self._end(process)
            raise
        result = _result(visible, process.returncode, stdout, stderr, timed_out=timed_out)
        if result.failed:
            log.debug("%s %s", words[0], result.reason)
        return result

    def read(self, path: Path) -> str:
        """Read a file of the kernel (see `Runner.read`)."""
        return path.read_text(encoding="utf-8", errors="backslashreplace")

    def block_device(self, path: Path) -> tuple[int, int] | None:
        """Look at a device node (see `Runner.block_device`)."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISBLK(found.st_mode) else None

    @staticmethod
    def _start(
        words: tuple[str, ...],
        visible: tuple[str, ...],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: int,
        log_file: BinaryIO | None,
        pass_fds: Sequence[int],
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                words,
                env=env,
                cwd=cwd,
                stdin=stdin,
                stdout=subprocess.PIPE if log_file is None else log_file,
                stderr=subprocess.PIPE if log_file is None else subprocess.STDOUT,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except FileNotFoundError as err:
            # the kernel gives the same error number for three different things
            if not Path(cwd).is_dir():
                raise CommandError(visible, f"its working directory {cwd} does not exist") from err
            if "/" in words[0] and Path(words[0]).exists():
                raise CommandError(visible, "its interpreter does not exist") from err
            raise ProgramNotFound(words[0]) from err
        except (OSError, ValueError) as err:
            raise CommandError(visible, f"it cannot be started: {err}") from err

    def _end(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """End a program that took too long, with everything it started in its session; return what it printed."""
        if process.returncode is None:  # not yet waited for, so its number is still its own
            with procfs.watched(process.pid) as descriptor:
                os.killpg(process.pid, signals.SIGTERM)
                # this does not reap it: as a zombie it keeps its number, which the next line needs
                procfs.wait_for_end(descriptor, self._linger_s)
            os.killpg(process.pid, signals.SIGKILL)
        try:
            return process.communicate(timeout=self._linger_s)
        except subprocess.TimeoutExpired as err:
            # what went into a session of its own lives on and holds our pipes: it shall not hold us
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait()
            return err.stdout or b"", err.stderr or b""


def _data(stdin: str | bytes | None) -> bytes | None:
    return stdin.encode() if isinstance(stdin, str) else stdin


def _result(words: tuple[str, ...], code: int, stdout: bytes, stderr: bytes, *, timed_out: bool) -> Result:
    return Result(
        argv=words,
        stdout=(stdout or b"").decode("utf-8", "backslashreplace"),
        stderr=(stderr or b"").decode("utf-8", "backslashreplace"),
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        timed_out=timed_out,
    )
