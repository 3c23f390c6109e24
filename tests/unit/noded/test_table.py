"""The table of calls."""

from __future__ import annotations

from typing import Any

import pytest

from ganeti.actions.node import Node
from ganeti.noded import table
from ganeti.noded.table import PROTOCOL_CALLS, Call


def fine(node: Node, size: int) -> None:
    """An action as it has to be."""


def without_node(size: int) -> None:
    """An action that does not take the node first."""


def without_annotation(node: Node, size) -> None:  # type: ignore[no-untyped-def]
    """An action whose parameter says nothing."""


def collecting(node: Node, *sizes: int) -> None:
    """An action with any number of arguments."""


def nothing(node: Node) -> None:
    """An action without arguments."""


def test_the_protocol_has_108_calls() -> None:
    assert len(PROTOCOL_CALLS) == len(set(PROTOCOL_CALLS)) == 108


def test_the_real_table_can_be_put_together() -> None:
    found = table.load()
    assert found["version"].name == "version"
    assert [name for name, _ in table.states(found)] == sorted(PROTOCOL_CALLS)
    assert sum(available for _, available in table.states(found)) == len(found)


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([Call("version", fine), Call("version", fine)], "two rows for the call version"),
        ([Call("no_such_call", fine)], "no call no_such_call"),
        ([Call("version", without_node)], "must have the node as its first parameter"),
        ([Call("version", without_annotation)], "'size' of version has no annotation"),
        ([Call("version", collecting)], "must not collect its arguments in 'sizes'"),
        ([Call("version", nothing, body_is_argument=True)], "exactly one parameter after the node"),
    ],
)
def test_a_wrong_row_is_found_when_the_table_is_made(calls: list[Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        table.join(calls)
