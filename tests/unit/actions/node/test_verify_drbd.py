"""What a node says of DRBD when it is verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ganeti.actions import verify, verify_drbd
from ganeti.actions.node import Node
from ganeti.host.system import System
from ganeti.host.transcript import ReplayRunner
from ganeti.model.verify import VerifyRequest

VERSION = "version: 8.4.11 (api:1/proto:86-101)"
STATUS = f"""\
$ cat /proc/drbd
> {VERSION}
> srcversion: F73C670A7EC572DB9CF3E5B
>  0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----
>     ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
>
>  3: cs:Unconfigured
>  5: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----
>     ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
= 0
"""
HELPER = """\
$ cat /sys/module/drbd/parameters/usermode_helper
> /bin/true
= 0
"""
NO_STATUS = "$ cat /proc/drbd\n! No such file or directory\n= 1\n"
NO_HELPER = "$ cat /sys/module/drbd/parameters/usermode_helper\n! No such file or directory\n= 1\n"

Playing = Callable[[str], Node]


@pytest.fixture
def playing(system: System, replay: Callable[..., ReplayRunner]) -> Playing:
    """The node whose kernel answers as in a transcript."""
    return lambda transcript: Node.compose(replace(system, runner=replay(transcript)))


def test_all_questions_are_answered_in_the_masters_form(playing: Playing) -> None:
    node = playing(f"{STATUS}\n{STATUS}\n{HELPER}")
    asked = VerifyRequest(drbd_version=None, drbd_list=None, drbd_helper="/bin/true")
    assert verify.verify(node, asked, "cluster", {}) == {
        "drbd-version": "8.4.11 (api:1/proto:86-101)",
        "drbd-list": [0, 5],
        "drbd-helper": (True, "/bin/true"),
    }


@pytest.mark.parametrize("text", ["8.4.11 (api:1/proto:86-101)", "8.0.12 (api:86/proto:86)", "9.2.8 (api:2/proto:118)"])
def test_the_version_is_told_as_the_kernel_tells_it(playing: Playing, text: str) -> None:
    assert verify_drbd.version(playing(STATUS.replace(VERSION, f"version: {text}"))) == text


def test_without_the_module_everything_is_a_text_that_says_so(playing: Playing) -> None:
    asked = VerifyRequest(drbd_version=None, drbd_list=None, drbd_helper="/bin/true")
    answer = verify.verify(playing(f"{NO_STATUS}\n{NO_STATUS}\n{NO_HELPER}"), asked, "cluster", {})
    assert "not loaded" in str(answer["drbd-version"])
    assert answer["drbd-list"] == answer["drbd-version"]
    known, text = verify_drbd.helper(playing(NO_HELPER))
    assert answer["drbd-helper"] == (known, text)
    assert not known
    assert "not loaded" in text


def test_a_module_that_is_too_old_is_told_with_its_version(playing: Playing) -> None:
    answer = verify_drbd.used_minors(playing(STATUS.replace("8.4.11 (api:1", "8.3.16 (api:88")))
    assert isinstance(answer, str)
    assert "8.3.16" in answer
