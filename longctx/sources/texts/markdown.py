"""Headings of a Markdown text. Knows fences; no other syntax."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ATX = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\r\n]*)$")
#: What such lines begin with. Few do, and only these are looked at.
_SIGNS = frozenset("#=-`~")
#: Lines that cannot be the text above an underline: quotes, lists, tables, headings, indented code.
_NO_TITLE = re.compile(r"\s*$|[>#|]|[-*+] |\d+[.)] |    |\t|-{3,}\s*$")


def headings(lines: Sequence[str]) -> list[tuple[int, str]]:
    r"""Where each section begins (line index, from 0), and its heading.

    >>> headings(["# One\n", "```sh\n", "# no heading\n", "```\n", "Two\n", "---\n"])
    [(0, 'One'), (4, 'Two')]
    """
    found: list[tuple[int, str]] = []
    fence = ""
    for index in [index for index, line in enumerate(lines) if line.lstrip(" ")[:1] in _SIGNS]:
        line = lines[index].rstrip("\r\n")
        if mark := _FENCE.match(line):
            fence = _after_fence(fence, mark)
        elif fence:
            continue
        elif atx := _ATX.match(line):
            found.append((index, (atx[1] or "").strip()))
        elif index and _SETEXT.match(line) and _is_title(lines, index - 1):
            found.append((index - 1, lines[index - 1].strip()))
    return found


def _after_fence(fence: str, mark: re.Match[str]) -> str:
    """The fence that is open after a line that looks like one; empty for none."""
    if not fence:
        return "" if mark[1][0] == "`" and "`" in mark[2] else mark[1]
    closes = mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not mark[2].strip()
    return "" if closes else fence


def _is_title(lines: Sequence[str], index: int) -> bool:
    above = lines[index - 1].rstrip("\r\n") if index else ""
    begins = not above.strip() or bool(_FENCE.match(above) or _ATX.match(above))
    return begins and not _NO_TITLE.match(lines[index])
