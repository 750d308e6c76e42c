"""Text in columns: how wide it is in a terminal, cut, filled, wrapped, and bars drawn with it. Knows no view."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest

#: What a terminal without UTF-8 gets instead.
PLAIN = str.maketrans(
    {
        "█": "#", "░": ".", "│": "|", "─": "-", "·": "-", "–": "-", "—": "-", "…": "~", "✓": "+", "✗": "x", "⚠": "!",
        "≈": "~", "■": "#", "›": ">", "‹": "<", "“": '"', "”": '"', "×": "x", "▸": ">", "•": "*",
    }
)  # fmt: skip


def cells(text: str) -> int:
    """Columns that a terminal gives to a text without control characters.

    >>> cells("abc"), cells("漢字"), cells("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text in at most ``width`` columns, its end replaced by an ellipsis where it is too long.

    >>> cut("a long title", 8), cut("short", 8)
    ('a long…', 'short')
    """
    if cells(text) <= width:
        return text
    return (_head(text, width - 1).rstrip() + "…") if width > 0 else ""


def cut_path(path: str, width: int) -> str:
    """The path in at most ``width`` columns; its beginning goes first, because the end tells more.

    >>> cut_path("packages/core/src/net/retry.py", 18)
    '…/src/net/retry.py'
    """
    if cells(path) <= width:
        return path
    return ("…" + _head(path[::-1], width - 1)[::-1]) if width > 0 else ""


def _head(text: str, width: int) -> str:
    used = 0
    for place, character in enumerate(text):
        used += _cell(character)
        if used > width:
            return text[:place]
    return text


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled up with spaces to ``width`` columns; ``right`` puts it at the right end."""
    gap = " " * max(0, width - cells(text))
    return gap + text if right else text + gap


def wrap(text: str, width: int, *, indent: str = "", first: str | None = None) -> list[str]:
    """One paragraph in lines of at most ``width`` columns. Words that are longer are broken.

    Args:
        text: without newlines.
        width: columns of a line, indent included.
        indent: put before every line.
        first: put before the first line instead.

    >>> wrap("one two three", 9, indent="  ", first="- ")
    ['- one two', '  three']
    """
    lines: list[str] = []
    lead, line = (indent if first is None else first), ""
    for word in _broken(text.split(), max(2, width - max(cells(indent), cells(lead)))):
        joined = f"{line} {word}" if line else word
        if line and cells(lead) + cells(joined) > width:
            lines.append(lead + line)
            lead, line = indent, word
        else:
            line = joined
    return [*lines, lead + line] if line or not lines else lines


def _broken(words: Sequence[str], width: int) -> Iterator[str]:
    for word in words:
        while cells(word) > width:
            part = _head(word, width)
            yield part
            word = word[len(part) :]
        yield word


def bar(part: float, whole: float, width: int) -> str:
    """A bar of ``width`` columns; something shows as soon as there is something.

    >>> bar(1, 2, 8), bar(0, 2, 4), bar(1, 1000, 4)
    ('████░░░░', '░░░░', '█░░░')
    """
    share = min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
    full = max(round(share * width), 1 if share > 0 else 0)
    return "█" * full + "░" * (width - full)


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "", gap: str = "  ") -> list[str]:
    """Rows in aligned columns.

    Args:
        rows: the cells of each row.
        right: columns set to the right.
        indent: put before each row.
        gap: put between columns.

    >>> table([["a", "10"], ["bcd", "2"]], right=[1])
    ['a    10', 'bcd   2']
    """
    widths = [max(map(cells, column)) for column in zip_longest(*rows, fillvalue="")]
    return [(indent + gap.join(pad(text, widths[n], right=n in right) for n, text in enumerate(row))).rstrip() for row in rows]
