"""A guest under QEMU's software emulation, for tests of what lies on its disk.

It knows the serial console, the monitor and the power button; it must not know any OS definition, and nothing of the
package: the definitions are tested without the code that calls them.
"""

import json
import os
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATH = "/sbin:/bin:/usr/sbin:/usr/bin"
"""What the node sets for OS scripts."""


class GuestError(AssertionError):
    """The guest did not do what was waited for; the text has the end of its console."""


class EmulatedGuest:
    """A running QEMU process; `console` is all that its serial port has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], monitor: Path) -> None:
        self.console = ""
        self._process = process
        self._monitor = monitor
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        self._output = process.stdout
        self._selector.register(self._output, selectors.EVENT_READ)

    def wait_for(self, pattern: str, timeout_s: float, *, start: int = 0) -> re.Match[str]:
        """Return the first match in the console from the character `start` on.

        Raises:
            GuestError: the guest ended or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while (match := re.compile(pattern).search(self.console, start)) is None:
            if not self._read(deadline - time.monotonic()):
                raise GuestError(f"no {pattern!r} within {timeout_s} s on the console:\n{self.console[-3000:]}")
        return match

    def type_line(self, line: str) -> int:
        """Type a line at the console; return where the console ended before it, for `wait_for`."""
        assert self._process.stdin is not None
        position = len(self.console)
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return position

    def monitor(self, command: str, **arguments: object) -> None:
        """Run a command of the QEMU monitor protocol."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self._monitor))
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.readline()  # the greeting
                for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    self._await_reply(iter(stream.readline, ""))

    def press_power_button(self) -> None:
        self.monitor("system_powerdown")

    def wait_until_off(self, timeout_s: float) -> None:
        """Read the console until QEMU has ended by itself.

        Raises:
            GuestError: it ended with an error, or not in time.
        """
        deadline = time.monotonic() + timeout_s
        while self._read(deadline - time.monotonic()):
            pass
        try:
            status = self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as err:
            raise GuestError(f"still on after {timeout_s} s:\n{self.console[-3000:]}") from err
        assert status == 0

    def _read(self, timeout_s: float) -> bool:
        if timeout_s <= 0 or not self._selector.select(timeout_s):
            return False
        data = os.read(self._output.fileno(), 65536)
        self.console += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    @staticmethod
    def _await_reply(lines: Iterator[str]) -> None:
        for line in lines:
            reply: dict[str, object] = json.loads(line)
            if "error" in reply:
                raise GuestError(str(reply["error"]))
            if "return" in reply:
                return
        raise GuestError("the monitor closed its connection")


@contextmanager
def running_guest(
    disk: Path, directory: Path, *, kernel: Path | None = None, initrd: Path | None = None, memory_mib: int = 96
) -> Iterator[EmulatedGuest]:
    """Start a guest from the disk, with the kernel if there is one, else from its boot loader; kill it at the end.

    The disk has the id `disk0` for the monitor.
    """
    monitor = directory / "monitor.sock"
    monitor.unlink(missing_ok=True)
    command = ["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-m", str(memory_mib), "-nodefaults"]
    command += ["-display", "none", "-serial", "stdio", "-qmp", f"unix:{monitor},server=on,wait=off"]
    command += ["-drive", f"file={disk},format=raw,if=none,id=disk0", "-device", "virtio-blk-pci,drive=disk0"]
    command += ["-nic", "user,model=virtio-net-pci,mac=aa:00:00:11:22:33", "-device", "virtio-balloon-pci"]
    if kernel is not None:
        command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", "root=/dev/vda ro console=ttyS0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield EmulatedGuest(process, monitor)
        finally:
            process.kill()


def run_os_script(
    definition: Path,
    script: str,
    environment: dict[str, str],
    *arguments: str,
    stdin: bytes | None = None,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run an OS script as the node does: nothing but `environment`, in its own directory, nothing to read."""
    return subprocess.run(
        [str(definition / script), *arguments],
        cwd=definition,
        env={"PATH": PATH, "OS_API_VERSION": "20", "DEBUG_LEVEL": "0", **environment},
        input=stdin if stdin is not None else b"",
        capture_output=True,
        pass_fds=pass_fds,
        check=False,
    )
