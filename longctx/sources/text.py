"""Text becomes segments: about forty lines each, cut where a reader would, never inside a line unless the line is too long.

Knows neither files nor languages: where definitions and headings stand is told by ``code`` and ``markdown``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

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
    for first, last in _spans(lines, starts):
        heading = names[bisect_right(starts, first)]
        origin = Lines(path, first + 1, last, cell)
        text = "".join(lines[first:last])
        found += (
            [Segment(piece, origin, heading) for piece in _pieces(text)]
            if last - first == 1
            else [Segment(text, origin, heading)]
        )
    return tuple(found)


def _spans(lines: Sequence[str], starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Half-open stretches of lines that cover the text."""
    chars = list(accumulate(map(len, lines), initial=0))
    ends = (starts, *_paragraphs(lines))
    first = 0
    while first < len(lines):
        # The farthest end: at least one line, and no more than the limits.
        reach = max(first + 1, min(first + MAX_LINES, bisect_right(chars, chars[first] + MAX_CHARS) - 1))
        last = len(lines) if reach >= len(lines) else _best(first, reach, ends)
        yield first, last
        first = last


def _best(first: int, reach: int, ends: Sequence[Sequence[int]]) -> int:
    """The best end that leaves the segment at least a third of what it could hold; of equals the farthest.

    Args:
        first: line with which the segment begins.
        reach: the farthest end.
        ends: lines before which it is good to end, ascending; the best kind first.
    """
    least = first + max(1, (reach - first) // 3)
    for kind in ends:
        place = bisect_right(kind, reach) - 1
        if place >= 0 and kind[place] >= least:
            return kind[place]
    return reach


def _paragraphs(lines: Sequence[str]) -> tuple[list[int], list[int]]:
    """The lines after an empty one: those at the margin, and the others."""
    after = [index for index, line in enumerate(lines[:-1], start=1) if line.isspace()]
    margin = [index for index in after if not lines[index][0].isspace()]
    return margin, after


def _pieces(line: str) -> list[str]:
    """A line, in pieces where it is longer than a segment; its end stays with the last of them."""
    body = len(line.rstrip("\r\n"))
    ends = [*range(MAX_CHARS, body, MAX_CHARS), len(line)]
    return [line[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
