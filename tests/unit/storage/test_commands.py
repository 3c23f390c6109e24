"""Command lines of the tools that copy contents."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti.host.runner import SystemRunner
from ganeti.tools import curl, dd, pipeline

DISK, IMAGE = Path("/srv/a disk"), Path("/srv/image")


def test_dd_reads_a_whole_disk() -> None:
    assert dd.read_argv(DISK, blocks=5) == ["dd", "if=/srv/a disk", "bs=1048576", "count=5", "iflag=direct"]
    assert dd.read_argv(DISK, blocks=5, direct=False)[-1] == "count=5"


def test_dd_writes_from_a_pipe_in_whole_blocks_and_to_the_medium() -> None:
    common = ["dd", "of=/srv/a disk", "bs=1048576", "iflag=fullblock", "conv=nocreat,notrunc,fsync"]
    assert dd.write_argv(DISK) == [*common, "oflag=direct"]
    assert dd.write_argv(DISK, blocks=3, direct=False) == [*common, "count=3"]


def test_dd_copies_over_a_part_and_leaves_the_rest() -> None:
    assert dd.copy_argv(IMAGE, DISK, blocks=3, seek=2) == [
        "dd",
        "if=/srv/image",
        "of=/srv/a disk",
        "bs=1048576",
        "seek=2",
        "count=3",
        "iflag=fullblock",
        "conv=nocreat,notrunc,fsync",
        "oflag=direct",
    ]


def test_curl_fetches_by_the_named_schemes_alone() -> None:
    assert curl.fetch_argv("http://x/[1-3]") == [
        "curl",
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--globoff",
        "--proto",
        "=http,https,ftp,ftps",
        "--proto-redir",
        "=http,https,ftp,ftps",
        "--url",
        "http://x/[1-3]",
    ]


def test_a_pipeline_quotes_every_word() -> None:
    assert pipeline.argv(["cat", "a b", "$(x)"], ["dd", "of='"]) == [
        "/bin/bash",
        "-o",
        "pipefail",
        "-c",
        "cat 'a b' '$(x)' | dd 'of='\"'\"''",
    ]


@pytest.mark.parametrize(
    ("commands", "to_the_end", "works"),
    [
        ([["echo", "x"], ["cat"]], False, True),
        ([["false"], ["cat"]], False, False),
        ([["echo", "x"], ["false"]], False, False),
        ([["echo", "x"], ["head", "-c", "1"]], False, True),
        ([["echo", "x"], ["dd", "bs=1", "count=1"]], True, False),
        ([["echo", "x"], ["dd", "bs=1", "count=2"]], True, True),
        ([["echo", "x"], ["dd", "bs=1", "count=3"]], True, True),
        ([["false"], ["dd", "bs=1", "count=3"]], True, False),
    ],
)
def test_a_pipeline_fails_when_any_part_fails(
    real_runner: SystemRunner, commands: list[list[str]], to_the_end: bool, works: bool
) -> None:
    assert real_runner.run(pipeline.argv(*commands, to_the_end=to_the_end)).failed != works
