"""The command line of `ganeti-noded`. It knows nothing of what is done with it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ganeti.constants import NODED, RELEASE_VERSION


class Syslog(Enum):
    """Whether messages go to the system log."""

    NO = "no"
    YES = "yes"
    ONLY = "only"


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for; None is "not given"."""

    foreground: bool = False
    debug: bool = False
    syslog: Syslog = Syslog.NO
    port: int | None = None
    bind: str | None = None
    interface: str | None = None
    use_ssl: bool = True
    ssl_key: Path | None = None
    ssl_cert: Path | None = None
    lock_memory: bool = True
    max_clients: int | None = None
    max_body_mib: int = 64
    operator: bool = False
    operator_socket: Path | None = None
    list_calls: bool = False


def parse(argv: Sequence[str]) -> Options:
    """Read the command line. Raises: UsageError; SystemExit (2 unknown option, 0 help or version)."""
    parser = _parser()
    found, rest = parser.parse_known_args(argv)
    unknown = [word for word in rest if word.startswith("-") and word != "-"]
    if unknown:
        parser.error(f"no such option: {unknown[0]}")
    if rest:
        raise UsageError(f"{parser.format_usage().strip()}\n{NODED}: no arguments are expected, not {rest[0]!r}")
    if found.max_clients is not None and found.max_clients < 1:
        raise UsageError(f"{NODED}: --max-clients must be at least 1")
    if found.interface is not None and found.bind is not None:
        raise UsageError(f"{NODED}: only one of --bind and --interface can be given")
    return Options(
        foreground=found.foreground,
        debug=found.debug,
        syslog=Syslog(found.syslog),
        port=found.port,
        bind=found.bind,
        interface=found.interface,
        use_ssl=found.ssl,
        ssl_key=found.ssl_key,
        ssl_cert=found.ssl_cert,
        lock_memory=found.mlock,
        max_clients=found.max_clients,
        max_body_mib=found.max_body_mib,
        operator=found.operator is not None,
        operator_socket=Path(found.operator) if found.operator else None,
        list_calls=found.calls,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=NODED, description="Node daemon of a virtual-machine cluster.")
    add = parser.add_argument
    add("--version", action="version", version=f"{NODED} (ganeti) {RELEASE_VERSION}")
    add("-f", "--foreground", action="store_true", help="stay in the foreground and log to standard error too")
    add("-d", "--debug", action="store_true", help="log every request, secrets included")
    add("--syslog", choices=[choice.value for choice in Syslog], default="no", help="log to the system log")
    add("-p", "--port", type=_port, help="TCP port (default: of the service ganeti-noded, or 1811)")
    add("-b", "--bind", metavar="ADDRESS", help="address to listen on (default: all)")
    add("-i", "--interface", metavar="NAME", help="listen on the first address of this interface")
    add("--no-ssl", dest="ssl", action="store_false", help="plain HTTP: everybody may call")
    add("-K", "--ssl-key", type=Path, metavar="FILE", help="private key (default: server.pem of the cluster)")
    add("-C", "--ssl-cert", type=Path, metavar="FILE", help="certificate (default: server.pem of the cluster)")
    add("--no-mlock", dest="mlock", action="store_false", help="do not lock memory")
    add("--max-clients", type=int, metavar="N", help="calls of each kind, short and long, that run at once")
    add("--max-body-mib", type=int, default=64, metavar="N", help="largest request (default: 64)")
    add("--operator", nargs="?", const="", metavar="SOCKET", help="open the operator's door as well")
    add("--calls", action="store_true", help="list the calls of the protocol with their state, and exit")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a TCP port")
    return port
