"""Who may call: the TLS context, and the judgement of a client's certificate right after the handshake.

OpenSSL proves that the client holds the key, and that its certificate is the cluster's own or was issued by it; dates
do not count. Then the certificate's digest must be among those of the master candidates, as they are on disk at that
moment. It knows nothing of HTTP and calls. Source: the decisions observed of the 3.0.2 daemon.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ganeti.constants import SSCONF_SIZE_LIMIT
from ganeti.errors import ConfigurationError, NodeError
from ganeti.host import certificates, files
from ganeti.host.paths import Paths

T = TypeVar("T")

CIPHERS = "HIGH:-DES:-3DES:-EXPORT:-DH"
"""For TLS 1.2; the suites of 1.3 are not affected."""

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which the ssl module has no name."""


class Refused(NodeError):
    """A client may not call."""


def server_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """The daemon's TLS set-up; `authority` is the PEM file whose certificate issues those of the clients.

    Raises: ConfigurationError when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.verify_mode = ssl.CERT_REQUIRED
    # The cluster's certificates are of version 1 and cannot say that they are an authority: being the anchor is enough.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(NO_CHECK_TIME)
    # The master makes a new connection a call and keeps no session: tickets would only cost time and bytes.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except OSError as err:
        raise ConfigurationError(f"cannot use {certificate}, {key} and {authority} for TLS: {err}") from err
    return context


def candidate_digests(path: Path) -> frozenset[str]:
    """Digests in the candidate map; empty when the file is empty, missing or unreadable.

    Raises: NodeError when it is malformed or too large.
    """
    try:
        text = files.read_text(path, limit=SSCONF_SIZE_LIMIT)
    except OSError:
        # As in the original: a node without this file is being joined to a cluster.
        return frozenset()
    digests = set()
    for line in text.rstrip("\n").splitlines():
        uuid, separator, digest = line.partition("=")
        if not separator or "=" in digest:
            raise NodeError(f"{path} is malformed: {len(uuid)} characters without exactly one '='")
        digests.add(digest)
    return frozenset(digests)


class Gate:
    """Judges the certificates of clients; reads the files again whenever they have changed."""

    def __init__(self, paths: Paths, anchor: bytes) -> None:
        """Remember where the files are; `anchor` is the certificate (DER) which OpenSSL verified the clients by."""
        self._anchor = anchor
        self._server = _Watched(paths.server_pem, lambda path: certificates.digest(certificates.first_der(path)))
        self._candidates = _Watched(paths.candidate_certs, candidate_digests)

    def admit(self, certificate: bytes | None) -> str:
        """The digest of a client's certificate that may call. Raises: Refused."""
        if not certificate:
            raise Refused("it showed no certificate")
        digest = certificates.digest(certificate)
        try:
            # In bootstrap mode only the cluster's own certificate is accepted.
            accepted = self._candidates.value() or {self._server.value()}
            if certificate != self._anchor and self._server.value() != certificates.digest(self._anchor):
                raise Refused(f"the issuer of certificate {digest} is no longer the cluster's certificate")
        except (OSError, NodeError) as err:
            raise Refused(f"certificate {digest}: {err}") from err
        if digest not in accepted:
            raise Refused(f"certificate {digest} is not one of a master candidate")
        return digest


class _Watched(Generic[T]):
    """What is made of a file's content, made again when the file is another one or was changed."""

    def __init__(self, path: Path, make: Callable[[Path], T]) -> None:
        self._path = path
        self._make = make
        self._seen: tuple[int, ...] | None = None
        self._value: T | None = None

    def value(self) -> T:
        """The present value; errors of making it are not remembered. Raises: what `make` raises."""
        seen = self._stat()
        if self._value is None or seen is None or seen != self._seen:
            self._value = self._make(self._path)
            self._seen = seen
        return self._value

    def _stat(self) -> tuple[int, ...] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
