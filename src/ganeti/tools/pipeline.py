"""One program's output as another's input, by bash: `sh` tells only how the last one ended."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def argv(*commands: Sequence[str], to_the_end: bool = False) -> list[str]:
    """Command that joins `commands` by pipes and fails when any of them fails; every word is quoted.

    With `to_the_end` it also fails when the last one left some of its input unread.
    """
    *sources, sink = [shlex.join(command) for command in commands]
    if to_the_end:
        sink = f"{{ {sink} && cmp - /dev/null; }}"
    return ["/bin/bash", "-o", "pipefail", "-c", " | ".join([*sources, sink])]
