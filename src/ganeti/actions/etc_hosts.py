"""Names of nodes in the hosts file of the master, where the cluster manages it."""

from __future__ import annotations

import ipaddress
import logging
import stat
from pathlib import Path
from typing import Final, Literal

from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter
from ganeti.host import files, net

log = logging.getLogger(__name__)

FILE_MODE: Final = 0o644


def modify(node: Node, mode: Literal["add", "remove"], host: str, address: str | None = None) -> bool:
    """Add a host with its short name, or remove both names; always true. Raises: InvalidParameter, OSError.

    `address` is needed to add and forbidden to remove.
    """
    if any(char.isspace() or char == "#" for char in host) or not host:
        raise InvalidParameter("host", f"{host!r} is not a host name")
    short = host.partition(".")[0]
    path = node.paths.etc_hosts
    text = files.read_text(path) if path.exists() else ""
    if mode == "add":
        if address is None:
            raise InvalidParameter("address", "needed to add a host")
        changed = with_entry(text, net.parse_address(address), host, short)
    else:
        if address is not None:
            raise InvalidParameter("address", "must not be given to remove a host")
        changed = without_name(without_name(text, host), short)
    if changed != text:
        _write(path, changed)
        log.info("Host %s: %s in %s", host, mode, path)
    return True


def with_entry(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str, short: str) -> str:
    """The file with one line for the address: the first such line is replaced, others of it are dropped."""
    entry = f"{address}\t{' '.join(dict.fromkeys((host, short)))}\n"
    lines: list[str] = []
    placed = False
    for line in text.splitlines(keepends=True):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] != str(address):
            # a last line without its end must not swallow the new one
            lines.append(line if line.endswith("\n") else f"{line}\n")
        elif not placed:
            lines.append(entry)
            placed = True
    return "".join(lines if placed else [*lines, entry])


def without_name(text: str, name: str) -> str:
    """The file without a name, on whatever line; a line left without names goes too."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        words = line.split()
        if len(words) < 2 or words[0].startswith("#") or name not in words[1:]:
            lines.append(line)
            continue
        rest = [word for word in words[1:] if word != name]
        if rest:
            lines.append(f"{words[0]} {' '.join(rest)}\n")
    return "".join(lines)


def _write(path: Path, text: str) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        files.write_atomic(path, text, mode=FILE_MODE, uid=0, gid=0)
        return
    files.write_atomic(path, text, mode=stat.S_IMODE(status.st_mode), uid=status.st_uid, gid=status.st_gid)
