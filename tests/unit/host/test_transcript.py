"""Transcripts: their text, playing them back strictly, and recording them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ganeti.errors import CommandError, InvalidOutput, ProgramNotFound
from ganeti.host import transcript
from ganeti.host.runner import SystemRunner
from ganeti.host.transcript import Exchange, RecordingRunner, ReplayRunner, UnexpectedCommand

TEXT = """\
# How much is free
$ vgs --noheadings -o 'vg free' xenvg
>   12.00g
>
! WARNING: one device is missing
= 0

$ dd of=/disk
< first
< second
\\
= signal 15 time-out

$ no-such-program
= not found
"""

EXCHANGES = (
    Exchange(
        argv=("vgs", "--noheadings", "-o", "vg free", "xenvg"),
        stdout="  12.00g\n\n",
        stderr="WARNING: one device is missing\n",
    ),
    Exchange(argv=("dd", "of=/disk"), stdin="first\nsecond", exit_code=None, signal=15, timed_out=True),
    Exchange(argv=("no-such-program",), exit_code=None, is_missing=True),
)

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
texts = st.text(st.characters(exclude_categories=["Cs"]))
programs = st.builds(
    Exchange,
    argv=st.lists(words, min_size=1).map(tuple),
    stdin=texts,
    stdout=texts,
    stderr=texts,
    exit_code=st.integers(0, 255),
    timed_out=st.booleans(),
)
exchanges = st.one_of(
    programs,
    st.builds(Exchange, argv=st.just(("a",)), exit_code=st.none(), signal=st.integers(1, 64), timed_out=st.booleans()),
    st.builds(Exchange, argv=st.just(("a",)), stdin=texts, exit_code=st.none(), is_missing=st.just(True)),
)


# Text ----------------------------------------------------------------------------------------------------------------


def test_a_transcript_reads_as_its_description_says() -> None:
    assert transcript.parse(TEXT) == EXCHANGES


def test_what_is_rendered_is_what_was_read_without_comments() -> None:
    assert transcript.render(EXCHANGES) == TEXT.partition("\n")[2]


@given(st.lists(exchanges))
@example([Exchange(argv=("a\nb", "", "c d"), stdout="\r\n\n \x0c", stderr="\n", stdin="\\\n\\")])
@example([Exchange(argv=("\n", "\n"), stdout="# no comment\n$ no command\n= 0")])
def test_every_exchange_survives_rendering_and_parsing(listed: list[Exchange]) -> None:
    assert transcript.parse(transcript.render(listed)) == tuple(listed)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("> output without command\n= 0\n", "> output without command"),
        ("$ a\n$ b\n= 0\n", "$ b"),
        ("$ a\n", "a"),
        ("$ a\n= zero\n", "a = zero"),
        ("$ 'a\n= 0\n", "'a = 0"),
        ("$ a\nsomething\n= 0\n", "something"),
        ("$ a\n>output\n= 0\n", ">output"),
        ("= 0\n", "= 0"),
    ],
)
def test_a_line_that_is_not_understood_is_an_error_with_the_line(text: str, line: str) -> None:
    with pytest.raises(InvalidOutput) as caught:
        transcript.parse(text)
    assert caught.value.output == line


def test_values_that_differ_from_run_to_run_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("$ ls @ROOT@/a\n> @ROOT@/a\n= 0\n")
    (exchange,) = transcript.read(tmp_path / "t", {"ROOT": "/srv"})
    assert (exchange.argv, exchange.stdout) == (("ls", "/srv/a"), "/srv/a\n")


# Playing back --------------------------------------------------------------------------------------------------------


def test_the_answers_are_those_of_the_transcript() -> None:
    with ReplayRunner(TEXT) as runner:
        first = runner.run(["vgs", "--noheadings", "-o", "vg free", Path("xenvg")])
        second = runner.run(["dd", "of=/disk"], stdin=b"first\nsecond")
        with pytest.raises(ProgramNotFound, match="no-such-program"):
            runner.run(["no-such-program"])
    assert (first.stdout, first.stderr, first.exit_code) == (EXCHANGES[0].stdout, EXCHANGES[0].stderr, 0)
    assert (second.signal, second.exit_code, second.timed_out) == (15, None, True)


def test_another_command_than_the_next_is_shown_as_a_difference() -> None:
    runner = ReplayRunner("$ lvremove -f xenvg/a\n= 0\n")
    with pytest.raises(UnexpectedCommand, match=r"-xenvg/a\n\+xenvg/b"):
        runner.run(["lvremove", "-f", "xenvg/b"])


def test_other_input_than_expected_is_shown_as_a_difference() -> None:
    runner = ReplayRunner("$ cat\n< yes\n= 0\n")
    with pytest.raises(UnexpectedCommand, match=r"-yes\n\+no"):
        runner.run(["cat"], stdin="no")


def test_commands_out_of_order_are_refused_unless_any_order_will_do() -> None:
    text = "$ a\n> A\n= 0\n\n$ b\n> B\n= 0\n"
    with pytest.raises(UnexpectedCommand):
        ReplayRunner(text).run(["b"])
    with ReplayRunner(text, any_order=True) as runner:
        assert runner.run(["b"]).stdout == "B\n"
        assert runner.run(["a"]).stdout == "A\n"


def test_each_command_is_answered_once_also_in_any_order() -> None:
    runner = ReplayRunner("$ a\n> 1\n= 0\n\n$ a\n> 2\n= 0\n", any_order=True)
    assert [runner.run(["a"]).stdout for _ in range(2)] == ["1\n", "2\n"]
    with pytest.raises(UnexpectedCommand, match="nothing more was to be run"):
        runner.run(["a"])


def test_a_command_that_fits_none_in_any_order_is_listed_beside_them() -> None:
    runner = ReplayRunner("$ a\n= 0\n\n$ b\n= 0\n", any_order=True)
    with pytest.raises(UnexpectedCommand, match=r"instead of one of these:\n  \$ a\n  \$ b"):
        runner.run(["c"])


def test_commands_left_over_are_an_error_at_the_end() -> None:
    runner = ReplayRunner("$ a\n= 0\n\n$ b\n= 0\n")
    runner.run(["a"])
    with pytest.raises(UnexpectedCommand, match=r"were not run:\n  \$ b"):
        runner.done()


def test_an_unexpected_command_nobody_noticed_is_an_error_at_the_end() -> None:
    runner = ReplayRunner("$ a\n= 0\n")
    with pytest.raises(UnexpectedCommand):
        runner.run(["b"])
    runner.run(["a"])
    with pytest.raises(UnexpectedCommand, match="another command was run"):
        runner.done()


def test_the_end_of_a_failed_test_is_not_covered_by_what_is_left_over() -> None:
    with pytest.raises(ZeroDivisionError), ReplayRunner("$ a\n= 0\n"):
        _ = 1 / 0


def test_an_output_file_gets_the_answer_and_the_result_does_not(tmp_path: Path) -> None:
    runner = ReplayRunner("$ a\n> out\n! err\n= 1\n")
    (tmp_path / "log").write_text("before\n")
    result = runner.run(["a"], output=tmp_path / "log")
    assert (tmp_path / "log").read_text() == "before\nout\nerr\n"
    assert (result.output, result.exit_code) == ("", 1)


def test_what_a_transcript_does_not_hold_can_be_asked_for() -> None:
    runner = ReplayRunner("$ a\n= 0\n")
    runner.run(["a"], env={"A": "1"}, reset_env=True, cwd=Path("/tmp"), timeout_s=3, pass_fds=[7])
    (asked,) = runner.asked
    assert (asked.env, asked.reset_env, asked.cwd, asked.timeout_s, asked.pass_fds) == (
        {"A": "1"},
        True,
        "/tmp",
        3,
        (7,),
    )


def test_checks_and_shell_texts_are_answered_too() -> None:
    with ReplayRunner("$ a\n! no\n= 1\n\n$ /bin/sh -c 'b | c'\n= 0\n") as runner:
        with pytest.raises(CommandError, match="exited with status 1: no"):
            runner.check(["a"])
        runner.shell("b | c")


def test_threads_get_one_answer_each() -> None:
    runner = ReplayRunner("\n".join(["$ a\n= 0\n"] * 50), any_order=True)
    threads = [threading.Thread(target=lambda: [runner.run(["a"]) for _ in range(5)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runner.done()


# Recording -----------------------------------------------------------------------------------------------------------


def test_what_was_recorded_from_real_programs_plays_back_the_same(real_runner: SystemRunner, tmp_path: Path) -> None:
    recorder = RecordingRunner(real_runner, tmp_path / "t", {"ROOT": str(tmp_path)})
    results = [
        recorder.run(["sh", "-c", f"echo {tmp_path}; printf x >&2; exit 3"]),
        recorder.run(["cat"], stdin="a\n\nb"),
        recorder.shell("kill -9 $$"),
    ]
    with pytest.raises(ProgramNotFound):
        recorder.run(["no-such-program"])
    assert str(tmp_path) not in (tmp_path / "t").read_text()
    with ReplayRunner(transcript.read(tmp_path / "t", {"ROOT": str(tmp_path)})) as replaying:
        assert replaying.run(results[0].argv) == results[0]
        assert replaying.run(["cat"], stdin="a\n\nb") == results[1]
        assert replaying.run(results[2].argv) == results[2]
        with pytest.raises(ProgramNotFound):
            replaying.run(["no-such-program"])


def test_what_went_to_an_output_file_is_recorded_without_what_was_there(
    real_runner: SystemRunner, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    RecordingRunner(real_runner, tmp_path / "t").run(["echo", "new"], output=log)
    assert (tmp_path / "t").read_text() == "$ echo new\n> new\n= 0\n"
    assert log.read_text() == "before\nnew\n"


def test_a_new_recording_replaces_the_old_one(real_runner: SystemRunner, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("old")
    RecordingRunner(real_runner, tmp_path / "t")
    assert (tmp_path / "t").stat().st_size == 0
