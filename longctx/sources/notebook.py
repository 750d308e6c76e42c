"""Jupyter notebooks: cells in order, and what they printed.

An output stands nowhere in the source that a line number could point to. Its segment says in its first line that it is an
output, and its origin is the cell whose source produced it: all lines of that cell. Pictures and other rich outputs are left
out and counted; long outputs keep their beginning and their end.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from longctx.corpus import Lines, Segment, split_lines
from longctx.sources.decoding import decode
from longctx.sources.parsed import Parsed, counted, sound
from longctx.sources.text import cut, landmarks

#: Characters of one cell's outputs: so many of the beginning, so many of the end.
OUTPUT_HEAD = 1400
OUTPUT_TAIL = 500

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
#: What a terminal would have overwritten: progress bars return to the line's beginning.
_OVERWRITTEN = re.compile(r"[^\n\r]*\r+(?!\n)(?=[^\n\r])")


class _NotANotebookError(ValueError):
    """The JSON is sound but not a notebook's. Stays in this module."""


@dataclass
class _Left:
    """What is left out, counted."""

    kinds: Counter[str] = field(default_factory=Counter)
    cut_outputs: int = 0
    cut_chars: int = 0

    def words(self) -> str:
        kinds = [counted(number, kind) for kind, number in sorted(self.kinds.items()) if number]
        cuts = f"{counted(self.cut_outputs, 'output')} shortened by {counted(self.cut_chars, 'character')}"
        return "; ".join([*([" and ".join(kinds) + " left out"] if kinds else []), *([cuts] if self.cut_outputs else [])])


def parse_notebook(path: str, data: bytes) -> Parsed:
    """The segments of a notebook, format 3 or 4.

    Args:
        path: as it is cited.
        data: the file's bytes, all of them.
    """
    if not data.strip():
        return Parsed("notebook", reason="empty")
    left = _Left()
    try:
        decoded = decode(data)
        if decoded is None:
            raise _NotANotebookError("it is no text")
        segments = tuple(_segments(path, json.loads(decoded.text), left))
    except RecursionError:
        return Parsed("notebook", status="failed", reason="not a notebook: its JSON is nested too deeply")
    except ValueError as error:
        return Parsed("notebook", status="failed", reason=f"not a notebook: {error}")
    return Parsed(
        "notebook", segments, "truncated" if left.cut_outputs else "read", left.words() or ("" if segments else "empty")
    )


def _segments(path: str, notebook: object, left: _Left) -> Iterator[Segment]:
    heading = ""
    for number, cell in enumerate(_cells(notebook), start=1):
        kind = cell.get("cell_type")
        lines = split_lines(sound(_joined(cell.get("source", cell.get("input", "")))))
        marks = landmarks(lines, path, "markdown") if kind == "markdown" else []
        if kind == "heading":  # format 3
            marks = [(0, "".join(lines).strip())]
        yield from cut(lines, path, marks, cell=number, above=heading)
        heading = marks[-1][1] if marks else heading
        left.kinds["picture"] += len(_mapping(cell.get("attachments")))
        if printed := _printed(cell, left):
            text = f"Output of cell {number}:\n{_shortened(printed, left)}"
            yield Segment(text, Lines(path, 1, max(1, len(lines)), number), f"output of cell {number}")


def _cells(notebook: object) -> list[Mapping[str, Any]]:
    sheets = _mapping(notebook).get("worksheets", [notebook])
    cells = [cell for sheet in _listed(sheets) for cell in _listed(_mapping(sheet).get("cells"), "cells")]
    return [_mapping(cell, "a cell") for cell in cells]


def _printed(cell: Mapping[str, Any], left: _Left) -> str:
    """The text of a cell's outputs, as a reader of the notebook sees it."""
    texts = [_output(_mapping(output), left) for output in _listed(cell.get("outputs", []))]
    plain = _ANSI.sub("", sound("\n".join(text.rstrip("\n") for text in texts if text.strip())))
    return _OVERWRITTEN.sub("", plain.replace("\r\n", "\n"))


def _output(output: Mapping[str, Any], left: _Left) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return _joined(output.get("traceback"), "\n") or f"{output.get('ename')}: {output.get('evalue')}"
    data = _mapping(output.get("data", output))
    rich = [mime for mime in data if "/" in mime and mime != "text/plain"] + [
        mime for mime in ("png", "jpeg", "svg") if mime in data
    ]
    pictures = sum(not mime.startswith(("text/", "application/")) for mime in rich)
    text = _joined(data.get("text/plain", output.get("text", "")))
    left.kinds["picture"] += bool(pictures)
    left.kinds["rich output"] += bool(rich) and not pictures and not text
    return "" if pictures and text.startswith("<") else text  # "<Figure size 640x480 with 1 Axes>" says nothing


def _shortened(text: str, left: _Left) -> str:
    over = len(text) - OUTPUT_HEAD - OUTPUT_TAIL
    if over <= 0:
        return text
    left.cut_outputs += 1
    left.cut_chars += over
    return f"{text[:OUTPUT_HEAD]}\n[{over:,} characters left out]\n{text[-OUTPUT_TAIL:]}"


def _joined(value: object, separator: str = "") -> str:
    """A text, or the list of texts that notebooks store it as."""
    if value is None or isinstance(value, str):
        return value or ""
    return separator.join(part for part in _listed(value) if isinstance(part, str))


def _listed(value: object, name: str = "a list") -> list[Any]:
    if not isinstance(value, list):
        raise _NotANotebookError(f"{name} expected, but found {type(value).__name__}")
    return value


def _mapping(value: object, name: str = "an object") -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _NotANotebookError(f"{name} expected, but found {type(value).__name__}")
    return value
