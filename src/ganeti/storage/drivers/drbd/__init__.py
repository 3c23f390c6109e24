"""Disks mirrored to one other node by DRBD, over two disks of their own on each: data and metadata."""

from ganeti.storage.drivers.drbd.driver import DrbdDisk

__all__ = ["DrbdDisk"]
