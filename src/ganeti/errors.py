"""The error tree: who can act on what went wrong.

    NodeError                 text may go to the master or the operator
    +-- InvalidParameter      the caller sent something wrong (names the argument)
    +-- UnsafePath            a name or path would leave its allowed root
    +-- ConfigurationError    this node's own set-up is wrong or incomplete
    |   +-- OsDefinitionError ... an operating system definition is missing or invalid
    +-- OsScriptError         a script of an operating system definition failed
    +-- CommandError          an external program failed (argv, exit status, output)
    |   +-- InvalidOutput     ... or printed what cannot be understood
    +-- ProgramNotFound       an external program is not installed
    +-- HooksFailed           a hook forbids what was to be done
    +-- LockTimeout           a lock was not free in time
    +-- TimedOut              something awaited did not happen in time
    +-- BlockDeviceError      a disk operation failed
    |   +-- FileStoragePathError  a file storage path is not allowed
    +-- StorageError          a storage unit (file system, volume group) operation failed
    +-- HypervisorError       a guest operation failed
    |   +-- HotplugError      ... because devices cannot be changed while it runs
    +-- NotSupported          the driver has no such operation

A programming error is deliberately not below NodeError. Texts are whole sentences or phrases with the object's name.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence


class NodeError(Exception):
    """Base of every error whose text may be shown to the master or the operator."""


class InvalidParameter(NodeError):
    """A caller's value is refused before anything was done.

    `name` is the argument (a path like `disk.size` for a nested one), `reason` what is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid argument {self.name!r}: {self.reason}"


class UnsafePath(NodeError):
    """A path or a name that becomes part of one would leave the place it belongs to."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"unsafe path {self.path!r}: {self.reason}"


class ConfigurationError(NodeError):
    """This node's own configuration is missing or wrong."""


class OsDefinitionError(ConfigurationError):
    """An operating system definition is missing or invalid."""


class OsScriptError(NodeError):
    """A script of an operating system definition failed; the text has the end of what it printed."""


class CommandError(NodeError):
    """An external program failed; `argv`, `exit_code` or `signal`, and what it printed are attributes."""

    def __init__(self, argv: Sequence[str], reason: str, output: str = "") -> None:
        super().__init__(tuple(argv), reason, output)
        self.argv = tuple(argv)
        self.reason = reason
        self.output = output

    def __str__(self) -> str:
        text = f"{shlex.join(self.argv)} failed: {self.reason}"
        return f"{text}: {self.output.strip()}" if self.output.strip() else text


class InvalidOutput(CommandError):
    """An external program printed something that cannot be understood; `output` is the offending line."""


class ProgramNotFound(NodeError):
    """An external program is not installed (or its working directory does not exist)."""

    def __init__(self, program: str) -> None:
        super().__init__(program)
        self.program = program

    def __str__(self) -> str:
        return f"program not found: {self.program}"


class HooksFailed(NodeError):
    """Scripts of `hooks_path` failed before the action, which is therefore not done; `failures` are their texts."""

    def __init__(self, hooks_path: str, failures: Sequence[str]) -> None:
        super().__init__(hooks_path, tuple(failures))
        self.hooks_path = hooks_path
        self.failures = tuple(failures)

    def __str__(self) -> str:
        return f"hooks of {self.hooks_path} failed: {'; '.join(self.failures)}"


class LockTimeout(NodeError):
    """A lock was held by somebody else for the whole time allowed."""


class TimedOut(NodeError):
    """What was waited for did not happen in time."""


class BlockDeviceError(NodeError):
    """An operation on a disk failed."""


class FileStoragePathError(BlockDeviceError):
    """A path is not among those allowed for file storage."""


class StorageError(NodeError):
    """An operation on a storage unit failed."""


class HypervisorError(NodeError):
    """An operation on a guest failed."""


class HotplugError(HypervisorError):
    """A device cannot be added to or taken from the running guest."""


class NotSupported(NodeError):
    """The driver has no such operation; `kind` is the driver, `operation` what was asked."""

    def __init__(self, kind: str, operation: str) -> None:
        super().__init__(kind, operation)
        self.kind = kind
        self.operation = operation

    def __str__(self) -> str:
        return f"{self.kind} does not support {self.operation}"
