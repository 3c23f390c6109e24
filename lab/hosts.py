"""Throw-away hosts on one machine: each has its own processes, network, host name and its own files at a few paths.

A host is a tree of Linux namespaces that hangs on one process, `host-init`: when it ends, the kernel ends and frees
everything in there. Only the switch between the hosts of a lab has a name (`ip netns`). Everything else of the machine
(programs, /tmp) is shared. It must not know what the hosts are used for.
"""

import contextlib
import os
import re
import selectors
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.processes import LabError, Process, Result, run

# Labs do not see each other, so all of them use the same addresses.
NETWORK = "10.99.0"
DOMAIN = "lab"
# Paths where every host has files of its own.
OWN_PATHS = (Path("/run"), Path("/etc/ssh"), Path("/root/.ssh"))
BOOT_TIMEOUT_S = 30.0
_INIT = Path(__file__).with_name("host-init")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,10}")


def valid_name(name: str) -> str:
    """Return `name` if it can be part of namespace, device and host names, else raise LabError."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is no name: a letter, then up to 10 letters, digits and dashes")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The network between the hosts of one lab: a namespace with one bridge, and nothing of the machine's network."""

    lab: str

    @property
    def namespace(self) -> str:
        return f"lab-{self.lab}"

    def exists(self) -> bool:
        return Path("/run/netns", self.namespace).exists()

    def up(self) -> None:
        """Make it.

        Raises:
            LabError: a lab of this name is there already.
        """
        if self.exists():
            raise LabError(f"a lab named {self.lab} is there already (network namespace {self.namespace})")
        run(["ip", "netns", "add", self.namespace])
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "br0", "type", "bridge")
        self._ip("link", "set", "br0", "up")

    def down(self) -> None:
        """Drop it; nothing happens when there is none."""
        if self.exists():
            run(["ip", "netns", "del", self.namespace])

    def plug(self, host: str, pid: int, number: int) -> None:
        """Give the network namespace of process `pid` an eth0 at this switch, and a bridge br0 for guests."""
        port = f"p-{host}"
        # the kernel drops the old cable some time after the host it led to
        run(["ip", "-n", self.namespace, "link", "del", port], check=False)
        self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._ip("link", "set", port, "master", "br0", "up")
        commands = (
            "link set lo up",
            "link set eth0 up",
            f"addr add {NETWORK}.{number}/24 dev eth0",
            "link add br0 type bridge",
            "link set br0 up",
        )
        run(["nsenter", "--target", str(pid), "--net", "--", "ip", "-batch", "-"], stdin="\n".join(commands) + "\n")

    def _ip(self, *arguments: str) -> None:
        run(["ip", "-n", self.namespace, *arguments])


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, `name`.lab at address NETWORK.`number`; all its files lie under `directory`."""

    switch: Switch
    directory: Path
    name: str
    number: int

    @property
    def fqdn(self) -> str:
        return f"{self.name}.{DOMAIN}"

    def path(self, inside: str | Path) -> Path:
        """Where a file of one of the host's own paths lies on the machine."""
        return self.directory / "files" / Path(inside).relative_to("/")

    # ---- life

    def create(self, *, own: Sequence[Path] = (), hosts_file: str) -> None:
        """Lay out the files of a new host; `own` are further paths where it has its own (empty) folders."""
        self.directory.mkdir(parents=True)
        for inside in (*OWN_PATHS, *own):
            self.path(inside).mkdir(parents=True)
            self._add_mount(self.path(inside), inside)
        self.path("/root/.ssh").chmod(0o700)
        shutil.copytree(
            "/etc/ssh", self.path("/etc/ssh"), dirs_exist_ok=True, ignore=shutil.ignore_patterns("ssh_host_*")
        )
        self.path("/etc/hosts").write_text(hosts_file)
        self._add_mount(self.path("/etc/hosts"), Path("/etc/hosts"))

    def boot(self) -> None:
        """Start the host with its files as they are, /run empty; returns when it runs its ssh daemon."""
        if self.is_up():
            raise LabError(f"{self.name} is up already")
        shutil.rmtree(self.path("/run"))
        self.path("/run").mkdir()
        with (self.directory / "log").open("ab") as log:
            # --fork: the host must be no child of this process, which may end before it
            starter = subprocess.Popen(
                ["setsid", "--fork", str(_INIT), str(self.directory), self.fqdn],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
            )
        with starter:
            assert starter.stdin is not None
            assert starter.stdout is not None
            answers = _Lines(starter.stdout, f"{self.name} did not come up; see {self.directory / 'log'}")
            outer = Process.of(int(answers.next()))
            self._outer_file.write_text(str(outer))
            answers.expect("made")
            (inner,) = outer.children()
            self._init_file.write_text(str(Process.of(inner)))
            self.switch.plug(self.name, inner, self.number)
            starter.stdin.write(b"go\n")
            starter.stdin.close()
            answers.expect("ready")

    def crash(self) -> None:
        """End every process of the host at once, as a loss of power does; nothing happens when it is down."""
        # the first process of a pid namespace takes all others with it
        for file in (self._init_file, self._outer_file):
            if file.exists():
                Process.parse(file.read_text()).kill()
                file.unlink()

    def remove(self) -> None:
        """End the host and drop its files."""
        self.crash()
        shutil.rmtree(self.directory)

    def init(self) -> Process | None:
        """Return the host's first process as the machine sees it, None when the host is down."""
        with contextlib.suppress(FileNotFoundError):
            process = Process.parse(self._init_file.read_text())
            if process.is_alive():
                return process
        return None

    def is_up(self) -> bool:
        return self.init() is not None

    # ---- use

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line which runs `argv` inside the host as root.

        Raises:
            LabError: the host is down.
        """
        process = self.init()
        if process is None:
            raise LabError(f"{self.name} is down")
        enter = ["nsenter", "--target", str(process.pid), "--mount", "--uts", "--ipc", "--net", "--pid"]
        return [*enter, "--", "env", "--chdir=/", "HOME=/root", *argv]

    def run(self, *argv: str, stdin: str = "", timeout_s: float = 300.0, check: bool = True) -> Result:
        """Run a program inside the host to its end; errors as `processes.run`."""
        return run(self.command(argv), stdin=stdin, timeout_s=timeout_s, check=check)

    def sh(self, line: str, *, timeout_s: float = 300.0, check: bool = True) -> Result:
        """Run a shell line inside the host."""
        return self.run("bash", "-c", line, timeout_s=timeout_s, check=check)

    def bind(self, source: Path, target: Path) -> None:
        """Lay `source`, a file or folder of the machine, over `target` inside the host, now and at every boot."""
        self._add_mount(source, target)
        if self.is_up():
            self.run("mount", "--bind", str(source), str(target))

    def unbind(self, target: Path) -> None:
        """Uncover what `bind` laid over `target`; nothing happens when nothing is there."""
        rest = [mount for mount in self._mounts() if mount[1] != target]
        removed = len(self._mounts()) - len(rest)
        if self.is_up():
            for _ in range(removed):
                self.run("umount", str(target))
        self._write_mounts(rest)

    # ---- files of the lab about the host

    @property
    def _init_file(self) -> Path:
        return self.directory / "init"

    @property
    def _outer_file(self) -> Path:
        return self.directory / "outer"

    def _mounts(self) -> list[tuple[Path, Path]]:
        lines = (self.directory / "mounts").read_text().splitlines() if (self.directory / "mounts").exists() else []
        pairs = [line.split("\t") for line in lines]
        return [(Path(source), Path(target)) for source, target in pairs]

    def _write_mounts(self, mounts: Sequence[tuple[Path, Path]]) -> None:
        (self.directory / "mounts").write_text("".join(f"{source}\t{target}\n" for source, target in mounts))

    def _add_mount(self, source: Path, target: Path) -> None:
        self._write_mounts([*self._mounts(), (source, target)])


class _Lines:
    """What `host-init` says, line by line, with a deadline for each."""

    def __init__(self, stream: IO[bytes], complaint: str) -> None:
        self._descriptor = stream.fileno()
        self._complaint = complaint
        self._pending = b""

    def next(self) -> str:
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                piece = os.read(self._descriptor, 4096) if selector.select(BOOT_TIMEOUT_S) else b""
                if not piece:
                    raise LabError(self._complaint)
                self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def expect(self, word: str) -> None:
        if self.next() != word:
            raise LabError(self._complaint)
