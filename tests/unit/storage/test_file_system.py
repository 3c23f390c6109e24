"""Holes, zeros and renames on real files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganeti.storage import file_system

Punch = Callable[[int, int, int], None]
Rename = Callable[[int, str, int, str], None]


def without_holes(descriptor: int, offset: int, length: int) -> None:
    """A file system that knows no holes."""
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def untrue(descriptor: int, offset: int, length: int) -> None:
    """A file system that says it made a hole and did not."""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("punch", [file_system.punch_hole, without_holes, untrue])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 20000), offset=st.integers(0, 25000), length=st.integers(0, 25000))
def test_the_range_alone_becomes_zero(tmp_path: Path, punch: Punch, size: int, offset: int, length: int) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"x" * size)
    with opened(path) as descriptor:
        file_system.zero_range(descriptor, offset, length, punch=punch)
    inside = max(0, min(offset + length, size) - offset)
    assert path.read_bytes() == b"x" * min(offset, size) + bytes(inside) + b"x" * max(0, size - offset - inside)


def test_another_failure_is_reported(tmp_path: Path) -> None:
    def broken(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    path = tmp_path / "disk"
    path.write_bytes(b"x")
    with opened(path) as descriptor, pytest.raises(OSError, match="input/output"):
        file_system.zero_range(descriptor, 0, 1, punch=broken)


def test_a_hole_reads_as_zero_and_so_do_written_zeros(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with opened(path_of_size(path, 10 << 20)) as descriptor:
        os.pwrite(descriptor, bytes(4096), 1 << 20)
        assert file_system.reads_as_zero(descriptor, 0, 10 << 20)
        os.pwrite(descriptor, b"x", (9 << 20) + 7)
        assert file_system.reads_as_zero(descriptor, 0, 9 << 20)
        assert not file_system.reads_as_zero(descriptor, 0, 10 << 20)


def path_of_size(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.fixture(params=[file_system.rename_without_replacing, file_system.rename_by_links])
def rename(request: pytest.FixtureRequest) -> Rename:
    """Both ways to rename."""
    result: Rename = request.param
    return result


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Path, Path, int, int]]:
    """Two directories with descriptors."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with opened(one) as first, opened(other) as second:
        yield one, other, first, second


def test_a_file_moves(two: tuple[Path, Path, int, int], rename: Rename) -> None:
    one, other, first, second = two
    (one / "a").write_text("a")
    rename(first, "a", second, "b")
    assert not (one / "a").exists()
    assert (other / "b").read_text() == "a"


def test_a_directory_moves(two: tuple[Path, Path, int, int], rename: Rename) -> None:
    one, other, first, second = two
    (one / "a").mkdir()
    (one / "a/inner").write_text("a")
    rename(first, "a", second, "b")
    assert (other / "b/inner").read_text() == "a"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_in_the_way_is_never_replaced(two: tuple[Path, Path, int, int], rename: Rename, kind: str) -> None:
    one, other, first, second = two
    for path in (one / "a", other / "b"):
        if kind == "file":
            path.write_text(path.name)
        else:
            path.mkdir()
    with pytest.raises(FileExistsError):
        rename(first, "a", second, "b")
    assert (one / "a").exists()
    assert kind == "directory" or (other / "b").read_text() == "b"


def test_a_missing_file_cannot_move(two: tuple[Path, Path, int, int], rename: Rename) -> None:
    with pytest.raises(FileNotFoundError):
        rename(two[2], "a", two[3], "b")
