"""Names and paths from outside, and where things lie in usual and virtual clusters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ganeti.errors import ConfigurationError, UnsafePath
from ganeti.host import paths
from ganeti.host.paths import VIRTUAL_PREFIX, Paths, absolute, below, component

ROOT = Path("/srv/cluster/node1")
VIRTUAL = Paths(root=ROOT, virtual_hostname="node1")

# Much of what breaks path checks, often enough to meet each other.
parts = st.one_of(
    st.sampled_from(["", ".", "..", "...", " ", "a", "a b", "~", "*", "\x00", "\n", "\\", "é", "x" * 255, "x" * 256]),
    st.text(max_size=5),
)
texts = st.one_of(
    st.lists(parts, max_size=5).map("/".join), st.lists(parts, max_size=5).map(lambda p: "/" + "/".join(p))
)


def accepted(check: object, *arguments: object) -> Path | str | None:
    try:
        return check(*arguments)  # type: ignore[operator,no-any-return] # any of the three checks
    except UnsafePath:
        return None


# Names ---------------------------------------------------------------------------------------------------------------


@given(parts)
def test_an_accepted_name_is_one_component_unchanged(name: str) -> None:
    if accepted(component, name) is not None:
        joined = Path("/base") / name
        assert joined.parent == Path("/base")
        assert joined.name == name
        assert os.path.normpath(joined) == str(joined)


@pytest.mark.parametrize("name", ["a", "a.b-c_d", "...", "guest 1", "é", "-rf", "x" * 255])
def test_usual_and_odd_but_harmless_names_are_accepted(name: str) -> None:
    assert component(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\x00", "a\n", "\x1f", "\x7f", "x" * 256, "é" * 128, "\ud800"]
)
def test_what_is_no_single_component_is_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        component(name)


# Paths ---------------------------------------------------------------------------------------------------------------


@given(texts)
@example("//a")
@example("/a/")
@example("/")
def test_an_accepted_path_is_absolute_and_normal(text: str) -> None:
    result = accepted(absolute, text)
    if result is not None:
        assert str(result) == text
        assert os.path.normpath(text) == text
        assert text.startswith("/")
        assert ".." not in Path(text).parts


@pytest.mark.parametrize("text", ["", "a", "/a/..", "/a\x00", "/\ud800"])
def test_what_is_no_normal_absolute_path_is_refused(text: str) -> None:
    with pytest.raises(UnsafePath):
        absolute(text)


@given(texts)
@example("/allowed/../etc")
@example("/allowed")
@example("/allowed-not/a")
@example("/allowed/a/../../etc")
def test_an_accepted_path_lies_strictly_below(text: str) -> None:
    result = accepted(below, Path("/allowed"), text)
    if result is not None:
        assert os.path.commonpath(["/allowed", os.path.normpath(text)]) == "/allowed"
        assert os.path.normpath(text) != "/allowed"


@given(st.lists(st.text(st.characters(min_codepoint=33, exclude_characters="/\x7f"), min_size=1), min_size=1))
def test_a_path_of_good_names_below_is_accepted(names: list[str]) -> None:
    if not {".", ".."} & set(names):
        text = "/allowed/" + "/".join(names)
        assert str(below(Path("/allowed"), text)) == text


# Usual clusters ------------------------------------------------------------------------------------------------------


def test_without_variables_everything_is_where_the_packages_put_it() -> None:
    usual = Paths.from_environment({})
    assert usual.data_dir == Path("/var/lib/ganeti")
    assert usual.queue_dir == Path("/var/lib/ganeti/queue")
    assert usual.ssconf("cluster_name") == Path("/var/lib/ganeti/ssconf_cluster_name")
    assert usual.disk_link("guest1", 0) == Path("/var/run/ganeti/instance-disks/guest1:0")
    assert usual.noded_pid_file == Path("/var/run/ganeti/ganeti-noded.pid")
    assert usual.noded_log == Path("/var/log/ganeti/node-daemon.log")


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ""])
def test_names_that_would_leave_their_directory_are_refused_wherever_they_become_a_path(name: str) -> None:
    usual = Paths()
    for make in (usual.reason_file, lambda name: usual.disk_link(f"{name}/..", 0)):
        with pytest.raises(UnsafePath):
            make(name)


def test_paths_travel_unchanged() -> None:
    usual = Paths()
    assert usual.to_virtual(Path("/var/lib/ganeti/x")) == "/var/lib/ganeti/x"
    assert usual.from_virtual("/var/lib/ganeti/x") == Path("/var/lib/ganeti/x")
    with pytest.raises(UnsafePath):
        usual.from_virtual("var/lib")


# Virtual clusters ----------------------------------------------------------------------------------------------------


def test_the_variables_move_everything_below_the_nodes_root() -> None:
    moved = Paths.from_environment({"GANETI_ROOTDIR": "/srv/cluster//x/../node1/", "GANETI_HOSTNAME": "node1"})
    assert (moved.root, moved.virtual_hostname) == (ROOT, "node1")
    assert moved.data_dir == ROOT / "var/lib/ganeti"
    assert moved.etc_hosts == Path("/etc/hosts")


@pytest.mark.parametrize(
    ("root", "hostname", "message"),
    [
        ("/srv/node1", "", "together"),
        ("", "node1", "together"),
        ("srv/node1", "node1", "absolute"),
        ("/srv/node2", "node1", "host name"),
        ("/srv/node1/a", "node1/a", "host name"),
        ("/", "node1", "host name"),
    ],
)
def test_variables_that_contradict_each_other_are_refused(root: str, hostname: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Paths.from_environment({"GANETI_ROOTDIR": root, "GANETI_HOSTNAME": hostname})


def test_a_travelling_path_is_marked_and_without_the_root() -> None:
    assert VIRTUAL.to_virtual(ROOT / "var/lib/x") == "/###-VIRTUAL-PATH-###,/var/lib/x"
    assert VIRTUAL.from_virtual("/###-VIRTUAL-PATH-###,/var/lib/x") == ROOT / "var/lib/x"


@given(
    st.lists(st.text(st.characters(min_codepoint=33, exclude_characters="/\x7f"), min_size=1, max_size=5), min_size=1)
)
def test_a_path_that_travels_comes_back_the_same(names: list[str]) -> None:
    if not {".", ".."} & set(names):
        path = ROOT.joinpath(*names)
        assert VIRTUAL.from_virtual(VIRTUAL.to_virtual(path)) == path


@given(texts)
@example("/../../etc/passwd")
@example("/")
@example("")
def test_a_marked_path_never_leaves_the_root(text: str) -> None:
    result = accepted(VIRTUAL.from_virtual, VIRTUAL_PREFIX + text)
    if result is not None:
        assert result == ROOT or ROOT in Path(result).parents
        assert os.path.normpath(result) == str(result)


def test_an_unmarked_path_is_refused_but_for_the_hosts_file() -> None:
    with pytest.raises(UnsafePath, match="marked"):
        VIRTUAL.from_virtual("/var/lib/x")
    assert VIRTUAL.from_virtual("/etc/hosts") == Path("/etc/hosts")
    assert VIRTUAL.to_virtual(Path("/etc/hosts")) == "/etc/hosts"


@pytest.mark.parametrize("path", ["/var/lib/x", str(ROOT), "/srv/cluster/node10/x"])
def test_a_path_outside_of_the_root_cannot_travel(path: str) -> None:
    with pytest.raises(UnsafePath):
        VIRTUAL.to_virtual(Path(path))


def test_the_white_list_is_one_file() -> None:
    assert {"/etc/hosts"} == paths.NEVER_VIRTUAL
