"""The lab itself: the packaged cluster comes up, hosts survive a loss of power, and nothing is left behind."""

import contextlib
import os
from pathlib import Path

import pytest
from lab.cluster import DATA_DIR, Cluster
from lab.processes import LabError, run
from lab.recorder import Recorder

pytestmark = pytest.mark.lab


def _pid_namespaces(cluster: Cluster) -> set[str]:
    inits = [node.init() for node in cluster.nodes()]
    return {str(Path(f"/proc/{init.pid}/ns/pid").readlink()) for init in inits if init is not None}


def _processes_in(namespaces: set[str]) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # a process may end while it is looked at, and the machine's first one may hide even from root
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if str((process / "ns" / "pid").readlink()) in namespaces:
                found.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return found


def _leftovers(cluster: Cluster, namespaces: set[str]) -> list[str]:
    directory = str(cluster.directory)
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if directory in line]
    networks = [line for line in run(["ip", "netns", "list"]).stdout.splitlines() if cluster.switch.namespace in line]
    files = [directory] if cluster.directory.exists() else []
    return [*_processes_in(namespaces), *mounts, *networks, *files]


def test_the_packaged_cluster_knows_its_nodes_and_leaves_nothing_behind(empty_lab: Cluster) -> None:
    empty_lab.up(3)
    listed = empty_lab.gnt("gnt-node", "list", "--no-headers", "-o", "name,role").stdout.split()
    namespaces = _pid_namespaces(empty_lab)
    assert len(namespaces) == 3
    assert _processes_in(namespaces)

    empty_lab.down()

    assert listed == ["node1.lab", "M", "node2.lab", "C", "node3.lab", "C"]
    assert _leftovers(empty_lab, namespaces) == []


def test_a_lab_that_came_up_half_way_leaves_nothing_behind(empty_lab: Cluster, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not executable"):
        empty_lab.make_nodes(2, daemons={"node2": tmp_path / "missing"})
    namespaces = _pid_namespaces(empty_lab)
    assert len(namespaces) == 1

    empty_lab.down()

    assert _leftovers(empty_lab, namespaces) == []


def test_a_crashed_host_comes_back_with_its_disks_and_without_its_processes(empty_lab: Cluster) -> None:
    empty_lab.make_nodes(1)
    host = empty_lab.master
    host.sh(f"echo kept >{DATA_DIR}/file; echo lost >/run/file; sleep 1000 >/dev/null 2>&1 &")
    namespaces = _pid_namespaces(empty_lab)

    host.crash()
    assert not host.is_up()
    assert _processes_in(namespaces) == []
    host.boot()

    assert host.sh(f"cat {DATA_DIR}/file; cat /run/file", check=False).stdout == "kept\n"
    assert host.run("hostname").stdout == "node1.lab\n"


def test_two_labs_of_different_names_do_not_meet(empty_lab: Cluster, tmp_path: Path) -> None:
    other = Cluster(f"o{os.getpid()}", tmp_path)
    try:
        empty_lab.make_nodes(1)
        other.make_nodes(2)
        reached = [
            lab.master.run("arping", "-c1", "-w2", "10.99.0.2", check=False).status for lab in (empty_lab, other)
        ]
    finally:
        other.down()

    assert reached == [1, 0]


def test_a_name_in_use_is_refused_and_the_lab_of_that_name_stays(empty_lab: Cluster, tmp_path: Path) -> None:
    empty_lab.make_nodes(1)

    with pytest.raises(LabError, match="there already"):
        Cluster(empty_lab.name, tmp_path / "elsewhere").make_nodes(1)

    assert empty_lab.master.is_up()


def test_the_proxy_records_what_the_master_asks_a_node(packaged_cluster: Cluster) -> None:
    recorder = Recorder(packaged_cluster)
    packaged_cluster.swap(recorder.launchers(3)["node2"], ["node2"])
    with recorder.action("a list"):
        listed = packaged_cluster.gnt("gnt-node", "list", "--no-headers", "-o", "name,mtotal").stdout
    packaged_cluster.swap(None, ["node2"])

    (action,) = recorder.actions()
    (exchange,) = action.exchanges
    assert "?" not in listed
    assert (exchange.node, exchange.call, exchange.status_line) == ("node2", "node_info", "HTTP/1.1 200 OK")
    assert exchange.reply_body.startswith("[true, ")
