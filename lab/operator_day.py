"""An operator's day on a cluster of three, for recording: what the master is told to do, step by step.

Each step is a command line of the packaged tools. It must not know the calls these make.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab import recordings
from lab.cluster import DATA_DIR, Cluster, Settings
from lab.processes import LabError
from lab.recorder import Recorder

NODES = 3

_ADD = "gnt-instance add --no-ip-check --no-name-check -B memory=128M"

_LOOK = """
gnt-node list
gnt-node list -o name,role,bootid,ctotal,cnodes,csockets,dfree,dtotal,mfree,mnode,mtotal,sptotal,spfree
gnt-node info node2.lab
gnt-node list-storage --storage-type=file
gnt-cluster info
gnt-cluster verify --ignore-errors=ENODESETUP
gnt-cluster verify-disks
gnt-os list
gnt-os diagnose
gnt-os info labos
"""

_FAKE = f"""
{_ADD} -H fake -t file -s 64M -o labos+default -n node2.lab inst1.lab
gnt-instance list
gnt-instance list -o name,oper_state,oper_ram,oper_vcpus,status
gnt-instance list -o name,console
gnt-instance info inst1.lab
gnt-instance console --show-cmd inst1.lab
gnt-instance stop inst1.lab
gnt-instance list
gnt-instance start inst1.lab
gnt-instance reboot --type=hard inst1.lab
gnt-instance reboot --type=soft inst1.lab
gnt-instance reboot --type=full inst1.lab
gnt-instance grow-disk inst1.lab 0 16M
gnt-instance stop inst1.lab
gnt-instance reinstall -f inst1.lab
gnt-instance modify --disk add:size=32M inst1.lab
gnt-instance modify --net add inst1.lab
gnt-instance activate-disks inst1.lab
gnt-instance deactivate-disks inst1.lab
gnt-instance rename -f --no-ip-check --no-name-check inst1.lab inst4.lab
gnt-instance rename -f --no-ip-check --no-name-check inst4.lab inst1.lab
gnt-instance move -f -n node3.lab inst1.lab
gnt-backup export -n node1.lab inst1.lab
gnt-backup list
gnt-instance remove -f inst1.lab
gnt-backup import --no-ip-check --no-name-check -H fake -t file -n node2.lab --src-node=node1.lab \
 --src-dir=/var/lib/ganeti/export/inst1.lab inst5.lab
gnt-backup remove inst1.lab
gnt-instance add-tags inst5.lab recorded
gnt-instance start inst5.lab
gnt-instance remove -f inst5.lab
{_ADD} -H fake -t sharedfile -s 32M -o labos+default -n node2.lab inst2.lab
gnt-instance migrate -f -n node3.lab inst2.lab
gnt-instance failover -f -n node1.lab inst2.lab
gnt-instance modify -B minmem=32M inst2.lab
gnt-instance remove -f inst2.lab
{_ADD} -H fake -t diskless -o labos+default --no-install -n node3.lab inst3.lab
gnt-instance remove -f inst3.lab
{_ADD} -H fake -t file -s 32M -o missing -n node2.lab inst8.lab
{_ADD} -H fake -t file -s 32M -o labos+default --iallocator=hail inst8.lab
gnt-instance remove -f inst8.lab
"""

_KVM = f"""
{_ADD} -H kvm -t file -s 32M -o busybox+default -n node2.lab inst6.lab
gnt-instance list
gnt-instance list -o name,console
gnt-instance info inst6.lab
gnt-instance stop inst6.lab
gnt-instance start inst6.lab
gnt-instance reboot --type=hard inst6.lab
gnt-instance stop --timeout=0 inst6.lab
gnt-instance remove -f inst6.lab
{_ADD} -H kvm -t sharedfile -s 32M -o busybox+default -n node2.lab inst7.lab
gnt-instance migrate -f -n node3.lab inst7.lab
gnt-instance list -o name,oper_state,pnode
gnt-instance modify --hotplug --net add inst7.lab
gnt-instance failover -f -n node1.lab inst7.lab
gnt-instance remove -f --shutdown-timeout=0 inst7.lab
"""

_HOUSEKEEPING = """
gnt-cluster redist-conf
gnt-cluster modify --maintain-node-health=no
gnt-cluster watcher pause 10m
gnt-cluster watcher continue
gnt-cluster queue drain
gnt-cluster queue undrain
gnt-cluster deactivate-master-ip --yes
gnt-cluster activate-master-ip
gnt-cluster repair-disk-sizes
gnt-node restricted-command lab-hello node2.lab
gnt-node modify --master-candidate=no --auto-promote node3.lab
gnt-node modify --master-candidate=yes node3.lab
gnt-node modify --offline=yes --auto-promote node3.lab
gnt-node modify -f --offline=no node3.lab
gnt-node add --readd --no-ssh-key-check node3.lab
gnt-debug delay 0.1
gnt-job archive 3
gnt-cluster renew-crypto --force --new-node-certificates
gnt-node remove node3.lab
gnt-node remove node2.lab
gnt-cluster destroy --yes-do-it
"""


def record(cluster: Cluster, destination: Path, daemons: Mapping[str, Path]) -> Iterator[str]:
    """Make the cluster, live through the day, write the recording; yields a line a step.

    Steps the master refuses are told and recorded like the others. The cluster is left for a look at it.
    """
    recorder = Recorder(cluster)
    cluster.make_nodes(NODES, daemons=recorder.launchers(NODES, daemons))
    with recorder.action("gnt-cluster init"):
        cluster.init(Settings())
    for node in cluster.nodes()[1:]:
        with recorder.action(f"gnt-node add {node.fqdn}"):
            cluster.add(node)
    yield f"a cluster of {NODES}"
    secrets = [
        cluster.master.path(DATA_DIR / name).read_text().strip() for name in ("hmac.key", "cluster-domain-secret")
    ]
    for step in _steps():
        with recorder.action(step):
            result = cluster.gnt(*shlex.split(step), check=False)
        yield step if result.status == 0 else f"{step}: REFUSED with {result.status}: {result.stderr.strip()[-500:]}"
    actions = recorder.actions()
    if not any(action.exchanges for action in actions):
        raise LabError("nothing was recorded: did the proxy run?")
    recordings.write(actions, destination, secrets=secrets)
    yield f"{sum(len(action.exchanges) for action in actions)} exchanges seen, recording in {destination}"


def _steps() -> list[str]:
    lines = (_LOOK + _FAKE + _KVM + _HOUSEKEEPING).splitlines()
    return [line for line in lines if line]
