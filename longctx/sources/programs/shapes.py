"""The shape of programs: what each defines, on which lines, and what it names; by tree-sitter where it is installed.

The reading process's side of ``syntax``. A parser that dies or hangs costs its file nothing but this: its definitions are found
by their look, as those of all files are where there is no parser.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from longctx.corpus import Lines, Source, split_lines
from longctx.errors import DISTRIBUTION
from longctx.sources.process import ParserProcess, lent
from longctx.sources.programs import looks
from longctx.sources.programs.grammars import language_of

#: Seconds for one file, of which a megabyte takes a fifth; characters of a file that is parsed; how often the parser may die.
SILENCE, LARGEST, DEATHS = 10.0, 2_000_000, 3
#: Seconds that a file may take without being called slow, and that all slow ones together may take.
SLOW, PATIENCE = 1.0, 60.0
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
        why: there is a parser for it, but it did not say; empty where there is none, or it did.
    """

    lines: Sequence[str] = ()
    numbers: Sequence[int] = ()
    heads: tuple[Head, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)
    parsed: bool = False
    why: str = ""


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
    with lent("code", silence=SILENCE) as parser:
        asking = _Asking(parser, words, check)
        return {source.path: asking.shape(source) for source in wanted}


def is_code(source: Source) -> bool:
    """Whether a source is a program that was read line by line."""
    return source.kind == "code" and all(
        isinstance(segment.origin, Lines) and segment.origin.cell is None for segment in source.segments
    )


@dataclass
class _Asking:
    """The worker is asked about one file after another, as long as that costs no more than it is worth.

    Args:
        parser: the worker.
        words: whether to count what is named, too.
        check: called often; what it raises ends the work.
        deaths: how often it has failed.
        slow: seconds that slow files took.
    """

    parser: ParserProcess
    words: bool
    check: Callable[[], None]
    deaths: int = 0
    slow: float = 0.0

    def shape(self, source: Source) -> Shape:
        """The shape of a source; by its look where the worker cannot say, or does not understand it and the look finds more."""
        self.check()
        reply = self.reply(source) if language_of(source.path) else {}
        if "heads" not in reply:
            return replace(_by_look(source, self.words), why=reply.get("error", ""))
        heads = tuple(Head(*head) for head in reply["heads"])
        if reply["broken"] and len(other := _by_look(source, self.words).heads) > len(heads):
            return Shape(*_numbered(source), other, reply["words"])
        return Shape(*_numbered(source), heads, reply["words"], parsed=True)

    def reply(self, source: Source) -> Mapping[str, Any]:
        """What the worker says of a source; an error where it is not asked."""
        text = "".join(segment.text for segment in source.segments)
        if len(text) > LARGEST:
            return {"error": f"a text of more than {LARGEST:,} characters is not parsed"}
        if self.deaths >= DEATHS:
            return {"error": f"the parser of code had failed {DEATHS} times before"}
        if self.slow > PATIENCE:
            return {"error": f"the parser of code had spent {PATIENCE:g} s on slow files before"}
        began = time.monotonic()
        arguments = {"language": language_of(source.path), "text": text, "words": self.words}
        replies = list(self.parser.ask("code", self.check, **arguments))
        took = time.monotonic() - began
        self.slow += took if took > SLOW else 0.0
        reply = replies[-1] if replies else {}
        self.deaths += "error" in reply
        return reply


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
