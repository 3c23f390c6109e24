"""The cluster's static data on a node: one small text file an item, written by the master, read at every use."""

from __future__ import annotations

from ganeti.constants import IP4_FAMILY, SSCONF_SIZE_LIMIT
from ganeti.errors import ConfigurationError, NodeError
from ganeti.host import files
from ganeti.host.paths import Paths


class Ssconf:
    """Reads `ssconf_<key>` files. Source of keys and formats: the files a 3.0.2 master writes."""

    def __init__(self, paths: Paths) -> None:
        """Remember where the files are."""
        self._paths = paths

    def text(self, key: str, default: str | None = None) -> str:
        """An item without trailing newlines. Raises: ConfigurationError when unreadable and no default is given."""
        path = self._paths.ssconf(key)
        try:
            return files.read_text(path, limit=SSCONF_SIZE_LIMIT).rstrip("\n")
        except FileNotFoundError as err:
            if default is not None:
                return default
            raise ConfigurationError(f"{path} is missing") from err
        except (OSError, NodeError) as err:
            raise ConfigurationError(f"cannot read {path}: {err}") from err

    def lines(self, key: str) -> list[str]:
        """An item of several lines; an empty or missing file gives none."""
        return self.text(key, "").splitlines()

    def primary_ip_family(self) -> int:
        """Address family of the cluster: 2 (IPv4, also when not known) or 10 (IPv6). Raises: ConfigurationError."""
        text = self.text("primary_ip_family", str(IP4_FAMILY))
        if not text.isdigit():
            raise ConfigurationError(f"ssconf primary_ip_family is not a number: {text!r}")
        return int(text)
