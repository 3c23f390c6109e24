"""Where everything lies on a node, below one root; and the one validator of names that become part of a path.

In a virtual cluster (test set-ups) `GANETI_ROOTDIR` and `GANETI_HOSTNAME` move all paths below a node's own root, and
paths that travel are marked with a prefix. Source: the file system layout of Debian's ganeti 3.0.2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganeti.constants import DISK_SEPARATOR, SSCONF_PREFIX
from ganeti.errors import ConfigurationError, UnsafePath

VIRTUAL_PREFIX = "/###-VIRTUAL-PATH-###,"
NEVER_VIRTUAL = frozenset({"/etc/hosts"})
LONGEST_COMPONENT = 255


def component(name: str) -> str:
    """Return `name` if it may become exactly one component of a path. Raises: UnsafePath."""
    if not name or name in {".", ".."}:
        raise UnsafePath(name, "not a name")
    if "/" in name or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise UnsafePath(name, "a name must not have a slash or a control character")
    if len(_encoded(name)) > LONGEST_COMPONENT:
        raise UnsafePath(name, "a name must not be longer than 255 bytes")
    return name


def _encoded(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError as err:
        # half of a surrogate pair, which a JSON escape can bring
        raise UnsafePath(ascii(text), "it has a character that no file name can have") from err


def absolute(path: str | Path) -> Path:
    """Return `path` if it is absolute and in normal form (no `.`, `..`, double slash). Raises: UnsafePath."""
    text = str(path)
    if b"\x00" in _encoded(text):
        raise UnsafePath(text, "a path must not have a null character")
    if not text.startswith("/") or os.path.normpath(text) != text or text.startswith("//"):
        raise UnsafePath(text, "a path must be absolute and without '.', '..' and doubled slashes")
    return Path(text)


def below(directory: Path, path: str | Path) -> Path:
    """Return `path` if it lies strictly below `directory`, by its text alone. Raises: UnsafePath."""
    result = absolute(path)
    if directory not in result.parents:
        raise UnsafePath(path, f"not below {directory}")
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The files and directories of one node. `root` is `/` but in virtual clusters and tests."""

    root: Path = Path("/")
    virtual_hostname: str | None = None
    package_dir: Path = Path("/usr/lib/ganeti")
    os_search_path: tuple[Path, ...] = (
        Path("/srv/ganeti/os"),
        Path("/usr/local/lib/ganeti/os"),
        Path("/usr/lib/ganeti/os"),
        Path("/usr/share/ganeti/os"),
    )
    ext_search_path: tuple[Path, ...] = (
        Path("/srv/ganeti/extstorage"),
        Path("/usr/local/lib/ganeti/extstorage"),
        Path("/usr/lib/ganeti/extstorage"),
        Path("/usr/share/ganeti/extstorage"),
    )
    allocator_search_path: tuple[Path, ...] = (
        Path("/usr/local/lib/ganeti/iallocators"),
        Path("/usr/lib/ganeti/iallocators"),
    )

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Paths:
        """Paths of this node, virtual when the environment says so. Raises: ConfigurationError."""
        root, hostname = env.get("GANETI_ROOTDIR", ""), env.get("GANETI_HOSTNAME", "")
        if not root and not hostname:
            return cls()
        if not root or not hostname:
            raise ConfigurationError("GANETI_ROOTDIR and GANETI_HOSTNAME must be set together")
        if not root.startswith("/"):
            raise ConfigurationError(f"GANETI_ROOTDIR must be absolute, not {root!r}")
        directory = Path(os.path.normpath(root))
        if "/" in hostname or directory.name != hostname:
            raise ConfigurationError(f"the last part of GANETI_ROOTDIR {directory} must be the host name {hostname!r}")
        return cls(root=directory, virtual_hostname=hostname)

    def under(self, path: str) -> Path:
        """The absolute `path` moved below the root."""
        return self.root / PurePosixPath(path).relative_to("/")

    # Directories -------------------------------------------------------------------------------------------------

    @property
    def data_dir(self) -> Path:
        """Cluster data: certificates, ssconf files, job queue."""
        return self.under("/var/lib/ganeti")

    @property
    def run_dir(self) -> Path:
        """Run-time state, gone after a boot."""
        return self.under("/var/run/ganeti")

    @property
    def log_dir(self) -> Path:
        """Logs."""
        return self.under("/var/log/ganeti")

    @property
    def lock_dir(self) -> Path:
        """Lock files."""
        return self.under("/var/lock")

    @property
    def conf_dir(self) -> Path:
        """What the administrator edits."""
        return self.under("/etc/ganeti")

    @property
    def queue_dir(self) -> Path:
        """Job files."""
        return self.data_dir / "queue"

    @property
    def export_dir(self) -> Path:
        """Exported guests."""
        return self.data_dir / "export"

    @property
    def crypto_keys_dir(self) -> Path:
        """Keys and certificates of transfers."""
        return self.run_dir / "crypto"

    @property
    def disk_links_dir(self) -> Path:
        """Links `<guest>:<n>` to the guests' disks."""
        return self.run_dir / "instance-disks"

    @property
    def bdev_cache_dir(self) -> Path:
        """One file a device saying who uses it."""
        return self.run_dir / "bdev-cache"

    @property
    def reason_dir(self) -> Path:
        """Why guests were last started or stopped."""
        return self.run_dir / "instance-reason"

    @property
    def os_log_dir(self) -> Path:
        """Logs of operating system scripts."""
        return self.log_dir / "os"

    @property
    def ext_log_dir(self) -> Path:
        """Logs of the scripts of storage providers."""
        return self.log_dir / "extstorage"

    @property
    def temporary_dir(self) -> Path:
        """Files of one call."""
        return self.under("/tmp")  # noqa: S108 - files in it get unguessable names and are opened exclusively

    @property
    def hooks_dir(self) -> Path:
        """Hook scripts."""
        return self.conf_dir / "hooks"

    # Files -------------------------------------------------------------------------------------------------------

    @property
    def server_pem(self) -> Path:
        """Key and certificate of the cluster's node daemons."""
        return self.data_dir / "server.pem"

    @property
    def client_pem(self) -> Path:
        """Key and certificate this node shows when it calls others."""
        return self.data_dir / "client.pem"

    @property
    def cluster_conf_file(self) -> Path:
        """The cluster's configuration, on master candidates."""
        return self.data_dir / "config.data"

    @property
    def restricted_commands_dir(self) -> Path:
        """Programs the master may run by name."""
        return self.conf_dir / "restricted-commands"

    @property
    def restricted_commands_lock(self) -> Path:
        """Lock of those who start one."""
        return self.lock_dir / "ganeti-restricted-commands.lock"

    @property
    def gluster_lock(self) -> Path:
        """Lock of those who mount a gluster volume."""
        return self.lock_dir / "ganeti-gluster.lock"

    @property
    def rbd_lock(self) -> Path:
        """Lock of those who map an image of a Ceph cluster."""
        return self.lock_dir / "ganeti-rbd.lock"

    @property
    def metad_socket(self) -> Path:
        """Where the metadata daemon listens."""
        return self.run_dir / "socket" / "ganeti-metad"

    @property
    def watcher_pause_file(self) -> Path:
        """Until when the watcher shall leave the cluster alone."""
        return self.data_dir / "watcher.pause"

    @property
    def ssconf_lock(self) -> Path:
        """Lock of those who write the cluster's static data."""
        return self.lock_dir / "ganeti-ssconf.lock"

    @property
    def candidate_certs(self) -> Path:
        """Digests of the certificates whose owners may call this node."""
        return self.ssconf("master_candidates_certs")

    @property
    def noded_pid_file(self) -> Path:
        """PID file of the node daemon."""
        return self.run_dir / "ganeti-noded.pid"

    @property
    def noded_log(self) -> Path:
        """Log of the node daemon."""
        return self.log_dir / "node-daemon.log"

    @property
    def etc_hosts(self) -> Path:
        """The hosts file; the nodes of a virtual cluster share the machine's own."""
        return self.under("/etc/hosts") if self.virtual_hostname is None else Path("/etc/hosts")

    @property
    def operator_socket(self) -> Path:
        """Where the operator's door listens."""
        return self.run_dir / "socket" / "ganeti-node"

    @property
    def inventory(self) -> Path:
        """The embedded list of guests of a node without a master."""
        return self.data_dir / "inventory.sqlite"

    @property
    def file_storage_paths_file(self) -> Path:
        """Directories allowed for file storage, one a line."""
        return self.conf_dir / "file-storage-paths"

    @property
    def kvm_ifup(self) -> Path:
        """Script that joins a tap interface to the node's network."""
        return self.package_dir / "kvm-ifup"

    @property
    def daemon_util(self) -> Path:
        """Script that starts and stops the cluster's daemons."""
        return self.package_dir / "daemon-util"

    @property
    def tools_dir(self) -> Path:
        """The packaged tools."""
        return self.package_dir / "tools"

    @property
    def root_ssh_dir(self) -> Path:
        """Keys of the user nodes log in as at each other."""
        return self.under("/root/.ssh")

    @property
    def authorized_keys_file(self) -> Path:
        """Keys that open this node."""
        return self.root_ssh_dir / "authorized_keys"

    @property
    def public_keys_file(self) -> Path:
        """Public keys of all nodes, on potential master candidates."""
        return self.data_dir / "ganeti_pub_keys"

    def ssconf(self, key: str) -> Path:
        """File of one item of the cluster's static data."""
        return self.data_dir / f"{SSCONF_PREFIX}{component(key)}"

    def disk_link(self, instance_name: str, index: int) -> Path:
        """Link to disk `index` (from 0) of a guest."""
        return self.disk_links_dir / component(f"{instance_name}{DISK_SEPARATOR}{index}")

    def reason_file(self, instance_name: str) -> Path:
        """Reason trail of a guest."""
        return self.reason_dir / component(instance_name)

    # Paths that travel -------------------------------------------------------------------------------------------

    def to_virtual(self, path: Path) -> str:
        """The form in which `path` is told to other nodes. Raises: UnsafePath when it is outside of the root."""
        if self.virtual_hostname is None or str(path) in NEVER_VIRTUAL:
            return str(path)
        return f"{VIRTUAL_PREFIX}/{below(self.root, path).relative_to(self.root)}"

    def from_virtual(self, text: str) -> Path:
        """The local path of a travelling one. Raises: UnsafePath when it is not in the form this cluster uses."""
        if self.virtual_hostname is None or text in NEVER_VIRTUAL:
            return absolute(text)
        if not text.startswith(VIRTUAL_PREFIX):
            raise UnsafePath(text, "paths of a virtual cluster must be marked as such")
        return self.under(str(absolute(text.removeprefix(VIRTUAL_PREFIX))))
