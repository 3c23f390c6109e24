"""Making a machine a node: certificates, digests, directories, and what is there already stays."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from ganeti.config.ssconf import Ssconf
from ganeti.errors import ConfigurationError, NodeError
from ganeti.host.paths import Paths
from ganeti.operator import setup
from ganeti.operator.setup import SetupOptions


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "etc").mkdir()
    return Paths(root=tmp_path, virtual_hostname=tmp_path.name)


def options(paths: Paths, cluster_pem: Path | None = None) -> SetupOptions:
    return SetupOptions(
        storage_dir=paths.root / "disks",
        shared_storage_dir=paths.root / "shared",
        cluster_pem=cluster_pem,
        hvparams={"kvm": {"kvm_path": "/usr/bin/qemu-system-x86_64"}},
    )


def test_a_new_node_trusts_its_own_certificate(paths: Paths) -> None:
    digest = setup.initialise(paths, "alpha", options(paths))

    assert Ssconf(paths).lines("master_candidates_certs") == [f"alpha={digest}"]
    assert stat.S_IMODE(paths.server_pem.stat().st_mode) == 0o440


def test_the_client_certificate_is_signed_by_the_cluster_one(paths: Paths) -> None:
    setup.initialise(paths, "alpha", options(paths))

    cluster = x509.load_pem_x509_certificate(paths.server_pem.read_bytes())
    client = x509.load_pem_x509_certificate(paths.client_pem.read_bytes())
    client.verify_directly_issued_by(cluster)


def test_the_digest_is_the_sha1_of_the_der_form(paths: Paths) -> None:
    from cryptography.hazmat.primitives import hashes

    digest = setup.initialise(paths, "alpha", options(paths))

    client = x509.load_pem_x509_certificate(paths.client_pem.read_bytes())
    assert bytes.fromhex(digest.replace(":", "")) == client.fingerprint(hashes.SHA1())  # noqa: S303


def test_doing_it_again_changes_no_certificate(paths: Paths) -> None:
    first = setup.initialise(paths, "alpha", options(paths))

    assert setup.initialise(paths, "alpha", options(paths)) == first


def test_storage_directories_become_allowed_once(paths: Paths) -> None:
    for _ in range(2):
        setup.initialise(paths, "alpha", options(paths))

    allowed = paths.file_storage_paths_file.read_text().splitlines()
    assert allowed == [str(paths.root / "disks"), str(paths.root / "shared")]


def test_another_clusters_certificate_is_refused_over_the_own(paths: Paths, tmp_path: Path) -> None:
    setup.initialise(paths, "alpha", options(paths))
    other = tmp_path / "other.pem"
    other.write_text("another cluster's")

    with pytest.raises(ConfigurationError, match="another cluster"):
        setup.initialise(paths, "alpha", options(paths, other))


def test_a_machine_with_a_master_is_left_alone(paths: Paths) -> None:
    paths.data_dir.mkdir(parents=True)
    paths.ssconf("master_node").write_text("master.example\n")

    with pytest.raises(ConfigurationError, match="belongs to a cluster"):
        setup.initialise(paths, "alpha", options(paths))
    assert not paths.server_pem.exists()


@pytest.mark.parametrize(
    "digest", ["", "AA", ":".join(["aa"] * 20), ":".join(["AA"] * 19), "AA:" * 20, "A\nA" * 20, ":".join(["GG"] * 20)]
)
def test_what_is_no_digest_is_not_trusted(paths: Paths, digest: str) -> None:
    setup.initialise(paths, "alpha", options(paths))

    with pytest.raises(ConfigurationError):
        setup.trust(paths, "beta", digest)


def test_trusting_a_node_again_replaces_its_digest(paths: Paths) -> None:
    setup.initialise(paths, "alpha", options(paths))

    for octet in ("AA", "BB"):
        setup.trust(paths, "beta", ":".join([octet] * 20))

    assert Ssconf(paths).lines("master_candidates_certs")[1:] == ["beta=" + ":".join(["BB"] * 20)]


@pytest.mark.parametrize("name", ["", "a=b", "a/b", "a\nb"])
def test_a_name_that_would_spoil_the_map_is_refused(paths: Paths, name: str) -> None:
    setup.initialise(paths, "alpha", options(paths))

    with pytest.raises(NodeError):
        setup.trust(paths, name, ":".join(["AA"] * 20))


def test_guests_of_a_machine_of_its_own_boot_from_their_disks_by_the_qemu_it_has(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.touch()

    assert setup.kvm_defaults([tmp_path / "none", program]) == {"kernel_path": "", "kvm_path": str(program)}
    assert setup.kvm_defaults([]) == {"kernel_path": ""}
