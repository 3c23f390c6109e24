"""What the packaged master's query daemon makes of our daemon's answers about guests."""

import json
from pathlib import Path

import pytest
from lab.cluster import Cluster
from lab.hosts import Host

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ADD = ("gnt-instance", "add", "--no-ip-check", "--no-name-check", "-B", "memory=128M", "-s", "32M", "-t", "file")
VNC = "kvm:vnc_bind_address=127.0.0.1,serial_console=false"


def _consoles(cluster: Cluster) -> list[str]:
    lines = cluster.gnt("gnt-instance", "list", "--no-headers", "--separator=|", "-o", "name,console").stdout
    return sorted(lines.splitlines())


def _sources(node: Host, name: str) -> list[str]:
    trail: list[list[object]] = json.loads(node.run("cat", f"/run/ganeti/instance-reason/{name}").stdout)
    return [str(entry[0]) for entry in trail]


def test_a_console_by_vnc_does_not_hide_the_others(empty_lab: Cluster, our_daemon: Path) -> None:
    """With the packaged daemon the display is a number, and the query daemon drops the node's whole answer."""
    empty_lab.up(1, daemons={"node1": our_daemon})
    empty_lab.gnt(*ADD, "-H", "fake", "-o", "labos+default", "-n", "node1.lab", "inst1.lab")
    empty_lab.gnt(*ADD, "-H", VNC, "-o", "labos+default", "-n", "node1.lab", "inst2.lab")

    message, vnc = _consoles(empty_lab)

    assert "'kind': 'msg'" in message
    assert "'kind': 'vnc'" in vnc
    assert "'display': '5100'" in vnc
    assert _sources(empty_lab.master, "inst1.lab")[-1] == "gnt:daemon:noded:start"
    empty_lab.gnt("gnt-instance", "stop", "--timeout", "0", "inst2.lab")
    assert _sources(empty_lab.master, "inst2.lab")[-1] == "gnt:daemon:noded:shutdown"
