"""Headings of a reStructuredText: a line above a ruler of one punctuation character, with or without a ruler above it."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_RULER = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*$")

_SIGNS = frozenset(string.punctuation)


def headings(lines: Sequence[str]) -> list[tuple[int, str]]:
    r"""Where each section begins (line index, from 0), and its heading.

    >>> headings(["=====\n", "Guide\n", "=====\n", "\n", "Install\n", "-------\n", "Use pip::\n", "\n", "    a\n", "    ---\n"])
    [(0, 'Guide'), (4, 'Install')]
    """
    found: list[tuple[int, str]] = []
    for index in [index for index, line in enumerate(lines) if line[:1] in _SIGNS and index]:
        ruler = _RULER.match(lines[index].rstrip("\r\n"))
        if ruler and _is_title(lines, index - 1, len(lines[index].strip())):
            over = index >= 2 and lines[index - 2].rstrip() == lines[index].rstrip()
            found.append((index - 2 if over else index - 1, lines[index - 1].strip()))
    return found


def _is_title(lines: Sequence[str], index: int, ruler: int) -> bool:
    """Whether a line above a ruler is a title: no ruler itself, no longer than the ruler, the first of its paragraph."""
    title = lines[index].rstrip()
    above = lines[index - 1].rstrip() if index else ""
    over = bool(_RULER.match(above)) and above == lines[index + 1].rstrip()
    if not title.strip() or _RULER.match(title) or (title[0].isspace() and not over):
        return False
    # docutils takes a ruler of at least four characters even where it is too short, and warns
    return (len(title.strip()) <= ruler or ruler >= 4) and (over or not above)
