"""A runner that starts nothing: the base of whatever stands in for programs, so that it has to say one thing only.

It knows the interface of `Runner`; what the programs answer is for the class derived from it.
"""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ganeti.host.runner import Argument, Result, Runner, Secret, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One command as it was asked for. `words` are what the program would get, secret ones among them."""

    words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    reset_env: bool = False
    cwd: str = "/"
    stdin: str = ""
    timeout_s: float | None = None
    output: Path | None = None
    pass_fds: tuple[int, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The words as anybody may see them."""
        return shown(self.words)


class FakeRunner(Runner):
    """Asks `respond` for everything: a file of the kernel as `cat PATH`, a device node as `stat -Lc %Hr:%Lr PATH`."""

    @abstractmethod
    def respond(self, asked: Asked) -> Result:
        """How a program ends and what it prints, wherever that goes. Raises: ProgramNotFound."""
        ...

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
        """Answer without a program (see `Runner.run`)."""
        result = self.respond(
            Asked(
                words=tuple(word if isinstance(word, Secret) else str(word) for word in argv),
                env=dict(env or {}),
                reset_env=reset_env,
                cwd=str(cwd),
                stdin=input_text(stdin),
                timeout_s=timeout_s,
                output=output,
                pass_fds=tuple(pass_fds),
            )
        )
        if output is None:
            return result
        with output.open("ab") as file:
            file.write(result.output.encode("utf-8", "surrogateescape"))
        return replace(result, stdout="", stderr="")

    def read(self, path: Path) -> str:
        """Answer without a file (see `Runner.read`). Raises: FileNotFoundError when `cat` fails."""
        result = self.run(read_argv(path))
        if result.failed:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return result.stdout

    def block_device(self, path: Path) -> tuple[int, int] | None:
        """Answer without a device node (see `Runner.block_device`); None when `stat` fails."""
        result = self.run(device_argv(path))
        major, _, minor = result.stdout.strip().partition(":")
        return None if result.failed else (int(major), int(minor))


def read_argv(path: Path) -> tuple[str, ...]:
    """The command that stands for reading a file of the kernel."""
    return ("cat", str(path))


def device_argv(path: Path) -> tuple[str, ...]:
    """The command that stands for looking at a device node."""
    return ("stat", "-Lc", "%Hr:%Lr", str(path))


def input_text(stdin: str | bytes | None) -> str:
    """What a program is given to read, as text; empty when nothing."""
    return (stdin or b"").decode("utf-8", "backslashreplace") if not isinstance(stdin, str) else stdin
