"""Numbers and words of the protocol and of the files on a node, each written once.

Source: Ganeti 3.0 as observed on the wire and on disk. Driver-specific words live with their driver.
"""

from __future__ import annotations

from typing import Final

RELEASE_VERSION: Final = "3.0.2"
PROTOCOL_VERSION: Final = 3000000
"""major * 1000000 + minor * 10000; node add and cluster verification demand equality."""

NODED: Final = "ganeti-noded"
NODED_PORT: Final = 1811

IP4_FAMILY: Final = 2
IP6_FAMILY: Final = 10

SSCONF_PREFIX: Final = "ssconf_"
SSCONF_SIZE_LIMIT: Final = 131072

DISK_SEPARATOR: Final = ":"
MIB: Final = 1024 * 1024

SCRIPT_PATH: Final = "/sbin:/bin:/usr/sbin:/usr/bin"
"""PATH of hooks and operating system scripts, whose environment is reset."""

PLUGIN_NAME_PATTERN: Final = r"^[a-zA-Z0-9_-]+$"
"""Names of operating system definitions, allocators and storage providers."""

EXTERNALLY_MIRRORED: Final = frozenset({"diskless", "sharedfile", "blockdev", "rbd", "ext", "gluster"})
"""Disk types whose data another node sees without our help, so a guest can migrate without DRBD."""

VNC_BASE_PORT: Final = 5900
