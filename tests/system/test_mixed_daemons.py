"""Daemons of both kinds in one cluster: a real guest outlives a change of daemons and migrates between them."""

from collections.abc import Callable

import pytest
from lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(900)]

GUEST = "inst3.lab"
ADD = ("gnt-instance", "add", "--no-ip-check", "--no-name-check", "--hypervisor=kvm", "--disk-template=sharedfile")


def _where(cluster: Cluster) -> list[str]:
    return cluster.gnt("gnt-instance", "list", "--no-headers", "-o", "pnode,status", GUEST).stdout.split()


def _emulator_pid(cluster: Cluster, node: str) -> str:
    return cluster.node(node).run("cat", f"/run/ganeti/kvm-hypervisor/pid/{GUEST}").stdout


def test_a_real_guest_lives_through_a_change_of_daemons_and_migrates_between_them(
    packaged_cluster: Cluster, use_our_daemon: Callable[..., None]
) -> None:
    packaged_cluster.gnt(*ADD, "-s", "32M", "-B", "memory=128M", "-o", "busybox+default", "-n", "node2.lab", GUEST)
    try:
        before = _emulator_pid(packaged_cluster, "node2")
        use_our_daemon("node2")
        after = _emulator_pid(packaged_cluster, "node2")
        taken_over = _where(packaged_cluster)
        # from our daemon to the packaged one
        packaged_cluster.gnt("gnt-instance", "migrate", "-f", "-n", "node3.lab", GUEST)
        migrated = _where(packaged_cluster)
        # and back
        packaged_cluster.gnt("gnt-instance", "migrate", "-f", "-n", "node2.lab", GUEST)
        returned = _where(packaged_cluster)
    finally:
        packaged_cluster.gnt("gnt-instance", "remove", "-f", "--shutdown-timeout=0", GUEST)

    assert before == after
    assert taken_over == returned == ["node2.lab", "running"]
    assert migrated == ["node3.lab", "running"]
