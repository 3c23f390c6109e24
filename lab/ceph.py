"""A Ceph cluster of one monitor and one object store in memory, in the network of a lab of machines.

It has no manager daemon, so `ceph df` and the like wait for ever; `rbd` and `ceph osd dump` work. Nobody has to
authenticate. It ends with its lab. It must not know what a machine is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

POOL = "rbd"
_CLIENT = """\
[global]
mon host = v2:{address}:3300,v1:{address}:6789
auth cluster required = none
auth service required = none
auth client required = none
"""
# What a cluster of one computer must be told, since three is what Ceph takes for granted, and where files go.
_DAEMONS = """\
fsid = {fsid}
public addr = {address}
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail warn = 1
mon data avail crit = 0
mon data = {directory}/mon
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
run dir = {directory}
admin socket = {directory}/$name.asok
pid file = {directory}/$name.pid
log file = {directory}/$name.log
mon cluster log file = {directory}/cluster.log
"""

Run = Callable[[Sequence[str]], str]
"""Runs a program of the host, which has to succeed, in the lab's network and returns what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceph:
    """A running cluster with the pool POOL; `client_conf` is for whoever uses it, in the lab's network."""

    client_conf: Path


def start(directory: Path, address: str, run: Run) -> Ceph:
    """Start a cluster at an address of the host in the lab's network, its files in `directory`, which is made.

    Raises:
        LabError: what `run` raises.
    """
    (directory / "mon").mkdir(parents=True)
    (directory / "osd").mkdir()
    fsid = str(uuid.uuid4())
    client, daemons = directory / "client.conf", directory / "ceph.conf"
    client.write_text(_CLIENT.format(address=address))
    daemons.write_text(client.read_text() + _DAEMONS.format(address=address, directory=directory, fsid=fsid))

    def tool(*words: str) -> str:
        return run(["env", f"CEPH_ARGS=--conf {daemons}", *words])

    addresses = f"[v2:{address}:3300,v1:{address}:6789]"
    monmap = str(directory / "monmap")
    tool("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, monmap)
    tool("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
    tool("ceph-mon", "-i", "a")
    number = tool("ceph", "osd", "create").strip()
    tool("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", str(uuid.uuid4()))
    tool("ceph-osd", "-i", number)
    tool("ceph", "osd", "crush", "add", f"osd.{number}", "1.0", "host=lab", "root=default")
    tool("ceph", "osd", "pool", "create", POOL, "8", "8")
    tool("ceph", "osd", "pool", "application", "enable", POOL, "rbd")
    # returns when the store takes images
    tool("rbd", "create", "probe", "--size", "1")
    tool("rbd", "rm", "--no-progress", "probe")
    return Ceph(client_conf=client)
