"""What the packaged master sends with a disk when nobody asked for anything else."""

from collections.abc import Mapping
from typing import Final

DRBD: Final[Mapping[str, str | int | bool]] = {
    "resync-rate": 61440,
    "disabled-barriers": "n",
    "disable-meta-flush": False,
    "default-metavg": "xenvg",
    "disk-custom": "",
    "net-custom": "",
    "protocol": "C",
    "dynamic-resync": False,
    "c-plan-ahead": 20,
    "c-fill-target": 0,
    "c-delay-target": 1,
    "c-max-rate": 61440,
    "c-min-rate": 4096,
}
"""Parameters of a mirror; rates in KiB/s."""
