"""A daemon's process below a root of its own, and clients that call it as the packaged master does."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.noded import certificates
from tests.unit.noded.harness import Reply, client, read_reply, request

from ganeti.host import procfs
from ganeti.host.paths import Paths

PROGRAM = Path(sys.executable).parent / "ganeti-noded"
HOSTNAME = "node1.example.com"
PATIENCE_S = 60.0


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Daemon:
    """One virtual node, whose daemon may run or not."""

    paths: Paths
    port: int = field(default_factory=free_port)
    foreground: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def make(cls, directory: Path) -> Daemon:
        """Lay out a node that is member of a cluster and its candidate for master."""
        paths = Paths(root=directory / HOSTNAME, virtual_hostname=HOSTNAME)
        for part in (paths.queue_dir, paths.run_dir, paths.log_dir, paths.lock_dir, paths.conf_dir):
            part.mkdir(parents=True)
        cluster = certificates.issue(certificates.CLUSTER_NAME, 0)
        cluster.write(paths.server_pem)
        own = certificates.issue(HOSTNAME, 1, cluster, serial=1_700_000_000)
        own.write(paths.client_pem)
        paths.candidate_certs.write_text(f"some-uuid={own.digest}\n")
        return cls(paths)

    @property
    def environment(self) -> dict[str, str]:
        """What makes the daemon one of this root."""
        return {**os.environ, "GANETI_ROOTDIR": str(self.paths.root), "GANETI_HOSTNAME": HOSTNAME}

    @property
    def log(self) -> str:
        """The log file's text."""
        return self.paths.noded_log.read_text()

    @property
    def pid(self) -> int:
        """The process in the PID file."""
        return int(self.paths.noded_pid_file.read_text())

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, with exactly these options."""
        return subprocess.run(
            [PROGRAM, *options], env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def start(self, *options: str) -> None:
        """Start the daemon in the background on its port."""
        result = self.run("-p", str(self.port), "-b", "127.0.0.1", *options)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), self.log

    def start_debugging(self) -> None:
        """Start it so that it logs every call, which is how a test sees that one runs."""
        assert self.run("-d", "-p", str(self.port), "-b", "127.0.0.1").returncode == 0

    def start_in_foreground(self, *options: str) -> subprocess.Popen[str]:
        """Start it with -f, and return when it says that it listens."""
        process = subprocess.Popen(
            [PROGRAM, "-f", "-p", str(self.port), "-b", "127.0.0.1", *options],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.foreground.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if "Listening" in line:
                break
        return process

    def connect(self) -> socket.socket:
        """A connection as the master's, with this node's client certificate."""
        context = client(self.paths.client_pem, self.paths.server_pem)
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S))

    def call(self, name: str, *arguments: object) -> Reply:
        """One call on a connection of its own."""
        with self.connect() as connection:
            connection.sendall(request(name, json.dumps(arguments)))
            return read_reply(connection)

    def begin(self, name: str, *arguments: object) -> socket.socket:
        """Send a call and return when its action runs, which the log tells in debug mode."""
        connection = self.connect()
        connection.sendall(request(name, json.dumps(arguments)))
        wait_until(lambda: f"Call {name}:" in self.log)
        return connection

    def signal(self, number: signal.Signals) -> None:
        """Send the process in the PID file a signal and, unless it goes on, wait for its end."""
        pid = self.pid
        os.kill(pid, number)
        if number is not signal.SIGHUP:
            wait_until(lambda: not procfs.is_alive(pid))

    def processes(self) -> list[int]:
        """All processes of this daemon that live."""
        wanted = f"GANETI_ROOTDIR={self.paths.root}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    is_ours = wanted in (entry / "environ").read_bytes()
                except OSError:
                    continue
                if is_ours and procfs.is_alive(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def end(self) -> None:
        """End whatever is left."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for process in self.foreground:
            process.wait(PATIENCE_S)
            assert process.stderr is not None
            process.stderr.close()


def wait_until(is_true: object, patience_s: float = PATIENCE_S) -> None:
    """Look again and again, with pauses, until it is true."""
    assert callable(is_true)
    deadline = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen"
        select.select([], [], [], 0.01)


def status_field(pid: int, name: str) -> str:
    """A line of /proc/PID/status."""
    lines: Sequence[str] = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{name}:"))
