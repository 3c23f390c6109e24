"""Virtual machines with Debian's kernel on the host's own files, for what the host's kernel may lack: LVM, DRBD, rbd.

    with machines.lab("lvm") as lab:
        n1, n2 = lab.up("n1", "n2", disks=2)
        n1.check(["pvcreate", "/dev/vda"])

A machine sees the host's root read-only with a tmpfs over it: programs, Python and this checkout are at the same paths,
and what it writes elsewhere than on its disks is gone when it stops. Everything of a lab runs in one network namespace
and lies in one directory of the same name; both end with the `with` block or with the process, however that ends.
It must not know what machines are used for. docs/lab.md has the facts a user needs.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab import ceph, machine_qemu, processes
from lab.ceph import Ceph
from lab.machine import agent
from lab.machine_agent import Command, Completed, Failure
from lab.machine_kernel import MachineKernel, machine_kernel
from lab.machine_network import LARGEST_NUMBER, MachineNetwork, Port
from lab.machine_qemu import Hardware

__all__ = ["Command", "Completed", "Failure", "Hardware", "Lab", "Machine", "lab"]

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv/bin/python"
BOOT_LIMIT_S = 180.0
_STOP_LIMIT_S = 60.0
_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_KEEPER = Path(__file__).with_name("machine_keeper.py")


@contextlib.contextmanager
def lab(name: str) -> Iterator[Lab]:
    """Give an empty lab; at the end it is removed with all its machines.

    Raises:
        LabError: something cannot be made or removed.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"lab-{_valid(name)}-{os.getpid()}-"))
    # A session of its own: a signal to this process's group must not end it.
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_KEEPER), str(directory)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        text=True,
        start_new_session=True,
    )
    made = Lab(directory)
    try:
        made.network.make()
        yield made
    finally:
        # a word, since a process forked from this one meanwhile may hold the pipe open
        _, complaints = keeper.communicate("end\n")
        made.forget()
        if keeper.returncode != 0:
            raise Failure(f"the lab in {directory} could not be removed: {complaints}")


