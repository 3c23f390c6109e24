"""A node of its own with real guests under software emulation, for tests of the KVM driver.

The guests boot the lab's kernel, whose initial file system prints what it sees and switches off at the power button.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from lab.diskless import diskless_guest

from ganeti.errors import TimedOut
from ganeti.host.clock import SystemClock, TryAgain, retry
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.hypervisor.drivers.kvm import Kvm
from ganeti.hypervisor.drivers.kvm.parameters import PARAMETERS
from ganeti.hypervisor.parameters import defaults
from ganeti.model.base import Scalar
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.model.instance import AttachedDisk, Instance, MigrationState

BOOT_WITHIN_S = 120.0
MIB = 1024 * 1024


class KvmNode:
    """One node below a root of its own, short enough for the paths of sockets."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root=root, package_dir=root / "usr/lib/ganeti")
        for directory in (
            self.paths.data_dir,
            self.paths.disk_links_dir,
            self.paths.log_dir,
            self.paths.conf_dir,
            self.paths.package_dir,
        ):
            directory.mkdir(parents=True)
        self.system = System(paths=self.paths, hostname=root.name)
        self.driver = Kvm(self.system)

    def disk(self, name: str, index: int = 0, size_mib: int = 16) -> AttachedDisk:
        """An empty disk file with its link."""
        path = self.paths.root / f"{name}-disk{index}"
        path.touch()
        os.truncate(path, size_mib * MIB)
        link = self.paths.disk_link(name, index)
        link.symlink_to(path)
        return AttachedDisk(
            disk=Disk(
                dev_type=DiskType.FILE,
                logical_id=("loop", str(path)),
                size=size_mib,
                uuid=f"0000000{index}-1111-2222-3333-444444444444",
                mode=DiskMode.READ_WRITE,
            ),
            link=str(link),
        )

    def end(self) -> None:
        """End all guests, whatever state they are in, and the driver."""
        for name in self.driver.list_instances():
            self.driver.stop(guest(name), force=True)
        self.driver.close()


@contextmanager
def kvm_nodes(count: int = 1) -> Iterator[list[KvmNode]]:
    """Nodes on one machine, gone with their guests at the end."""
    directory = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    nodes = [KvmNode(directory / name) for name in "abc"[:count]]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.end()
        shutil.rmtree(directory)


def guest(name: str = "g1.test", memory_mib: int = 96, **hvparams: Scalar) -> Instance:
    """A small guest that boots without a disk unless `hvparams` say otherwise."""
    boot = diskless_guest()
    base = defaults(PARAMETERS) | {
        "kvm_path": "/usr/bin/qemu-system-x86_64",
        "kvm_flag": "disabled",
        "kernel_path": str(boot.kernel),
        "initrd_path": str(boot.initrd),
        "migration_bandwidth": 1000,
        "migration_downtime": 2000,
        "migration_port": free_port(),
    }
    return Instance(
        name=name,
        uuid="f5d1c1a2-0c5e-4b61-9e3a-6f6a4c1f2b10",
        hypervisor="kvm",
        hvparams=base | hvparams,
        beparams={"maxmem": memory_mib, "minmem": memory_mib, "vcpus": 1},
    )


def changed(instance: Instance, **hvparams: Scalar) -> Instance:
    """The same guest with other parameters."""
    return msgspec.structs.replace(instance, hvparams=instance.hvparams | hvparams)


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Console:
    """What a guest prints on its serial line; connected before the guest runs, nothing is missed."""

    def __init__(self, path: Path) -> None:
        self.text = ""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def wait_for(self, text: str, timeout_s: float = BOOT_WITHIN_S) -> str:
        """Read until `text` was printed after the last call; return what came before it."""
        self._socket.settimeout(timeout_s)
        seen = len(self.text)
        while text not in self.text[seen:]:
            data = self._socket.recv(65536)
            assert data, f"the guest ended without printing {text!r}:\n{self.text[-2000:]}"
            self.text += data.decode("utf-8", "replace")
        return self.text[seen:]

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()


@contextmanager
def booted(node: KvmNode, instance: Instance, disks: tuple[AttachedDisk, ...] = ()) -> Iterator[Console]:
    """Start a guest and follow its console until it is up."""
    node.driver.start(instance, disks, startup_paused=True)
    with Console(node.driver.layout.guest(instance.name).serial) as console:
        node.driver.hub.execute(instance.name, "cont")
        console.wait_for("LAB-TICK")  # by now it listens to the power button
        yield console


def eventually(condition: object, what: str, timeout_s: float = BOOT_WITHIN_S) -> None:
    """Wait until a function says true. Raises: TimedOut."""
    assert callable(condition)

    def attempt() -> None:
        if not condition():
            raise TryAgain

    try:
        retry(SystemClock(), attempt, delay_s=0.02, timeout_s=timeout_s, factor=1.3, longest_s=0.2)
    except TimedOut:
        raise TimedOut(f"not within {timeout_s} s: {what}") from None


def wait_until_sent(node: KvmNode, instance: Instance) -> MigrationState:
    """How a migration ended on its source."""
    active = (MigrationState.ACTIVE, MigrationState.POSTCOPY_ACTIVE)
    eventually(lambda: node.driver.migration_status(instance).status not in active, "the migration is over", 120)
    status = node.driver.migration_status(instance)
    if status.status is MigrationState.COMPLETED:
        assert status.transferred_ram
        assert status.total_ram
    return status.status
