"""Our daemon in the place of the packaged one, under the unchanged packaged master.

With RECORD=1 what was said is written anew to tests/wire/recorded/ours, which the wire tests hold against the
recording of the packaged daemon.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from lab import recordings
from lab.cluster import DATA_DIR, FILE_DIR, SHARED_DIR, Cluster, Settings
from lab.hosts import Host
from lab.recorder import Recorder

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(900)]

RECORDING = Path(__file__).parents[1] / "wire" / "recorded" / "ours"
ANY = "gnt-instance add --no-ip-check --no-name-check -B memory=128M"
ADD = f"{ANY} --hypervisor=fake -t file -s 64M -o labos+default"
NODES = ("node1", "node2", "node3")

HOUSEKEEPING = """
gnt-cluster redist-conf
gnt-cluster watcher pause 10m
gnt-cluster watcher info
gnt-cluster watcher continue
gnt-cluster queue drain
gnt-cluster queue undrain
gnt-cluster deactivate-master-ip --yes
gnt-cluster activate-master-ip
gnt-node restricted-command lab-hello node2.lab
gnt-node modify --master-candidate=no --auto-promote node3.lab
gnt-node modify --master-candidate=yes node3.lab
gnt-os diagnose
gnt-os info labos
gnt-backup list
gnt-debug delay 0.1
gnt-job archive LAST
gnt-cluster renew-crypto --force --new-node-certificates
"""

CHANGES = f"""
{ADD} --iallocator=hail inst3.lab
gnt-instance reboot --type=hard inst3.lab
gnt-instance stop inst3.lab
gnt-instance grow-disk inst3.lab 0 16M
gnt-instance reinstall -f inst3.lab
gnt-instance rename -f --no-ip-check --no-name-check inst3.lab inst4.lab
gnt-instance activate-disks inst4.lab
gnt-instance deactivate-disks inst4.lab
gnt-instance remove -f inst4.lab
"""

KVM = f"""
{ANY} --hypervisor=kvm -t sharedfile -s 32M -o busybox+default -n node2.lab inst7.lab
gnt-instance migrate -f -n node3.lab inst7.lab
gnt-instance list -o name,console
gnt-instance reboot --type=hard inst7.lab
gnt-instance failover -f -n node1.lab --shutdown-timeout=0 inst7.lab
gnt-instance remove -f --shutdown-timeout=0 inst7.lab
"""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, our_daemon: Path) -> Iterator[tuple[Cluster, Recorder]]:
    """A cluster whose nodes run our daemon from the first start on, with everything that is said recorded."""
    cluster = Cluster(f"d{os.getpid()}", tmp_path_factory.mktemp("lab"))
    recorder = Recorder(cluster)
    try:
        cluster.make_nodes(len(NODES), daemons=recorder.launchers(len(NODES), our_daemon))
        with recorder.action("gnt-cluster init"):
            cluster.init(Settings())
        for node in cluster.nodes()[1:]:
            with recorder.action(f"gnt-node add {node.fqdn}"):
                cluster.add(node)
        yield cluster, recorder
        if os.environ.get("RECORD") == "1":
            names = ("hmac.key", "cluster-domain-secret")
            secrets = [cluster.master.path(DATA_DIR / name).read_text().strip() for name in names]
            recordings.write(recorder.actions(), RECORDING, secrets=secrets)
    finally:
        cluster.down()


def fields(cluster: Cluster, what: str, names: str, *rest: str) -> list[str]:
    """Words of one of the master's lists."""
    return cluster.gnt(f"gnt-{what}", "list", "--no-headers", "-o", names, *rest).stdout.split()


def status(cluster: Cluster, instance: str) -> str:
    """What the master shows of a guest."""
    (word,) = fields(cluster, "instance", "status", instance)
    return word


def left_on(node: Host) -> set[str]:
    """Files on a node that only a guest brings, logs left out."""
    folders: Sequence[Path] = (
        FILE_DIR,
        SHARED_DIR,
        *(
            Path("/run/ganeti", name)
            for name in ("instance-disks", "bdev-cache", "fake-hypervisor", "kvm-hypervisor", "crypto")
        ),
    )
    below = [path for folder in folders for path in node.path(folder).rglob("*")]
    return {str(path) for path in below if not path.is_dir()}


def live(cluster: Cluster, node: Host, instance: str, recorder: Recorder | None = None) -> None:
    """Let the master add, stop, start and remove a guest on a file disk, looking in between."""

    def gnt(line: str) -> None:
        if recorder is None:
            cluster.gnt(*line.split())
            return
        with recorder.action(line):
            cluster.gnt(*line.split())

    before = left_on(node)
    gnt(f"{ADD} -n {node.fqdn} {instance}")
    assert status(cluster, instance) == "running"
    (disk,) = (path for path in node.path(FILE_DIR / instance).iterdir())
    assert disk.read_bytes().startswith(f"{instance} disk 0\n".encode())
    assert disk.stat().st_size == 64 * 1024 * 1024
    gnt(f"gnt-instance info {instance}")
    gnt(f"gnt-instance stop {instance}")
    assert status(cluster, instance) == "ADMIN_down"
    gnt(f"gnt-instance start {instance}")
    assert status(cluster, instance) == "running"
    gnt(f"gnt-instance remove -f {instance}")
    assert fields(cluster, "instance", "name") == []
    assert left_on(node) == before


