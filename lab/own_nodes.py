"""Nodes of our own for the demo and host tests: network namespaces, each with a daemon and its operator's door.

No master and no packaged daemon is needed. Each node lives below a root directory of its own; nodes of one `Nodes` are
joined by a bridge, trust each other by certificates and share one directory for disks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
KERNEL = ROOT / "build" / "guest-kernel"
TICK = re.compile(r"GUEST-TICK uptime=(?P<uptime>[\d.]+) mem=(?P<mem>\d+) disk0=(?P<disk>\d+) nics=")
STEP_LIMIT_S = 90.0


class Failure(Exception):
    """A program failed or something awaited did not come; the text has its output."""


def run(*argv: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a program that has to succeed and return what it printed. Raises: Failure."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def guest_kernel() -> None:
    """Make the kernel and initrd of the busybox definition unless they are there. Raises: Failure."""
    if not (KERNEL / "initrd").exists():
        KERNEL.mkdir(parents=True, exist_ok=True)
        run(ROOT / "os/busybox/make-kernel", KERNEL)


class Console:
    """The guest's serial console; what was read is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""
        self._socket: socket.socket | None = None

    def read_until(self, found: Callable[[str], re.Match[str] | None], limit_s: float) -> re.Match[str]:
        """Read until `found` likes the text from here on."""
        start, deadline = len(self.text), time.monotonic() + limit_s
        while (match := found(self.text[start:])) is None:
            if time.monotonic() > deadline:
                raise Failure(f"the console did not say what was awaited; its last words:\n{self.text[-2000:]}")
            self._read_some()
        return match

    def close(self) -> None:
        """Let another reader have the console."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read_some(self) -> None:
        if self._socket is None:
            candidate = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                candidate.connect(str(self.path))
            except (FileNotFoundError, ConnectionRefusedError):
                candidate.close()
                time.sleep(0.02)
                return
            candidate.settimeout(0.5)
            self._socket = candidate
        with contextlib.suppress(TimeoutError):
            data = self._socket.recv(65536)
            self.text += data.decode(errors="replace")
            if not data:
                self.close()
                time.sleep(0.05)


class OwnNode:
    """One node: a network namespace, a root directory and a node daemon."""

    def __init__(self, directory: Path, name: str, address: str) -> None:
        self.name = name
        self.root = directory / name
        self.address = address
        self.namespace = f"{directory.name}-{name}"
        self.env = {"GANETI_ROOTDIR": str(self.root), "GANETI_HOSTNAME": name}
        self.run_dir = self.root / "var/run/ganeti"
        self.pid_file = self.run_dir / "ganeti-noded.pid"

    def serial(self, guest: str) -> Path:
        """Socket of a guest's serial console."""
        return self.run_dir / "kvm-hypervisor/ctrl" / f"{guest}.serial"

    def guest_pid(self, guest: str) -> int:
        """Process of a guest."""
        return int((self.run_dir / "kvm-hypervisor/pid" / guest).read_text())

    def inside(self, *argv: str | Path) -> str:
        """Run a program in the node's network and below its root. Raises: Failure."""
        return run("ip", "netns", "exec", self.namespace, *argv, env=self.env)

    def command(self, *arguments: str) -> str:
        """Run ganeti-node for this node. Raises: Failure."""
        return self.inside(BIN / "ganeti-node", *arguments)

    def ask(self, *arguments: str) -> dict[str, object]:
        """Run ganeti-node and read the JSON object it prints. Raises: Failure."""
        answer: dict[str, object] = json.loads(self.command("--json", *arguments))
        return answer

    def guests(self) -> list[str]:
        """Names of the guests the node lists."""
        return [guest["name"] for guest in json.loads(self.command("--json", "list"))]

    def connect(self) -> None:
        """Make the namespace and its bridge."""
        self.root.mkdir()
        run("ip", "netns", "add", self.namespace)
        for words in (
            "link set lo up",
            "link add br0 type bridge",
            f"addr add {self.address}/24 dev br0",
            "link set br0 up",
        ):
            self.inside("ip", *words.split())

    def start(self) -> None:
        """Start the daemon; it returns when it can be asked. Raises: Failure."""
        self.inside(BIN / "ganeti-noded", "--operator")

    def daemon_pid(self) -> int:
        """Process whose number is in the daemon's PID file."""
        return int(self.pid_file.read_text())

    def daemon_is_up(self) -> bool:
        """Whether the daemon of the PID file is there."""
        return self.pid_file.exists() and Path(f"/proc/{self.pid_file.read_text().strip()}").exists()

    def answers_ping(self, address: str, limit_s: float = STEP_LIMIT_S) -> bool:
        """Whether something at `address` answers on this node's network."""
        argv = ["ip", "netns", "exec", self.namespace, "busybox", "ping", "-c", "1", "-W", "1", address]
        deadline = time.monotonic() + limit_s
        while subprocess.run(argv, capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                return False
        return True

    def stop(self) -> None:
        """End the guests and the daemon of this node, and its namespace."""
        for pid_file in [*(self.run_dir / "kvm-hypervisor/pid").glob("*"), self.pid_file]:
            with contextlib.suppress(OSError, ValueError):
                end(int(pid_file.read_text()))
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)


def end(pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to a process of these nodes and wait until it is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, number)
        select.select([descriptor], [], [], 30)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def two_nodes(*, keep: bool = False) -> Iterator[tuple[OwnNode, OwnNode]]:
    """Two nodes on one network with their daemons running, gone at the end."""
    # A short path: a Unix socket's may have 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="gd", dir="/tmp"))
    directory.chmod(0o755)
    alpha, beta = OwnNode(directory, "alpha", "10.77.0.1"), OwnNode(directory, "beta", "10.77.0.2")
    try:
        for node in (alpha, beta):
            node.connect()
        run(
            *("ip", "link", "add", "uplink", "netns", alpha.namespace, "type", "veth"),
            *("peer", "name", "uplink", "netns", beta.namespace),
        )
        for node in (alpha, beta):
            node.inside("ip", "link", "set", "uplink", "master", "br0", "up")
        set_up(alpha, beta)
        yield alpha, beta
    finally:
        if keep:
            print(f"left running below {directory}; their networks: {alpha.namespace}, {beta.namespace}")
        else:
            for node in (alpha, beta):
                node.stop()
            shutil.rmtree(directory, ignore_errors=True)


def set_up(alpha: OwnNode, beta: OwnNode) -> None:
    """Set both machines up as nodes that trust each other, and start their daemons."""
    shared = alpha.root.parent / "shared"
    parameters = {
        "kernel_path": str(KERNEL / "vmlinuz"),
        "initrd_path": str(KERNEL / "initrd"),
        "root_path": "/dev/vda",
        "migration_downtime": "300",
    }
    options = [word for item in parameters.items() for word in ("-H", "=".join(item))]
    digest = alpha.command("init", "--shared-storage-dir", str(shared), *options)
    cluster = str(alpha.root / "var/lib/ganeti/server.pem")
    beta.command("init", "--shared-storage-dir", str(shared), "--cluster-pem", cluster, *options)
    beta.command("trust", "alpha", digest)
    alpha.start()
    beta.start()


def tick(console: Console, accept: Callable[[re.Match[str]], bool] = lambda _: True) -> re.Match[str]:
    """The next sign of life of a busybox guest that is accepted. Raises: Failure."""

    def find(text: str) -> re.Match[str] | None:
        return next((match for match in TICK.finditer(text) if accept(match)), None)

    return console.read_until(find, STEP_LIMIT_S)
