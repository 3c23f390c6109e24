"""/proc/drbd: version line and records of 8.0 to 8.4. The 8.4.11 texts were printed by the module."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.errors import BlockDeviceError
from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.runner import Result
from ganeti.host.transcript import ReplayRunner
from ganeti.tools.drbd import module, proc
from ganeti.tools.drbd.proc import Version
from ganeti.tools.drbd.states import DeviceState

HEADER_84 = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n"

REAL_84 = (
    HEADER_84
    + """ 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----
    ns:32768 nr:0 dw:0 dr:32768 al:8 bm:0 lo:0 pe:2 ua:0 ap:0 ep:1 wo:f oos:34816
\t[=========>..........] sync'ed: 53.0% (34816/65536)K
\tfinish: 0:00:01 speed: 30,720 (30,720) K/sec
 1: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    ns:0 nr:5120 dw:5120 dr:0 al:16 bm:0 lo:1 pe:3 ua:0 ap:0 ep:1 wo:f oos:93184
\t[=>..................] sync'ed: 12.0% (93184/98304)K
\tfinish: 0:00:17 speed: 5,120 (5,120) want: 61,440 K/sec
 2: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:65280
 3: cs:Unconfigured

 5: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:65280
 6: cs:PausedSyncT ro:Secondary/Primary ds:Inconsistent/UpToDate C r--u--
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:65280
 7: cs:Connected ro:Secondary/Primary ds:Diskless/UpToDate C r-----
    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:b oos:0
 8: cs:Connected ro:Primary/Secondary ds:UpToDate/Diskless C r-----
    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:b oos:0
1000: cs:Unconfigured
"""
)

OLD_83 = """version: 8.3.11 (api:88/proto:86-96)
srcversion: 0123456789ABCDEF01234567

 3: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    ns:0 nr:1024 dw:1024 dr:8 al:2 bm:1 lo:1 pe:4 ua:3 ap:2 ep:1 wo:d oos:9216
    [=>..................] sync'ed: 10.0% (9216/10240)K
    finish: 0:01:05 speed: 140 (140) K/sec
 4: cs:Unconfigured
"""

OLD_80 = """version: 8.0.12 (api:86/proto:86)
GIT-hash: 5c9f89594553e32adb87d9638dce591782f947e3 build by root@node1, 2009-05-22 12:47:52
 0: cs:Connected st:Primary/Secondary ds:UpToDate/UpToDate C r---
    ns:78728316 nr:0 dw:77675644 dr:1277039 al:254 bm:270 lo:0 pe:0 ua:0 ap:0
\tresync: used:0/61 hits:65657 misses:135 starving:0 dirty:0 changed:135
\tact_log: used:0/257 hits:11378843 misses:254 starving:0 dirty:0 changed:254

 1: cs:WFConnection st:Primary/Unknown ds:UpToDate/DUnknown C r---
