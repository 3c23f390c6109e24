"""Questions about many disks cost as many programs as one about a single disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.storage.test_hostile_names import drbd, plain
from tests.unit.storage.watched import WatchedRunner

from ganeti.actions import blockdev, blockdev_data, mirrors
from ganeti.actions.node import Node
from ganeti.model.disk import Disk

COUNT = 30
RECORD = """\
{minor}: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
"""
IN_USE = "version: 8.4.11 (api:1/proto:86-101)\n" + "".join(RECORD.format(minor=number) for number in range(COUNT))


class CountingRunner(WatchedRunner):
    """Counts programs and files of the kernel."""

    def __init__(self, volumes: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(volumes)
        self.asked: Counter[str] = Counter()

    def read(self, path: Path) -> str:
        self.asked[str(path)] += 1
        return IN_USE if str(path) == "/proc/drbd" else "16384\n"


def mirror(number: int) -> Disk:
    here = {"local-ip": "192.0.2.1", "remote-ip": "192.0.2.2", "local-minor": number, "remote-minor": number}
    return msgspec.structs.replace(drbd(), dynamic_params=here, uuid=f"uuid{number}")


VOLUMES = tuple(plain(name=f"disk{number}") for number in range(COUNT))
MIRRORS = tuple(mirror(number) for number in range(COUNT))
QUESTIONS: dict[str, Callable[[Node, tuple[Disk, ...]], Sequence[object]]] = {
    "dimensions": blockdev_data.dimensions,
    "states": blockdev.mirror_status,
    "states one by one": blockdev.mirror_status_multi,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(("disks", "asked"), [(VOLUMES, {"lvs": 1}), (MIRRORS, {"lvs": 1, "/proc/drbd": 1})])
def test_a_question_about_many_disks_is_asked_once(
    node: Node, disks: tuple[Disk, ...], asked: dict[str, int], question: str
) -> None:
    names = [disk.logical_id[1] for disk in VOLUMES]
    runner = CountingRunner([("xenvg", str(name)) for name in (*names, "data", "meta")])
    assert len(QUESTIONS[question](Node.compose(replace(node.system, runner=runner)), disks)) == COUNT
    programs = Counter(words[0] for words in runner.commands)
    assert programs + Counter({path: runner.asked[path] for path in ("/proc/drbd",)}) == asked


def test_which_mirrors_need_activation_needs_no_program(node: Node) -> None:
    runner = CountingRunner()
    assert mirrors.needs_activation(Node.compose(replace(node.system, runner=runner)), MIRRORS) == []
    assert (runner.commands, runner.asked) == ([], {"/proc/drbd": 1})
