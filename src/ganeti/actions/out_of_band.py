"""Power and health of other nodes, by a program of the administrator's that the cluster's configuration names."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ganeti.actions.node import Node
from ganeti.errors import InvalidOutput
from ganeti.host.paths import absolute

Command = Literal["power-on", "power-off", "power-cycle", "power-status", "health"]


def run(node: Node, program: str, command: Command, name: str, timeout_s: Annotated[float, Meta(gt=0)]) -> object:
    """What the program prints of node `name`, read as JSON; None when it prints nothing.

    Raises: UnsafePath, CommandError, ProgramNotFound, InvalidOutput.
    """
    argv = [str(absolute(program)), command, name]
    output = node.runner.run(argv, timeout_s=timeout_s).raise_if_failed().stdout
    if not output:
        return None
    try:
        answer: object = msgspec.json.decode(output)
    except msgspec.DecodeError as err:
        raise InvalidOutput(argv, f"not JSON: {err}", output) from err
    return answer
