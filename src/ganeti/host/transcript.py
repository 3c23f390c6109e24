"""What programs were asked and answered, as text; played back to tests, and recorded from real programs.

    # How much is free
    $ vgs --noheadings -o vg_free xenvg
    >   12.00g
    ! WARNING: one device is missing
    = 0

`$` is the command, quoted as for a shell (`.` goes on with it when a word has a line end), `<` a line of its standard
input, `>` of standard output, `!` of standard error, `=` how it ended: the exit status, `signal N`, either with
`time-out` behind it, or `not found`. `\\` on a line of its own says that the line above has no line end. A blank line
stands between two commands; `#` starts a comment line. `@NAME@` stands for a value that differs from run to run.
A file of the kernel that was read is written as `cat PATH`, a device node looked at as `stat -Lc %Hr:%Lr PATH`; both
fail with status 1. Secret words are `***`.
"""

from __future__ import annotations

import difflib
import os
import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Unpack

from ganeti.errors import InvalidOutput, ProgramNotFound
from ganeti.host.fake_runner import Asked, FakeRunner, device_argv, input_text, read_argv
from ganeti.host.runner import Argument, Result, Runner, RunOptions, shown

_NO_LINE_END: Final = "\\"
_NOT_FOUND: Final = "not found"
_TIME_OUT: Final = " time-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One command and what came of it. Exactly one of `exit_code` and `signal` is set, or neither when `is_missing`."""

    argv: tuple[str, ...]
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = 0
    signal: int | None = None
    timed_out: bool = False
    is_missing: bool = False


class UnexpectedCommand(AssertionError):
    """The code under test ran something else than the transcript has, or less of it."""


# Text ----------------------------------------------------------------------------------------------------------------


def render(exchanges: Sequence[Exchange]) -> str:
    """The transcript's text."""
    return "\n".join(_render(exchange) for exchange in exchanges)


def parse(text: str) -> tuple[Exchange, ...]:
    """The exchanges of a transcript. Raises: InvalidOutput with the line that is not understood."""
    exchanges: list[Exchange] = []
    block: list[tuple[str, str]] = []
    # a carriage return or a form feed belongs to what a program printed: only line feeds end a line here
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        mark, rest = line[:1], line[1:]
        if mark not in "$.<>!=\\" or (rest and not rest.startswith(" ")) or (mark == "$") != (not block):
            raise InvalidOutput(["transcript"], "a line is out of place", line)
        block.append((mark, rest[1:]))
        if mark == "=":
            exchanges.append(_exchange(block))
            block = []
    if block:
        raise InvalidOutput(["transcript"], "a command has no line that tells how it ended", block[0][1])
    return tuple(exchanges)


def read(path: Path, values: Mapping[str, str] | None = None) -> tuple[Exchange, ...]:
    """The exchanges of a transcript file, `@NAME@` replaced by `values[NAME]`. Raises: InvalidOutput, OSError."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for name, value in (values or {}).items():
        text = text.replace(f"@{name}@", value)
    return parse(text)


def _render(exchange: Exchange) -> str:
    first, *more = shlex.join(exchange.argv).split("\n")
    lines = [_marked("$", first), *(_marked(".", line) for line in more)]
    for mark, text in (("<", exchange.stdin), (">", exchange.stdout), ("!", exchange.stderr)):
        *whole, rest = text.split("\n")
        lines += [_marked(mark, line) for line in whole]
        if rest:
            lines += [_marked(mark, rest), _NO_LINE_END]
    end = str(exchange.exit_code) if exchange.signal is None else f"signal {exchange.signal}"
    if exchange.timed_out:
        end += _TIME_OUT
    lines.append(_marked("=", _NOT_FOUND if exchange.is_missing else end))
    return "\n".join(lines) + "\n"


def _marked(mark: str, line: str) -> str:
    return f"{mark} {line}" if line else mark


def _exchange(block: Sequence[tuple[str, str]]) -> Exchange:
    texts = {"$": "", ".": "", "<": "", ">": "", "!": "", "=": ""}
    last = ""
    for mark, line in block:
        if mark == _NO_LINE_END:
            texts[last] = texts[last].removesuffix("\n")
        else:
            last = "$" if mark == "." else mark
            texts[last] += f"{line}\n"
    command, end = texts["$"].removesuffix("\n"), texts["="].removesuffix("\n")
    how = end.removesuffix(_TIME_OUT)
    number = how.removeprefix("signal ")
    try:
        argv = tuple(shlex.split(command))
        status = 0 if how == _NOT_FOUND else int(number)
    except ValueError as err:
        raise InvalidOutput(["transcript"], str(err), f"{command} = {end}") from err
    is_missing, is_signal = how == _NOT_FOUND, how != number
    return Exchange(
        argv=argv,
        stdin=texts["<"],
        stdout=texts[">"],
        stderr=texts["!"],
        exit_code=None if is_missing or is_signal else status,
        signal=status if is_signal else None,
        timed_out=how != end,
        is_missing=is_missing,
    )


# Playing back --------------------------------------------------------------------------------------------------------


class ReplayRunner(FakeRunner):
    """Answers from a transcript: the commands in it, each once, in its order or (`any_order`) in whichever comes.

    `asked` lists what was run. Used with `with`, it checks at the end that nothing is left over.
    """

    def __init__(self, transcript: str | Sequence[Exchange], *, any_order: bool = False) -> None:
        """Expect the commands of a transcript. Raises: InvalidOutput."""
        self._left = list(parse(transcript) if isinstance(transcript, str) else transcript)
        self._any_order = any_order
        self._complaint: UnexpectedCommand | None = None
        # drivers may run programs side by side
        self._lock = threading.Lock()
        self.asked: list[Asked] = []

    def __enter__(self) -> ReplayRunner:
        """Use it; what is left over at the end is an error."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Check that nothing is left over, unless the test failed anyhow."""
        if error is None:
            self.done()

    def done(self) -> None:
        """Raises: UnexpectedCommand when a command was not run, or an unexpected one was and nobody noticed."""
        if self._complaint is not None:
            raise self._complaint
        if self._left:
            raise UnexpectedCommand("these commands were not run:\n" + _commands(self._left))

    def respond(self, asked: Asked) -> Result:
        """Answer from the transcript. Raises: ProgramNotFound, UnexpectedCommand."""
        with self._lock:
            self.asked.append(asked)
            exchange = self._take(asked)
        if exchange.is_missing:
            raise ProgramNotFound(asked.argv[0])
        return Result(
            argv=asked.argv,
            stdout=exchange.stdout,
            stderr=exchange.stderr,
            exit_code=exchange.exit_code,
            signal=exchange.signal,
            timed_out=exchange.timed_out,
        )

    def _take(self, asked: Asked) -> Exchange:
        candidates = self._left if self._any_order else self._left[:1]
        for index, exchange in enumerate(candidates):
            if (exchange.argv, exchange.stdin) == (asked.argv, asked.stdin):
                return self._left.pop(index)
        complaint = UnexpectedCommand(_difference(candidates, asked))
        self._complaint = self._complaint or complaint
        raise complaint


