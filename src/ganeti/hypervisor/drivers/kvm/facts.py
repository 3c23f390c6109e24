"""What a QEMU binary can do, read off what it prints about itself. Pure text: running it is `tools.qemu`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ganeti.errors import HypervisorError

_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_DEVICE: Final = re.compile(r'^name "([^"]+)"(?:.*?alias "([^"]+)")?', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class QemuFacts:
    """The printed self-description of one binary, and whether guests run by KVM on this machine."""

    help: str
    machine_list: str
    device_list: str
    kvm_problem: str | None = None
    """Why KVM cannot be used here; None when it can."""

    @cached_property
    def version(self) -> tuple[int, int, int]:
        """Major, minor and revision. Raises: HypervisorError."""
        first = self.help.partition("\n")[0]
        match = _VERSION.search(first)
        if match is None:
            raise HypervisorError(f"cannot find QEMU's version in {first!r}")
        return int(match[1]), int(match[2]), int(match[3] or 0)

    @cached_property
    def machines(self) -> tuple[str, ...]:
        """Names of the machines it can be, aliases among them."""
        lines = self.machine_list.splitlines()
        return tuple(line.split()[0] for line in lines if line.strip() and not line.endswith(":"))

    @cached_property
    def default_machine(self) -> str:
        """The machine it is when not told; written into every command, for a guest keeps it over upgrades."""
        for line in self.machine_list.splitlines():
            if "(default)" in line:
                return line.split()[0]
        return "pc"

    @cached_property
    def devices(self) -> frozenset[str]:
        """Names and aliases of the devices it knows."""
        return frozenset(name for match in _DEVICE.findall(self.device_list) for name in match if name)

    @cached_property
    def options(self) -> dict[str, str]:
        """Each option with what the help says of it up to the next one; several entries of one name are joined."""
        found: dict[str, str] = {}
        name = ""
        for line in self.help.splitlines():
            if line.startswith("-"):
                name = line.split(maxsplit=1)[0]
            if name:
                found[name] = f"{found.get(name, '')}{line}\n"
        return found

    def has_option(self, option: str) -> bool:
        """Whether a line of the help begins with that option."""
        return option in self.options

    def option_has(self, option: str, text: str) -> bool:
        """Whether the help of an option mentions `text`."""
        return text in self.options.get(option, "")

    @property
    def needs_boot_flag(self) -> bool:
        """Whether a drive must be told that it is booted from (before QEMU 0.15)."""
        return self.option_has("-drive", ",boot=on|off")

    @property
    def has_auto_read_only(self) -> bool:
        """Whether drives may turn read-only by themselves, which must be switched off (since QEMU 4.0)."""
        return self.option_has("-blockdev", ",auto-read-only=on|off")