"""


# The version line ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "version", "text"),
    [
        (
            "version: 8.0.12 (api:86/proto:86)",
            Version(major=8, minor=0, point=12, api=86, protocol=86),
            "8.0.12",
        ),
        (
            "version: 8.3.1 (api:88/proto:86-89)",
            Version(major=8, minor=3, point=1, api=88, protocol=86, highest_protocol=89),
            "8.3.1",
        ),
        (
            "version: 8.4.2 (api:1/proto:86-101)",
            Version(major=8, minor=4, point=2, api=1, protocol=86, highest_protocol=101),
            "8.4.2",
        ),
        (
            "version: 8.3.11.1 (api:88/proto:86-96)",
            Version(major=8, minor=3, point=11, fix="1", api=88, protocol=86, highest_protocol=96),
            "8.3.11-1",
        ),
        (
            "version: 8.4.8-1 (api:1/proto:86-101)",
            Version(major=8, minor=4, point=8, fix="1", api=1, protocol=86, highest_protocol=101),
            "8.4.8-1",
        ),
    ],
)
def test_a_version_line_is_read(line: str, version: Version, text: str) -> None:
    assert proc.parse(f"{line}\n").version == version
    assert str(version) == text


@pytest.mark.parametrize("text", ["", "\n", "GIT-hash: 1\n", " 0: cs:Unconfigured\n", "version: 8.4 (api:1/proto:2)\n"])
def test_a_file_that_does_not_begin_with_a_version_is_an_error(text: str) -> None:
    with pytest.raises(BlockDeviceError, match="gives no version"):
        proc.parse(text)


def test_a_missing_file_says_that_the_module_is_not_loaded() -> None:
    with pytest.raises(BlockDeviceError, match="the kernel module drbd is not loaded"):
        proc.read(ReplayRunner("$ cat /proc/drbd\n= 1\n"))


class Unreadable(FakeRunner):
    """A kernel whose files cannot be read."""

    def respond(self, asked: Asked) -> Result:
        assert asked.argv[0] == "cat"
        raise PermissionError(13, "Permission denied", asked.argv[1])


def test_an_unreadable_file_is_another_error_than_a_missing_one() -> None:
    with pytest.raises(BlockDeviceError, match="cannot read /proc/drbd: Permission denied"):
        proc.read(Unreadable())
    with pytest.raises(BlockDeviceError, match=r"cannot read .*usermode_helper: Permission denied"):
        module.usermode_helper(Unreadable())


# Records -------------------------------------------------------------------------------------------------------------


def state(text: str, minor: int) -> DeviceState:
    """State of a device that is there."""
    found = proc.parse(text).state(minor)
    assert found is not None
    return found


def test_only_listed_minors_exist_and_only_configured_ones_are_used() -> None:
    status = proc.parse(REAL_84)
    assert list(status.records) == [0, 1, 2, 3, 5, 6, 7, 8, 1000]
    assert status.used() == [0, 1, 2, 5, 6, 7, 8]
    assert status.state(4) is None


def test_an_unconfigured_device_has_neither_roles_nor_disks() -> None:
    assert state(REAL_84, 3) == DeviceState(connection="Unconfigured")
    assert not state(REAL_84, 3).is_in_use


def test_the_copying_side_tells_how_far_it_is() -> None:
    found = state(REAL_84, 0)
    assert (found.sync_percent, found.seconds_left) == (53.0, 1)
    assert found.is_in_resync
    assert found.is_primary
    assert found.is_up_to_date
    assert not any((found.is_connected, found.is_peer_up_to_date, found.is_standalone))


def test_a_figure_of_the_wanted_speed_is_passed_over() -> None:
    assert (state(REAL_84, 1).sync_percent, state(REAL_84, 1).seconds_left) == (12.0, 17)
    assert state(REAL_84, 1).is_secondary


def test_a_device_that_talks_to_nobody_has_no_protocol() -> None:
    found = state(REAL_84, 2)
    assert found.is_standalone
    assert (found.role, found.peer_role, found.disk, found.peer_disk) == (
        "Primary",
        "Unknown",
        "UpToDate",
        "DUnknown",
    )
    assert (found.sync_percent, found.seconds_left) == (None, None)


def test_a_paused_resync_gives_no_figures() -> None:
    found = state(REAL_84, 6)
    assert found.is_in_resync
    assert (found.sync_percent, found.seconds_left) == (0, None)


def test_disks_that_are_missing_are_told_of_both_sides() -> None:
    assert state(REAL_84, 7).is_diskless
    assert state(REAL_84, 7).is_peer_up_to_date
    assert not state(REAL_84, 8).is_diskless
    assert not state(REAL_84, 8).is_peer_up_to_date


def test_the_layouts_of_older_modules_are_read() -> None:
    old = state(OLD_83, 3)
    assert (old.connection, old.sync_percent, old.seconds_left) == ("SyncTarget", 10.0, 65)
    assert proc.parse(OLD_83).used() == [3]
    assert state(OLD_80, 0).is_connected
    assert state(OLD_80, 1).peer_role == "Unknown"


def record(connection: str, progress: str) -> str:
    """A file with one device that is copying."""
    return f"{HEADER_84} 0: cs:{connection} ro:Primary/Secondary ds:UpToDate/Inconsistent C r----\n{progress}\n"


@pytest.mark.parametrize(
    ("progress", "percent", "seconds"),
    [
        # Linux 2.6.39 lost the blank between the unit and what follows
        ("\t[>....] sync'ed:  3.8% (123/128)M\n\tfinish: 0:00:05 speed: 1 (1) K/sec", 3.8, 5),
        ("\t[>....] sync'ed:  3.8% (123/128)Mfinish: 0:00:05 speed: 1 (1) K/sec", 3.8, 5),
        ("\tsync'ed: 34.9% (9/9)K finish: 0:00:05 speed: 1 (1) K/sec", 34.9, 5),
        ("\tsync'ed: 0.1% (9/9)K\n\tfinish: 1234:00:01 speed: 1 (1) K/sec", 0.1, 1234 * 3600 + 1),
        ("\tsync'ed:100.0% (0/9)K\n\tfinish: 0:00:00 speed: 1 (1) K/sec", 100.0, 0),
    ],
)
def test_progress_is_read_in_all_its_forms(progress: str, percent: float, seconds: int) -> None:
    found = state(record("SyncTarget", progress), 0)
    assert (found.sync_percent, found.seconds_left) == (percent, seconds)


@pytest.mark.parametrize(
    "connection",
    [
        *("WFReportParams", "StartingSyncS", "StartingSyncT", "WFBitMapS", "WFBitMapT", "WFSyncUUID"),
        *("SyncSource", "SyncTarget", "PausedSyncS", "PausedSyncT"),
    ],
)
def test_these_are_states_of_a_resync(connection: str) -> None:
    found = state(record(connection, ""), 0)
    assert found.is_in_resync
    assert (found.sync_percent, found.seconds_left) == (0, None)


@pytest.mark.parametrize(
    "connection",
    [
        *("StandAlone", "Disconnecting", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure", "ProtocolError"),
        *("TearDown", "WFConnection", "Connected", "VerifyS", "VerifyT"),
    ],
)
def test_these_are_not(connection: str) -> None:
    found = state(record(connection, ""), 0)
    assert not found.is_in_resync
    assert found.is_in_use
    assert found.sync_percent is None


def test_a_record_that_cannot_be_understood_spoils_no_other() -> None:
    status = proc.parse(f"{HEADER_84} 0: cs:Odd\x1b[31m thing\n 1: cs:Connected ro:A/B ds:C/D C r\n")
    assert status.used() == [0, 1]
    assert status.state(1) == DeviceState(connection="Connected", role="A", peer_role="B", disk="C", peer_disk="D")
    with pytest.raises(BlockDeviceError, match=r"cannot be understood: .*\\x1b") as info:
        status.state(0)
    assert "\x1b" not in str(info.value)


def test_lines_before_the_first_record_and_empty_ones_are_passed_over() -> None:
    text = "version: 8.4.11 (api:1/proto:86-101)\n\nns:1 finish\n\n 0: cs:Connected ro:A/B ds:C/D C r\n\n\n ns:1\n"
    assert proc.parse(text).records == {0: " 0: cs:Connected ro:A/B ds:C/D C r ns:1"}


@given(st.text())
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    status = proc.parse(HEADER_84 + text)
    for minor in status.records:
        try:
            status.state(minor)
        except BlockDeviceError:
            continue


# The module ----------------------------------------------------------------------------------------------------------


def look(text: str) -> module.Module:
    """What the module tells when its file has this text."""
    body = "".join(f"> {line}\n" if line else ">\n" for line in text.removesuffix("\n").split("\n"))
    with ReplayRunner(f"$ cat /proc/drbd\n{body}= 0\n") as runner:
        return module.look(runner)


def test_the_first_unconfigured_minor_is_free() -> None:
    assert look(REAL_84).unused_minor() == 3
    assert look(f"{HEADER_84} 7: cs:Unconfigured\n 9: cs:Unconfigured\n").unused_minor() == 7


def test_without_an_unconfigured_one_the_minor_behind_the_last_is_free() -> None:
    assert look(HEADER_84).unused_minor() == 0
    assert look(f"{HEADER_84} 255: cs:Connected ro:A/B ds:C/D C r\n").unused_minor() == 256


def test_behind_the_highest_minor_there_is_none() -> None:
    with pytest.raises(BlockDeviceError, match="no free minor: 1048575 is in use"):
        look(f"{HEADER_84} 1048575: cs:Connected ro:A/B ds:C/D C r\n").unused_minor()


@pytest.mark.parametrize(
    "version", ["8.0.12 (api:86/proto:86)", "8.3.11 (api:88/proto:86-96)", "10.0.0 (api:2/proto:118)"]
)
def test_a_module_of_another_version_is_refused_by_name(version: str) -> None:
    number = version.partition(" ")[0]
    with pytest.raises(BlockDeviceError, match=rf"version {number}, but 8\.4 or 9 is needed"):
        look(f"version: {version}\n")


@pytest.mark.parametrize(("text", "helper"), [("/bin/true\n", "/bin/true"), ("/sbin/drbdadm\nmore\n", "/sbin/drbdadm")])
def test_the_helper_is_the_first_line(text: str, helper: str) -> None:
    body = "".join(f"> {line}\n" for line in text.splitlines())
    assert module.usermode_helper(ReplayRunner(f"$ cat {module.USERMODE_HELPER}\n{body}= 0\n")) == helper


@pytest.mark.parametrize(
    ("answer", "error"), [("= 1\n", "not loaded"), ("= 0\n", "no program"), (">\n= 0\n", "no program")]
)
def test_without_a_helper_there_is_an_error(answer: str, error: str) -> None:
    with pytest.raises(BlockDeviceError, match=error):
        module.usermode_helper(ReplayRunner(f"$ cat {module.USERMODE_HELPER}\n{answer}"))
