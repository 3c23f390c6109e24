"""What a person reads: plain columns, which fit any terminal and any pipe."""

from __future__ import annotations

from collections.abc import Sequence

from ganeti.operator.models import Guest, NodeReport


def guest_table(guests: Sequence[Guest]) -> str:
    """One line a guest."""
    rows = [("NAME", "STATUS", "HYPERVISOR", "MEMORY", "VCPUS", "DISKS", "OS")]
    rows += [
        (
            guest.name,
            guest.status,
            guest.hypervisor,
            f"{guest.memory_mib}M",
            str(guest.vcpus),
            "+".join(f"{size}M" for size in guest.disks_mib) or "-",
            guest.os,
        )
        for guest in guests
    ]
    return columns(rows)


def guest_details(guest: Guest) -> str:
    """Everything about one guest."""
    lines = [
        ("name", guest.name),
        ("uuid", guest.uuid),
        ("status", guest.status),
        ("operating system", guest.os),
        ("hypervisor", guest.hypervisor),
        ("memory", f"{guest.memory_mib} MiB"),
        ("vcpus", str(guest.vcpus)),
        *((f"disk {index}", f"{size} MiB") for index, size in enumerate(guest.disks_mib)),
        *((f"nic {index}", mac) for index, mac in enumerate(guest.macs)),
    ]
    return columns(lines)


def node_details(report: NodeReport) -> str:
    """This node in short."""
    lines = [
        ("name", report.name),
        ("version", report.version),
        ("master", report.master or "none: this node owns its guests"),
        ("memory", f"{report.memory_free_mib} of {report.memory_total_mib} MiB free"),
        ("processors", str(report.cpus)),
        *((f"hypervisor {kind}", problem or "ok") for kind, problem in sorted(report.hypervisors.items())),
    ]
    return columns(lines)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows with their columns below each other."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
