"""The commands that make this machine a node; they work on files and need no daemon."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganeti.host.paths import Paths
from ganeti.operator.cli.options import key_values
from ganeti.operator.setup import SetupOptions, initialise, kvm_defaults
from ganeti.operator.setup import trust as trust_digest


@click.command()
@click.option("--storage-dir", type=click.Path(path_type=Path), help="Where disks of this node go.")
@click.option("--shared-storage-dir", type=click.Path(path_type=Path), help="Where disks go that other nodes see too.")
@click.option("--cluster-pem", type=click.Path(path_type=Path, exists=True), help="server.pem of a node to work with.")
@click.option("-H", "--kvm", "kvm", multiple=True, metavar="NAME=VALUE", help="This node's default of a kvm parameter.")
def init(
    storage_dir: Path | None, shared_storage_dir: Path | None, cluster_pem: Path | None, kvm: tuple[str, ...]
) -> None:
    """Make this machine a node of its own; what is there already is kept.

    Prints the digest of its client certificate, for `ganeti-node trust` on other nodes.
    """
    paths = Paths.from_environment(os.environ)
    options = SetupOptions(
        storage_dir=storage_dir or paths.under("/srv/ganeti/file-storage"),
        shared_storage_dir=shared_storage_dir or paths.under("/srv/ganeti/shared-file-storage"),
        cluster_pem=cluster_pem,
        hvparams={"kvm": {**kvm_defaults(), **key_values(kvm)}},
    )
    click.echo(initialise(paths, paths.virtual_hostname or os.uname().nodename, options))


@click.command()
@click.argument("name")
@click.argument("digest")
def trust(name: str, digest: str) -> None:
    """Let the node NAME, whose client certificate has DIGEST, call this one."""
    trust_digest(Paths.from_environment(os.environ), name, digest)
