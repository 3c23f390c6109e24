"""Whoever opens a disk says what format it has: guests write their disks, and what they write must not be believed.

An image whose format is found out by looking at it can name any file of the node as its backing.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted(
    path for place in ("os", "examples", "libexec") for path in (ROOT / place).rglob("*") if path.is_file()
)
GUESTS = sorted((ROOT / "tests/golden/kvm/guests").glob("*.args"))
TRANSCRIPTS = sorted((ROOT / "tests/unit/storage/transcripts").rglob("*.txt"))

NAMES_THE_FORMAT = {
    "qemu-img": r"-f|--format=.*|-O",
    "qemu-nbd": r"-f|--format=.*",
    "qemu-io": r"-f|--format=.*",
    "mount": r"-t|--types=.*|remount.*|move",
}
"""Programs that open a disk or an image, and the word by which they are told what it is."""
LOOKS_ONLY = {"blkid", "kpartx", "partprobe", "guestfish", "virt-inspector", "guestmount"}
"""Programs whose purpose it is to find out."""


def problem(words: Sequence[str]) -> str | None:
    """What is wrong with a command; None when nothing is."""
    program = words[0].rpartition("/")[2]
    if program in LOOKS_ONLY:
        return f"{shlex.join(words)} finds out what is on a disk"
    pattern = NAMES_THE_FORMAT.get(program)
    if pattern is not None and not any(re.fullmatch(pattern, word) for word in words[1:]):
        return f"{shlex.join(words)} does not say what it opens"
    return None


def drive_problem(option: str) -> str | None:
    """What is wrong with the value of QEMU's -drive; None when nothing is."""
    return None if "format=raw" in option.split(",") else f"-drive {option} does not name the format"


def lists_of_words(path: Path) -> Iterator[list[str]]:
    """The command lines in a module: lists and tuples that begin with a text."""
    for one in ast.walk(ast.parse(path.read_text())):
        if isinstance(one, ast.List | ast.Tuple) and one.elts:
            words = [part.value if isinstance(part, ast.Constant) else "" for part in one.elts]
            if isinstance(words[0], str) and words[0]:
                yield [str(word) for word in words]


def lines_of(path: Path) -> Iterator[list[str]]:
    """The commands of a shell script, roughly: lines and what follows `if`, `!`, `&&`, `||` and `;`."""
    text = path.read_bytes().decode("utf-8", "replace")
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||;|\bif\b|!|\bdo\b|\bthen\b|\$\(|\|", line.partition(" #")[0]):
            words = part.split()
            if words and not words[0].startswith("#"):
                yield words


@pytest.mark.parametrize("path", GUESTS, ids=lambda path: path.stem)
def test_every_drive_of_a_guest_has_its_format(path: Path) -> None:
    words = path.read_text().splitlines()
    options = [after for before, after in pairwise(words) if before == "-drive"]
    assert [found for option in options if "file=" in option and (found := drive_problem(option))] == []
    assert not any(word in {"-hda", "-hdb", "-cdrom", "-fda", "-snapshot"} for word in words)


def test_no_program_of_ours_finds_out_what_is_on_a_disk() -> None:
    found = [f"{path.name}: {text}" for path in SOURCES for words in lists_of_words(path) if (text := problem(words))]
    assert found == []


def test_no_script_of_ours_finds_out_what_is_on_a_disk() -> None:
    assert SCRIPTS
    found = [f"{path.name}: {text}" for path in SCRIPTS for words in lines_of(path) if (text := problem(words))]
    assert found == []


def test_no_recorded_command_finds_out_what_is_on_a_disk() -> None:
    commands = [
        shlex.split(line[2:])
        for path in TRANSCRIPTS
        for line in path.read_text().splitlines()
        if line.startswith("$ ") and line.count("'") % 2 == 0
    ]
    assert commands
    assert [text for words in commands if (text := problem(words))] == []


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("qemu-img convert a b", True),
        ("qemu-img convert -f raw a b", False),
        ("/bin/mount /dev/x /mnt", True),
        ("mount -t ext4 /dev/x /mnt", False),
        ("blkid /dev/x", True),
        ("umount /mnt", False),
    ],
)
def test_what_is_looked_for_would_be_found(line: str, is_wrong: bool) -> None:
    assert bool(problem(line.split())) is is_wrong
    assert drive_problem("file=/x,if=virtio")
