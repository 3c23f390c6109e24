"""The files that say why a guest was started or stopped."""

from __future__ import annotations

import logging

import pytest

from ganeti.actions import reasons
from ganeti.actions.node import Node
from ganeti.host.clock import FakeClock


def test_the_new_entry_is_the_last_and_in_nanoseconds(guest_node: Node, clock: FakeClock) -> None:
    trail: reasons.ReasonTrail = [("gnt:client", "wish", 1)]
    extended = reasons.extend(guest_node, trail, "gnt:daemon:noded:start")
    assert extended == [("gnt:client", "wish", 1), ("gnt:daemon:noded:start", "", int(clock.now) * 10**9)]
    assert trail == [("gnt:client", "wish", 1)]


def test_the_file_is_one_line_of_json_in_a_directory_all_may_read(guest_node: Node) -> None:
    reasons.store(guest_node, "guest1", [("a", "b", 3)])
    path = guest_node.paths.reason_dir / "guest1"
    assert path.read_text() == '[["a","b",3]]\n'
    assert path.parent.stat().st_mode & 0o777 == 0o755


def test_a_new_reason_replaces_the_old_one(guest_node: Node) -> None:
    reasons.store(guest_node, "guest1", [("a", "b", 3)])
    reasons.store(guest_node, "guest1", [("c", "d", 4)])
    assert guest_node.paths.reason_file("guest1").read_text() == '[["c","d",4]]\n'


def test_a_file_that_cannot_be_written_is_logged_only(guest_node: Node, caplog: pytest.LogCaptureFixture) -> None:
    guest_node.paths.reason_file("guest1").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        reasons.store(guest_node, "guest1", [("a", "b", 3)])
    assert "guest1" in caplog.text
