"""GlusterFS volumes: mounting one, what is mounted where, and the address by which QEMU opens a file of one.

Source: mount.glusterfs and libgfapi of 10.3, the block driver of QEMU 7.2. Disks are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ganeti.host.net import Address
from ganeti.host.runner import Result, Runner

FILE_SYSTEM: Final = "fuse.glusterfs"
MOUNTS: Final = Path("/proc/self/mounts")
MOUNT_TIMEOUT_S: Final = 120.0
"""A server that drops packets would keep the program for several minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """What is mounted somewhere; `source` is `SERVER[,SERVER...]:/VOLUME` for a gluster volume."""

    source: str
    file_system: str

    @property
    def volume(self) -> str:
        """The volume's name; empty for what is no gluster volume."""
        return self.source.rpartition(":/")[2] if self.file_system == FILE_SYSTEM else ""

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers it was asked of; none for what is no gluster volume."""
        return tuple(self.source.rpartition(":/")[0].split(",")) if self.file_system == FILE_SYSTEM else ()


def mounted(runner: Runner) -> Mapping[Path, Mounted]:
    """What is mounted in this process's view, by mount point; the topmost where several are. Raises: OSError."""
    lines = (line.split(" ") for line in runner.read(MOUNTS).splitlines())
    return {
        Path(_plain(words[1])): Mounted(source=_plain(words[0]), file_system=words[2])
        for words in lines
        if len(words) > 2
    }


def mount(runner: Runner, server: Address, port: int, volume: str, directory: Path) -> Result:
    """Mount a volume. Older releases say it worked when it did not, so ask `mounted` too, and look at the directory:
    what is mounted may be a client that is about to give up.

    Raises: CommandError, ProgramNotFound.
    """
    # An IPv6 address has no brackets here: everything up to the last ":/" is the server.
    argv: list[str | Path] = ["mount", "-t", "glusterfs", "-o", f"server-port={port}", f"{server}:/{volume}", directory]
    return runner.run(argv, timeout_s=MOUNT_TIMEOUT_S)


def unmount(runner: Runner, directory: Path) -> Result:
    """Take away what is mounted at a directory; the status tells whether anything was. Raises: ProgramNotFound."""
    return runner.run(["umount", directory])


def uri(server: Address, port: int, volume: str, path: str) -> str:
    """The address of a file for QEMU, which takes escapes in it back."""
    host = f"[{server}]" if server.version == 6 else str(server)
    return f"gluster://{host}:{port}/{volume}/{quote(path)}"


def _plain(text: str) -> str:
    """A word of the kernel's table, where blanks and backslashes are octal numbers (Linux, seq_escape)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
