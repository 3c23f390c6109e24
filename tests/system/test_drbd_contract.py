"""Mirrors in a machine without the other node are held to the contract of all storage."""

from lab import machines


def test_mirrors_keep_the_contract_of_storage() -> None:
    with machines.lab("mirrors") as lab:
        [machine] = lab.up("n1", disks=1, size_mib=1024)

        assert machine.pytest("tests/machines/test_drbd_contract.py") > 30
