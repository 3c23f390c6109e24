"""The lock files hold what pyproject.toml asks for, with hashes, and no address of any index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(lock: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [*project["dependencies"], *(project["optional-dependencies"]["dev"] if "dev" in lock else [])]
    return {normal(name) for name in names}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_asked_for_is_pinned(lock: str) -> None:
    pinned = {normal(match["name"]) for match in PINNED.finditer((ROOT / lock).read_text(encoding="utf-8"))}

    assert asked_for(lock) <= pinned


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_nothing_an_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert "://" not in text
    for pin in re.split(r"\n(?=\S)", text.strip()):
        assert PINNED.match(pin), pin
        assert "--hash=sha256:" in pin, pin