class Lab:
    """The machines of one lab and the network between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.network = MachineNetwork(namespace=directory.name)
        self._machines: dict[str, Machine] = {}
        self._files = directory / "files"
        self._files.mkdir()

    @property
    def namespace(self) -> str:
        """Name of the network namespace."""
        return self.network.namespace

    def up(
        self,
        *names: str,
        disks: int = 0,
        size_mib: int = 1024,
        memory_mib: int = 512,
        cpus: int = 1,
        udev: bool = False,
    ) -> tuple[Machine, ...]:
        """Boot machines together; returns when they take commands.

        One that was there before comes back with its address and its disks as they are.

        Raises:
            Failure: one is up already, or does not come up.
            LabError: the kernel cannot be made.
        """
        hardware = Hardware(disks=disks, size_mib=size_mib, memory_mib=memory_mib, cpus=cpus, udev=udev)
        return self.boot(dict.fromkeys(names, hardware))

    def boot(self, wanted: Mapping[str, Hardware]) -> tuple[Machine, ...]:
        """Boot machines that may differ, together, as `up` does. Raises: Failure."""
        machines = tuple(self._machine(_valid(name)) for name in wanted)
        kernel = machine_kernel()
        lines = ["127.0.0.1 localhost", *(f"{m.lan} {m.name}.lab {m.name}" for m in self._machines.values())]
        self.place("/etc/hosts", "".join(f"{line}\n" for line in lines))
        with self.network.listen() as listener:
            for machine in machines:
                machine.boot(kernel, wanted[machine.name], self._files, listener.getsockname()[1])
            self._await(listener, machines)
        return machines

    def place(self, path: str, text: str) -> None:
        """Write a file of this path in every machine, those that are up and those that will be. Raises: Failure."""
        own = self._files / Path(path).relative_to("/")
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(text)
        for machine in self._machines.values():
            if machine.is_up():
                machine.check(
                    ["/bin/busybox", "sh", "-c", '/bin/busybox mkdir -p "${0%/*}" && cat >"$0"', path],
                    stdin=text.encode(),
                )

    def execute(
        self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 120.0, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run a program of the host in the machines' network; a daemon it leaves ends with the lab.

        Raises:
            LabError: it did not end in time.
        """
        done = processes.run(self.network.inside(argv), stdin=stdin, timeout_s=timeout_s, env=env, check=False)
        return Completed(argv=tuple(argv), returncode=done.status, stdout=done.stdout, stderr=done.stderr)

    def ceph(self) -> Ceph:
        """Start a Ceph cluster, which machines find by /etc/ceph/ceph.conf; once per lab.

        Raises:
            LabError: a program of it failed.
        """

        def run(argv: Sequence[str]) -> str:
            return self.execute(argv).raise_if_failed("the host").stdout

        started = ceph.start(self.directory / "ceph", self.network.lan_host, run)
        self.place("/etc/ceph/ceph.conf", started.client_conf.read_text())
        return started

    def machines(self) -> tuple[Machine, ...]:
        """Return the machines there are, up or not."""
        return tuple(self._machines.values())

    def forget(self) -> None:
        """Take notice that the machines were ended by somebody else."""
        for machine in self._machines.values():
            machine.power_off()

    def _machine(self, name: str) -> Machine:
        if name not in self._machines:
            number = len(self._machines) + 1
            if number > LARGEST_NUMBER:
                raise Failure("there are too many machines")
            self._machines[name] = Machine(name, self.directory / "machines" / name, self.network, Port(number=number))
        return self._machines[name]

    def _await(self, listener: socket.socket, machines: Sequence[Machine]) -> None:
        """Wait until every machine has said that it is there."""
        missing = {machine.ctl: machine for machine in machines}
        deadline = time.monotonic() + BOOT_LIMIT_S
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(listener, selectors.EVENT_READ)
            for machine in machines:
                descriptor = stack.enter_context(machine.watched())
                selector.register(descriptor, selectors.EVENT_READ, machine)
            while missing:
                events = selector.select(max(0.0, deadline - time.monotonic()))
                ended = [key.data for key, _ in events if key.data is not None]
                if ended or not events:
                    late = ended or list(missing.values())
                    raise Failure("\n".join(f"{machine.name} did not come up:\n{machine.log()}" for machine in late))
                connection, (address, _) = listener.accept()
                connection.close()
                del missing[address]


