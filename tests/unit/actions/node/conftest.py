"""A node below a temporary root whose programs are answered by the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ganeti.actions.node import Node
from ganeti.errors import ProgramNotFound
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import Argument, Result
from ganeti.host.system import System
from ganeti.host.users import Accounts


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One program that was started."""

    argv: tuple[str, ...]
    env: dict[str, str]
    reset_env: bool
    cwd: str
    output: Path | None
    timeout_s: float | None
    stdin: str | bytes | None


@dataclass
class ScriptedRunner:
    """Notes what is started; `answer` says how it ends (None: with success and without a word)."""

    answer: Callable[[Ran], Result | None] = lambda _: None
    ran: list[Ran] = field(default_factory=list)

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
        words = tuple(str(word) for word in argv)
        call = Ran(
            argv=words,
            env=dict(env or {}),
            reset_env=reset_env,
            cwd=str(cwd),
            output=output,
            timeout_s=timeout_s,
            stdin=stdin,
        )
        self.ran.append(call)
        result = self.answer(call) or Result(argv=words)
        if output is not None:
            with output.open("a") as file:
                file.write(result.output)
            return replace(result, stdout="", stderr="")
        return result

    def check(
        self, argv: Sequence[Argument], *, stdin: str | bytes | None = None, timeout_s: float | None = None
    ) -> Result:
        return self.run(argv, stdin=stdin, timeout_s=timeout_s).raise_if_failed()

    def shell(self, script: str, *, timeout_s: float | None = None) -> Result:
        return self.run(["/bin/sh", "-c", script], timeout_s=timeout_s)

    def read(self, path: Path) -> str:
        return self.check(["cat", path]).stdout

    def block_device(self, path: Path) -> tuple[int, int] | None:
        raise AssertionError(f"nobody asked for {path} so far")


def missing(program: str) -> Callable[[Ran], Result | None]:
    """An answer for a machine without that program."""

    def answer(call: Ran) -> Result | None:
        if call.argv[0] == program:
            raise ProgramNotFound(program)
        return None

    return answer


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def node(tmp_path: Path, runner: ScriptedRunner, clock: FakeClock, accounts: Accounts) -> Node:
    root = tmp_path / "root"
    paths = Paths(
        root=root,
        os_search_path=(root / "os", root / "local-os"),
        package_dir=root / "package",
    )
    for directory in (paths.queue_dir, paths.run_dir, paths.lock_dir, paths.conf_dir, paths.temporary_dir):
        directory.mkdir(parents=True)
    paths.etc_hosts.write_text("127.0.0.1 localhost\n")
    name = "node1.example.com"
    return Node.compose(System(paths=paths, runner=runner, clock=clock, hostname=name, accounts=lambda: accounts))


@pytest.fixture
def make_os(node: Node) -> Callable[..., Path]:
    """Make a definition of API version 20; `files` are laid over it, None leaves a file out."""

    def make(name: str = "demo", where: int = 0, **files: str | None) -> Path:
        directory = node.paths.os_search_path[where] / name
        directory.mkdir(parents=True)
        texts: dict[str, str | None] = dict.fromkeys(("create", "import", "export", "rename", "verify"), "#!/bin/sh\n")
        texts |= {"ganeti_api_version": "20\n", "variants.list": "small\nlarge\n", "parameters.list": "size how big\n"}
        texts |= {key.replace("__", "."): text for key, text in files.items()}
        for key, text in texts.items():
            if text is not None:
                (directory / key).write_text(text)
                (directory / key).chmod(0o644 if "." in key or key == "ganeti_api_version" else 0o755)
        return directory

    return make
