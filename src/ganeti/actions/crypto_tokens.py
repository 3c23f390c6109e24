"""What identifies this node to others: the digest of the certificate it calls them with."""

from __future__ import annotations

from typing import Literal

from ganeti.actions.node import Node
from ganeti.errors import ConfigurationError, NodeError
from ganeti.host import certificates

TokenRequest = tuple[Literal["ssl"], Literal["get", "create", "delete"], object]
"""Kind of token, what to do, options. Whatever is to be done, the answer is the present token: see `get`."""


def get(node: Node, requests: tuple[TokenRequest, ...]) -> list[tuple[str, str]]:
    """Kind and token for each request. Raises: ConfigurationError when there is no usable certificate.

    Certificates are made by a program the master runs over ssh; 3.0.2 answers `create` and `delete` like `get`, and
    its master counts on that.
    """
    return [(kind, _client_digest(node)) for kind, _, _ in requests]


def _client_digest(node: Node) -> str:
    try:
        return certificates.digest(certificates.first_der(node.paths.client_pem))
    except (OSError, NodeError) as err:
        raise ConfigurationError(f"no client certificate on this node: {err}") from err
