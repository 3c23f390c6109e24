"""The cluster's static data on a node: one small text file an item, written by the master, read at every use.

Source of keys and formats: the files a 3.0.2 master writes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from ganeti.constants import IP4_FAMILY, SSCONF_SIZE_LIMIT
from ganeti.errors import ConfigurationError, InvalidParameter, NodeError
from ganeti.host import files
from ganeti.host.clock import Clock
from ganeti.host.locks import exclusive
from ganeti.host.paths import Paths

log = logging.getLogger(__name__)

_KEYS: Final = """
cluster_name cluster_tags file_storage_dir shared_file_storage_dir gluster_storage_dir master_candidates
master_candidates_ips master_candidates_certs master_ip master_netdev master_netmask master_node node_list
node_primary_ips node_secondary_ips node_vm_capable offline_nodes online_nodes primary_ip_family instance_list
release_version hypervisor_list maintain_node_health uid_pool nodegroups networks enabled_user_shutdown ssh_ports
hvparams_chroot hvparams_fake hvparams_kvm hvparams_lxc hvparams_xen-hvm hvparams_xen-pvm
"""

KEYS: Final = frozenset(_KEYS.split())
"""All items of 3.0.2."""

FILE_MODE: Final = 0o444
LOCK_TIMEOUT_S: Final = 10.0


class Ssconf:
    """Reads and writes `ssconf_<key>` files."""

    def __init__(self, paths: Paths) -> None:
        """Remember where the files are."""
        self._paths = paths

    def text(self, key: str, default: str | None = None) -> str:
        """An item without trailing newlines. Raises: ConfigurationError when unreadable and no default is given."""
        path = self._paths.ssconf(key)
        try:
            return files.read_text(path, limit=SSCONF_SIZE_LIMIT).rstrip("\n")
        except FileNotFoundError as err:
            if default is not None:
                return default
            raise ConfigurationError(f"{path} is missing") from err
        except (OSError, NodeError) as err:
            raise ConfigurationError(f"cannot read {path}: {err}") from err

    def lines(self, key: str) -> list[str]:
        """An item of several lines; an empty or missing file gives none."""
        return self.text(key, "").splitlines()

    def primary_ip_family(self) -> int:
        """Address family of the cluster: 2 (IPv4, also when not known) or 10 (IPv6). Raises: ConfigurationError."""
        text = self.text("primary_ip_family", str(IP4_FAMILY))
        if not text.isdigit():
            raise ConfigurationError(f"ssconf primary_ip_family is not a number: {text!r}")
        return int(text)

    def cluster_name(self) -> str:
        """Name of the cluster. Raises: ConfigurationError."""
        return self.text("cluster_name")

    def master_node(self) -> str:
        """Name of the master node. Raises: ConfigurationError."""
        return self.text("master_node")

    def ssh_ports(self) -> dict[str, int]:
        """Port of the ssh daemon of every node. Raises: ConfigurationError when missing or malformed."""
        ports: dict[str, int] = {}
        for line in self.text("ssh_ports").splitlines():
            name, separator, port = line.partition("=")
            if not separator or not (port.isascii() and port.isdigit()):
                raise ConfigurationError(f"ssconf ssh_ports has a malformed line: {line!r}")
            ports[name] = int(port)
        return ports

    def write(self, values: Mapping[str, str | Sequence[str]], clock: Clock) -> None:
        """Replace the items given; a list is a line an element. Nothing is written when anything is wrong with one.

        The lock is the one the packaged programs take. Raises: InvalidParameter, LockTimeout; OSError, and then items
        before the failing one are written.
        """
        texts = {key: _judged(key, value) for key, value in values.items()}
        with exclusive(self._paths.ssconf_lock, clock, timeout_s=LOCK_TIMEOUT_S):
            for key, text in texts.items():
                files.write_atomic(self._paths.ssconf(key), text, mode=FILE_MODE)
        log.info("Cluster data written: %s", ", ".join(sorted(texts)) or "nothing")


def _judged(key: str, value: str | Sequence[str]) -> str:
    if key not in KEYS:
        raise InvalidParameter(f"values[{key!r}]", "there is no such item of cluster data")
    text = value if isinstance(value, str) else "\n".join(value)
    if text and not text.endswith("\n"):
        text += "\n"
    if len(text) > SSCONF_SIZE_LIMIT:
        raise InvalidParameter(f"values[{key!r}]", f"{len(text)} characters are more than {SSCONF_SIZE_LIMIT}")
    return text
