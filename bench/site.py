"""The node both daemons serve in turn: its files, certificates, guests and the requests asked of it.

Everything lies in namespaces of the benchmark's own: nothing of the machine is touched, and all ends with it.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.load import Load, Target, run

OWN_DIRECTORIES = ("/run", "/var/lib/ganeti", "/var/log/ganeti", "/etc/ganeti", "/srv")
DATA_DIR = Path("/var/lib/ganeti")
RUN_DIR = Path("/run/ganeti")
STORAGE_DIR = "/srv/ganeti/file-storage"
HOSTNAME = "node1.example.com"
PORT = 1811
RECORDED = Path(__file__).resolve().parent.parent / "tests" / "wire" / "recorded" / "packaged"

TARGET = Target(port=PORT, client_pem=DATA_DIR / "client.pem", server_pem=DATA_DIR / "server.pem")

Parameters = dict[str, object]

Question = tuple[str, bytes]
"""A call's name and its body."""


def shell(script: str) -> str:
    """Run a shell script that has to succeed; returns what it printed."""
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {script}\n{done.stdout}{done.stderr}")
    return done.stdout


def lay_out(directory: Path) -> None:
    """Cover the machine's directories with empty ones and make a node of a cluster in them."""
    for path in OWN_DIRECTORIES:
        own = directory / path.strip("/").replace("/", "_")
        own.mkdir()
        # The packaged programs find themselves through links in /etc/ganeti.
        shell(
            f"mkdir -p {path}; find {path} -maxdepth 1 -type l -exec cp -a -t {own} {{}} +; mount --bind {own} {path}"
        )
    shell(
        f"""
        ip link set lo up
        hostname {HOSTNAME}
        mkdir -p /run/lock {RUN_DIR} {DATA_DIR}/queue/archive /etc/ganeti /var/log/ganeti/os {STORAGE_DIR}
        mkdir -p {RUN_DIR}/instance-disks {RUN_DIR}/bdev-cache {RUN_DIR}/instance-reason {RUN_DIR}/fake-hypervisor
        echo {STORAGE_DIR} >/etc/ganeti/file-storage-paths
        """
    )
    make_certificates()


def make_certificates() -> None:
    """The cluster's certificate and a client's, of the form Ganeti makes; the client is the only candidate."""
    shell(
        f"""
        cd {DATA_DIR}
        openssl req -new -newkey rsa:2048 -nodes -keyout server.key -subj /CN=ganeti.example.com -out server.csr
        openssl x509 -req -in server.csr -signkey server.key -days 1825 -set_serial 1 -out server.crt
        openssl req -new -newkey rsa:2048 -nodes -keyout client.key -subj /CN={HOSTNAME} -out client.csr
        openssl x509 -req -in client.csr -CA server.crt -CAkey server.key -days 1825 -set_serial 17 -out client.crt
        cat server.key server.crt >server.pem
        cat client.key client.crt >client.pem
        digest=$(openssl x509 -in client.crt -noout -fingerprint -sha1)
        echo "some-uuid=${{digest#*=}}" >ssconf_master_candidates_certs
        echo {HOSTNAME} >ssconf_master_node
        """
    )


def kvm_instance() -> Parameters:
    """A guest as the packaged master sends it, from a recorded request; of the smallest kind."""
    pairs = json.loads((RECORDED / "instance_start.json").read_text())
    instance: Parameters = next(p["request"][0] for p in pairs if p["request"][0]["hypervisor"] == "kvm")
    smallest = {"kernel_path": "", "initrd_path": "", "root_path": "", "kvm_flag": "disabled", "serial_console": False}
    instance["hvparams"] = {**_dict(instance["hvparams"]), **smallest}
    instance.update(nics=[], disks=[], disks_info=[], tags=[])
    instance["beparams"] = {**_dict(instance["beparams"]), "maxmem": 16, "minmem": 16, "vcpus": 1}
    return instance


def start_guests(count: int) -> None:
    """Start paused guests by the daemon that runs now. Raises: WrongAnswer, OSError."""
    instance = kvm_instance()
    for number in range(count):
        instance["name"] = f"guest{number:02}.example.com"
        body = json.dumps([instance, True, [["bench", "start", 0]]]).encode()
        run(TARGET, Load(name="instance_start", body=body, seconds=0))


def make_fake_guests(count: int) -> None:
    """Guests that are files of three lines: state, memory in MiB, processors."""
    for number in range(count):
        (RUN_DIR / "fake-hypervisor" / f"fake{number:04}.example.com").write_text("0\n128\n1\n")


def questions() -> dict[str, Question]:
    """What is asked, by label."""
    kvm = _dict(kvm_instance()["hvparams"])
    fake: Parameters = {"migration_mode": "live"}

    def body(*arguments: object) -> bytes:
        return json.dumps(arguments).encode()

    return {
        "version": ("version", b"[]"),
        "node_info": ("node_info", body([["file", STORAGE_DIR, []]], [["fake", fake]])),
        "node_info kvm": ("node_info", body(None, [["kvm", kvm]])),
        "all_instances_info fake": ("all_instances_info", body(["fake"], {"fake": fake})),
        "all_instances_info kvm": ("all_instances_info", body(["kvm"], {"kvm": kvm})),
    }


def _dict(value: object) -> Parameters:
    return value if isinstance(value, dict) else {}
