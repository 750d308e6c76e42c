"""Numbers and bullets of lists in Word documents, as they are printed before their paragraphs. Runs in the worker process."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
#: Numbers beyond this are no list's.
_MOST = 100_000
_ROMAN: tuple[tuple[int, str], ...] = (
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
)
_ROMAN += ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


class Numbering:
    """The lists of a document, counted on as their paragraphs are met in order.

    Args:
        root: of its numbering part; None where it has none.
    """

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)
        self._list_of: dict[str, str] = {}
        if root is None:
            return
        drafts = {draft.get(W + "abstractNumId"): _levels(draft) for draft in root.findall(W + "abstractNum")}
        for number in root.findall(W + "num"):
            draft = number.find(W + "abstractNumId")
            name = "" if draft is None else draft.get(W + "val", "")
            self._list_of[number.get(W + "numId", "")] = name
            self._levels[name] = drafts.get(name, {})

    def mark(self, list_id: str, level: int) -> str:
        """What is printed before the next paragraph of a list: ``"- "``, ``"2.1 "``; empty where nothing is.

        Args:
            list_id: ``w:numId`` of the paragraph or its style.
            level: from 0.
        """
        name = self._list_of.get(list_id)
        if name is None:
            return ""
        levels = self._levels[name]
        form, text, start = levels.get(level, ("bullet", "", 1))
        if form == "bullet":
            return "  " * level + "- "
        counts = self._counts[name]
        counts[level] = min(counts.get(level, start - 1) + 1, _MOST)
        for deeper in [other for other in counts if other > level]:
            del counts[deeper]
        if form == "none":
            return ""
        above = {one: counts.get(one, levels.get(one, ("", "", 1))[2]) for one in range(level + 1)}
        forms = {one: levels.get(one, ("decimal", "", 1))[0] for one in above}
        return re.sub(r"%([1-9])", lambda found: _written(above, forms, int(found[1]) - 1), text or "%1.") + " "


def _levels(draft: Any) -> dict[int, tuple[str, str, int]]:
    """Form, text and first number of each level."""
    found = {}
    for level in draft.findall(W + "lvl"):
        form, text, start = (_value(level, name) for name in ("numFmt", "lvlText", "start"))
        number = int(start) if start.isdigit() and len(start) < 7 else 1
        depth = level.get(W + "ilvl", "")
        if depth.isdigit() and len(depth) < 3:
            found[int(depth)] = (form or "decimal", text, number)
    return found


def _value(element: Any, name: str) -> str:
    child = element.find(W + name)
    return "" if child is None else child.get(W + "val", "")


def _written(counts: dict[int, int], forms: dict[int, str], level: int) -> str:
    return written(counts.get(level, 1), forms.get(level, "decimal"))


def written(number: int, form: str) -> str:
    """A number in a form of Word's.

    >>> [written(4, form) for form in ("decimal", "lowerLetter", "upperRoman", "decimalZero")]
    ['4', 'd', 'IV', '04']
    """
    if form.endswith("Letter") and number > 0:
        letter = chr(ord("a") + (number - 1) % 26) * min(9, (number - 1) // 26 + 1)
        return letter.upper() if form.startswith("upper") else letter
    if form.endswith("Roman") and 0 < number < 4000:
        roman = ""
        for value, letters in _ROMAN:
            roman, number = roman + letters * (number // value), number % value
        return roman.upper() if form.startswith("upper") else roman
    return f"{number:02d}" if form == "decimalZero" else str(number)
