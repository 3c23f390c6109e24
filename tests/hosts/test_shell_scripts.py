"""Every shell script of the project passes shellcheck."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = (".ci", "examples", "lab", "libexec", "os", "scripts")


def shell_scripts() -> list[Path]:
    """Files whose first line names a shell."""
    files = [path for place in PLACES for path in sorted((ROOT / place).rglob("*")) if path.is_file()]
    return [path for path in files if is_shell(path)]


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(64)
    return first.startswith(b"#!") and first.rstrip().endswith((b"/bash", b"/sh"))


def test_there_are_shell_scripts_where_they_are_looked_for() -> None:
    assert {path.parent.name for path in shell_scripts()} >= {"scripts", "busybox", "debootstrap", "libexec", "loop"}


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    found = subprocess.run(
        ["shellcheck", "--external-sources", script.name],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stdout
