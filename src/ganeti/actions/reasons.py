"""Why a guest was last started or stopped: one file a guest, read by the cluster's monitoring agent."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from ganeti.actions.node import Node
from ganeti.host import files

log = logging.getLogger(__name__)

ReasonTrail = list[tuple[str, str, int | float]]
"""Who asked, why, and when in nanoseconds since the epoch; the latest entry last."""

_MODE = 0o755


def extend(node: Node, trail: ReasonTrail, source: str) -> ReasonTrail:
    """The trail with one more entry: `source` now, without a reason of its own."""
    return [*trail, (source, "", int(node.clock.time() * 1_000_000_000))]


def store(node: Node, instance_name: str, trail: Sequence[tuple[str, str, int | float]]) -> None:
    """Write the trail of a guest, one line of JSON.

    A file that cannot be written is logged only: the guest was started or stopped by then, and saying otherwise would
    be false.
    """
    path = node.paths.reason_file(instance_name)
    try:
        files.ensure_directory(path.parent, _MODE)
        files.write_atomic(path, msgspec.json.encode(trail) + b"\n")
    except OSError as err:
        log.warning("Instance %s: cannot store the reason in %s: %s", instance_name, path, err)
