"""A secret word reaches the program and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from ganeti.errors import CommandError, ProgramNotFound
from ganeti.host.runner import Result, Secret, SystemRunner, shown
from ganeti.host.transcript import Exchange, RecordingRunner, ReplayRunner, render

PASSWORD = "correct horse"


def test_a_secret_is_the_word_itself_but_does_not_show_itself() -> None:
    secret = Secret(PASSWORD)
    assert secret == PASSWORD
    assert PASSWORD not in repr(secret)
    assert PASSWORD not in repr(["login", secret])


def test_shown_words_are_those_anybody_may_see() -> None:
    assert shown(["login", Path("/x y"), Secret(PASSWORD), "--now"]) == ("login", "/x y", "***", "--now")


def test_the_program_gets_it_and_the_result_and_the_log_do_not(
    real_runner: SystemRunner, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = real_runner.run(["sh", "-c", 'test "${#1}" -eq 13 && exit 3', "sh", Secret(PASSWORD)])
    assert result.exit_code == 3
    assert result.argv[-1] == "***"
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("argv", [["/no/such/program"], ["sh", "-c", "exit 1", "sh"], ["a\0b"]])
def test_no_error_has_it(real_runner: SystemRunner, argv: list[str]) -> None:
    with pytest.raises((CommandError, ProgramNotFound)) as caught:
        real_runner.check([*argv, Secret(PASSWORD)])
    assert PASSWORD not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


def test_no_recording_has_it_and_it_plays_back_all_the_same(real_runner: SystemRunner, tmp_path: Path) -> None:
    path = tmp_path / "transcript"
    argv = ["true", Secret(PASSWORD)]
    RecordingRunner(real_runner, path).run(argv)
    assert PASSWORD not in path.read_text()
    with ReplayRunner(path.read_text()) as replaying:
        assert replaying.run(argv) == Result(argv=("true", "***"))


def test_another_secret_is_the_same_to_a_transcript(replay: Callable[..., ReplayRunner]) -> None:
    runner = replay(render([Exchange(argv=("login", "***"))]))
    assert not runner.run(["login", Secret("any other")]).failed


def test_a_command_asked_of_a_fake_does_not_show_it(replay: Callable[..., ReplayRunner]) -> None:
    runner = replay([Exchange(argv=("login", "***"))])
    runner.run(["login", Secret(PASSWORD)])
    (asked,) = runner.asked
    assert (asked.argv, asked.words) == (("login", "***"), ("login", PASSWORD))
    assert PASSWORD not in repr(asked)