class Machine:
    """One machine: `lan` is its address on eth0, which may be cut, `ctl` that on ctl0, which is not."""

    def __init__(self, name: str, home: Path, network: MachineNetwork, port: Port) -> None:
        self.name = name
        self.lan = port.lan
        self.ctl = port.ctl
        self._home = home
        self._network = network
        self._port = port
        self._is_plugged = False
        self._qemu: subprocess.Popen[bytes] | None = None
        self._commands: weakref.WeakSet[Command] = weakref.WeakSet()

    # ---- power

    def boot(self, kernel: MachineKernel, hardware: Hardware, files: Path, port: int) -> None:
        """Switch it on; it tells port `port` of the host when it is there. `files` are laid over its root.

        Raises:
            Failure: it is up.
        """
        if self.is_up():
            raise Failure(f"{self.name} is up already")
        self._home.mkdir(parents=True, exist_ok=True)
        for number in range(hardware.disks):
            disk = self._home / f"disk{number}"
            if not disk.exists():
                with disk.open("wb") as file:
                    file.truncate(hardware.size_mib << 20)
        values: dict[str, str | Path] = {
            "name": self.name,
            "checkout": ROOT,
            "modules": kernel.modules,
            "files": files,
            "python": Path(sys.executable).resolve(),
            "udev": "1" if hardware.udev else "",
            "lan": self.lan,
            "lan_mac": self._port.mac("lan"),
            "ctl": self.ctl,
            "ctl_mac": self._port.mac("ctl"),
            "host": self._network.ctl_host,
            "port": str(port),
        }
        (self._home / "boot").write_text(machine_qemu.settings(values))
        self._unplug()
        self._network.add(self._port)
        self._is_plugged = True
        argv = machine_qemu.command(self.name, self._home, self._port, hardware, kernel)
        with (self._home / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                self._network.inside(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )

    def stop(self, *, hard: bool = False) -> None:
        """Switch it off, or with `hard` cut its power; its disks and its address stay for the next `up`.

        Raises:
            Failure: it is not up.
        """
        qemu = self._running()
        if not hard:
            self.run(["/bin/busybox", "sync"])
            off = self.start(["/bin/busybox", "poweroff", "-f"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                qemu.wait(_STOP_LIMIT_S)
            off.kill()
        self.power_off()
        self._unplug()

    def power_off(self) -> None:
        """End its QEMU and what waits for it; nothing happens when it is not up."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
        for command in list(self._commands):
            command.kill()

    def is_up(self) -> bool:
        return self._qemu is not None and self._qemu.poll() is None

    @contextlib.contextmanager
    def watched(self) -> Iterator[int]:
        """Give a descriptor that becomes readable when its QEMU ends. Raises: Failure when it is not up."""
        descriptor = os.pidfd_open(self._running().pid)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def log(self) -> str:
        """The end of what QEMU and the machine's console said."""
        texts = [(self._home / name) for name in ("qemu.log", "console")]
        return "".join(text.read_text(errors="replace") for text in texts if text.exists())[-4000:]

    # ---- network

    def cut(self) -> None:
        """Lose every packet of eth0 from now on, both ways; the machine is not told."""
        self._network.set_lan(self._port, up=False)

    def join(self) -> None:
        """Let eth0's packets through again."""
        self._network.set_lan(self._port, up=True)

    # ---- use

    def start(
        self, argv: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: str = "/"
    ) -> Command:
        """Start a command and leave it running. Raises: Failure when the machine is not up."""
        self._running()
        try:
            connection = self._network.connect(self.ctl, agent.PORT)
        except OSError as err:
            raise Failure(f"{self.name} takes no commands ({err}):\n{self.log()}") from err
        command = Command.begin(self.name, connection, argv, stdin=stdin, env=env, cwd=cwd)
        self._commands.add(command)
        return command

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 120.0,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Completed:
        """Run a command to its end, whatever its status. Raises: Failure when it does not end in time."""
        return self.start(argv, stdin=stdin, env=env, cwd=cwd).wait(timeout_s)

    def check(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 120.0,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Completed:
        """Run a command that has to succeed. Raises: Failure with its output."""
        return self.run(argv, stdin=stdin, timeout_s=timeout_s, env=env, cwd=cwd).raise_if_failed(self.name)

    def pytest(self, path: str, *options: str, timeout_s: float = 900.0, env: Mapping[str, str] | None = None) -> int:
        """Run tests of the checkout inside; returns how many passed.

        Raises:
            Failure: one failed or was skipped, or there was none; the text is pytest's output.
        """
        argv = [
            str(PYTHON),
            "-P",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "pytest_timeout",
            path,
            *options,
        ]
        # looking for plugins reads a file of every package, which takes seconds over 9p
        environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(env or {})}
        done = self.check(argv, timeout_s=timeout_s, env=environment, cwd=str(ROOT))
        *_, summary = done.stdout.strip().splitlines() or [""]
        count = passed(summary)
        if count == 0:
            raise Failure(f"{self.name}: not all of {path} ran and passed:\n{done.stdout}{done.stderr}")
        return count

    def _unplug(self) -> None:
        if self._is_plugged:
            self._network.remove(self._port)
            self._is_plugged = False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._qemu is None or self._qemu.poll() is not None:
            raise Failure(f"{self.name} is not up")
        return self._qemu


def passed(summary: str) -> int:
    """Return how many tests passed by pytest's last line; 0 when one was left out."""
    found = re.search(r"\b(\d+) passed\b", summary)
    return 0 if found is None or "skipped" in summary else int(found[1])


def _valid(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Failure(f"{name!r} is no name: a letter, then up to 14 letters, digits and dashes")
    return name
