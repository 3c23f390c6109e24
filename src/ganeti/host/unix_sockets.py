"""Unix stream sockets of this machine."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from pathlib import Path

from ganeti.errors import NodeError

LONGEST_PATH = 107
"""Bytes a socket's path may have; the kernel's address structure holds 108 with the final null (unix(7))."""


def listen(path: Path, *, mode: int = 0o600, backlog: int = 128) -> socket.socket:
    """Listen on `path` with exactly `mode`; a socket left by a process that is gone is replaced.

    Raises: NodeError when the path is too long or something answers there, or is there that is no socket; OSError.
    """
    if len(os.fsencode(path)) > LONGEST_PATH - 13:
        raise NodeError(f"the socket path {path} is too long")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise NodeError(f"{path} exists and is no socket")
    if path.exists() and _answers(path):
        raise NodeError(f"another process listens on {path}")
    # Bound beside its place, given its mode and moved there: nobody can connect while the mode is a wider one.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(temporary))
        temporary.chmod(mode)
        listener.listen(backlog)
        temporary.rename(path)
    except BaseException:
        listener.close()
        temporary.unlink(missing_ok=True)
        raise
    return listener


def connect(path: Path, *, timeout_s: float) -> socket.socket:
    """A connection to the process that listens on `path`, whose operations take at most `timeout_s` each.

    Raises: OSError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
