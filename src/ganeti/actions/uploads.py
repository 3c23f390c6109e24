"""Files the master keeps the same on its nodes: only those of a fixed list, whatever it sends."""

from __future__ import annotations

import base64
import binascii
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter, UnsafePath
from ganeti.host import files, locks
from ganeti.host.paths import Paths

log = logging.getLogger(__name__)

PLAIN: Final = 0
ZLIB_BASE64: Final = 1
LARGEST: Final = 256 * 1024 * 1024
"""Bytes an upload may unpack to; a large cluster's configuration is some ten MiB."""
DEFAULT_MODE: Final = 0o600
LOCK_TIMEOUT_S: Final = 5.0
"""Writing takes moments; two uploads of one file may meet."""

Encoded = tuple[int, str]
"""How content travels: (0, the text itself) or (1, base64 of a zlib stream)."""

FileMode = Annotated[int, Meta(ge=0, le=0o177777)]
"""All of `st_mode` of the sender's file, the bits of its type included."""

DATA_FILES: Final = (
    "config.data",
    "known_hosts",
    "rapi.pem",
    "spice.pem",
    "spice-ca.pem",
    "rapi/users",
    "hmac.key",
    "cluster-domain-secret",
)
OTHER_FILES: Final = (
    "/etc/ganeti/vnc-cluster-password",
    "/etc/ganeti/kvm-vif-bridge",
    "/etc/xen/xend-config.sxp",
    "/etc/xen/xen/xl.conf",  # the doubled directory is in the original
    "/etc/xen/scripts/vif-bridge",
)


def allowed(paths: Paths) -> frozenset[Path]:
    """The files that may be uploaded: neither `server.pem` nor the list of file storage paths is one of them."""
    below_data = {paths.data_dir / name for name in DATA_FILES}
    return frozenset({*below_data, *(paths.under(name) for name in OTHER_FILES), paths.etc_hosts})


def upload(
    node: Node,
    path: str,
    content: Encoded,
    mode: FileMode,
    *,
    user: str,
    group: str,
    atime: float | None,
    mtime: float | None,
) -> None:
    """Write a file of the list; one that another process is writing is waited for, for some seconds.

    `path` is in the form in which paths travel; `user` and `group` are names of the cluster's own users and groups;
    times are seconds since the epoch, both or neither. Raises: UnsafePath, InvalidParameter, ConfigurationError,
    LockTimeout, OSError.
    """
    target = node.paths.from_virtual(path)
    if target not in allowed(node.paths):
        raise UnsafePath(path, "not one of the files that may be uploaded")
    data = decode(content)
    if (atime is None) != (mtime is None):
        raise InvalidParameter("atime", "access and modification time must be given together")
    times = None if atime is None or mtime is None else (atime, mtime)
    accounts = node.system.accounts()
    uid, gid = accounts.uid(user), accounts.gid(group)
    with _unused(node, target):
        files.write_atomic(target, data, mode=mode & 0o7777 or DEFAULT_MODE, uid=uid, gid=gid, times=times)
    log.info("File %s written by upload", target)


@contextmanager
def _unused(node: Node, target: Path) -> Iterator[None]:
    """Keep a file that is there from being written by others; the master locks its configuration while it writes it.

    Raises: LockTimeout.
    """
    if target.is_symlink() or not target.exists():
        yield
        return
    with locks.exclusive(target, node.clock, timeout_s=LOCK_TIMEOUT_S):
        yield


def decode(content: Encoded, *, limit: int = LARGEST) -> bytes:
    """The content itself. Raises: InvalidParameter for another encoding, for damaged and for oversized content."""
    encoding, text = content
    if encoding == PLAIN:
        return text.encode()
    if encoding != ZLIB_BASE64:
        raise InvalidParameter("content[0]", f"unknown encoding {encoding}")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.b64decode(text, validate=True), limit)
    except (binascii.Error, ValueError, zlib.error) as err:
        raise InvalidParameter("content[1]", f"damaged content: {err}") from err
    if unpacker.unconsumed_tail:
        raise InvalidParameter("content[1]", f"unpacks to more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidParameter("content[1]", "damaged content: not one whole stream")
    return data
