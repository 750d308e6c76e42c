"""Tables as text (.csv, .tsv): how many rows and columns they have, counted as the file streams by, and their first rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from longctx.sources.parsed import counted

#: Bytes of a table in which rows are counted; of one line that are held.
COUNTED, LONGEST_LINE = 64 * 2**20, 2**20
#: Rows that decide about delimiter and columns.
_LOOKED_AT = 200
_SUFFIX = re.compile(r"\.(csv|tsv)$", re.I)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a table.

    Args:
        rows: that are not empty, the one with the names of the columns among them.
        columns: that most of the first rows have.
        more: whether there are more rows than were counted.
    """

    rows: int
    columns: int
    more: bool = False

    def __str__(self) -> str:
        more = "more than " if self.more else ""
        return f"{more}{counted(self.rows, 'row')} × {counted(self.columns, 'column')}"


def is_table(path: str) -> bool:
    """Whether a name is one of a table.

    >>> is_table("a.CSV"), is_table("a.txt")
    (True, False)
    """
    return bool(_SUFFIX.search(path))


def delimiter_of(path: str, lines: Sequence[str]) -> str:
    r"""What stands between the cells of a table: of a .tsv the tab, else that which gives most rows the same columns.

    Args:
        path: of the table.
        lines: its first ones.

    >>> delimiter_of("a.csv", ["a;b\n", "1,5;2\n", "2,5;3\n"])
    ';'
    """
    if path.lower().endswith(".tsv"):
        return "\t"

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = Counter(map(len, _rows(lines[:_LOOKED_AT], delimiter)))
        (columns, alike), *_ = widths.most_common(1) or [(1, 0)]
        return (alike if columns > 1 else 0), columns

    return max(",;\t|", key=agreement)


def shape_of(chunks: Iterable[bytes], delimiter: str) -> Shape:
    r"""How large a table is, in flat memory.

    Args:
        chunks: the bytes of the file, in an encoding that keeps ASCII.
        delimiter: between its cells.

    >>> shape_of([b'a,b\n1,"two\nlines"\n'], ",")
    Shape(rows=2, columns=2, more=False)
    """
    part = _Bounded(chunks)
    widths: Counter[int] = Counter()
    rows = 0
    try:
        for row in csv.reader(_lines(part), delimiter=delimiter):
            if row:
                rows += 1
                if rows <= _LOOKED_AT:
                    widths[len(row)] += 1
    except csv.Error:  # a quote that is never closed
        part.more = True
    return Shape(rows, widths.most_common(1)[0][0] if widths else 0, part.more)


def first_rows(lines: Sequence[str], delimiter: str, *, rows: int, chars: int) -> tuple[int, int]:
    r"""How many lines the first rows of a table take that are read, and how many rows that is; a row with a line end inside
    stays whole.

    Args:
        lines: of the table.
        delimiter: between its cells.
        rows: at most.
        chars: at most.

    >>> first_rows(['a,b\n', '1,"x\n', 'y"\n', '2,z\n'], ",", rows=2, chars=100)
    (3, 2)
    """
    kept, found, read, size = 0, 0, 0, 0
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for _ in reader:
            size += sum(map(len, lines[read : reader.line_num]))
            read = reader.line_num
            if found == rows or size > chars:
                break
            kept, found = read, found + 1
    except csv.Error:
        pass
    return kept, found


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    found = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            found.append(row)
    except csv.Error:
        pass
    return [row for row in found if row]


@dataclass
class _Bounded:
    """Bytes up to a bound, and whether there were more."""

    chunks: Iterable[bytes]
    more: bool = False

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self.chunks:
            if size >= COUNTED:
                self.more = True
                return
            size += len(chunk)
            yield chunk


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines that end at any line end, each held up to a bound."""
    pending = ""
    for chunk in chunks:
        text = chunk.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        pending = (pending + first)[:LONGEST_LINE]
        if others:
            yield pending + "\n"
            yield from (line + "\n" for line in others[:-1])
            pending = others[-1][:LONGEST_LINE]
    if pending:
        yield pending
