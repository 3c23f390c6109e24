"""The secret by which both halves of a mirror know each other is in no log, no error and no answer of any action."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from tests.unit.storage.test_hostile_names import DRBD_IN_USE, ON_DISKS, SECRET, drbd
from tests.unit.storage.watched import WatchedRunner

from ganeti.actions import blockdev, mirrors
from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host.fake_runner import Asked
from ganeti.host.runner import Result
from ganeti.model.disk import Disk

ACTS: dict[str, Callable[[Node, Disk], object]] = {
    **ON_DISKS,
    "rename": lambda node, disk: blockdev.rename(node, ((disk, disk.logical_id),)),
    "disconnect": lambda node, disk: mirrors.disconnect_network(node, (disk,)),
    "connect": lambda node, disk: mirrors.attach_network(node, (disk,), False),
    "connect for both": lambda node, disk: mirrors.attach_network(node, (disk,), True),
    "wait": lambda node, disk: mirrors.wait_sync(node, (disk,)),
    "add": lambda node, disk: mirrors.add_children(node, disk, disk.children or ()),
    "take": lambda node, disk: mirrors.remove_children(node, disk, disk.children or ()),
}


class Gossip(WatchedRunner):
    """Programs that fail and repeat every word they were given."""

    def respond(self, asked: Asked) -> Result:
        result = super().respond(asked)
        if asked.words[0] in ("drbdsetup", "drbdmeta") and asked.words[1] != "show":
            return replace(result, stdout="", stderr=f"cannot do {shlex.join(asked.words)}", exit_code=10)
        return result


@pytest.mark.parametrize("runner_type", [WatchedRunner, Gossip])
@pytest.mark.parametrize("is_in_use", [False, True])
@pytest.mark.parametrize("act", ACTS)
def test_the_secret_of_a_mirror_is_told_to_drbdsetup_alone(
    node: Node, caplog: pytest.LogCaptureFixture, act: str, is_in_use: bool, runner_type: type[WatchedRunner]
) -> None:
    files = {"/proc/drbd": DRBD_IN_USE} if is_in_use else {}
    runner = runner_type([("xenvg", "data"), ("xenvg", "meta")], files=files)
    machine = Node.compose(replace(node.system, runner=runner))
    with caplog.at_level(logging.DEBUG):
        try:
            answer = json.dumps(msgspec.to_builtins(ACTS[act](machine, drbd())))
        except NodeError as err:
            answer = f"{err} {err!r} {err.args} {err.__cause__} {err.__cause__!r} {vars(err)}"
    assert SECRET not in answer
    assert SECRET not in caplog.text
    told = [words[0] for words in runner.commands if SECRET in " ".join(words)]
    assert set(told) <= {"drbdsetup"}


def test_the_tests_above_are_about_something(node: Node) -> None:
    runner = WatchedRunner([("xenvg", "data"), ("xenvg", "meta")])
    with pytest.raises(NodeError):
        ON_DISKS["assemble"](Node.compose(replace(node.system, runner=runner)), drbd())
    assert any(SECRET in words for words in runner.commands)
