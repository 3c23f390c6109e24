"""Reader of `drbdsetup show` up to DRBD 8.4: what the kernel has for a minor.

The text has the shared secret in it, so no error tells any of it: errors name the line alone.
Source: observed with drbd-utils 9.22 over module 8.4.11; the flat layout of 8.0 to 8.3 follows from the same grammar.

    sections   name [number or name] { ... }
    statements keyword words ;      # comment up to the end of the line
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from ganeti.errors import BlockDeviceError, CommandError
from ganeti.host.runner import Argument, Runner
from ganeti.tools.drbd.devices import Configuration, Endpoint

Value = TypeVar("Value")

_TOKEN: Final = re.compile(r'(?P<blank>\s+|#[^\n]*)|"(?P<quoted>[^"\n]*)"|(?P<mark>[{};])|(?P<word>[^\s{};"#]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the text: its statements as words, and the parts in it by their first word."""

    title: tuple[str, ...] = ()
    statements: list[tuple[str, ...]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def values(self, keyword: str) -> list[tuple[str, ...]]:
        """The words after a keyword, of every statement that begins with it."""
        return [words[1:] for words in self.statements if words[0] == keyword]

    def named(self, name: str) -> Iterator[Section]:
        """The parts of a name, directly in this one."""
        return (section for section in self.sections if section.title[0] == name)


def run(runner: Runner, argv: Sequence[Argument]) -> str:
    """Run a command which prints the secret. Raises: CommandError without what it printed to standard output."""
    result = runner.run(argv)
    if result.failed:
        raise CommandError(result.argv, result.reason, result.stderr)
    return result.stdout


def parse(text: str) -> Configuration:
    """Read the text about one minor; nothing is known from an empty one. Raises: BlockDeviceError."""
    top = sections(text)
    resource = next(top.named("resource"), None)
    return _configuration(top if resource is None else resource)


def sections(text: str) -> Section:
    """Read the structure of the text. Raises: BlockDeviceError."""
    open_sections = [Section()]
    words: list[str] = []
    for line, mark, word in _tokens(text):
        if mark == "":
            words.append(word)
        elif mark == ";":
            if not words:
                raise _nonsense(line)
            open_sections[-1].statements.append(tuple(words))
            words = []
        elif mark == "{":
            if not words:
                raise _nonsense(line)
            section = Section(title=tuple(words))
            open_sections[-1].sections.append(section)
            open_sections.append(section)
            words = []
        else:
            if words or len(open_sections) == 1:
                raise _nonsense(line)
            open_sections.pop()
    if words or len(open_sections) > 1:
        raise _nonsense(text.count("\n") + 1)
    return open_sections[0]


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, mark, word): a mark, or a word with an empty mark."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _nonsense(line)
        if match["blank"] is None:
            yield line, match["mark"] or "", match["quoted"] if match["quoted"] is not None else match["word"] or ""
        line += match[0].count("\n")
        position = match.end()


def _configuration(resource: Section) -> Configuration:
    local = next(resource.named("_this_host"), Section())
    remote = next(resource.named("_remote_host"), Section())
    volume = next(local.named("volume"), local)
    index = _one(volume, "meta-disk", _index)
    return Configuration(
        resource=resource.title[1] if len(resource.title) == 2 else None,
        data=_one(volume, "disk", _path),
        metadata=_one(volume, "meta-disk", _path),
        metadata_index=index,
        local=_one(local, "address", _endpoint),
        remote=_one(remote, "address", _endpoint),
    )


def _one(section: Section, keyword: str, read: Callable[[tuple[str, ...]], Value]) -> Value | None:
    found = section.values(keyword)
    try:
        return read(found[0]) if found else None
    except (ValueError, IndexError):
        # not chained: the cause would show words of the text
        raise BlockDeviceError(f"the value of {keyword} in DRBD's configuration cannot be understood") from None


def _path(words: tuple[str, ...]) -> Path:
    return Path(words[0])


def _index(words: tuple[str, ...]) -> int | None:
    """`"/dev/x" [ 0 ]`; 8.4 prints no index for a layout of variable size."""
    index = "".join(words[1:]).strip("[]")
    return int(index) if index else None


def _endpoint(words: tuple[str, ...]) -> Endpoint:
    """`[family] address:port`, an IPv6 address in brackets or not."""
    host, _, port = words[-1].rpartition(":")
    return Endpoint.of(host.removeprefix("[").removesuffix("]"), int(port))


def _nonsense(line: int) -> BlockDeviceError:
    return BlockDeviceError(f"DRBD's configuration cannot be understood in line {line}")
