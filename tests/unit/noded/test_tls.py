"""Who may call: every kind of certificate against real handshakes on the loopback interface."""

from __future__ import annotations

import logging
import select
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from tests.unit.noded import certificates
from tests.unit.noded.certificates import CLUSTER_NAME, Identity
from tests.unit.noded.harness import Running, client, is_ended, read_reply, request, running

from ganeti.actions.node import Node
from ganeti.host.clock import FakeClock
from ganeti.noded.http import Limits
from ganeti.noded.server import Complaints
from ganeti.noded.table import Call

CALLED: list[str] = []


def note_call(node: Node) -> str:
    """The action whose runs are counted."""
    CALLED.append(node.hostname)
    return "called"


TABLE = {"version": Call("version", note_call)}


@pytest.fixture(scope="module")
def cluster() -> Identity:
    """What is in server.pem."""
    return certificates.issue(CLUSTER_NAME, 0)


@pytest.fixture(scope="module")
def candidate(cluster: Identity) -> Identity:
    """What is in the client.pem of a master candidate."""
    return certificates.issue("node1.example.com", 1, cluster, serial=1_700_000_000)


class Clients:
    """Calls with one certificate or another."""

    def __init__(self, node: Node, server: Running, directory: Path) -> None:
        self.node = node
        self.server = server
        self.directory = directory

    def map(self, text: str | None) -> None:
        """Write the candidate map, or remove it."""
        path = self.node.paths.candidate_certs
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)

    def context(self, identity: Identity | None) -> ssl.SSLContext:
        """A client's TLS set-up with a certificate or none."""
        path = None if identity is None else identity.write(self.directory / "client.pem")
        return client(path, self.node.paths.server_pem)

    def may_call(self, context: ssl.SSLContext) -> bool:
        """Whether a call is answered; if not, no action may have run."""
        CALLED.clear()
        try:
            reply = self.server.post("version", "[]", context)
        except OSError:
            assert CALLED == []
            return False
        assert reply.payload == "called"
        return True


@pytest.fixture
def clients(node: Node, cluster: Identity, candidate: Identity, tmp_path: Path) -> Iterator[Clients]:
    """A server with one candidate in its map."""
    cluster.write(node.paths.server_pem)
    with running(node, TABLE, tls=True) as server:
        result = Clients(node, server, tmp_path)
        result.map(f"some-uuid={candidate.digest}\n")
        yield result


def test_a_master_candidate_may_call(clients: Clients, candidate: Identity) -> None:
    assert clients.may_call(clients.context(candidate))


def test_a_client_without_certificate_is_refused(clients: Clients) -> None:
    assert not clients.may_call(clients.context(None))


def test_a_self_signed_certificate_is_refused(clients: Clients) -> None:
    assert not clients.may_call(clients.context(certificates.issue("node1.example.com", 2)))


def test_a_self_signed_certificate_with_the_clusters_name_is_refused(clients: Clients) -> None:
    assert not clients.may_call(clients.context(certificates.issue(CLUSTER_NAME, 2)))


def test_a_self_signed_certificate_is_refused_even_when_its_digest_is_in_the_map(clients: Clients) -> None:
    foreign = certificates.issue("node1.example.com", 2)
    clients.map(f"some-uuid={foreign.digest}\n")
    assert not clients.may_call(clients.context(foreign))


def test_a_certificate_of_another_authority_is_refused(clients: Clients, tmp_path: Path) -> None:
    context = clients.context(None)
    trustme.CA().issue_cert("node1.example.com").configure_cert(context)
    assert not clients.may_call(context)


def test_a_certificate_of_another_cluster_is_refused(clients: Clients) -> None:
    other_cluster = certificates.issue(CLUSTER_NAME, 2)
    foreign = certificates.issue("node1.example.com", 3, other_cluster)
    clients.map(f"some-uuid={foreign.digest}\n")
    assert not clients.may_call(clients.context(foreign))


def test_a_node_that_is_not_a_candidate_is_refused(clients: Clients, cluster: Identity) -> None:
    assert not clients.may_call(clients.context(certificates.issue("node2.example.com", 2, cluster)))


