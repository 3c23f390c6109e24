"""Verification of DRBD: the kernel module, the devices in use, the program the module calls.

What cannot be told is told as a text in its place. Source of the forms: the packaged 3.0.2 daemon over module 8.4.11.
"""

from __future__ import annotations

import logging

from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, NodeError
from ganeti.tools.drbd import module, proc

log = logging.getLogger(__name__)


def version(node: Node) -> str:
    """The module's version with its interfaces, which the master wants to be the same on all nodes."""
    try:
        found = proc.read(node.runner).version
    except BlockDeviceError as err:
        return str(err)
    highest = "" if found.highest_protocol is None else f"-{found.highest_protocol}"
    return f"{found} (api:{found.api}/proto:{found.protocol}{highest})"


def used_minors(node: Node) -> list[int] | str:
    """Minors that have a disk or a connection."""
    try:
        return list(module.look(node.runner).used)
    except NodeError as err:
        log.warning("The DRBD devices in use cannot be told: %s", err)
        return str(err)


def helper(node: Node) -> tuple[bool, str]:
    """Whether the module's program is known, and the program or the reason."""
    try:
        return True, module.usermode_helper(node.runner)
    except BlockDeviceError as err:
        return False, str(err)
