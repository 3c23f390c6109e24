"""How a person reaches a guest's console. Pure, but for looking which programs there are."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Final

import ganeti
from ganeti.constants import VNC_BASE_PORT
from ganeti.host.paths import Paths
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles
from ganeti.hypervisor.drivers.kvm.parameters import flag, text
from ganeti.model.base import Parameters
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.instance import ConsoleKind, Instance, InstanceConsole

CONSOLE_USER: Final = "root"
TERMINAL: Final = "STDIO,raw,echo=0,escape=0x1d"
"""Every key goes to the guest but Ctrl-], which leaves."""
SOCAT: Final = "/usr/bin/socat"


def describe(
    instance: Instance, node: ClusterNode, group: NodeGroup, hvparams: Parameters, *, files: GuestFiles, paths: Paths
) -> InstanceConsole:
    """The serial line over SSH, else VNC, else SPICE, else a message."""
    name, port = instance.name, instance.network_port
    if flag(hvparams, "serial_console"):
        return InstanceConsole(
            instance=name,
            kind=ConsoleKind.SSH,
            host=node.name,
            port=group.ssh_port(node),
            user=CONSOLE_USER,
            command=tuple(serial_command(files, paths)),
        )
    vnc, spice = text(hvparams, "vnc_bind_address"), text(hvparams, "spice_bind")
    if vnc and port is not None and port > VNC_BASE_PORT:
        return InstanceConsole(instance=name, kind=ConsoleKind.VNC, host=vnc, port=port, display=port - VNC_BASE_PORT)
    if spice:
        return InstanceConsole(instance=name, kind=ConsoleKind.SPICE, host=spice, port=port)
    return InstanceConsole(instance=name, kind=ConsoleKind.MESSAGE, message=f"No serial console for instance {name}")


def serial_command(files: GuestFiles, paths: Paths) -> list[str]:
    """The wrapper that wakes a paused guest and joins its serial line; words are quoted, for SSH joins them."""
    return [
        str(_wrapper(paths)),
        find_socat() or SOCAT,
        shlex.quote(files.name),
        shlex.quote(str(files.monitor)),
        TERMINAL,
        shlex.quote(f"UNIX-CONNECT:{files.serial}"),
    ]


def find_socat() -> str | None:
    """Where socat is; None when it is not installed."""
    return shutil.which("socat", path="/usr/local/bin:/usr/bin:/bin")


def shipped(name: str) -> Path | None:
    """A script of ours beside the package or in the checkout; None when it is not there."""
    package = Path(ganeti.__file__).parent
    places = (package / "libexec", package.parent.parent / "libexec")
    return next((place / name for place in places if (place / name).is_file()), None)


def _wrapper(paths: Paths) -> Path:
    return shipped("kvm-console-wrapper") or paths.tools_dir / "kvm-console-wrapper"
