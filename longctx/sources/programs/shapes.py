"""The shape of programs: what each defines, on which lines, and what it names; by tree-sitter where it is installed.

The reading process's side of ``syntax``. A parser that dies or hangs costs its file nothing but this: its definitions are found
by their look, as those of all files are where there is no parser.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from longctx.corpus import Lines, Source, split_lines
from longctx.errors import DISTRIBUTION
from longctx.sources.process import ParserProcess, lent
from longctx.sources.programs import looks
from longctx.sources.programs.grammars import language_of

#: Seconds for one file, of which a megabyte takes a fifth; characters of a file that is parsed; how often the parser may die.
SILENCE, LARGEST, DEATHS = 10.0, 2_000_000, 3
BY_LOOK = f"definitions are found by their look; pip install '{DISTRIBUTION}[code]' has them parsed"
_WORD = re.compile(r"[^\W\d][\w$]*")


@dataclass(frozen=True, slots=True)
class Head:
    """Where a definition says what it is.

    Args:
        first: line, from 0, with what belongs to it above.
        stop: the line after the last; ``first`` where an earlier head has all of its lines.
        at: the line of the name.
        name: of what is defined.
        depth: how many definitions are around it.
        remark: lines right above that are a comment too long to be kept.
    """

    first: int
    stop: int
    at: int
    name: str
    depth: int = 0
    remark: int = 0


@dataclass(frozen=True)
class Shape:
    """What a program defines and names.

    Args:
        lines: of the text as it was read, with their ends.
        numbers: of these lines in the file, from 1.
        heads: ascending.
        words: how often each stands in it, outside of comments and strings where it was parsed; empty if nobody asked.
        parsed: whether a parser found them.
    """

    lines: Sequence[str] = ()
    numbers: Sequence[int] = ()
    heads: tuple[Head, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)
    parsed: bool = False


def installed() -> bool:
    """Whether there is a parser."""
    return find_spec("tree_sitter_language_pack") is not None


def shapes(sources: Iterable[Source], check: Callable[[], None] = lambda: None, *, words: bool = False) -> dict[str, Shape]:
    """The shapes of all that is code, by path.

    Args:
        sources: as they were read.
        check: called often; what it raises ends the work.
        words: whether to count what is named, too.
    """
    wanted = [source for source in sources if is_code(source)]
    if not installed() or not any(language_of(source.path) for source in wanted):
        return {source.path: _by_look(source, words) for source in wanted}
    found = {}
    deaths = 0
    with lent("code", silence=SILENCE) as parser:
        for source in wanted:
            check()
            reply = _asked(parser, source, words, check) if deaths < DEATHS else None
            deaths += reply is not None and "error" in reply
            found[source.path] = _told(source, words, reply)
    return found


def is_code(source: Source) -> bool:
    """Whether a source is a program that was read line by line."""
    return source.kind == "code" and all(
        isinstance(segment.origin, Lines) and segment.origin.cell is None for segment in source.segments
    )


def _asked(parser: ParserProcess, source: Source, words: bool, check: Callable[[], None]) -> Mapping[str, Any] | None:
    """What the worker says of a source; None where it is not asked."""
    language, text = language_of(source.path), "".join(segment.text for segment in source.segments)
    if not language or len(text) > LARGEST:
        return None
    replies = list(parser.ask("code", check, language=language, text=text, words=words))
    return replies[-1] if replies else None


def _told(source: Source, words: bool, reply: Mapping[str, Any] | None) -> Shape:
    """A shape as the worker has it; by its look where that finds more in a text that the parser does not understand."""
    if reply is None or "heads" not in reply:
        return _by_look(source, words)
    heads = tuple(Head(*head) for head in reply["heads"])
    if reply["broken"] and len(other := _by_look(source, words).heads) > len(heads):
        return Shape(*_numbered(source), other, reply["words"])
    return Shape(*_numbered(source), heads, reply["words"], parsed=True)


def _by_look(source: Source, words: bool) -> Shape:
    lines, numbers = _numbered(source)
    heads = tuple(Head(first, stop, at, name, depth) for first, stop, at, name, depth in looks.heads(lines, source.path))
    counts = Counter(word for line in lines if len(line) <= looks.LONGEST for word in _WORD.findall(line)) if words else {}
    return Shape(lines, numbers, heads, counts)


def _numbered(source: Source) -> tuple[list[str], list[int]]:
    """The lines of a source and their numbers in the file; a line that is spread over several segments is one."""
    lines: list[str] = []
    numbers: list[int] = []
    for segment in source.segments:
        assert isinstance(segment.origin, Lines)
        for number, line in enumerate(split_lines(segment.text), start=segment.origin.first):
            if lines and numbers[-1] == number and not lines[-1].endswith(("\n", "\r")):
                lines[-1] += line
            else:
                lines.append(line)
                numbers.append(number)
    return lines, numbers


def stretches(shape: Shape) -> Iterator[tuple[int, int, str]]:
    """The lines that are worth reading alone: heads, and how a long comment above one begins; ascending, half-open."""
    for head in shape.heads:
        if head.remark:
            top = head.first - head.remark
            yield top, top + 1 + (not re.search(r"\w", shape.lines[top])), head.name
        if head.first < head.stop:
            yield head.first, head.stop, head.name
