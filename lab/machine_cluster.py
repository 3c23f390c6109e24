"""A cluster under the packaged master on two machines, for what hosts in namespaces cannot have: LVM and DRBD.

    with machines.lab("storage") as lab:
        cluster = MachineCluster(lab)
        cluster.up({"n1": ours})
        cluster.gnt("gnt-instance", "list")

As in `lab.cluster`, a node's daemon is a file laid over the packaged one. Takes about three minutes to come up: the
master's programs are slow under emulation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from lab.cluster import CLUSTER_NAME, IPOLICY, packaged_daemon
from lab.machines import Completed, Lab, Machine
from lab.processes import run

NODES = ("n1", "n2")
GROUP = "xenvg"
GROUP_MIB = 24 * 1024
"""The master wants 20 GiB at least; nearly all of it stays a hole."""
MEMORY_MIB = 1024
TEMPLATES = "drbd,plain,diskless"
_DAEMON_UTIL = "/usr/lib/ganeti/daemon-util"
_SSH_CONFIG = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
_INSTANCES = range(1, 10)

_FURNISH = f"""
hostname "$0.lab"
rm -f /etc/ssh/ssh_host_*
mkdir -p /run/sshd /var/lib/ganeti /var/log/ganeti /srv/ganeti/os
chmod 700 /root/.ssh; chmod 600 /root/.ssh/id_rsa /etc/ssh/lab_host_key
printf 'HostKey /etc/ssh/lab_host_key\\n' >>/etc/ssh/sshd_config
cp /etc/ssh/lab_host_key /etc/ssh/ssh_host_rsa_key; cp /root/.ssh/id_rsa.pub /etc/ssh/ssh_host_rsa_key.pub
/usr/sbin/sshd
modprobe drbd minor_count=128 usermode_helper=/bin/true
modprobe bridge; ip link add br0 type bridge; ip link set br0 up
cp -r "$1" /srv/ganeti/os/
vgcreate --quiet {GROUP} /dev/vda
"""


class MachineCluster:
    """The nodes n1 (the master) and n2."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._machines: tuple[Machine, ...] = ()

    def up(self, daemons: Mapping[str, Path] | None = None) -> None:
        """Boot the machines and make a cluster of them; `daemons` maps names to executables instead of the packaged.

        Raises:
            LabError: the packaged tools are not installed or refuse.
        """
        packaged_daemon()
        self._place_files()
        self._machines = self._lab.up(*NODES, disks=1, size_mib=GROUP_MIB, memory_mib=MEMORY_MIB)
        for machine in self._machines:
            os_definition = Path(__file__).with_name("labos")
            machine.check(["sh", "-euc", _FURNISH, machine.name, str(os_definition)])
            if daemons and machine.name in daemons:
                machine.check(["mount", "--bind", str(daemons[machine.name]), str(packaged_daemon())])
        self._init()
        for machine in self._machines[1:]:
            self._add(machine)

    @property
    def master(self) -> Machine:
        return self._machines[0]

    def machines(self) -> tuple[Machine, ...]:
        """Return both nodes, the master first."""
        return self._machines

    def gnt(self, *argv: str, timeout_s: float = 900.0, check: bool = True) -> Completed:
        """Run a command of the packaged master. Raises: LabError with its output."""
        return (self.master.check if check else self.master.run)(argv, timeout_s=timeout_s)

    def lay_daemon(self, machine: Machine, daemon: Path) -> None:
        """Let another daemon take over on a node of the running cluster."""
        machine.check([_DAEMON_UTIL, "stop", "ganeti-noded"])
        machine.check(["mount", "--bind", str(daemon), str(packaged_daemon())])
        machine.check([_DAEMON_UTIL, "start", "ganeti-noded"])

    def _place_files(self) -> None:
        with tempfile.TemporaryDirectory(prefix="lab-keys") as directory:
            key = Path(directory, "key")
            run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "lab", "-f", str(key)])
            private, public = key.read_text(), key.with_suffix(".pub").read_text()
        for path, text in {
            "/root/.ssh/id_rsa": private,
            "/root/.ssh/id_rsa.pub": public,
            "/root/.ssh/authorized_keys": public,
            "/root/.ssh/config": _SSH_CONFIG,
            "/etc/ssh/lab_host_key": private,
        }.items():
            self._lab.place(path, text)

    def _init(self) -> None:
        network = self.master.lan.rpartition(".")[0]
        names = {machine.lan: f"{machine.name}.lab {machine.name}" for machine in self._machines}
        names |= {f"{network}.200": CLUSTER_NAME}
        names |= {f"{network}.{200 + number}": f"inst{number}.lab" for number in _INSTANCES}
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for address, name in names.items())]
        self._lab.place("/etc/hosts", "".join(f"{line}\n" for line in lines))
        self.gnt(
            "gnt-cluster",
            "init",
            f"--enabled-disk-templates={TEMPLATES}",
            "--enabled-hypervisors=fake",
            "--master-netdev=eth0",
            "--no-etc-hosts",
            f"--vg-name={GROUP}",
            "--drbd-usermode-helper=/bin/true",
            "--nic-parameters=mode=bridged,link=br0",
            *IPOLICY,
            CLUSTER_NAME,
        )

    def _add(self, machine: Machine) -> None:
        # `init` made the master a new key, which the node must take before it joins
        keys = self.master.check(["sh", "-c", "cat /root/.ssh/id_*.pub"]).stdout
        machine.check(["sh", "-c", "cat >>/root/.ssh/authorized_keys"], stdin=keys.encode())
        self.gnt("gnt-node", "add", "--no-ssh-key-check", f"{machine.name}.lab")
