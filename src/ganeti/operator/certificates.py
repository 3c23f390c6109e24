"""The certificates of a cluster: one self-signed for all its node daemons, and one a node, signed by it.

Source: what Ganeti 3.0 makes: RSA of 2048 bits, SHA-256, common name ganeti.example.com, five years. Ours are X.509
version 3 with the constraints that say what each is for, which every client accepts.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

COMMON_NAME = "ganeti.example.com"
VALIDITY = dt.timedelta(days=1825)
KEY_BITS = 2048


def cluster_certificate() -> bytes:
    """A new key and self-signed certificate, PEM, key first."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # 60 ms: only where certificates are made

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return _pem(key, _certificate(key, key, subject=COMMON_NAME, serial=1, is_authority=True))


def client_certificate(signer_pem: bytes, name: str, serial: int) -> bytes:
    """A new key and certificate of the node `name`, signed by the cluster's, PEM, key first."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # 60 ms: only where certificates are made
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    signer = load_pem_private_key(signer_pem, password=None)
    if not isinstance(signer, rsa.RSAPrivateKey):
        raise TypeError("the cluster's key is no RSA key")
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return _pem(key, _certificate(key, signer, subject=name, serial=serial, is_authority=False))


def _certificate(
    key: RSAPrivateKey, signer: RSAPrivateKey, *, subject: str, serial: int, is_authority: bool
) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.UTC)
    constraints = x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)]))
        .public_key(key.public_key())
        .serial_number(serial)
        # A clock that is a little behind must not refuse a fresh certificate.
        .not_valid_before(now - dt.timedelta(minutes=10))
        .not_valid_after(now + VALIDITY)
        .add_extension(constraints, critical=True)
        .sign(signer, hashes.SHA256())
    )


def _pem(key: RSAPrivateKey, certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)
