"""Disks of a storage provider and of a GlusterFS volume under the packaged master, with our daemon on the nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lab.cluster import Cluster, Settings
from lab.gluster import gluster
from lab.processes import CommandFailed

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PROVIDER = Path(__file__).parents[2] / "examples/extstorage/loop"
ADD = "gnt-instance add --no-ip-check --no-name-check -B memory=128M -H fake -o labos+default -n node1.lab"
VOLUMES = "/srv/volumes"
MOUNT_POINT = "/var/run/ganeti/gluster"


def run(cluster: Cluster, line: str) -> str:
    """Run a command of the master."""
    return cluster.gnt(*line.split()).stdout


def test_a_guest_lives_on_a_volume_of_the_shipped_provider(empty_lab: Cluster, our_daemon: Path) -> None:
    empty_lab.up(1, daemons={"node1": our_daemon}, settings=Settings(hypervisors=("fake",), templates=("ext",)))
    node = empty_lab.master
    shutil.copytree(PROVIDER, node.path("/srv/ganeti/extstorage") / "loop")
    volumes = node.path(VOLUMES)

    diagnosis = run(empty_lab, "gnt-storage diagnose")
    assert "loop" in diagnosis
    assert "valid" in diagnosis
    assert "invalid" not in diagnosis

    disk = f"--disk=0:size=64M,provider=loop,directory={VOLUMES}"
    with pytest.raises(CommandFailed, match="there is no parameter 'FRMOSNAP'"):
        run(empty_lab, f"{ADD} -t ext {disk},frmosnap=x inst1.lab")
    assert not volumes.exists()

    run(empty_lab, f"{ADD} -t ext {disk} inst1.lab")
    (image,) = volumes.glob("*.ext.disk0.img")
    assert image.stat().st_size == 64 << 20
    run(empty_lab, "gnt-instance grow-disk inst1.lab 0 16M")
    assert image.stat().st_size == 80 << 20
    run(empty_lab, "gnt-instance reboot --type=hard inst1.lab")
    run(empty_lab, "gnt-instance stop inst1.lab")
    assert loop_devices(empty_lab, image) == []
    run(empty_lab, "gnt-instance rename -f --no-ip-check --no-name-check inst1.lab inst2.lab")
    assert image.with_suffix(".info").read_text() == "originstname+inst2.lab\n"
    run(empty_lab, "gnt-instance start inst2.lab")
    assert len(loop_devices(empty_lab, image)) == 1
    empty_lab.verify()
    run(empty_lab, "gnt-instance remove -f --shutdown-timeout=0 inst2.lab")
    assert list(volumes.iterdir()) == []


def loop_devices(cluster: Cluster, image: Path) -> list[str]:
    return cluster.gnt(
        "losetup", "--list", "--noheadings", "--output", "NAME", "--associated", str(image)
    ).stdout.split()


def test_a_guest_lives_in_a_gluster_volume(empty_lab: Cluster, our_daemon: Path) -> None:
    settings = Settings(hypervisors=("fake",), templates=("file",))
    empty_lab.up(1, daemons={"node1": our_daemon}, settings=settings)
    with gluster(empty_lab.directory / "gluster", "gv0", switch=empty_lab.switch) as server:
        node = empty_lab.master
        # the master refuses the template until its directory is allowed
        with node.path("/etc/ganeti/file-storage-paths").open("a") as allowed:
            allowed.write(f"{MOUNT_POINT}\n")
        templates = "--enabled-disk-templates=file,gluster --ipolicy-disk-templates=file,gluster"
        run(empty_lab, f"gnt-cluster modify {templates}")
        run(empty_lab, f"gnt-cluster modify -D gluster:host={server.address},volume=gv0")
        run(empty_lab, f"{ADD} -t gluster -s 64M inst1.lab")
        brick = empty_lab.directory / "gluster/bricks/gv0/ganeti"
        (image,) = brick.iterdir()
        assert image.stat().st_size == 64 << 20
        run(empty_lab, "gnt-instance grow-disk inst1.lab 0 16M")
        assert image.stat().st_size == 80 << 20
        run(empty_lab, "gnt-instance reboot --type=hard inst1.lab")
        run(empty_lab, "gnt-instance stop inst1.lab")
        run(empty_lab, "gnt-instance rename -f --no-ip-check --no-name-check inst1.lab inst2.lab")
        run(empty_lab, "gnt-instance start inst2.lab")
        empty_lab.verify()
        run(empty_lab, "gnt-instance remove -f --shutdown-timeout=0 inst2.lab")
        assert list(brick.iterdir()) == []
        empty_lab.gnt("umount", MOUNT_POINT)