def test_a_guest_lives_on_our_node_among_packaged_ones(packaged_cluster: Cluster, our_daemon: Path) -> None:
    packaged_cluster.swap(our_daemon, ["node2"])
    try:
        assert fields(packaged_cluster, "node", "name,ctotal")[::2] == [f"{name}.lab" for name in NODES]
        live(packaged_cluster, packaged_cluster.node("node2"), "inst1.lab")
        packaged_cluster.verify()
    finally:
        packaged_cluster.swap(None, ["node2"])


def test_a_running_guest_survives_an_exchange_of_the_daemon_both_ways(
    packaged_cluster: Cluster, our_daemon: Path
) -> None:
    cluster, name = packaged_cluster, "inst2.lab"
    try:
        cluster.gnt(*ADD.split(), "-n", "node2.lab", name)
        cluster.swap(our_daemon, ["node2"])
        assert status(cluster, name) == "running"
        cluster.gnt("gnt-instance", "stop", name)
        cluster.gnt("gnt-instance", "start", name)
        cluster.swap(None, ["node2"])
        assert status(cluster, name) == "running"
        cluster.gnt("gnt-instance", "stop", name)
        assert status(cluster, name) == "ADMIN_down"
    finally:
        cluster.swap(None, ["node2"])
        cluster.gnt("gnt-instance", "remove", "-f", name)


def test_a_cluster_of_our_nodes_comes_up_and_knows_them(ours: tuple[Cluster, Recorder]) -> None:
    cluster, recorder = ours

    with recorder.action("gnt-node list -o name,role,dtotal,mtotal"):
        words = fields(cluster, "node", "name,role,dtotal,mtotal")

    assert words[::4] == [f"{name}.lab" for name in NODES]
    assert words[1::4] == ["M", "C", "C"]
    assert "?" not in words


@pytest.mark.parametrize("name", ["node1", "node2"])
def test_a_guest_lives_on_every_kind_of_node_of_ours(ours: tuple[Cluster, Recorder], name: str) -> None:
    cluster, recorder = ours

    live(cluster, cluster.node(name), f"inst{name[-1]}.lab", recorder)


@pytest.mark.parametrize("day", [HOUSEKEEPING, CHANGES, KVM], ids=["housekeeping", "changes", "kvm"])
def test_the_master_has_its_way_with_our_nodes(ours: tuple[Cluster, Recorder], day: str) -> None:
    cluster, recorder = ours

    for step in filter(None, day.splitlines()):
        last_job = fields(cluster, "job", "id")[-1]
        with recorder.action(step):
            cluster.gnt(*step.replace("LAST", last_job).split())

    assert fields(cluster, "instance", "name") == []
    # A renamed guest's old link and the note about a migrated one's disk stay with the packaged daemon, too: no call of
    # the master's is about them.
    left = {path for node in cluster.nodes() for path in left_on(node)}
    assert {path for path in left if "/instance-disks/" not in path and "/bdev-cache/" not in path} == set()


def test_the_master_finds_no_fault_with_a_cluster_of_ours(ours: tuple[Cluster, Recorder]) -> None:
    cluster, recorder = ours

    with recorder.action("gnt-cluster verify --ignore-errors=ENODESETUP"):
        cluster.verify()


def test_a_node_leaves_the_cluster_and_joins_it_again(ours: tuple[Cluster, Recorder]) -> None:
    cluster, recorder = ours
    node = cluster.node("node3")

    with recorder.action(f"gnt-node remove {node.fqdn}"):
        cluster.gnt("gnt-node", "remove", node.fqdn)
    kept = {path.name for path in node.path(DATA_DIR).iterdir() if path.is_file() and path.suffix in {".pem", ".key"}}
    running = node.sh("/usr/lib/ganeti/daemon-util check ganeti-noded", check=False).status == 0
    with recorder.action(f"gnt-node add {node.fqdn}"):
        cluster.add(node)

    assert kept == set()
    assert not running
    assert fields(cluster, "node", "name") == [f"{name}.lab" for name in NODES]


def test_the_master_moves_to_another_node_and_back(ours: tuple[Cluster, Recorder]) -> None:
    cluster, recorder = ours

    for name in ("node2", "node1"):
        with recorder.action(f"gnt-cluster master-failover on {name}"):
            cluster.node(name).sh("yes | gnt-cluster master-failover")
        roles = cluster.node(name).run("gnt-node", "list", "--no-headers", "-o", "name,role").stdout.split()
        assert roles[roles.index("M") - 1] == f"{name}.lab"


def test_our_daemons_answered_everything(ours: tuple[Cluster, Recorder]) -> None:
    """The last test here: it looks at what the others made the master ask."""
    _, recorder = ours
    exchanges = [exchange for action in recorder.actions() for exchange in action.exchanges]

    assert len({each.call for each in exchanges}) >= 30
    assert [(each.call, each.reply_body) for each in exchanges if not each.reply_body.startswith("[true,")] == []
