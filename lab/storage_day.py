"""A day of disks under the packaged master, for recording: made, switched, grown, exchanged, removed.

It complements `operator_day`, whose hosts have neither LVM nor DRBD. It must not know the calls the steps make.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab import recordings
from lab.cluster import DATA_DIR, packaged_daemon
from lab.machine_cluster import GROUP, MachineCluster
from lab.machines import Machine
from lab.processes import LabError
from lab.recorder import launcher_text, parse, sort

_ADD = "gnt-instance add --no-ip-check --no-name-check -B memory=64M -H fake -o labos+default"
_FOLDER = Path("/root/record")

_STEPS = f"""
gnt-node list
gnt-node list-storage --storage-type=lvm-vg
gnt-node list-storage --storage-type=lvm-pv
{_ADD} -t drbd -s 64M -n n1.lab:n2.lab inst1.lab
gnt-node volumes
gnt-cluster verify --ignore-errors=ENODESETUP
gnt-cluster verify-disks
gnt-instance info inst1.lab
gnt-instance failover -f inst1.lab
gnt-instance migrate -f inst1.lab
gnt-instance grow-disk inst1.lab 0 32M
gnt-instance replace-disks -p inst1.lab
gnt-instance replace-disks -s inst1.lab
gnt-instance stop inst1.lab
gnt-instance deactivate-disks inst1.lab
gnt-cluster verify-disks
gnt-instance activate-disks inst1.lab
gnt-instance modify --disk add:size=32M inst1.lab
gnt-instance modify --disk 1:remove inst1.lab
gnt-instance snapshot --disk=0:snapshot_name=frozen inst1.lab
gnt-instance modify -t plain inst1.lab
gnt-instance modify -t drbd -n n2.lab --no-wait-for-sync inst1.lab
gnt-cluster repair-disk-sizes
gnt-backup export -n n2.lab inst1.lab
gnt-instance remove -f inst1.lab
{_ADD} -t plain -s 32M -n n1.lab inst2.lab
gnt-instance grow-disk inst2.lab 0 32M
gnt-instance reinstall -f inst2.lab
gnt-instance remove -f inst2.lab
gnt-cluster modify --prealloc-wipe-disks=yes
{_ADD} -t plain -s 32M -n n2.lab inst3.lab
gnt-instance remove -f inst3.lab
gnt-node modify-storage --allocatable=no n2.lab lvm-pv /dev/vda
gnt-node modify-storage --allocatable=yes n2.lab lvm-pv /dev/vda
gnt-node repair-storage n2.lab lvm-vg {GROUP}
"""


def record(cluster: MachineCluster, destination: Path, daemons: Mapping[str, Path]) -> Iterator[str]:
    """Put proxies before the daemons of a new cluster, live through the day, write the recording; a line a step.

    Steps the master refuses are told and recorded like the others. `daemons` are executables by node name.
    """
    cluster.up()
    client_pem = cluster.master.check(["cat", str(DATA_DIR / "client.pem")]).stdout
    for machine in cluster.machines():
        _put_proxy(cluster, machine, client_pem, daemons.get(machine.name))
    yield "a cluster of two machines"
    spans: list[tuple[str, float]] = []
    for step in steps():
        spans.append((step, time.time()))
        done = cluster.gnt(*shlex.split(step), check=False)
        yield step if done.returncode == 0 else f"{step}: REFUSED with {done.returncode}: {done.stderr.strip()[-500:]}"
    exchanges = [
        exchange
        for machine in cluster.machines()
        for exchange in parse(machine.check(["cat", str(_FOLDER / "exchanges.jsonl")]).stdout)
    ]
    if not exchanges:
        raise LabError("nothing was recorded: did the proxy run?")
    names = ("hmac.key", "cluster-domain-secret")
    secrets = [cluster.master.check(["cat", str(DATA_DIR / name)]).stdout.strip() for name in names]
    ordered = sorted(exchanges, key=lambda exchange: exchange.began)
    recordings.write(sort(spans, ordered), destination, secrets=secrets)
    yield f"{len(exchanges)} exchanges seen, recording in {destination}"


def steps() -> list[str]:
    """Return the command lines of the day."""
    return [line for line in _STEPS.splitlines() if line]


def _put_proxy(cluster: MachineCluster, machine: Machine, client_pem: str, daemon: Path | None) -> None:
    # the packaged file itself is covered, so it runs from a copy, under its own name
    copy = _FOLDER / "packaged" / "ganeti-noded"
    machine.check(["mkdir", "-p", str(copy.parent)])
    machine.check(["cp", str(packaged_daemon()), str(copy)])
    command = f"PYTHONPATH={packaged_daemon().parent} {copy}" if daemon is None else shlex.quote(str(daemon))
    launcher = _FOLDER / "ganeti-noded"
    text = launcher_text(machine.name, command, _FOLDER / "client.pem", _FOLDER)
    for path, content, mode in ((launcher, text, "755"), (_FOLDER / "client.pem", client_pem, "600")):
        machine.check(["sh", "-c", 'cat >"$0" && chmod "$1" "$0"', str(path), mode], stdin=content.encode())
    cluster.lay_daemon(machine, launcher)
