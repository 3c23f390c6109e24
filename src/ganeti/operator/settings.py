"""This node's own defaults, from the same ssconf files a master would write: storage directories, hypervisors."""

from __future__ import annotations

from pathlib import Path

from ganeti.actions.node import Node
from ganeti.errors import ConfigurationError
from ganeti.model.base import Parameters, Scalar
from ganeti.model.disk import DiskType

STORAGE_KEYS = {DiskType.FILE: "file_storage_dir", DiskType.SHAREDFILE: "shared_file_storage_dir"}


def storage_directory(node: Node, kind: DiskType) -> Path:
    """Where disks of that type are made. Raises: ConfigurationError when this node has no such place."""
    directory = node.ssconf.text(STORAGE_KEYS[kind], "")
    if not directory:
        raise ConfigurationError(f"no directory for {kind} disks is set up on this node (ganeti-node init --help)")
    return Path(directory)


def hypervisor_settings(node: Node, kind: str) -> Parameters:
    """This node's values of a hypervisor's parameters; the rest has the hypervisor's own defaults."""
    known = node.hypervisors.get(kind).parameters
    settings: Parameters = {}
    for line in node.ssconf.lines(f"hvparams_{kind}"):
        name, separator, text = line.partition("=")
        if not separator or name not in known:
            raise ConfigurationError(f"ssconf hvparams_{kind} has a line that is no parameter: {line!r}")
        settings[name] = parse(known[name].default, text)
    return settings


def parse(default: Scalar, text: str) -> Scalar:
    """Read a parameter written as text, by the type of its default. Raises: ConfigurationError."""
    if isinstance(default, bool):
        words = {"true": True, "yes": True, "false": False, "no": False}
        if text.lower() not in words:
            raise ConfigurationError(f"{text!r} is neither true nor false")
        return words[text.lower()]
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError as err:
            raise ConfigurationError(f"{text!r} is not a whole number") from err
    return text
