"""Restarting the node, and looking for bridges."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.actions.conftest import GivenHypervisors, Obedient, RecordingBase

from ganeti.actions import bridges, powercycle
from ganeti.actions.node import Node
from ganeti.errors import HypervisorError, NodeError, NotSupported, UnsafePath
from ganeti.host.clock import FakeClock


def wait_for_the_thread() -> None:
    """Wait until the restart was tried."""
    for thread in threading.enumerate():
        if thread.name == "powercycle":
            thread.join(10)


def test_the_answer_comes_first_and_the_restart_five_seconds_later(
    guest_node: Node, behaviour: Obedient, clock: FakeClock
) -> None:
    assert "5 seconds" in powercycle.powercycle(guest_node, "recording", {"x": 1})
    wait_for_the_thread()
    assert clock.sleeps == [5]
    assert behaviour.named("powercycle") == [({"x": 1},)]


def test_a_restart_that_fails_is_logged(
    guest_node: Node, behaviour: Obedient, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour.errors["powercycle"] = HypervisorError("no trigger")
    with caplog.at_level(logging.ERROR):
        powercycle.powercycle(guest_node, "recording")
        wait_for_the_thread()
    assert "no trigger" in caplog.text


def test_a_hypervisor_that_cannot_restart_the_node_says_so(guest_node: Node, behaviour: Obedient) -> None:
    base = GivenHypervisors({"recording": RecordingBase(guest_node.system, behaviour)})
    with pytest.raises(NotSupported):
        powercycle.powercycle(replace(guest_node, hypervisors=base), "recording")


def test_missing_bridges_are_named_in_order(tmp_path: Path) -> None:
    (tmp_path / "br0" / "bridge").mkdir(parents=True)
    (tmp_path / "eth0").mkdir()
    assert bridges.missing(["br1", "br0", "eth0", "br1"], tmp_path) == ["br1", "eth0", "br1"]


def test_a_missing_bridge_fails_the_question(guest_node: Node) -> None:
    with pytest.raises(NodeError, match="no-such-bridge"):
        bridges.check(guest_node, ["no-such-bridge"])


def test_no_bridges_are_always_there(guest_node: Node) -> None:
    bridges.check(guest_node, [])


@pytest.mark.parametrize("name", ["../br0", "a/b", ".."])
def test_a_bridge_name_stays_in_its_directory(guest_node: Node, name: str) -> None:
    with pytest.raises(UnsafePath):
        bridges.check(guest_node, [name])
