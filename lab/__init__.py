"""Test equipment: a packaged Ganeti cluster on throw-away hosts, and machines with a kernel of their own.

It knows the packaged programs from outside only (commands, files, requests) and nothing of `ganeti`, the package
under test: a node daemon is an executable here. Standard library alone, so that any Python 3.11 runs it. The scenarios
and what records them (`lab.scenarios`, `lab.recording_storage`) are the exception: they are lives of `ganeti`'s disks.
"""
