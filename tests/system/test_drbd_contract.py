"""Mirrors in a machine without the other node are held to the contract of all storage."""

import pytest
from lab import machines

LIMIT_S = 1500
"""Some fifty tests of half a dozen LVM and DRBD commands each, on an emulated processor that others use too."""


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 100)
def test_mirrors_keep_the_contract_of_storage() -> None:
    with machines.lab("mirrors") as lab:
        [machine] = lab.up("n1", disks=1, size_mib=1024)

        assert machine.pytest("tests/machines/test_drbd_contract.py", timeout_s=LIMIT_S) > 30
