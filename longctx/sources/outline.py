"""Code by its signatures: the lines on which a program names what it defines, and the first line of what each is for.

By their look, as in ``code``: no parser, no language known but by its file's ending. The segments are lines of the file as they
stand in it, so that what is cited from them stands where it is said to stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from longctx.corpus import Lines, Segment, Source, split_lines
from longctx.sources.code import defined, holds_members

#: Lines that the head of one definition may take.
MOST_LINES = 12
#: Lines between two signatures that are kept, rather than a mark for a segment of its own: a mark costs about as much.
GAP = 1
#: A longer line is no signature: minified code.
LONGEST = 300
_DECORATOR = re.compile(r"\s*(?:@|#\[|\[\w+.*\]\s*$)")
_DOCUMENTED = re.compile(r"\s*[rRuU]?(?:\"\"\"|''')")


def outline(source: Source) -> tuple[Segment, ...]:
    r"""The signatures of a source of code, as segments; empty where it has none or is no code.

    >>> text = "@cache\ndef f(x,\n      y):\n    z = x + y\n    return z\n\nclass A:\n    def g(self): ...\n"
    >>> shown = outline(Source("a.py", "/a.py", "code", 9, "", (Segment(text, Lines("a.py", 1, 8)),)))
    >>> [(str(segment.origin), segment.heading) for segment in shown]
    [('a.py:1-3', 'f'), ('a.py:7-8', 'A')]
    """
    if source.kind != "code" or not all(isinstance(segment.origin, Lines) for segment in source.segments):
        return ()
    lines = split_lines("".join(segment.text for segment in source.segments))
    return tuple(
        Segment("".join(lines[first:last]), Lines(source.path, first + 1, last), name)
        for first, last, name in _joined(_signatures(lines, source.path))
    )


def _joined(spans: Iterator[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Signatures that nearly touch are one segment, up to a size that can still be told apart."""
    held: tuple[int, int, str] | None = None
    for first, last, name in spans:
        if held is not None and first - held[1] <= GAP and last - held[0] <= 2 * MOST_LINES:
            held = (held[0], max(last, held[1]), held[2])
            continue
        if held is not None:
            yield held
        held = (first, last, name)
    if held is not None:
        yield held


def _signatures(lines: Sequence[str], path: str) -> Iterator[tuple[int, int, str]]:
    """Half-open stretches of lines, ascending, and what each defines: at the margin, and the members of what has members."""
    open_: list[tuple[int, bool]] = []  # indentation of the definitions around a line, and whether each may have members
    done = 0
    for index, line in enumerate(lines):
        stripped = line.strip()
        if index < done or not stripped or len(line) > LONGEST:
            continue
        indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
        while open_ and open_[-1][0] >= indent:
            open_.pop()
        if (indent and not open_) or (open_ and not open_[-1][1]):
            continue
        if name := defined(stripped, path, inside=bool(open_)):
            open_.append((indent, holds_members(stripped)))
            first, done = _decorated(lines, index, done), _end(lines, index)
            yield first, done, name


def _decorated(lines: Sequence[str], index: int, least: int) -> int:
    while index > least and _DECORATOR.match(lines[index - 1]):
        index -= 1
    return index


def _end(lines: Sequence[str], index: int) -> int:
    """After the line on which the head ends, and after the first line of its docstring."""
    depth, last = 0, index
    for last in range(index, min(index + MOST_LINES, len(lines))):
        depth += sum(map(lines[last].count, "([")) - sum(map(lines[last].count, ")]"))
        if depth <= 0:
            break
    else:
        return index + 1  # brackets that never close are of some other text: the line alone
    after = last + 1
    return after + 1 if after < len(lines) and _DOCUMENTED.match(lines[after]) and len(lines[after]) <= LONGEST else after
