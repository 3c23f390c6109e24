"""A GlusterFS server on a throw-away host of its own: its daemons, files and mounts all end with the host.

It must not know what its volumes are used for. Facts of GlusterFS 10.3: a brick cannot be on a loopback address; one on
the root's file system has to be forced; QEMU's driver takes 10 s to let go of a volume.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import hosts
from lab.hosts import Host, Switch
from lab.processes import Result, run

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv/bin/python"
OWN_PATHS = (Path("/var/lib/glusterd"), Path("/var/log/glusterfs"))
NUMBER = 200
"""In the network of a lab; nodes of clusters have low ones."""
SERVER_VARIABLE = "GLUSTER_SERVER"
"""Where a test inside finds the server's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlusterHost:
    """A host that serves volumes and can mount them."""

    host: Host
    address: str

    def make_volume(self, name: str) -> None:
        """Make and start a volume of one brick. Raises: LabError."""
        brick = self.host.directory / "bricks" / name
        brick.mkdir(parents=True)
        self.run(["gluster", "--mode=script", "volume", "create", name, f"{self.address}:{brick}", "force"])
        self.run(["gluster", "--mode=script", "volume", "start", name])

    def run(self, argv: Sequence[str], *, timeout_s: float = 120.0) -> Result:
        """Run a program on the host. Raises: LabError."""
        return self.host.run(*argv, timeout_s=timeout_s)

    def pytest(self, path: str, *options: str, timeout_s: float = 900.0) -> str:
        """Run tests of the checkout on the host; return the last line of their report. Raises: LabError with all."""
        argv = ["env", f"--chdir={ROOT}", f"{SERVER_VARIABLE}={self.address}", str(PYTHON), "-P", "-m", "pytest"]
        report = self.run([*argv, "-q", "-p", "no:cacheprovider", path, *options], timeout_s=timeout_s).stdout
        return report.strip().splitlines()[-1]


@contextlib.contextmanager
def gluster(directory: Path, *volumes: str, switch: Switch | None = None) -> Iterator[GlusterHost]:
    """Give a server with volumes that are started; `directory`, which must not exist, is gone at the end.

    With `switch` it is in the network of another lab, else in one of its own. Raises: LabError.
    """
    with contextlib.ExitStack() as stack:
        if switch is None:
            switch = Switch(lab=f"g{os.getpid()}")
            switch.up()
            stack.callback(switch.down)
        host = Host(switch=switch, directory=directory, name="g1", number=NUMBER)
        address = f"{hosts.NETWORK}.{NUMBER}"
        host.create(own=OWN_PATHS, hosts_file=f"127.0.0.1 localhost\n{address} {host.fqdn} g1\n")
        stack.callback(host.remove)
        # every host runs an ssh daemon, which wants keys
        run(["ssh-keygen", "-A", "-f", str(host.path("/"))])
        host.boot()
        # tests that change the machine they run on run only where this file is
        host.run("touch", "/run/lab-machine")
        host.run("glusterd")
        made = GlusterHost(host=host, address=address)
        for volume in volumes:
            made.make_volume(volume)
        yield made
