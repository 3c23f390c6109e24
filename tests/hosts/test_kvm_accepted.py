"""The golden guests started by the real emulator: it takes what this machine allows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trustme
from lab.diskless import diskless_guest
from tests.golden.kvm.cases import CASES, Case, read
from tests.hosts.kvm_node import MIB, KvmNode, free_port, kvm_nodes

from ganeti.host import net
from ganeti.hypervisor.drivers.kvm.parameters import text
from ganeti.model.base import Scalar

CANNOT_HERE = {
    "kvm-enabled": "needs KVM",
    "disk-scsi-megasas": "needs a real SCSI disk to pass through",
    "disk-rbd-userspace": "needs a Ceph cluster",
    "cdrom-url": "needs the network",
    "nic-vhost": "needs /dev/vhost-net",
    "nic-queues": "needs /dev/vhost-net",
}
FILES = ("cdrom_image_path", "cdrom2_image_path", "floppy_image_path", "vnc_password_file", "spice_password_file")
OF_THIS_VERSION = [path for path in CASES if "qemu = " not in path.read_text()]


@pytest.fixture(scope="module")
def node() -> Iterator[KvmNode]:
    with kvm_nodes() as (one,):
        script = one.paths.conf_dir / "kvm-vif-bridge"
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(0o755)
        make_certificates(one.paths.data_dir / "spice-ca.pem", one.paths.data_dir / "spice.pem")
        yield one


def make_certificates(authority_file: Path, certificate_file: Path) -> None:
    """An authority and a certificate of it with its key, as SPICE reads them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(authority_file))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate_file))


def made_real(case: Case, directory: Path) -> Case:
    """The case with files and ports of this machine instead of the imagined ones."""
    hvparams = dict(case.instance.hvparams)
    for name in FILES:
        if text(hvparams, name).startswith("/"):
            hvparams[name] = str(directory / Path(text(hvparams, name)).name)
            Path(str(hvparams[name])).write_bytes(b"secret\n" if "password" in name else bytes(2 * 1440 * 1024))
    boot = diskless_guest()
    replaced: dict[str, tuple[str, Scalar]] = {
        "kernel_path": ("/", str(boot.kernel)),
        "initrd_path": ("/", str(boot.initrd)),
        "mem_path": ("/", str(directory)),
        "vnc_bind_address": ("/", str(directory)),
        "vnc_x509_path": ("/", str(directory)),
    }
    for name, (beginning, value) in replaced.items():
        if text(hvparams, name).startswith(beginning):
            hvparams[name] = value
    port = case.instance.network_port
    if port is not None and port > 5900:
        port = max(free_port(), 6000)
    if text(hvparams, "vnc_x509_path"):
        make_certificates(directory / "ca-cert.pem", directory / "server-cert.pem")
        shutil.copy(directory / "server-cert.pem", directory / "server-key.pem")
    instance = msgspec.structs.replace(case.instance, hvparams=hvparams, network_port=port)
    for disk in case.disks:
        link = Path(str(disk.link))
        link.unlink(missing_ok=True)
        link.symlink_to(directory / link.name)
        (directory / link.name).touch()
        os.truncate(directory / link.name, MIB)
    return Case(instance=instance, disks=case.disks)


@pytest.mark.parametrize("path", OF_THIS_VERSION, ids=lambda path: path.stem)
def test_the_emulator_takes_the_command_line(node: KvmNode, path: Path, tmp_path: Path) -> None:
    if path.stem in CANNOT_HERE:
        pytest.skip(CANNOT_HERE[path.stem])
    case = made_real(read(path, node.paths), tmp_path)
    name = case.instance.name
    node.driver.start(case.instance, case.disks, startup_paused=True)
    try:
        taps = [file.read_text() for file in sorted(node.driver.layout.guest(name).nics.iterdir())]
        assert len(taps) == len(case.instance.nics)
        assert all(net.interface_exists(tap) for tap in taps)
        answer = node.driver.hub.execute(name, "query-status")
        assert isinstance(answer, dict)
        assert answer["status"] == "prelaunch"
    finally:
        node.driver.stop(case.instance, force=True)
        node.driver.cleanup(name)
    assert not any(net.interface_exists(tap) for tap in taps)
    shutil.rmtree(tmp_path)
