"""Tests that run inside a machine of the lab, as root on it; a test of tests/system runs them there.

On the host nothing is collected here: what these tests do (partitions, volume groups, kernel modules) belongs into a
machine that is thrown away.
"""

from pathlib import Path

# The lab's machines make this file (lab/machine/rc).
collect_ignore_glob = [] if Path("/run/lab-machine").exists() else ["*"]
