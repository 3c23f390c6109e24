"""A node below a temporary root whose programs are answered by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ganeti.actions.node import Node
from ganeti.errors import ProgramNotFound
from ganeti.host.clock import FakeClock
from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.paths import Paths
from ganeti.host.runner import Result
from ganeti.host.system import System
from ganeti.host.users import Accounts


@dataclass
class ScriptedRunner(FakeRunner):
    """Notes what is started; `answer` says how it ends (None: with success and without a word)."""

    answer: Callable[[Asked], Result | None] = lambda _: None
    ran: list[Asked] = field(default_factory=list)

    def respond(self, asked: Asked) -> Result:
        self.ran.append(asked)
        return self.answer(asked) or Result(argv=asked.argv)

    def block_device(self, path: Path) -> tuple[int, int] | None:
        raise AssertionError(f"nobody asked for {path} so far")


def missing(program: str) -> Callable[[Asked], Result | None]:
    """An answer for a machine without that program."""

    def answer(call: Asked) -> Result | None:
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
