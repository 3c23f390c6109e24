"""Node daemons in the lab's machines, and the master's side of the wire to call them.

Each machine becomes a node of one cluster: certificates, the list of those who may call, a daemon. The calls are made
from this process, over the wire that tests never cut, with the certificate of a master that exists nowhere else. It
must not know what the calls mean.
"""

from __future__ import annotations

import http.client
import io
import json
import ssl
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ganeti.constants import NODED_PORT
from ganeti.operator.certificates import client_certificate, cluster_certificate
from ganeti.operator.setup import certificate_digest
from lab.machines import Lab, Machine

DAEMON = Path(__file__).resolve().parent.parent / ".venv/bin/ganeti-noded"
DATA_DIR = "var/lib/ganeti"
LOG = "/var/log/ganeti/node-daemon.log"
DIRECTORIES = (
    f"/{DATA_DIR}/queue",
    *(f"/var/run/ganeti/{name}" for name in ("bdev-cache", "instance-disks", "instance-reason")),
    "/var/log/ganeti/os",
    "/var/lock",
)
"""What the packages or the master make on a node."""
PID_FILE = "/var/run/ganeti/ganeti-noded.pid"


class Refused(Exception):
    """A node answered that a call failed; the text is its reason."""


class Master:
    """What a cluster's nodes have in common, and the identity under which they are called."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        """Make the certificates, below `directory`."""
        self._directory = directory
        cluster = cluster_certificate()
        self._pem("server").write_bytes(cluster)
        for serial, name in enumerate(("master", *names), 2):
            self._pem(name).write_bytes(client_certificate(cluster, name, serial))
        self.candidates = "".join(f"{name}={certificate_digest(self._pem(name))}\n" for name in ("master", *names))

    def context(self) -> ssl.SSLContext:
        """The master's TLS: it knows the cluster's certificate, not the names of nodes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self._pem("server"))
        context.load_cert_chain(self._pem("master"))
        return context

    def files(self, name: str) -> bytes:
        """What the node `name` must have, as a tar archive of its root."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for file, content, mode in (
                ("server.pem", self._pem("server").read_bytes(), 0o440),
                ("client.pem", self._pem(name).read_bytes(), 0o440),
                ("ssconf_master_candidates_certs", self.candidates.encode(), 0o444),
            ):
                member = tarfile.TarInfo(f"{DATA_DIR}/{file}")
                member.size, member.mode = len(content), mode
                tar.addfile(member, io.BytesIO(content))
        return archive.getvalue()

    def _pem(self, name: str) -> Path:
        return self._directory / f"{name}.pem"


class MachineNode:
    """One machine with a node daemon."""

    def __init__(self, lab: Lab, machine: Machine, master: Master, daemon: Path = DAEMON) -> None:
        """Put the node's files into the machine; the daemon is not started yet."""
        self.machine = machine
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, machine.name))
        self._lab = lab
        self._context = master.context()
        self._daemon = daemon
        script = f"mkdir -p {' '.join(DIRECTORIES)} && exec tar -x -C / --no-same-owner"
        machine.check(["sh", "-c", script], stdin=master.files(machine.name))

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start the daemon; it can be called afterwards. Raises: Failure."""
        self.machine.check([str(self._daemon)], env=dict(env or {}))

    def kill(self) -> None:
        """End the daemon as `kill -9` does, all of its processes at once; programs it started live on."""
        script = f'read -r keeper <{PID_FILE}; exec kill -9 "$keeper" $(cat /proc/$keeper/task/$keeper/children)'
        self.machine.check(["sh", "-c", script])

    def call(self, name: str, *arguments: object) -> object:
        """Make a call and return its payload. Raises: Refused with the node's reason; OSError when none answers."""
        body = json.dumps(arguments).encode()
        connection = http.client.HTTPConnection(self.machine.ctl)
        raw = self._lab.network.connect(self.machine.ctl, NODED_PORT)
        with raw, self._context.wrap_socket(raw) as tls:
            connection.sock = tls
            connection.request("POST", f"/{name}", body)
            response = connection.getresponse()
            text = response.read()
        if response.status != http.client.OK:
            raise Refused(f"{response.status}: {text.decode()}")
        succeeded, payload = json.loads(text)
        if not succeeded:
            raise Refused(payload)
        return payload

    def log(self) -> str:
        """What the daemon has logged."""
        return self.machine.check(["cat", LOG]).stdout


def on_all(nodes: Sequence[MachineNode], name: str, arguments: Mapping[str, Sequence[object]]) -> list[object]:
    """Make a call to many nodes at once, each with its own arguments (by the machine's name)."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(lambda node: node.call(name, *arguments[node.machine.name]), nodes))


@contextmanager
def nodes(lab: Lab, machines: Sequence[Machine], daemon: Path = DAEMON) -> Iterator[list[MachineNode]]:
    """Nodes of one cluster in machines that are up; their daemons are not started. They end with the machines."""
    with tempfile.TemporaryDirectory() as directory:
        master = Master(Path(directory), [machine.name for machine in machines])
        yield [MachineNode(lab, machine, master, daemon) for machine in machines]
