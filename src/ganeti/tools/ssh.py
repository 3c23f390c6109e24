"""The OpenSSH client, with the options and known hosts of the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti.host.runner import Result, Runner

LOGIN_USER: Final = "root"
CONNECT_TIMEOUT_S: Final = 10


def cluster_options(cluster_name: str, known_hosts: Path, *, is_ipv6: bool) -> list[str]:
    """Options of a call to a member: all nodes share one host key, known by the cluster's name."""
    return [*_common(known_hosts, is_ipv6=is_ipv6), f"-oHostKeyAlias={cluster_name}", "-oStrictHostKeyChecking=yes"]


def stranger_options(known_hosts: Path, *, is_ipv6: bool) -> list[str]:
    """Options of a call to a host whose key may be another one, as while a node joins or leaves."""
    return [*_common(known_hosts, is_ipv6=is_ipv6), "-oStrictHostKeyChecking=no"]


def argv(host: str, command: str, options: Sequence[str]) -> list[str]:
    """Run a shell line, in which every value has been quoted, on another host."""
    # "--": a host name that begins with a dash must not become an option
    return ["ssh", *options, "--", f"{LOGIN_USER}@{host}", command]


def run(runner: Runner, host: str, command: str, options: Sequence[str], *, stdin: str | bytes | None = None) -> Result:
    """Run a shell line on another host, to its end. Raises: ProgramNotFound."""
    return runner.run(argv(host, command, options), stdin=stdin)


def _common(known_hosts: Path, *, is_ipv6: bool) -> list[str]:
    return [
        "-oEscapeChar=none",
        "-oHashKnownHosts=no",
        f"-oGlobalKnownHostsFile={known_hosts}",
        "-oUserKnownHostsFile=/dev/null",
        "-oCheckHostIp=no",
        f"-oConnectTimeout={CONNECT_TIMEOUT_S}",
        "-oBatchMode=yes",  # a daemon has nobody who could answer
        "-6" if is_ipv6 else "-4",
    ]