def test_dates_do_not_count(clients: Clients, cluster: Identity) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1000)
    expired = certificates.issue("node1.example.com", 1, cluster, valid_from=long_ago, days=10)
    clients.map(f"some-uuid={expired.digest}\n")
    assert clients.may_call(clients.context(expired))


def test_an_expired_certificate_outside_of_the_map_is_refused(clients: Clients, cluster: Identity) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1000)
    assert not clients.may_call(
        clients.context(certificates.issue("node1.example.com", 2, cluster, valid_from=long_ago, days=10))
    )


def test_a_key_that_does_not_belong_to_the_certificate_cannot_even_be_shown(clients: Clients, tmp_path: Path) -> None:
    stolen = Identity(
        certificates.key(3), certificates.issue("node1.example.com", 1).der, certificates.issue("x", 1).subject
    )
    with pytest.raises(ssl.SSLError):
        clients.context(stolen)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(clients: Clients, candidate: Identity, version: ssl.TLSVersion) -> None:
    context = clients.context(candidate)
    context.minimum_version = context.maximum_version = version
    assert clients.may_call(context)


def test_older_tls_is_refused(clients: Clients, candidate: Identity) -> None:
    context = clients.context(candidate)
    # What is refused must not be so by the client: it is set up to speak the old version if it can at all.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert not clients.may_call(context)


