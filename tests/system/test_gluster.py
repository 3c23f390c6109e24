"""Disks in a real GlusterFS volume: the contract of storage and more, on a throw-away host that serves it."""

from __future__ import annotations

from pathlib import Path

from lab.gluster import gluster


def test_the_contract_holds_on_a_real_volume(tmp_path: Path) -> None:
    with gluster(tmp_path / "host", "gv0", "other") as server:
        report = server.pytest("tests/machines/test_gluster_contract.py")
    assert "passed" in report
    assert "skipped" not in report
    assert not (tmp_path / "host").exists()
