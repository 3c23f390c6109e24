"""Beside the packaged daemon: the same command lines, and guests that do not care which of the two looks after them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lab.diskless import diskless_guest

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = ["unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
INIT = ["bash", "-c", '"$@"; exit $?', "init"]

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not Path("/usr/sbin/ganeti-noded").exists(), reason="needs the packaged node daemon"),
]

REFUSED = {
    "cdrom-comma": "does not double the comma",
    "cdrom-scsi": "gives the drive an interface QEMU does not know",
    "floppy-boot": "gives a flag QEMU does not know",
    "machine-q35": "knows one name of the root bus only",
    "nic-isa": "puts the card on the PCI bus",
    "sound": "gives an option QEMU does not know",
    "sound-spice": "gives an option QEMU does not know",
    "vnc-directory": "fails with an internal error",
}
"""Guests the packaged daemon cannot start with this emulator."""


def inside(what: str) -> dict[str, dict[str, list[str]]]:
    diskless_guest()  # made here: inside there is no network to fetch a kernel from
    done = subprocess.run(
        [*UNSHARE, *INIT, sys.executable, "-P", "-m", "tests.hosts.kvm_packaged", what],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return result


def comparable(words: list[str]) -> list[str]:
    """A command line without what differs on purpose: acceleration, short forms, the pause, the numbers of files."""
    result: list[str] = []
    for word in words:
        text = re.sub(r"^(pc-i440fx-[0-9.]+),accel=tcg$", r"\1", word)
        text = re.sub(r"\bfd=\d+", "fd=N", text)
        text = re.sub(r"\b(password|disable-ticketing|ipv[46])=on\b", r"\1", text)
        result.append(text.replace("server=on,wait=off", "server,nowait"))
    # where the pause and the user are given means nothing to QEMU
    user = ["-runas", "nobody"] if "-runas" in result else []
    return [word for word in result if word not in ("-S", "-runas", "nobody")] + user


def test_the_command_lines_are_the_packaged_daemons() -> None:
    found = inside("commands")
    refused = {name for name, both in found.items() if both["theirs"][0].startswith("refused: ")}
    same = {name for name, both in found.items() if comparable(both["theirs"]) == comparable(both["ours"])}
    differ = {name: both for name, both in found.items() if name not in same | refused}
    assert differ == {}
    assert refused <= set(REFUSED) | {"spice-interface"}  # a name space of its own may be without IPv6
    assert len(same) > 40


def test_guests_do_not_notice_which_daemon_looks_after_them() -> None:
    figures = {"memory": 96, "vcpus": 1, "state": 0, "time": 0}
    found: dict[str, object] = dict(inside("exchange"))
    assert found["theirs seen by ours"] == {"theirs.test": figures}
    assert found["both seen by packaged"] == {"theirs.test": figures, "ours.test": figures}
    assert found["listed by packaged"] == ["theirs.test", "ours.test"] or found["listed by packaged"] == [
        "ours.test",
        "theirs.test",
    ]
    assert isinstance(both := found["both seen by ours"], dict)
    assert sorted(both) == ["ours.test", "theirs.test"]
    assert found["at the end"] == {}
    assert found["left"] == []