def _commands(exchanges: Sequence[Exchange]) -> str:
    return "\n".join(f"  $ {shlex.join(exchange.argv)}" for exchange in exchanges)


def _difference(candidates: Sequence[Exchange], asked: Asked) -> str:
    if not candidates:
        return f"nothing more was to be run, but this was:\n  $ {shlex.join(asked.argv)}"
    if len(candidates) > 1:
        return f"this was run:\n  $ {shlex.join(asked.argv)}\ninstead of one of these:\n{_commands(candidates)}"
    expected = candidates[0]
    lines = difflib.unified_diff(
        [*expected.argv, "stdin:", *expected.stdin.splitlines()],
        [*asked.argv, "stdin:", *asked.stdin.splitlines()],
        "expected",
        "run",
        lineterm="",
        n=1000,
    )
    return f"another command was run:\n  $ {shlex.join(asked.argv)}\n" + "\n".join(lines)


# Recording -----------------------------------------------------------------------------------------------------------


class RecordingRunner(Runner):
    """Hands commands on to another runner and appends them with their answers to a transcript file.

    `values` are written as `@NAME@`, so that the record is the same on another run.
    """

    def __init__(self, inner: Runner, path: Path, values: Mapping[str, str] | None = None) -> None:
        """Begin an empty transcript at `path`. Raises: OSError."""
        self._inner = inner
        self._path = path
        self._values = dict(values or {})
        self._lock = threading.Lock()
        path.write_bytes(b"")

    def run(self, argv: Sequence[Argument], **options: Unpack[RunOptions]) -> Result:
        """Run it by the other runner (see `Runner.run`)."""
        words, stdin, output = shown(argv), input_text(options.get("stdin")), options.get("output")
        before = output.stat().st_size if output is not None and output.exists() else 0
        try:
            result = self._inner.run(argv, **options)
        except ProgramNotFound:
            self._append(Exchange(argv=words, stdin=stdin, exit_code=None, is_missing=True))
            raise
        self._append(
            Exchange(
                argv=words,
                stdin=stdin,
                stdout=result.stdout if output is None else _appended(output, before),
                stderr=result.stderr,
                exit_code=result.exit_code,
                signal=result.signal,
                timed_out=result.timed_out,
            )
        )
        return result

    def read(self, path: Path) -> str:
        """Read by the other runner (see `Runner.read`); only a file that is not there is recorded as failed."""
        try:
            text = self._inner.read(path)
        except FileNotFoundError:
            self._append(Exchange(argv=read_argv(path), exit_code=1))
            raise
        self._append(Exchange(argv=read_argv(path), stdout=text))
        return text

    def block_device(self, path: Path) -> tuple[int, int] | None:
        """Look by the other runner (see `Runner.block_device`)."""
        numbers = self._inner.block_device(path)
        answer = Exchange(argv=device_argv(path), exit_code=1)
        if numbers is not None:
            answer = Exchange(argv=device_argv(path), stdout=f"{numbers[0]}:{numbers[1]}\n")
        self._append(answer)
        return numbers

    def _append(self, exchange: Exchange) -> None:
        text = render([exchange])
        for name, value in self._values.items():
            text = text.replace(value, f"@{name}@")
        with self._lock, self._path.open("ab") as file:
            separator = "\n" if file.tell() else ""
            file.write(os.fsencode(separator + text))


def _appended(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", "backslashreplace")
