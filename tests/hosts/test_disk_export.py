"""A disk's content goes to another node by the real ssh, to a real server on a port of its own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.storage_contract import Workbench, file_bench, make, write

from ganeti.actions import blockdev_data
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import CommandError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import DiskType

CLUSTER = "cluster.example.com"
CONTENT = bytes(range(256)) * (3 * MIB // 256)

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host_key
AuthorizedKeysFile {home}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
"""
START = 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$(command -v sshd)" -D -e -f "$1"'
"""The server wants a directory below /run that only its package's unit makes."""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server of our own that knows one user key."""
    runner = SystemRunner()
    for name in ("host_key", "user_key"):
        runner.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    configuration = tmp_path / "sshd_config"
    configuration.write_text(SERVER.format(port=number, home=tmp_path))
    server = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", START, "sh", configuration], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    try:
        said = ""
        while "Server listening" not in said:
            line = server.stderr.readline()
            assert line, f"the server has ended: {said}"
            said += line
        yield number
    finally:
        server.terminate()
        server.communicate()


@pytest.fixture
def agent(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user key, without touching the home directory of whoever runs the tests."""
    address = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
        SystemRunner().check(["ssh-add", "-q", tmp_path / "user_key"])
        yield
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def bench(paths: Paths, clock: FakeClock, port: int, agent: None, tmp_path: Path) -> Workbench:
    """Disks on a node whose cluster has the server's host key and port."""
    node = Node.compose(System(paths=paths, runner=SystemRunner(), clock=clock, hostname="node1.example.com"))
    node.ssconf.write({"ssh_ports": [f"127.0.0.1={port}"], "primary_ip_family": "2"}, clock)
    key = (tmp_path / "host_key.pub").read_text()
    (paths.data_dir / "known_hosts").write_text(f"{CLUSTER} {key}")
    store = tmp_path / "store"
    store.mkdir()
    return file_bench(node, store, DiskType.FILE)


def test_the_content_arrives_and_the_rest_of_the_target_stays(bench: Workbench, tmp_path: Path) -> None:
    disk = make(bench, "one", 3)
    write(bench, disk, CONTENT)
    target = tmp_path / "a target; with 'quotes'"
    target.write_bytes(b"x" * (3 * MIB + 5))
    blockdev_data.export(bench.node, disk, "127.0.0.1", str(target), CLUSTER)
    assert target.read_bytes() == CONTENT + b"xxxxx"


def test_a_target_that_is_not_there_is_an_error_and_is_not_made(bench: Workbench, tmp_path: Path) -> None:
    disk = make(bench, "one", 1)
    with pytest.raises(CommandError, match="No such file"):
        blockdev_data.export(bench.node, disk, "127.0.0.1", str(tmp_path / "none"), CLUSTER)
    assert not (tmp_path / "none").exists()


def test_a_host_with_another_key_gets_nothing(bench: Workbench, tmp_path: Path) -> None:
    disk = make(bench, "one", 1)
    (tmp_path / "target").touch()
    with pytest.raises(CommandError, match="Host key verification failed"):
        blockdev_data.export(bench.node, disk, "127.0.0.1", str(tmp_path / "target"), "other.example.com")
    assert (tmp_path / "target").read_bytes() == b""
