"""Puts the recording proxy in front of node daemons, and reads back what it recorded, by operator's action."""

import json
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import DATA_DIR, Cluster, packaged_daemon

_PROXY = Path(__file__).with_name("proxy.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its reply, as recorded; bodies are text and may hold secrets."""

    node: str
    call: str
    began: float
    request_headers: dict[str, str]
    request_body: str
    status_line: str
    reply_headers: dict[str, str]
    reply_body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What the operator did, and the exchanges that began meanwhile, in order."""

    note: str
    exchanges: tuple[Exchange, ...]


class Recorder:
    """Records the requests of one cluster's master to its nodes; files lie beside the cluster's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._directory = cluster.directory / "record"
        self._spans: list[tuple[str, float]] = []

    def launchers(self, count: int, daemons: Path | Mapping[str, Path] | None = None) -> dict[str, Path]:
        """Return, by node name, executables that start a daemon and the proxy in front of it.

        The daemon is the packaged one where `daemons` names no other, for all nodes or by name.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        names = [f"node{number}" for number in range(1, count + 1)]
        chosen = dict.fromkeys(names, daemons) if isinstance(daemons, Path) else (daemons or {})
        return {name: self._launcher(name, chosen.get(name)) for name in names}

    @contextmanager
    def action(self, note: str) -> Iterator[None]:
        """Note down that what happens inside is the action `note`."""
        self._spans.append((note, time.time()))
        yield

    def actions(self) -> list[Action]:
        """Return all actions so far with their exchanges; an exchange between two actions belongs to the first."""
        return sort(self._spans, self._exchanges())

    def _launcher(self, name: str, daemon: Path | None) -> Path:
        folder = self._directory / name
        folder.mkdir(exist_ok=True)
        environment = ""
        if daemon is None:
            # the packaged file itself is covered on the node, so it runs from a copy, under its own name
            daemon = folder / "packaged" / "ganeti-noded"
            daemon.parent.mkdir(exist_ok=True)
            shutil.copy(packaged_daemon(), daemon)
            environment = f"PYTHONPATH={packaged_daemon().parent} "
        launcher = folder / "ganeti-noded"
        # accepted by all nodes at all times, and every host sees the machine's files
        client_pem = self._cluster.master.path(DATA_DIR / "client.pem")
        launcher.write_text(launcher_text(name, f"{environment}{shlex.quote(str(daemon))}", client_pem, folder))
        launcher.chmod(0o755)
        return launcher

    def _exchanges(self) -> list[Exchange]:
        files = sorted(self._directory.glob("node*/exchanges.jsonl"))
        found = [exchange for file in files for exchange in parse(file.read_text())]
        return sorted(found, key=lambda exchange: exchange.began)


def launcher_text(node: str, daemon: str, client_pem: Path, folder: Path) -> str:
    """Return a script that starts a daemon (shell words) and the proxy in front of it, which records in `folder`."""
    proxy = [
        "/usr/bin/python3",
        "-I",
        str(_PROXY),
        f"--node={node}",
        f"--server-pem={DATA_DIR}/server.pem",
        f"--client-pem={client_pem}",
        f"--record={folder / 'exchanges.jsonl'}",
        f"--log={folder / 'log'}",
        "--daemon-pid-file=/run/ganeti/ganeti-noded.pid",
    ]
    # the daemon goes to the background and the command ends when it is ready to be asked
    return f'#!/bin/sh\n{daemon} -p 1812 "$@" || exit\nexec {shlex.join(proxy)}\n'


def parse(text: str) -> list[Exchange]:
    """Return what a proxy wrote, in its order."""
    entries = [json.loads(line) for line in text.splitlines()]
    return [Exchange(**{name: entry[name] for name in Exchange.__slots__}) for entry in entries]


def sort(spans: Sequence[tuple[str, float]], exchanges: Sequence[Exchange]) -> list[Action]:
    """Return the actions (note and begin of each) with their exchanges; one between two belongs to the first."""
    ends = [began for _, began in spans[1:]] + [float("inf")]
    return [
        Action(note=note, exchanges=tuple(one for one in exchanges if began <= one.began < end))
        for (note, began), end in zip(spans, ends, strict=True)
    ]
