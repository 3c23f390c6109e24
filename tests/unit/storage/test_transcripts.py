"""Disks live through the scenarios of the lab again, on what real programs answered when they were recorded.

When a driver runs other commands than then, `scripts/lab record NAME` asks the real programs again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("lab.scenarios")

from lab import scenarios  # noqa: E402 - the line above makes its assertions say what they compared

from ganeti.host import transcript  # noqa: E402
from ganeti.host.clock import FakeClock  # noqa: E402
from ganeti.host.transcript import ReplayRunner  # noqa: E402


@pytest.mark.parametrize("name", scenarios.names())
def test_a_scenario_runs_the_commands_that_were_recorded(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert scenarios.transcript_of(name).exists(), f"`scripts/lab record {name}` records it"
    exchanges = transcript.read(scenarios.transcript_of(name), scenarios.values(root))

    with ReplayRunner(exchanges) as runner:
        scenarios.load(name).scenario(scenarios.node(root, runner, FakeClock()))


def test_every_transcript_is_that_of_a_scenario() -> None:
    recorded = {path.stem for path in scenarios.TRANSCRIPTS.glob("*")}

    assert recorded <= set(scenarios.names())
