"""A cluster under the packaged Ganeti master on throw-away hosts; each node's `ganeti-noded` can be another executable.

It must not know how a node daemon works: one is a file that is laid over the packaged one and started by the packaged
`daemon-util`. What such a file has to obey is written in docs/lab.md.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.guest import OS_DEFINITION, Guest
from lab.hosts import DOMAIN, NETWORK, Host, Switch, valid_name
from lab.processes import LabError, Result, run

CLUSTER_NAME = f"cluster.{DOMAIN}"
DATA_DIR = Path("/var/lib/ganeti")
SHARED_DIR = Path("/srv/ganeti/shared-file-storage")
FILE_DIR = Path("/srv/ganeti/file-storage")
# Empty on a new node, and a copy of the machine's, respectively.
_EMPTY = (DATA_DIR, Path("/var/log/ganeti"), Path("/srv"))
_COPIED = (Path("/etc/ganeti"), Path("/etc/default"))
_DAEMON_UTIL = "/usr/lib/ganeti/daemon-util"
_MAX_NODES = 9
_MAX_INSTANCES = 60
_IPOLICY_MIN = "min:cpu-count=1,disk-count=0,disk-size=1,memory-size=1,nic-count=0,spindle-use=1"
_IPOLICY_MAX = "max:cpu-count=8,disk-count=16,disk-size=1048576,memory-size=32768,nic-count=8,spindle-use=12"
IPOLICY = (
    f"--ipolicy-bounds-specs={_IPOLICY_MIN}/{_IPOLICY_MAX}",
    "--ipolicy-vcpu-ratio=200",
    "--ipolicy-spindle-ratio=2000",
)
"""Options of `gnt-cluster init` that let instances be small and many."""


def default_directory() -> Path:
    """Return where labs lie unless said otherwise: LAB_DIR, else a folder of /var/tmp."""
    return Path(os.environ.get("LAB_DIR", "/var/tmp/ganeti-lab"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a cluster is made; the first hypervisor and the first template are the default ones."""

    hypervisors: Sequence[str] = ("fake", "kvm")
    templates: Sequence[str] = ("file", "sharedfile", "diskless")
    guest: Guest = field(default_factory=Guest)


