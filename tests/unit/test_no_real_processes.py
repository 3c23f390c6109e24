"""A fast test cannot start a real program by accident, in whichever way."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable

import pytest

from ganeti.actions.node import Node
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import SystemRunner


async def start_by_event_loop() -> None:
    await asyncio.create_subprocess_exec("true")


WAYS: dict[str, Callable[[], object]] = {
    "runner": lambda: SystemRunner().run(["true"]),
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "fork": os.fork,
    "system": lambda: os.system("true"),  # noqa: S605 - it is refused
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 - it is refused
    "asyncio": lambda: asyncio.run(start_by_event_loop()),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_program_starts(way: str) -> None:
    with pytest.raises(AssertionError, match="without the fixture real_runner"):
        WAYS[way]()


def test_a_test_that_says_so_starts_programs(real_runner: SystemRunner) -> None:
    assert real_runner.run(["echo", "hello"]).stdout == "hello\n"


def test_the_node_of_tests_lies_below_a_temporary_root_and_starts_nothing(node: Node, paths: Paths) -> None:
    assert node.paths.queue_dir.is_relative_to(paths.root)
    assert node.paths.queue_dir.is_dir()
    assert isinstance(node.clock, FakeClock)
    assert node.hostname == "node1.example.com"


def test_the_accounts_of_the_node_of_tests_are_those_of_whoever_runs_them(node: Node) -> None:
    accounts = node.system.accounts()
    assert (accounts.uid("gnt-masterd"), accounts.gid("gnt-daemons")) == (os.getuid(), os.getgid())
