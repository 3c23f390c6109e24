"""Certificates like those the cluster makes: X.509 version 1, which no library writes any more."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ganeti.host import certificates

CLUSTER_NAME = "ganeti.example.com"
SEQUENCE = 0x30
SHA256_WITH_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")


@dataclass(frozen=True, slots=True)
class Identity:
    """A key with its certificate."""

    key: rsa.RSAPrivateKey
    der: bytes
    subject: x509.Name

    @property
    def digest(self) -> str:
        """The cluster's name of the certificate."""
        return certificates.digest(self.der)

    @property
    def certificate_pem(self) -> str:
        """The certificate alone."""
        text = base64.encodebytes(self.der).decode().strip()
        return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"

    @property
    def pem(self) -> str:
        """Key, then certificate, as in the files of a node."""
        key = self.key.private_bytes(
            Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return key.decode() + self.certificate_pem

    def write(self, path: Path) -> Path:
        """Write key and certificate to a file."""
        path.write_text(self.pem)
        return path


@functools.cache
def key(number: int) -> rsa.RSAPrivateKey:
    """One of a few keys: making them takes most of the time."""
    del number
    return rsa.generate_private_key(65537, 2048)


def issue(
    common_name: str,
    key_number: int,
    issuer: Identity | None = None,
    *,
    serial: int = 1,
    valid_from: datetime | None = None,
    days: int = 1825,
) -> Identity:
    """A certificate of version 1, signed by `issuer` or by itself."""
    own_key = key(key_number)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = valid_from or datetime.now(UTC) - timedelta(hours=1)
    body = _der(
        SEQUENCE,
        _integer(serial)
        + SHA256_WITH_RSA
        + (issuer.subject if issuer else subject).public_bytes()
        + _der(SEQUENCE, _time(start) + _time(start + timedelta(days=days)))
        + subject.public_bytes()
        + own_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
    signature = (issuer.key if issuer else own_key).sign(body, padding.PKCS1v15(), hashes.SHA256())
    return Identity(own_key, _der(SEQUENCE, body + SHA256_WITH_RSA + _der(0x03, b"\0" + signature)), subject)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _time(when: datetime) -> bytes:
    return _der(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
