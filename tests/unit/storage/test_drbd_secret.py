"""The secret of a mirror is in no log, no error, no text form and no transcript, whatever the programs print."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.unit.storage.mirrors import DISK, SECRET, Volume, proc, shown_ours

from ganeti.errors import CommandError, NodeError
from ganeti.host.clock import FakeClock
from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.paths import Paths
from ganeti.host.runner import Result, Runner, SystemRunner
from ganeti.host.system import System
from ganeti.host.transcript import RecordingRunner
from ganeti.model.disk import Disk
from ganeti.storage.base import BlockDevice
from ganeti.storage.drivers.drbd import DrbdDisk, identity
from ganeti.tools.drbd import commands
from ganeti.tools.drbd.commands import secret_words

OPERATIONS: dict[str, Callable[[DrbdDisk], object]] = {
    "assemble": lambda mirror: mirror.assemble(),
    "connect": lambda mirror: mirror.attach_network(both_primary=True),
    "disconnect": lambda mirror: mirror.disconnect_network(),
    "open": lambda mirror: mirror.open(force=True),
    "close": lambda mirror: mirror.close(),
    "shutdown": lambda mirror: mirror.shutdown(),
    "create": lambda mirror: mirror.create(exclusive_storage=False),
    "grow": lambda mirror: mirror.grow(32, dry_run=False, backing_store=False, exclusive_storage=False),
    "pause": lambda mirror: mirror.pause_resume_sync(pause=True),
    "remove children": lambda mirror: mirror.remove_children([]),
    "status": lambda mirror: mirror.status(),
}

SECONDARY = " 3: cs:{} ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n    ns:0"


class Talkative(FakeRunner):
    """Programs that tell on both outputs everything they were told, and fail at a word; and a kernel's files."""

    def __init__(self, connection: str | None, failing: str, show: str = "") -> None:
        self._status = proc(*([SECONDARY.format(connection)] if connection else [])).stdout
        self._failing = failing
        self._show = show

    def respond(self, asked: Asked) -> Result:
        everything = f"{' '.join(asked.words)}\n"
        stdout = self._show if "show" in asked.words else everything
        exit_code = 10 if self._failing in asked.words else 0
        return Result(argv=asked.argv, stdout=stdout, stderr=everything, exit_code=exit_code)

    def read(self, path: Path) -> str:
        return self._status if path == Path("/proc/drbd") else "131072\n"

    def block_device(self, path: Path) -> tuple[int, int] | None:
        return (253, 7)


def mirror(paths: Paths, runner: Runner) -> DrbdDisk:
    system = System(paths=paths, runner=runner, clock=FakeClock())

    def volume(disk: Disk) -> BlockDevice:
        made = Volume(system, disk)
        made.calls = []
        return made

    return DrbdDisk(system, DISK, [volume(child) for child in DISK.children or ()])


def everything_told(error: NodeError | None, device: DrbdDisk, records: Sequence[logging.LogRecord]) -> Iterator[str]:
    """Every text anybody could see."""
    yield repr(device)
    yield repr(device.disk)
    yield repr(vars(device))
    for record in records:
        yield record.getMessage()
        yield repr(record.args)
    if error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
        yield "".join(traceback.format_exception(error))


@pytest.mark.parametrize("failing", ["connect", "disconnect", "attach", "primary", "show", "none of them"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("connection", ["StandAlone", "Connected", None])
def test_nothing_anybody_sees_has_the_secret(
    paths: Paths, caplog: pytest.LogCaptureFixture, operation: str, failing: str, connection: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    device = mirror(paths, Talkative(connection, failing, shown_ours().stdout))
    caught: NodeError | None = None
    try:
        OPERATIONS[operation](device)
    except NodeError as err:
        caught = err
    told = list(everything_told(caught, device, caplog.records))
    assert [text for text in told if SECRET in text] == []


def test_a_failed_connect_is_shown_with_stars(paths: Paths) -> None:
    with pytest.raises(NodeError, match=r"connect .*--shared-secret '\*\*\*' failed: .*--shared-secret \*\*\*"):
        mirror(paths, Talkative("StandAlone", "connect")).attach_network(both_primary=False)


@pytest.mark.parametrize(
    "show", [shown_ours().stdout.replace("address ipv4", f'address "{SECRET}'), f"{SECRET} {{", f'"{SECRET}']
)
def test_a_configuration_not_understood_does_not_tell_it(
    paths: Paths, caplog: pytest.LogCaptureFixture, show: str
) -> None:
    caplog.set_level(logging.DEBUG)
    device = mirror(paths, Talkative("Connected", "none of them", show))
    with pytest.raises(NodeError, match="cannot be understood") as info:
        device.assemble()
    assert not any(SECRET in text for text in everything_told(info.value, device, caplog.records))


def test_a_real_command_line_has_stars_in_the_log_and_in_the_error(
    real_runner: SystemRunner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    device = identity.device_of(DISK)
    argv = ["sh", "-c", 'echo "$0"; exit 7', *secret_words(device)[-1:]]
    with pytest.raises(CommandError, match=r"status 7: \*\*\*$") as info:
        commands.run(real_runner, argv)
    assert SECRET not in repr(info.value)
    assert "'***'" in caplog.text
    assert SECRET not in caplog.text


def test_a_transcript_has_a_name_in_its_place(paths: Paths, tmp_path: Path) -> None:
    talkative = Talkative("StandAlone", "none of them", shown_ours().stdout)
    transcript = tmp_path / "transcript"
    mirror(paths, RecordingRunner(talkative, transcript, {"SECRET": SECRET})).attach_network(both_primary=False)
    text = transcript.read_text()
    assert SECRET not in text
    assert "--shared-secret '***'" in text
    assert 'shared-secret "@SECRET@"' in text
