"""Restricted commands, out-of-band management, Open vSwitch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ganeti.actions import open_vswitch, out_of_band, restricted_commands
from ganeti.actions.node import Node
from ganeti.errors import CommandError, InvalidOutput, NodeError, UnsafePath
from ganeti.host import locks
from ganeti.host.clock import FakeClock
from ganeti.host.runner import Result

ME = (os.getuid(), os.getgid())


@pytest.fixture
def command(node: Node) -> Path:
    directory = node.paths.restricted_commands_dir
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    path = directory / "hello"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_restricted_command_gets_no_environment_and_its_output_is_told(
    node: Node, runner: Any, command: Path, clock: FakeClock
) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout="out\n", stderr="err\n")

    assert restricted_commands.run_owned(node, "hello", ME) == "out\nerr\n"

    [call] = runner.ran
    assert (call.argv, call.env, call.reset_env) == ((str(command),), {}, True)
    assert clock.sleeps == []


def test_a_failing_command_is_told_without_penalty(node: Node, runner: Any, command: Path, clock: FakeClock) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stderr="no", exit_code=3)

    with pytest.raises(CommandError, match=r"hello failed: exited with status 3: no"):
        restricted_commands.run_owned(node, "hello", ME)
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("path_mode", "directory_mode", "owner"),
    [(0o775, 0o755, ME), (0o4755, 0o755, ME), (0o755, 0o777, ME), (0o755, 0o1755, ME), (0o755, 0o755, (ME[0], 12345))],
)
def test_what_others_could_have_changed_is_refused(
    node: Node, runner: Any, command: Path, clock: FakeClock, path_mode: int, directory_mode: int, owner: Any
) -> None:
    command.chmod(path_mode)
    command.parent.chmod(directory_mode)

    with pytest.raises(NodeError) as failure:
        restricted_commands.run_owned(node, "hello", owner)
    assert str(failure.value) == "executing command 'hello' failed"
    assert (runner.ran, clock.sleeps) == ([], [10.0])


@pytest.mark.parametrize("name", ["", " ", "../x", "a/b", ".", "..", "hello\n", "a b", "absent", "directory", "plain"])
def test_names_of_nothing_cost_ten_seconds_and_tell_nothing(
    node: Node, runner: Any, command: Path, clock: FakeClock, name: str
) -> None:
    (command.parent / "directory").mkdir(mode=0o755)
    (command.parent / "plain").write_text("")
    (command.parent / "plain").chmod(0o644)

    with pytest.raises(NodeError) as failure:
        restricted_commands.run_owned(node, name, ME)
    assert str(failure.value) == f"executing command {name!r} failed"
    assert (runner.ran, clock.sleeps) == ([], [10.0])


def test_only_one_guess_at_a_time(node: Node, command: Path, clock: FakeClock) -> None:
    lock = locks.try_exclusive(node.paths.restricted_commands_lock)
    assert lock is not None

    with lock, pytest.raises(NodeError, match="hello"):
        restricted_commands.run_owned(node, "hello", ME)
    assert sum(clock.sleeps) == pytest.approx(18, abs=0.2)


def test_a_missing_directory_is_refused_alike(node: Node) -> None:
    with pytest.raises(NodeError, match="executing command"):
        restricted_commands.run(node, "hello")


# Out of band ---------------------------------------------------------------------------------------------------------


def test_the_programs_answer_is_read_as_json(node: Node, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout='{"powered": true}\n')

    assert out_of_band.run(node, "/usr/bin/oob", "power-status", "node7", 60) == {"powered": True}
    assert runner.ran[0].argv == ("/usr/bin/oob", "power-status", "node7")
    assert runner.ran[0].timeout_s == 60
    runner.answer = lambda _: None
    assert out_of_band.run(node, "/usr/bin/oob", "power-on", "node7", 60) is None


def test_other_answers_and_failures_are_told(node: Node, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout="powered")
    with pytest.raises(InvalidOutput, match="not JSON"):
        out_of_band.run(node, "/usr/bin/oob", "health", "node7", 60)
    runner.answer = lambda call: Result(argv=call.argv, stderr="no route", exit_code=1)
    with pytest.raises(CommandError, match="no route"):
        out_of_band.run(node, "/usr/bin/oob", "health", "node7", 60)
    with pytest.raises(UnsafePath):
        out_of_band.run(node, "oob", "health", "node7", 60)


# Open vSwitch --------------------------------------------------------------------------------------------------------


def test_a_switch_is_made_and_a_link_joined(node: Node, runner: Any) -> None:
    open_vswitch.configure(node, "switch1", "eth1")
    open_vswitch.configure(node, "switch1", None)

    make = ("ovs-vsctl", "--may-exist", "add-br", "switch1")
    assert [call.argv for call in runner.ran] == [
        make,
        ("ovs-vsctl", "--may-exist", "add-port", "switch1", "eth1"),
        make,
    ]


@pytest.mark.parametrize(("switch", "link"), [("", None), ("a/b", None), ("switch1", "x" * 16), ("a b", None)])
def test_names_no_interface_can_have_change_nothing(node: Node, runner: Any, switch: str, link: str | None) -> None:
    with pytest.raises(UnsafePath):
        open_vswitch.configure(node, switch, link)
    assert runner.ran == []
