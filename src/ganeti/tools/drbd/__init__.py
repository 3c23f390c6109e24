"""DRBD's tools and status files: command lines, and what they print, of the kernel modules 8.4 and 9.

Knows nothing of disks of guests: a device is a number, a pair of addresses and two paths.
"""
