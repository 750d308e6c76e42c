"""Text becomes segments: about forty lines each, cut where a reader would, never inside a line unless the line is too long.

Knows neither files nor languages: where definitions and headings stand is told by ``code`` and ``markdown``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from longctx.corpus import Lines, Segment, split_lines
from longctx.sources import code, markdown
from longctx.sources.decoding import decode
from longctx.sources.parsed import Parsed, counted

MAX_LINES = 40
MAX_CHARS = 2000

#: Where a definition or a section begins (line index, from 0), and its name.
Landmark = tuple[int, str]


def parse_text(path: str, kind: str, data: bytes, size: int) -> Parsed:
    """The segments of a text file.

    Args:
        path: as it is cited.
        kind: ``"code"``, ``"text"`` or ``"markdown"``.
        data: the file's bytes, or the first of them.
        size: bytes of the whole file.
    """
    if not data:
        return Parsed(kind, reason="empty")
    whole = len(data) >= size
    decoded = decode(data, whole=whole)
    if decoded is None:
        return Parsed("binary", status="skipped", reason="binary")
    lines = split_lines(decoded.text)
    segments = cut(lines, path, landmarks(lines, path, kind))
    if whole:
        return Parsed(kind, segments, "read" if segments else "skipped", decoded.note if segments else "only a byte order mark")
    cutting = f"its first {counted(len(lines), 'line')}, {len(decoded.text):,} characters of a file of {size:,} bytes"
    return Parsed(kind, segments, "truncated", "; ".join(filter(None, (cutting, decoded.note))))


def landmarks(lines: Sequence[str], path: str, kind: str) -> list[Landmark]:
    """Definitions or headings of a text, by its kind."""
    if kind == "markdown":
        return markdown.headings(lines)
    return code.definitions(lines, path) if kind == "code" else []


def cut(
    lines: Sequence[str], path: str, marks: Sequence[Landmark] = (), *, cell: int | None = None, above: str = ""
) -> tuple[Segment, ...]:
    r"""Lines as segments that, joined, are the text again.

    Args:
        lines: with their ends.
        path: as it is cited.
        marks: where definitions or sections begin, ascending.
        cell: the notebook cell that the lines are of, counted from 1.
        above: the heading that holds before the first mark.

    >>> [str(segment.origin) for segment in cut(["x\n"] * 50, "a.txt")]
    ['a.txt:1-40', 'a.txt:41-50']
    """
    starts = [index for index, _ in marks]
    names = [above, *(name for _, name in marks)]
    found = []
    for first, last in spans(lines, frozenset(starts)):
        heading = names[bisect_right(starts, first)]
        origin = Lines(path, first + 1, last, cell)
        text = "".join(lines[first:last])
        found += (
            [Segment(piece, origin, heading) for piece in pieces(text)]
            if last - first == 1
            else [Segment(text, origin, heading)]
        )
    return tuple(found)


def spans(lines: Sequence[str], starts: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Half-open stretches of lines that cover the text.

    Args:
        lines: with their ends.
        starts: indexes of lines with which a stretch had better begin.
    """
    first = 0
    while first < len(lines):
        reach = _reach(lines, first)
        last = reach if reach == len(lines) else _best(lines, first, reach, starts)
        yield first, last
        first = last


def _reach(lines: Sequence[str], first: int) -> int:
    """The farthest end of a segment that begins at a line: at least one line, and no more than the limits."""
    last, chars = first + 1, len(lines[first])
    while last < len(lines) and last - first < MAX_LINES and chars + len(lines[last]) <= MAX_CHARS:
        chars += len(lines[last])
        last += 1
    return last


def _best(lines: Sequence[str], first: int, reach: int, starts: frozenset[int]) -> int:
    """The best end that leaves the segment at least a third of what it could hold; of equals the farthest."""
    least = first + max(1, (reach - first) // 3)
    return max(range(least, reach + 1), key=lambda line: (_rank(lines, line, starts), line))


def _rank(lines: Sequence[str], line: int, starts: frozenset[int]) -> int:
    if line in starts:
        return 3
    if lines[line - 1].strip():
        return 0
    return 1 if lines[line][:1].isspace() else 2


def pieces(line: str) -> list[str]:
    """A line, in pieces where it is longer than a segment; its end stays with the last of them.

    Args:
        line: with its end.
    """
    body = len(line.rstrip("\r\n"))
    ends = [*range(MAX_CHARS, body, MAX_CHARS), len(line)]
    return [line[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
