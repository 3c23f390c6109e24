"""Notes beside the devices in use: one small file a device with its guest, this node's role and its place in the guest.

Nobody but people read them, so a note that cannot be written or removed is logged and nothing more. Format of the
packaged release: `<guest> primary|secondary <disk/n or not_visible>` and a newline.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.host import files, printable

log = logging.getLogger(__name__)

NOT_VISIBLE = "not_visible"


def update(node: Node, dev_path: Path | None, *, owner: str, on_primary: bool, iv_name: str | None) -> None:
    """Note who uses the device now."""
    if dev_path is None:
        log.error("A disk of %s has no path here, so nothing is noted of it", owner)
        return
    role = "primary" if on_primary else "secondary"
    try:
        files.write_atomic(note_path(node, dev_path), f"{owner} {role} {iv_name or NOT_VISIBLE}\n")
    except (OSError, ValueError) as err:  # the latter for a path that no file can have
        log.warning("Cannot note the use of %s, which changes nothing else: %s", printable.safe(str(dev_path)), err)


def remove(node: Node, dev_path: Path | None) -> None:
    """Drop the note of a device that is not in use any more."""
    if dev_path is None:
        log.error("A device without a path here has no note that could be removed")
        return
    try:
        files.remove(note_path(node, dev_path))
    except (OSError, ValueError) as err:
        log.warning("Cannot drop the note of %s, which changes nothing else: %s", printable.safe(str(dev_path)), err)


def note_path(node: Node, dev_path: Path) -> Path:
    """File of a device's note: its path without `/dev/`, with underscores for slashes."""
    return node.paths.bdev_cache_dir / f"bdev_{str(dev_path).removeprefix('/dev/').replace('/', '_')}"
