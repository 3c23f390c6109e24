"""Calls about operating system definitions."""

from __future__ import annotations

from ganeti.actions import os_definitions, os_export, os_scripts
from ganeti.actions.node import Node
from ganeti.model.instance import Instance
from ganeti.model.os import OsDiagnosis
from ganeti.noded.table import Call, Lane


def diagnose(node: Node) -> list[list[object]]:
    """Rows of exactly eight, which is what the master unpacks."""
    return [diagnosis_row(diagnosis) for diagnosis in os_definitions.diagnose(node)]


def diagnosis_row(diagnosis: OsDiagnosis) -> list[object]:
    """One definition as the master reads it; a parameter without description is a list of one."""
    return [
        diagnosis.name,
        diagnosis.path,
        diagnosis.is_valid,
        diagnosis.message,
        diagnosis.variants,
        [[word for word in parameter if word] for parameter in diagnosis.parameters],
        diagnosis.api_versions,
        diagnosis.is_trusted,
    ]


def export(node: Node, instance: Instance, override_env: dict[str, str]) -> str:
    """The archive's path as text."""
    return str(os_export.export(node, instance, override_env))


CALLS = (
    Call("os_diagnose", diagnose, shared=True),
    Call("os_validate", os_scripts.validate, lane=Lane.LONG),
    Call("os_export", export, lane=Lane.LONG),
    Call("instance_os_add", os_scripts.create, lane=Lane.LONG),
    Call("instance_run_rename", os_scripts.rename, lane=Lane.LONG),
)
