"""Verification of the machine itself: its files, programs, kernel file systems, clock and certificate."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host import certificates

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

log = logging.getLogger(__name__)

ERROR: Final = "ERROR"
WARNING: Final = "WARNING"
ERROR_DAYS: Final = 7
WARNING_DAYS: Final = 30


def file_digests(node: Node, virtual_paths: Sequence[str]) -> dict[str, str]:
    """SHA-1 of each file by its name as it travels; what is no regular file, or missing, is left out.

    Raises: UnsafePath; OSError for a file that cannot be read.
    """
    digests: dict[str, str] = {}
    for text in virtual_paths:
        path = node.paths.from_virtual(text)
        if path.is_file():
            with path.open("rb") as file:
                digests[text] = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    return digests


def client_certificate(node: Node) -> tuple[str | None, str]:
    """(None, digest) of the certificate this node calls others with, or how bad it is and what is wrong."""
    path = node.paths.client_pem
    if not path.is_file():
        return ERROR, f"the client certificate {path} does not exist: let the master renew the node certificates"
    # 60 ms and 10 MiB: only verification looks into a certificate
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(certificates.first_pem(path).encode())
        der = certificates.first_der(path)
    except (OSError, ValueError, NodeError) as err:
        return ERROR, f"the client certificate {path} cannot be loaded: {err}"
    problem = _judge_dates(certificate, datetime.fromtimestamp(node.clock.time(), UTC), path)
    if problem is not None:
        return problem
    if certificate.subject == certificate.issuer:
        return WARNING, f"the client certificate {path} is self-signed"
    return None, certificates.digest(der)


def not_executable(paths: Sequence[str]) -> list[str]:
    """Those that are no files this daemon may execute."""
    return [path for path in paths if not (Path(path).is_file() and os.access(path, os.X_OK))]


def program_problems(paths: Sequence[str]) -> list[str | None]:
    """For each path what keeps its owner from executing it; None when nothing does."""
    return [_program_problem(path) for path in paths]


def set_up_problems(root: Path = Path("/")) -> list[str]:
    """What is missing of the kernel's file systems."""
    problems: list[str] = []
    if not ((root / "sys/block").is_dir() and (root / "sys/class/net").is_dir()):
        problems.append("sysfs does not seem to be mounted: /sys/block or /sys/class/net is missing")
    if not ((root / "proc/sys").is_dir() and (root / "proc/sysrq-trigger").is_file()):
        problems.append("procfs does not seem to be mounted whole: /proc/sys or /proc/sysrq-trigger is missing")
    return problems


def clock(node: Node) -> tuple[int, int]:
    """Seconds since the epoch, and microseconds."""
    microseconds = int(node.clock.time() * 1_000_000)
    return divmod(microseconds, 1_000_000)


def _program_problem(path: str) -> str | None:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as err:
        return f"cannot stat the program {path}: {err}"
    if not stat.S_ISREG(mode):
        return f"{path} is not a file"
    return None if mode & stat.S_IXUSR else f"{path} is not executable"


def _judge_dates(certificate: Certificate, now: datetime, path: Path) -> tuple[str, str] | None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end <= now:
        return ERROR, f"the client certificate {path} has expired on {end:%Y-%m-%d}"
    if begin > now:
        return WARNING, f"the client certificate {path} is not valid before {begin:%Y-%m-%d}"
    if end - now <= timedelta(days=WARNING_DAYS):
        level = ERROR if end - now <= timedelta(days=ERROR_DAYS) else WARNING
        return level, f"the client certificate {path} expires on {end:%Y-%m-%d}"
    return None
