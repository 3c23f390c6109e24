"""Files the master sends: uploads, cluster data, the job queue's copy."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.actions import job_queue, uploads
from ganeti.actions.node import Node
from ganeti.config import ssconf
from ganeti.errors import ConfigurationError, InvalidParameter, LockTimeout, NodeError, UnsafePath
from ganeti.host import locks
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.host.users import Accounts


@pytest.fixture
def virtual(tmp_path: Path, accounts: Accounts, clock: FakeClock) -> Node:
    """A node of a virtual cluster, whose paths travel marked."""
    paths = Paths(root=tmp_path / "node1", virtual_hostname="node1")
    for directory in (paths.queue_dir / "archive", paths.lock_dir, paths.conf_dir):
        directory.mkdir(parents=True)
    return Node.compose(System(paths=paths, hostname="node1", clock=clock, accounts=lambda: accounts))


def packed(data: bytes) -> uploads.Encoded:
    return uploads.ZLIB_BASE64, base64.b64encode(zlib.compress(data, 3)).decode()


Upload = Callable[..., None]


@pytest.fixture
def upload(virtual: Node, accounts: Accounts) -> Upload:
    user, group = next(iter(accounts.users)), next(iter(accounts.groups))

    def send(path: str, content: uploads.Encoded, mode: int = 0o100640, **other: object) -> None:
        values = {"user": user, "group": group, "atime": 1500000000.5, "mtime": 1500000001.25} | other
        uploads.upload(virtual, path, content, mode, **values)  # type: ignore[arg-type]  # a test may send anything

    return send


# Uploads -------------------------------------------------------------------------------------------------------------

CONFIG = "/###-VIRTUAL-PATH-###,/var/lib/ganeti/config.data"


def test_an_upload_sets_content_mode_and_times(virtual: Node, upload: Upload) -> None:
    upload(CONFIG, packed(b"{}\n" * 1000))

    target = virtual.paths.cluster_conf_file
    status = target.stat()
    assert target.read_bytes() == b"{}\n" * 1000
    assert (status.st_mode & 0o7777, status.st_atime, status.st_mtime) == (0o640, 1500000000.5, 1500000001.25)


def test_plain_content_is_written_as_utf8_and_times_may_be_left_out(virtual: Node, upload: Upload) -> None:
    upload(CONFIG, (uploads.PLAIN, "é\n"), atime=None, mtime=None)

    assert virtual.paths.cluster_conf_file.read_bytes() == b"\xc3\xa9\n"


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/ganeti/config.data",
        "relative",
        "",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti/server.pem",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti/client.pem",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti/ssconf_master_node",
        "/###-VIRTUAL-PATH-###,/etc/ganeti/file-storage-paths",
        "/###-VIRTUAL-PATH-###,/etc/passwd",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti/../ganeti/config.data",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti//config.data",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti/config.data\n",
        "/###-VIRTUAL-PATH-###,/var/lib/ganeti/config.data\x00",
    ],
)
def test_only_files_of_the_list_are_written(virtual: Node, upload: Upload, path: str) -> None:
    with pytest.raises(UnsafePath):
        upload(path, (uploads.PLAIN, "x"))
    assert not any(path.is_file() for path in virtual.paths.root.rglob("*"))


def test_the_list_is_that_of_the_packaged_daemon() -> None:
    assert {str(path) for path in uploads.allowed(Paths())} == {
        "/var/lib/ganeti/config.data",
        "/etc/hosts",
        "/var/lib/ganeti/known_hosts",
        "/etc/ganeti/vnc-cluster-password",
        "/var/lib/ganeti/rapi.pem",
        "/var/lib/ganeti/spice.pem",
        "/var/lib/ganeti/spice-ca.pem",
        "/var/lib/ganeti/rapi/users",
        "/var/lib/ganeti/hmac.key",
        "/var/lib/ganeti/cluster-domain-secret",
        "/etc/ganeti/kvm-vif-bridge",
        "/etc/xen/scripts/vif-bridge",
        "/etc/xen/xen/xl.conf",
        "/etc/xen/xend-config.sxp",
    }


@pytest.mark.parametrize(
    "content",
    [
        (2, "x"),
        (-1, ""),
        (uploads.ZLIB_BASE64, "not base64!"),
        (uploads.ZLIB_BASE64, "AAAA"),
        (uploads.ZLIB_BASE64, "é"),
        (uploads.ZLIB_BASE64, base64.b64encode(zlib.compress(b"x" * 100)[:-3]).decode()),
        (uploads.ZLIB_BASE64, base64.b64encode(zlib.compress(b"x" * 100) + b"more").decode()),
    ],
)
def test_content_that_cannot_be_unpacked_is_refused(virtual: Node, upload: Upload, content: uploads.Encoded) -> None:
    virtual.paths.cluster_conf_file.write_text("old")

    with pytest.raises(InvalidParameter, match="content"):
        upload(CONFIG, content)
    assert virtual.paths.cluster_conf_file.read_text() == "old"


def test_content_that_unpacks_to_far_too_much_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="more than 1000"):
        uploads.decode(packed(bytes(1001)), limit=1000)
    assert uploads.decode(packed(bytes(1000)), limit=1000) == bytes(1000)


@given(data=st.binary(max_size=2000))
def test_packed_content_is_what_was_packed(data: bytes) -> None:
    assert uploads.decode(packed(data)) == data


@pytest.mark.parametrize("other", [{"user": "nobody"}, {"group": "nogroup"}, {"user": ""}])
def test_only_the_clusters_own_users_may_own_a_file(virtual: Node, upload: Upload, other: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="none of the cluster's"):
        upload(CONFIG, (uploads.PLAIN, "x"), **other)
    assert not virtual.paths.cluster_conf_file.exists()


def test_one_time_without_the_other_is_refused(upload: Upload) -> None:
    with pytest.raises(InvalidParameter, match="together"):
        upload(CONFIG, (uploads.PLAIN, "x"), atime=None)


def test_a_file_that_somebody_is_writing_is_left_alone(virtual: Node, upload: Upload) -> None:
    target = virtual.paths.cluster_conf_file
    target.write_text("old")
    lock = locks.try_exclusive(target)
    assert lock is not None

    with lock, pytest.raises(LockTimeout):
        upload(CONFIG, (uploads.PLAIN, "new"))
    assert target.read_text() == "old"


# Cluster data --------------------------------------------------------------------------------------------------------


def test_cluster_data_is_texts_and_lists_with_a_line_end(node: Node) -> None:
    node.ssconf.write({"cluster_name": "c", "node_list": ["a", "b"], "uid_pool": [], "networks": "x\n"}, node.clock)

    texts = {path.name: path.read_text() for path in node.paths.data_dir.glob("ssconf_*")}
    assert texts == {
        "ssconf_cluster_name": "c\n",
        "ssconf_node_list": "a\nb\n",
        "ssconf_uid_pool": "",
        "ssconf_networks": "x\n",
    }
    assert node.paths.ssconf("cluster_name").stat().st_mode & 0o7777 == 0o444
    assert node.ssconf.lines("node_list") == ["a", "b"]
    assert node.ssconf.lines("uid_pool") == []


def test_an_unknown_item_or_one_that_is_too_large_stops_all(node: Node) -> None:
    with pytest.raises(InvalidParameter, match=r"\.\./evil"):
        node.ssconf.write({"cluster_name": "c", "../evil": "x"}, node.clock)
    with pytest.raises(InvalidParameter, match="131072"):
        node.ssconf.write({"cluster_name": "c", "cluster_tags": "x" * 131072}, node.clock)

    assert list(node.paths.data_dir.glob("ssconf_*")) == []
    node.ssconf.write({"cluster_tags": "x" * 131071}, node.clock)


def test_there_are_34_items() -> None:
    assert len(ssconf.KEYS) == 34


def test_cluster_data_is_written_under_the_lock_of_the_packaged_programs(node: Node, clock: FakeClock) -> None:
    lock = locks.try_exclusive(node.paths.lock_dir / "ganeti-ssconf.lock")
    assert lock is not None

    with lock, pytest.raises(LockTimeout):
        node.ssconf.write({"cluster_name": "c"}, node.clock)
    assert sum(clock.sleeps) == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize("text", ["node1\n", "node1=\n", "node1=x\n", "node1=22=3\n"])
def test_malformed_ssh_ports_are_told(node: Node, text: str) -> None:
    node.paths.ssconf("ssh_ports").write_text(text)

    with pytest.raises(ConfigurationError, match="malformed"):
        node.ssconf.ssh_ports()


# Job queue -----------------------------------------------------------------------------------------------------------

QUEUE = "/###-VIRTUAL-PATH-###,/var/lib/ganeti/queue"


def test_a_queue_file_is_replaced_with_its_mode(virtual: Node) -> None:
    job_queue.update(virtual, f"{QUEUE}/job-3", packed(b"[]" * 500))
    job_queue.update(virtual, f"{QUEUE}/archive/job-1", (uploads.PLAIN, "x"))

    path = virtual.paths.queue_dir / "job-3"
    assert path.read_bytes() == b"[]" * 500
    assert path.stat().st_mode & 0o7777 == 0o640
    assert (virtual.paths.queue_dir / "lock").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    "name", ["/var/lib/ganeti/queue/x", QUEUE, f"{QUEUE}/../x", f"{QUEUE}x/y", "x", f"{QUEUE}/a\x00"]
)
def test_only_files_below_the_queue_are_touched(virtual: Node, name: str) -> None:
    with pytest.raises(UnsafePath):
        job_queue.update(virtual, name, (uploads.PLAIN, "x"))
    with pytest.raises(UnsafePath):
        job_queue.rename(virtual, ((f"{QUEUE}/job-1", name),))


def test_no_link_leads_out_of_the_queue(virtual: Node, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (virtual.paths.queue_dir / "link").symlink_to(tmp_path / "outside")

    with pytest.raises((UnsafePath, OSError)):
        job_queue.update(virtual, f"{QUEUE}/link/x", (uploads.PLAIN, "x"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_renaming_makes_directories_and_answers_a_null_a_pair(virtual: Node) -> None:
    queue = virtual.paths.queue_dir
    for number in (1, 2):
        (queue / f"job-{number}").write_text(str(number))

    answer = job_queue.rename(
        virtual,
        ((f"{QUEUE}/job-1", f"{QUEUE}/archive/0/job-1"), (f"{QUEUE}/job-2", f"{QUEUE}/archive/0/job-2")),
    )

    assert answer == [None, None]
    assert (queue / "archive/0/job-2").read_text() == "2"
    assert (queue / "archive/0").stat().st_mode & 0o7777 == 0o750


def test_a_missing_file_ends_a_renaming_and_earlier_pairs_stay_done(virtual: Node) -> None:
    queue = virtual.paths.queue_dir
    (queue / "job-1").write_text("1")

    with pytest.raises(NodeError, match="job-2"):
        job_queue.rename(
            virtual, ((f"{QUEUE}/job-1", f"{QUEUE}/old-1"), (f"{QUEUE}/job-2", f"{QUEUE}/archive/0/job-2"))
        )
    assert (queue / "old-1").exists()
    assert not (queue / "archive/0").exists()


def test_the_drain_flag_is_a_file(virtual: Node) -> None:
    path = virtual.paths.queue_dir / "drain"

    for drained in (True, True, False, False):
        job_queue.set_drain_flag(virtual, drained)
        assert path.exists() is drained


def test_purging_keeps_the_lock_directories_and_links(virtual: Node) -> None:
    queue = virtual.paths.queue_dir
    for name in ("job-1", "serial", "archive/job-2", ".hidden", "archive/lock"):
        (queue / name).write_text("")
    (queue / "link").symlink_to("job-1")
    (queue / "archive/0").mkdir()

    job_queue.purge(virtual)

    assert {str(path.relative_to(queue)) for path in queue.rglob("*")} == {
        *("lock", "archive", "archive/0", ".hidden"),
        "link",
    }


def test_the_queue_lock_is_waited_for_ten_seconds(virtual: Node, clock: FakeClock) -> None:
    lock = locks.try_exclusive(virtual.paths.queue_dir / "lock")
    assert lock is not None

    with lock, pytest.raises(LockTimeout):
        job_queue.set_drain_flag(virtual, True)
    assert sum(clock.sleeps) == pytest.approx(10, abs=0.2)


def test_preparing_makes_the_files_once_and_refuses_another_version(virtual: Node) -> None:
    job_queue.prepare(virtual)
    serial = virtual.paths.queue_dir / "serial"
    assert serial.read_text() == "0\n"
    serial.write_text("7\n")
    job_queue.prepare(virtual)
    assert serial.read_text() == "7\n"

    (virtual.paths.queue_dir / "version").write_text("2\n")
    with pytest.raises(ConfigurationError, match="'2'"):
        job_queue.prepare(virtual)


def test_the_wire_forms_are_those_observed() -> None:
    single = b'["/a",[1,"eF4"],33184,"gnt-masterd","gnt-confd",1795520004,1795520004]'
    kinds = tuple[str, uploads.Encoded, uploads.FileMode, str, str, float | None, float | None]

    assert msgspec.json.decode(single, type=kinds)[2] & 0o7777 == 0o640
