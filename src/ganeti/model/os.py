"""An operating system definition as it lies on a node."""

from __future__ import annotations

from ganeti.model.base import Model


class OperatingSystem(Model, frozen=True, kw_only=True):
    """A definition: its directory, the API versions it speaks, its scripts (absolute paths), variants and parameters.

    `name` never has a variant; `supported_parameters` are (name, description) pairs.
    """

    name: str
    path: str
    api_versions: tuple[int, ...]
    create_script: str | None = None
    create_script_untrusted: str | None = None
    import_script: str | None = None
    export_script: str | None = None
    rename_script: str | None = None
    verify_script: str | None = None
    supported_variants: tuple[str, ...] = ()
    supported_parameters: tuple[tuple[str, str], ...] = ()

    @property
    def is_trusted(self) -> bool:
        """Whether its scripts run on the node itself rather than in a helper guest."""
        return self.create_script_untrusted is None


class OsDiagnosis(Model, frozen=True, kw_only=True):
    """What is to be said of one entry of the search path, valid or not."""

    name: str
    path: str
    is_valid: bool
    message: str = ""
    variants: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    api_versions: tuple[int, ...] = ()
    is_trusted: bool = True


def split_variant(name: str) -> tuple[str, str]:
    """Split `base+variant` at the first plus sign; the variant is empty when there is none."""
    base, _, variant = name.partition("+")
    return base, variant