class Cluster:
    """The lab called `name`; its files lie in a folder of that name under `directory`."""

    def __init__(self, name: str = "lab", directory: Path | None = None) -> None:
        self.name = valid_name(name)
        self.directory = (directory or default_directory()).resolve() / name
        self.switch = Switch(lab=name)

    # ---- the whole

    def up(self, count: int, *, daemons: Mapping[str, Path] | None = None, settings: Settings | None = None) -> None:
        """Make `count` nodes and a cluster of them; `daemons` maps node names to executables instead of the packaged.

        What fails half-way leaves the lab as it is, for a look at it; `down` removes it.

        Raises:
            LabError: there is a lab of this name, or the packaged tools are not installed or refuse.
        """
        self.make_nodes(count, daemons=daemons)
        self.init(settings or Settings())
        for node in self.nodes()[1:]:
            self.add(node)

    def make_nodes(self, count: int, *, daemons: Mapping[str, Path] | None = None) -> None:
        """Make and boot nodes that are in no cluster yet."""
        if not 1 <= count <= _MAX_NODES:
            raise LabError(f"a lab has 1 to {_MAX_NODES} nodes, not {count}")
        packaged_daemon()
        self.switch.up()
        (self.directory / "shared").mkdir(parents=True)
        self._make_keys()
        for number in range(1, count + 1):
            node = self.node(f"node{number}")
            node.create(own=(*_EMPTY, *_COPIED), hosts_file=_hosts_file())
            self._furnish(node)
            if daemons and node.name in daemons:
                self._lay_daemon(node, daemons[node.name])
            node.boot()

    def init(self, settings: Settings) -> None:
        """Make node1 the master of a cluster of one."""
        hypervisors = ",".join(settings.hypervisors)
        parameters = ["-H", settings.guest.kvm_parameters()] if "kvm" in settings.hypervisors else []
        self.gnt(
            "gnt-cluster",
            "init",
            f"--enabled-disk-templates={','.join(settings.templates)}",
            f"--enabled-hypervisors={hypervisors}",
            *parameters,
            "--master-netdev=eth0",
            "--no-etc-hosts",
            "--nic-parameters=mode=bridged,link=br0",
            *IPOLICY,
            CLUSTER_NAME,
        )

    def add(self, node: Host) -> None:
        """Make a node a member of the cluster."""
        # `init` made the master a new key, which the node must take before it joins
        keys = "".join(key.read_text() for key in sorted(self.master.path("/root/.ssh").glob("id_*.pub")))
        with node.path("/root/.ssh/authorized_keys").open("a") as authorized:
            authorized.write(keys)
        self.gnt("gnt-node", "add", "--no-ssh-key-check", node.fqdn)

    def down(self) -> None:
        """End and drop everything, also of a lab that is half made; nothing happens when there is none."""
        for node in self.nodes():
            node.crash()
        self.switch.down()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    # ---- nodes

    @property
    def master(self) -> Host:
        return self.node("node1")

    def node(self, name: str) -> Host:
        """Return the node `nodeN` of this lab, which need not exist yet."""
        number = name.removeprefix("node")
        if not (number.isdigit() and 1 <= int(number) <= _MAX_NODES):
            raise LabError(f"no node {name}: they are called node1, node2 and so on")
        return Host(switch=self.switch, directory=self.directory / name, name=name, number=int(number))

    def nodes(self) -> list[Host]:
        """Return the nodes there are, up or down."""
        return [self.node(path.name) for path in sorted(self.directory.glob("node[0-9]"))]

    def gnt(self, *argv: str, timeout_s: float = 600.0, check: bool = True) -> Result:
        """Run a command of the packaged master on node1."""
        return self.master.run(*argv, timeout_s=timeout_s, check=check)

    def verify(self, *, check: bool = True) -> Result:
        """Let the master look for faults in its cluster."""
        # ENODESETUP: a kernel without /proc/sysrq-trigger, as in some virtual machines, is nothing a lab can mend
        return self.gnt("gnt-cluster", "verify", "--ignore-errors=ENODESETUP", check=check)

    def swap(self, daemon: Path | None, names: Sequence[str] = ()) -> None:
        """Let another daemon (None: the packaged one) take over on the nodes named (all) of the running cluster."""
        for node in [self.node(name) for name in names] or self.nodes():
            node.run(_DAEMON_UTIL, "stop", "ganeti-noded")
            node.unbind(packaged_daemon())
            if daemon is not None:
                self._lay_daemon(node, daemon)
            node.run(_DAEMON_UTIL, "start", "ganeti-noded")

    # ---- parts

    def _make_keys(self) -> None:
        for name in ("root", "host"):
            key = self.directory / f"key-{name}"
            run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "lab", "-f", str(key)])

    def _furnish(self, node: Host) -> None:
        for folder in _COPIED:
            shutil.copytree(folder, node.path(folder), symlinks=True, dirs_exist_ok=True)
        self._furnish_ssh(node)
        for folder in (FILE_DIR, SHARED_DIR, Path("/srv/ganeti/os")):
            node.path(folder).mkdir(parents=True)
        node.bind(self.directory / "shared", SHARED_DIR)
        node.path("/etc/ganeti/file-storage-paths").write_text(f"{FILE_DIR}\n{SHARED_DIR}\n")
        for definition in (Path(__file__).with_name("labos"), OS_DEFINITION):
            shutil.copytree(definition, node.path("/srv/ganeti/os") / definition.name)
        commands = node.path("/etc/ganeti/restricted-commands")
        commands.mkdir(mode=0o755, exist_ok=True)
        _write_script(commands / "lab-hello", 'echo "restricted command ran on $(hostname)"')
        _write_script(
            node.directory / "boot",
            f"[ ! -e {DATA_DIR}/server.pem ] || [ ! -e {DATA_DIR}/ssconf_master_node ] || {_DAEMON_UTIL} start-all",
        )

    def _furnish_ssh(self, node: Host) -> None:
        pairs = (("root", "/root/.ssh/id_rsa"), ("host", "/etc/ssh/ssh_host_rsa_key"))
        for key, target in pairs:
            shutil.copy(self.directory / f"key-{key}", node.path(target))
            shutil.copy(self.directory / f"key-{key}.pub", node.path(f"{target}.pub"))
        shutil.copy(self.directory / "key-root.pub", node.path("/root/.ssh/authorized_keys"))
        node.path("/root/.ssh/authorized_keys").chmod(0o600)
        node.path("/root/.ssh/config").write_text(
            "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        )

    def _lay_daemon(self, node: Host, daemon: Path) -> None:
        if not os.access(daemon, os.X_OK):
            raise LabError(f"{daemon} is not executable")
        node.bind(daemon.resolve(), packaged_daemon())


def packaged_daemon() -> Path:
    """Return the file behind /usr/sbin/ganeti-noded, which is what `daemon-util` starts."""
    link = Path("/usr/sbin/ganeti-noded")
    if not link.exists():
        raise LabError(f"no {link}: `python3 -m lab install` installs what the lab needs")
    return link.resolve()


def _write_script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _hosts_file() -> str:
    names = {"127.0.0.1": "localhost"}
    names |= {f"{NETWORK}.{number}": f"node{number}.{DOMAIN} node{number}" for number in range(1, _MAX_NODES + 1)}
    names |= {f"{NETWORK}.100": f"{CLUSTER_NAME} cluster"}
    names |= {f"{NETWORK}.{100 + i}": f"inst{i}.{DOMAIN} inst{i}" for i in range(1, _MAX_INSTANCES + 1)}
    return "".join(f"{address} {name}\n" for address, name in names.items())
