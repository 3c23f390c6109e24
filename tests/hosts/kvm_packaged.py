"""What the packaged daemon makes of our guests, and ours of its: run in namespaces of its own, prints JSON.

python -m tests.hosts.kvm_packaged commands|exchange
"""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec
from bench import site
from bench.daemons import Daemon
from lab.diskless import diskless_guest
from tests.golden.kvm.cases import Case, read
from tests.golden.kvm.test_command_lines import command_line
from tests.hosts.test_kvm_accepted import CANNOT_HERE, OF_THIS_VERSION, made_real, make_certificates

from ganeti.host import procfs
from ganeti.host.paths import Paths
from ganeti.hypervisor.drivers.kvm import processes
from ganeti.hypervisor.drivers.kvm.layout import Layout

PACKAGED = Daemon("packaged", Path("/usr/sbin/ganeti-noded"))
OURS = Daemon("ours", Path(__file__).resolve().parents[2] / ".venv" / "bin" / "ganeti-noded")
REASON = [["test", "start", 0]]
PATHS = Paths()

Wire = dict[str, object]


def call(name: str, *arguments: object) -> object:
    """Ask the daemon that runs. Raises: AssertionError with its words when it refuses."""
    connection = http.client.HTTPSConnection("127.0.0.1", site.PORT, context=site.TARGET.context())
    connection.request("POST", f"/{name}", json.dumps(arguments))
    success, payload = json.loads(connection.getresponse().read())
    connection.close()
    assert success, f"{name}: {payload}"
    return payload


def wire(case: Case) -> Wire:
    """The guest as the packaged master would send it; disks of all types are files for a daemon alone."""
    instance = site.kvm_instance()
    known = msgspec.to_builtins(case.instance)
    beparams = instance["beparams"]
    assert isinstance(beparams, dict)
    instance |= {name: known[name] for name in ("name", "uuid", "hvparams", "tags")}
    instance |= {"nics": known.get("nics", []), "beparams": beparams | known["beparams"]}
    if "network_port" in known:
        instance["network_port"] = known["network_port"]
    disks = []
    for index, attached in enumerate(case.disks):
        path = Path(site.STORAGE_DIR, f"{case.instance.name}-{index}")
        path.write_bytes(bytes(1024 * 1024))
        kind = "sharedfile" if attached.disk.dev_type == "sharedfile" else "file"
        disks.append(
            msgspec.to_builtins(attached.disk)
            | {"dev_type": kind, "logical_id": ["loop", str(path)], "iv_name": f"disk/{index}", "params": {}}
            | {"children": [], "nodes": [], "serial_no": 1, "ctime": 1.0, "mtime": 1.0}
        )
    return instance | {"disks_info": disks, "disks": [disk["uuid"] for disk in disks]}


def commands(directory: Path) -> dict[str, dict[str, list[str]]]:
    """The command lines of both for every golden guest that can be started here."""
    script = PATHS.conf_dir / "kvm-vif-bridge"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    make_certificates(PATHS.data_dir / "spice-ca.pem", PATHS.data_dir / "spice.pem")
    found: dict[str, dict[str, list[str]]] = {}
    PACKAGED.start()
    for path in OF_THIS_VERSION:
        if path.stem in CANNOT_HERE:
            continue
        imagined = read(path, PATHS)
        (directory / path.stem).mkdir()
        case = made_real(imagined, directory / path.stem)
        instance = wire(case)
        try:
            call("instance_start", instance, True, REASON)
            pid = processes.read_pid(Layout.of(PATHS).guest(case.instance.name).pid)
            theirs = procfs.cmdline(pid or 0)
        except AssertionError as err:
            theirs = [f"refused: {err}"]
        call("instance_shutdown", instance, 0, REASON)
        real = Case(instance=case.instance, disks=case.disks, addresses=imagined.addresses)
        found[path.stem] = {"theirs": theirs, "ours": command_line(real)}
    PACKAGED.stop()
    return found


def guest(name: str, directory: Path) -> Wire:
    case_file = directory / f"{name}.case"
    boot = diskless_guest()
    case_file.write_text(
        f"name = {name}\nhv kernel_path = {boot.kernel}\nhv initrd_path = {boot.initrd}\nbe maxmem = 96\n"
    )
    return wire(read(case_file, PATHS))


def exchange(directory: Path) -> dict[str, object]:
    """A guest of each daemon, looked at and rebooted by the other one."""
    theirs, ours = guest("theirs.test", directory), guest("ours.test", directory)
    asked = (["kvm"], {"kvm": theirs["hvparams"]})
    found: dict[str, object] = {}
    PACKAGED.start()
    call("instance_start", theirs, True, REASON)
    PACKAGED.stop()
    OURS.start()
    found["theirs seen by ours"] = call("all_instances_info", *asked)
    call("instance_reboot", theirs, "soft", 10, REASON)
    call("instance_start", ours, True, REASON)
    OURS.stop()
    PACKAGED.start()
    found["both seen by packaged"] = call("all_instances_info", *asked)
    found["listed by packaged"] = call("instance_list", *asked)
    call("instance_reboot", ours, "soft", 10, REASON)
    call("instance_balloon_memory", ours, 80)
    PACKAGED.stop()
    OURS.start()
    found["both seen by ours"] = call("all_instances_info", *asked)
    for each in (theirs, ours):
        call("instance_shutdown", each, 0, REASON)
    found["at the end"] = call("all_instances_info", *asked)
    found["left"] = [str(path) for path in Layout.of(PATHS).root.rglob("*") if not path.is_dir()]
    OURS.stop()
    return found


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="kx", dir="/var/tmp"))  # short: socket paths; outside of what is covered
    try:
        site.lay_out(directory)
        (PATHS.log_dir / "kvm").mkdir(exist_ok=True)
        print(json.dumps({"commands": commands, "exchange": exchange}[sys.argv[1]](directory)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
