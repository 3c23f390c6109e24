"""Certificates as the cluster names them. Reading one costs no cryptography library (some 60 ms of start-up)."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path
from typing import Final

from ganeti.errors import NodeError
from ganeti.host import files

PEM_LIMIT: Final = 131072

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def digest(der: bytes) -> str:
    """The cluster's name of a certificate: SHA-1 of its DER form, upper-case octets joined by colons."""
    return hashlib.sha1(der, usedforsecurity=False).digest().hex(":").upper()


def first_pem(path: Path) -> str:
    """The first certificate of a file that may hold its key too. Raises: OSError; NodeError when there is none."""
    found = _CERTIFICATE.search(files.read_text(path, limit=PEM_LIMIT))
    if found is None:
        raise NodeError(f"{path} holds no certificate")
    return found[0]


def first_der(path: Path) -> bytes:
    """The same in binary form. Raises: OSError, NodeError."""
    try:
        der = ssl.PEM_cert_to_DER_cert(first_pem(path))
    except ValueError as err:
        raise NodeError(f"the certificate in {path} cannot be read: {err}") from err
    if not _is_whole_sequence(der):
        raise NodeError(f"the certificate in {path} is damaged")
    return der


def _is_whole_sequence(der: bytes) -> bool:
    """Whether the outermost ASN.1 value is a sequence of exactly this length; the base64 decoder lets garbage pass."""
    if len(der) < 4 or der[0] != 0x30 or der[1] & 0x80 == 0:  # no certificate is shorter than 128 bytes
        return False
    width = der[1] & 0x7F
    return len(der) == 2 + width + int.from_bytes(der[2 : 2 + width])
