"""Text becomes segments: about forty lines each, cut where a reader would, never inside a line unless the line is too long.

Knows neither files nor languages: where definitions and headings stand is told by ``code``, ``markdown`` and
``rst``, what is read of junk by ``junk`` and ``table``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from longctx.corpus import Lines, Segment, split_lines
from longctx.sources.parsed import Parsed, counted
from longctx.sources.programs import code
from longctx.sources.texts import junk, markdown, rst, table
from longctx.sources.texts.decoding import Decoded, decode

MAX_LINES = 40
MAX_CHARS = 2000

#: Where a definition or a section begins (line index, from 0), and its name.
Landmark = tuple[int, str]


def parse_text(path: str, kind: str, data: bytes, size: int, *, cut_junk: bool = False, rest: Iterable[bytes] = ()) -> Parsed:
    """The segments of a text file.

    Args:
        path: as it is cited.
        kind: ``"code"``, ``"text"`` or ``"markdown"``.
        data: the file's bytes, or the first of them.
        size: bytes of the whole file.
        cut_junk: whether of junk only its beginning is read, as :mod:`longctx.sources.texts.junk` has it.
        rest: the bytes that follow ``data``; taken only to count lines and rows.
    """
    if not data:
        return Parsed(kind, reason="empty")
    whole = len(data) >= size
    decoded = decode(data, whole=whole)
    if decoded is None:
        return Parsed("binary", status="skipped", reason="binary")
    read = _Read(path, data, size, decoded, split_lines(decoded.text), rest)
    part = _part(read, cut_junk=cut_junk)
    segments = cut(part.lines, path, landmarks(part.lines, path, kind))
    reason = "; ".join(filter(None, (part.said, decoded.note)))
    if not segments:
        return Parsed(kind, status="skipped", reason="only a byte order mark")
    if part.is_all:
        return Parsed(kind, segments, "read", reason)
    return Parsed(kind, segments, "truncated", reason, note=part.said)


@dataclass(frozen=True, slots=True)
class _Read:
    """A text file, or its beginning, decoded."""

    path: str
    data: bytes
    size: int
    decoded: Decoded
    lines: list[str]
    rest: Iterable[bytes]

    @property
    def whole(self) -> bool:
        return len(self.data) >= self.size

    def count_lines(self) -> int | None:
        """Lines of the whole file; None where its bytes do not tell."""
        if self.whole:
            return len(self.lines)
        if not self.decoded.keeps_ascii:
            return None
        end = b"\n" if b"\n" in self.data else b"\r"
        count, last = 0, b""
        for chunk in chain((self.data,), self.rest):
            count, last = count + chunk.count(end), chunk[-1:] or last
        return count + (last != end)


@dataclass(frozen=True, slots=True)
class _Part:
    """The lines of a file that are read, and what there is to say about that."""

    lines: Sequence[str]
    said: str = ""
    is_all: bool = True


def _part(read: _Read, *, cut_junk: bool) -> _Part:
    found = junk.recognise(read.path, read.decoded.text, read.lines) if cut_junk else None
    if read.decoded.keeps_ascii and read.lines and table.is_table(read.path):
        return _part_of_table(read, found)
    if found is not None:
        kept = junk.head(read.lines, found)
        return _Part(kept, junk.words(found, kept, lines=read.count_lines(), size=read.size), is_all=False)
    if read.whole:
        return _Part(read.lines)
    lines = read.lines
    if len(lines) == 1 and not lines[0].endswith(("\n", "\r")):
        lines = [junk.beginning(lines[0], len(lines[0]))]
    return _Part(lines, _beginning(read, lines), is_all=False)


def _part_of_table(read: _Read, found: junk.Junk | None) -> _Part:
    """All of a table, or its first rows; with its shape."""
    delimiter = table.delimiter_of(read.path, read.lines)
    shape = table.shape_of(chain((read.data,), read.rest), delimiter)
    if found is None:
        return (
            _Part(read.lines, str(shape))
            if read.whole
            else _Part(read.lines, f"{shape}; {_beginning(read, read.lines)}", False)
        )
    kept, rows = table.first_rows(read.lines, delimiter, rows=found.lines, chars=found.chars)
    if rows:
        return _Part(read.lines[:kept], f"{shape}; its first {counted(rows, 'row')}", is_all=False)
    part = junk.head(read.lines, found)
    return _Part(part, f"{shape}; {_beginning(read, part)}", is_all=False)


def _beginning(read: _Read, lines: Sequence[str]) -> str:
    chars = sum(map(len, lines))
    return f"its first {counted(len(lines), 'line')}, {chars:,} characters of a file of {read.size:,} bytes"


def landmarks(lines: Sequence[str], path: str, kind: str) -> list[Landmark]:
    """Definitions or headings of a text, by its kind."""
    if kind == "markdown":
        return markdown.headings(lines)
    if kind == "text" and path.lower().endswith((".rst", ".rest")):
        return rst.headings(lines)
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
    for first, last in spans(lines, starts):
        heading = names[bisect_right(starts, first)]
        origin = Lines(path, first + 1, last, cell)
        texts = pieces(lines[first]) if last - first == 1 else ("".join(lines[first:last]),)
        found += [Segment(text, origin, heading) for text in texts]
    return tuple(found)


def spans(lines: Sequence[str], starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Half-open stretches of lines that cover the text.

    Args:
        lines: with their ends; an empty one counts as blank.
        starts: indexes of lines with which a stretch had better begin, ascending.
    """
    chars = list(accumulate(map(len, lines), initial=0))
    first, end = 0, len(lines)
    while first < end:
        # The farthest end: at least one line, and no more than the limits.
        reach = min(first + MAX_LINES, end)
        if chars[reach] - chars[first] > MAX_CHARS:
            reach = max(first + 1, bisect_right(chars, chars[first] + MAX_CHARS, first, reach) - 1)
        last = reach if reach == end else _best(lines, first, reach, starts)
        yield first, last
        first = last


def _best(lines: Sequence[str], first: int, reach: int, starts: Sequence[int]) -> int:
    """The best end that leaves the segment at least a third of what it could hold; of equals the farthest.

    Best is before a start, then after an empty line where the text is at the margin, then after any empty line.
    """
    least = first + max(1, (reach - first) // 3)
    place = bisect_right(starts, reach) - 1
    if place >= 0 and starts[place] >= least:
        return starts[place]
    farthest = 0
    for line in range(reach, least - 1, -1):
        if lines[line - 1].isspace():
            if not lines[line][:1].isspace():
                return line
            farthest = farthest or line
    return farthest or reach


def pieces(line: str) -> list[str]:
    """A line, in pieces where it is longer than a segment; its end stays with the last of them.

    Args:
        line: with its end.
    """
    body = len(line.rstrip("\r\n"))
    ends = [*range(MAX_CHARS, body, MAX_CHARS), len(line)]
    return [line[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