def test_a_resumed_session_is_judged_again(clients: Clients, candidate: Identity, cluster: Identity) -> None:
    context = clients.context(candidate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with clients.server.connect(context) as first:
        assert isinstance(first, ssl.SSLSocket)
        session = first.session
        first.sendall(request("version", "[]"))
        assert read_reply(first).status == 200
    clients.map(f"some-uuid={cluster.digest}\n")
    with context.wrap_socket(clients.server.connect(), session=session) as second:
        second.sendall(request("version", "[]"))
        assert is_ended(second)


class TestBootstrap:
    """A node that is being joined has no candidate map yet."""

    @pytest.mark.parametrize("text", [None, "", "\n", "\n\n"])
    def test_the_clusters_own_certificate_may_call(self, clients: Clients, cluster: Identity, text: str | None) -> None:
        clients.map(text)
        assert clients.may_call(clients.context(cluster))

    @pytest.mark.parametrize("text", [None, "", "\n"])
    def test_no_other_may(self, clients: Clients, candidate: Identity, text: str | None) -> None:
        clients.map(text)
        assert not clients.may_call(clients.context(candidate))

    def test_it_ends_with_the_first_line_of_the_map(self, clients: Clients, cluster: Identity) -> None:
        assert not clients.may_call(clients.context(cluster))

    def test_the_word_bootstrap_as_key_means_nothing(self, clients: Clients, candidate: Identity) -> None:
        clients.map(f"bootstrap={candidate.digest}")
        assert clients.may_call(clients.context(candidate))


class TestMap:
    """The candidate map as it is on disk at that moment."""

    def test_a_change_counts_at_once(self, clients: Clients, candidate: Identity, cluster: Identity) -> None:
        context = clients.context(candidate)
        before = clients.may_call(context)
        clients.map(f"some-uuid={cluster.digest}\n")
        between = clients.may_call(context)
        clients.map(f"another={cluster.digest}\nthird={candidate.digest}\n")
        assert (before, between, clients.may_call(context)) == (True, False, True)

    @pytest.mark.parametrize(
        "line", ["no equals sign", "two=equals=signs", "", "x" * 131073], ids=["none", "two", "empty", "huge"]
    )
    def test_a_malformed_one_refuses_everybody(self, clients: Clients, candidate: Identity, line: str) -> None:
        clients.map(f"{line}\nsome-uuid={candidate.digest}\n")
        assert not clients.may_call(clients.context(candidate))

    def test_a_digest_in_lower_case_is_another_one(self, clients: Clients, candidate: Identity) -> None:
        clients.map(f"some-uuid={candidate.digest.lower()}\n")
        assert not clients.may_call(clients.context(candidate))

    def test_several_candidates_may_call(self, clients: Clients, candidate: Identity, cluster: Identity) -> None:
        second = certificates.issue("node2.example.com", 2, cluster)
        clients.map(f"a={second.digest}\nb={candidate.digest}")
        assert clients.may_call(clients.context(second))


class TestReplacedCertificate:
    """The daemon was not restarted after server.pem was changed."""

    def test_clients_of_the_old_one_are_refused(self, clients: Clients, candidate: Identity) -> None:
        context = clients.context(candidate)
        certificates.issue(CLUSTER_NAME, 3).write(clients.node.paths.server_pem)
        assert not clients.may_call(context)

    def test_the_old_one_does_not_count_in_bootstrap_mode(self, clients: Clients, cluster: Identity) -> None:
        context = clients.context(cluster)
        clients.map(None)
        certificates.issue(CLUSTER_NAME, 3).write(clients.node.paths.server_pem)
        assert not clients.may_call(context)

    def test_without_the_file_nobody_may_call(self, clients: Clients, candidate: Identity) -> None:
        context = clients.context(candidate)
        clients.node.paths.server_pem.unlink()
        assert not clients.may_call(context)


class TestLog:
    """What is written of those who were refused."""

    def test_it_names_digest_and_address(
        self, clients: Clients, cluster: Identity, caplog: pytest.LogCaptureFixture
    ) -> None:
        stranger = certificates.issue("node2.example.com", 2, cluster)
        clients.may_call(clients.context(stranger))
        assert "Refused a client at 127.0.0.1 port" in caplog.text
        assert stranger.digest in caplog.text

    def test_it_does_not_grow_without_end(self, clients: Clients, caplog: pytest.LogCaptureFixture) -> None:
        context = clients.context(None)
        for _ in range(30):
            clients.may_call(context)
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 20

    def test_a_look_at_the_port_is_no_news(
        self, clients: Clients, candidate: Identity, caplog: pytest.LogCaptureFixture
    ) -> None:
        clients.server.connect().close()
        assert clients.may_call(clients.context(candidate))
        assert caplog.records == []


def test_a_client_that_does_not_close_its_side_does_not_hold_up_the_end(clients: Clients, candidate: Identity) -> None:
    connection = clients.server.connect(clients.context(candidate))
    connection.sendall(request("version", "[]"))
    assert read_reply(connection).payload == "called"
    clients.server.stop_listening()
    clients.server.drained()
    connection.close()


def test_a_refused_client_does_not_hold_up_the_end(clients: Clients, cluster: Identity) -> None:
    with clients.server.connect(clients.context(cluster)) as refused:
        assert is_ended(refused)
        clients.server.stop_listening()
        clients.server.drained()


def test_a_handshake_that_does_not_come_is_not_awaited(node: Node, cluster: Identity) -> None:
    cluster.write(node.paths.server_pem)
    with running(node, TABLE, tls=True, limits=Limits(handshake_s=0.2)) as server, server.connect() as connection:
        connection.sendall(b"\x16\x03\x01")
        assert is_ended(connection)


def test_a_large_answer_reaches_a_client_that_reads_late(node: Node, cluster: Identity, tmp_path: Path) -> None:
    def large(node: Node) -> str:
        del node
        return "x" * 20_000_000

    cluster.write(node.paths.server_pem)
    limits = Limits(goodbye_s=0.05)
    with (
        running(node, {"version": Call("version", large)}, tls=True, limits=limits) as server,
        server.connect(client(node.paths.server_pem, node.paths.server_pem)) as connection,
    ):
        connection.sendall(request("version", "[]"))
        assert connection.recv(1) == b"H"
        select.select([], [], [], 0.3)
        size = 1
        while data := connection.recv(1_000_000):
            size += len(data)
        assert size > 20_000_000


def test_refusals_that_were_not_logged_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    complaints = Complaints(clock.monotonic, most=2, window_s=60)
    for number in range(5):
        complaints.log("refused %d", number)
    clock.sleep(61)
    complaints.log("refused %d", 5)
    assert caplog.messages == ["refused 0", "refused 1", "3 more refusals were not logged", "refused 5"]
