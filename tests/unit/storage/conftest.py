"""A node below a temporary root with one directory allowed for file disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti.host.paths import Paths


@pytest.fixture
def store(paths: Paths, tmp_path: Path) -> Path:
    """The allowed directory."""
    directory = tmp_path / "srv/store"
    directory.mkdir(parents=True)
    paths.file_storage_paths_file.write_text(f"# for guests\n\n  {directory}  \n")
    return directory
