"""Making a machine a node of its own: certificates, directories, the ssconf items this door reads.

The files are those a cluster's first node has, so that nothing changes when a master takes the node over. Source: the
files and modes that Ganeti 3.0 leaves on a node.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganeti.errors import ConfigurationError
from ganeti.host import files
from ganeti.host.paths import Paths, component
from ganeti.operator.certificates import client_certificate, cluster_certificate

DIGEST = re.compile(r"([0-9A-F]{2}:){19}[0-9A-F]{2}")
QEMU_PROGRAMS = (Path("/usr/bin/qemu-system-x86_64"), Path("/usr/libexec/qemu-kvm"))
KEY_MODE = 0o440
SSCONF_MODE = 0o444


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupOptions:
    """What to set up: where disks go, other parameters of hypervisors, and whose cluster certificate to share."""

    storage_dir: Path
    shared_storage_dir: Path
    cluster_pem: Path | None = None
    hvparams: dict[str, dict[str, str]]


def initialise(paths: Paths, hostname: str, options: SetupOptions) -> str:
    """Set this machine up and return the digest of its client certificate. What is there already is kept.

    Raises: ConfigurationError when a master owns this machine or `cluster_pem` differs from what is there.
    """
    if paths.ssconf("master_node").exists():
        raise ConfigurationError(f"this machine belongs to a cluster already ({paths.ssconf('master_node')} exists)")
    for directory in (paths.data_dir, paths.run_dir, paths.log_dir, paths.conf_dir, paths.lock_dir, paths.queue_dir):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for directory in (paths.disk_links_dir, paths.bdev_cache_dir, paths.reason_dir, paths.os_log_dir):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    _certificates(paths, hostname, options.cluster_pem)
    _storage(paths, options)
    for kind, values in options.hvparams.items():
        lines = [f"{key}={value}" for key, value in values.items()]
        _write_ssconf(paths, f"hvparams_{component(kind)}", lines)
    digest = certificate_digest(paths.client_pem)
    trust(paths, hostname, digest)
    return digest


def kvm_defaults(programs: Sequence[Path] = QEMU_PROGRAMS) -> dict[str, str]:
    """Parameters of kvm that suit a machine of its own: the QEMU it has, and guests that boot from their disks."""
    # Not /usr/bin/kvm: under that name QEMU insists on hardware virtualisation.
    found = next((str(program) for program in programs if program.is_file()), None)
    return {"kernel_path": "", **({"kvm_path": found} if found else {})}


def trust(paths: Paths, name: str, digest: str) -> None:
    """Let the owner of the certificate with that SHA-1 digest call this node. Raises: ConfigurationError."""
    if DIGEST.fullmatch(digest) is None:
        raise ConfigurationError(f"not a SHA-1 digest of 20 upper-case octets: {digest!r}")
    if "=" in component(name):
        raise ConfigurationError(f"a node's name cannot have an equals sign: {name!r}")
    path = paths.candidate_certs
    known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    others = [line for line in known if line.partition("=")[0] != name]
    _write_ssconf(paths, "master_candidates_certs", [*others, f"{name}={digest}"])


def certificate_digest(pem: Path) -> str:
    """SHA-1 over the certificate's DER form, upper-case octets joined by colons."""
    text = pem.read_text(encoding="ascii")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return hashlib.sha1(ssl.PEM_cert_to_DER_cert(text[begin:])).digest().hex(":").upper()  # noqa: S324 - the protocol's


def _certificates(paths: Paths, hostname: str, cluster_pem: Path | None) -> None:
    if cluster_pem is not None:
        text = cluster_pem.read_text(encoding="ascii")
        if paths.server_pem.exists() and paths.server_pem.read_text(encoding="ascii") != text:
            raise ConfigurationError(f"{paths.server_pem} exists and is another cluster's")
        files.write_atomic(paths.server_pem, text, mode=KEY_MODE)
    if not paths.server_pem.exists():
        files.write_atomic(paths.server_pem, cluster_certificate(), mode=KEY_MODE)
    if not paths.client_pem.exists():
        signer = paths.server_pem.read_bytes()
        files.write_atomic(paths.client_pem, client_certificate(signer, hostname, int(time.time())), mode=KEY_MODE)


def _storage(paths: Paths, options: SetupOptions) -> None:
    wanted = {"file_storage_dir": options.storage_dir, "shared_file_storage_dir": options.shared_storage_dir}
    allowed_file = paths.file_storage_paths_file
    allowed = allowed_file.read_text(encoding="utf-8").splitlines() if allowed_file.exists() else []
    for key, directory in wanted.items():
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        _write_ssconf(paths, key, [str(directory)])
        if str(directory) not in allowed:
            allowed.append(str(directory))
    files.write_atomic(allowed_file, "".join(f"{line}\n" for line in allowed), mode=0o644)


def _write_ssconf(paths: Paths, key: str, lines: list[str]) -> None:
    files.write_atomic(paths.ssconf(key), "".join(f"{line}\n" for line in lines), mode=SSCONF_MODE)
