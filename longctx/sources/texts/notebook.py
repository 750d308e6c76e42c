"""Jupyter notebooks: cells in order, and what they printed.

An output stands nowhere in the source that a line number could point to. Its segment says in its first line that it is an
output, and its origin is the cell whose source produced it: all lines of that cell. Pictures in outputs, attachments and
addresses of Markdown follow the text of their cell, and are taken out of the file when they are looked at; other rich outputs
are left out and counted; long outputs keep their beginning and their end.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from longctx.corpus import Lines, Segment, split_lines
from longctx.sources.parsed import Parsed, counted, sound
from longctx.sources.pictures.stills import Ask, picture_segment, probed
from longctx.sources.snapshot import Snapshot
from longctx.sources.texts import secrets
from longctx.sources.texts.aside import Aside, TooLongError
from longctx.sources.texts.decoding import decode
from longctx.sources.texts.secrets import Secret
from longctx.sources.texts.text import cut, landmarks

#: Bytes of a notebook without its base64, which are held in memory as a whole.
LARGEST = 64 * 2**20

#: Characters of one cell's outputs: so many of the beginning, so many of the end.
OUTPUT_HEAD = 1400
OUTPUT_TAIL = 500
#: Characters beside a secret by which it may be told.
_BESIDE = 300

#: Pictures that are shown, by their names in formats 4 and 3, the best first; and how the address of one in Markdown begins.
_DECODED = ("image/png", "image/jpeg", "image/webp", "image/gif", "png", "jpeg")
_PICTURE = re.compile(r"data:image/[\w.+-]+;base64,$")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


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


def parse_notebook(
    path: str,
    stream: BinaryIO,
    check: Callable[[], None] = lambda: None,
    snapshot: Callable[[], Snapshot] | None = None,
    ask: Ask | None = None,
) -> Parsed:
    """The segments of a notebook, format 3 or 4.

    Args:
        path: as it is cited.
        stream: of the file, at its beginning.
        check: called often; what it raises ends the work.
        snapshot: of the file, for its pictures.
        ask: asks the worker about the pictures in the file; without it they are left out.
    """
    left = _Left()
    aside = Aside(stream, check)
    try:
        data = aside.rest(LARGEST)
        if not data.strip():
            return Parsed("notebook", reason="empty")
        decoded = decode(data)
        if decoded is None:
            raise _NotANotebookError("it is no text")
        found = list(_Cells(path, aside, left).segments(json.loads(decoded.text)))
    except RecursionError:
        return Parsed("notebook", status="failed", reason="not a notebook: its JSON is nested too deeply")
    except TooLongError as error:
        return Parsed("notebook", status="skipped", reason=f"too large: {error}")
    except ValueError as error:
        return Parsed("notebook", status="failed", reason=f"not a notebook: {error}")
    segments, notes = _with_pictures(found, snapshot, ask, left)
    words = "; ".join(filter(None, (left.words(), *notes)))
    return Parsed("notebook", segments, "truncated" if left.cut_outputs else "read", words or ("" if segments else "empty"))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture that stands at a cell: start and length of its base64 in the file."""

    run: tuple[int, int]
    origin: Lines
    heading: str


def _with_pictures(
    found: Sequence[Segment | _Shown], snapshot: Callable[[], Snapshot] | None, ask: Ask | None, left: _Left
) -> tuple[tuple[Segment, ...], list[str]]:
    """Segments with those of pictures among them, and what is to be said of pictures that are left out."""
    shown = [one for one in found if isinstance(one, _Shown)]
    if snapshot is None or ask is None or not shown:
        left.kinds["picture"] += len(shown)
        return tuple(one for one in found if isinstance(one, Segment)), []
    pictures, notes = probed(ask, [{"start": one.run[0], "length": one.run[1]} for one in shown])
    whole, waiting = snapshot(), iter(pictures)
    segments: list[Segment] = []
    for one in found:
        if isinstance(one, Segment):
            segments.append(one)
        elif (picture := next(waiting)) is not None:
            segments.append(picture_segment(whole, picture, one.origin, one.heading))
    return tuple(segments), notes


@dataclass
class _Cells:
    """The state of reading one notebook."""

    path: str
    aside: Aside
    left: _Left
    runs: list[tuple[int, int]] = field(default_factory=list)

    def segments(self, notebook: object) -> Iterator[Segment | _Shown]:
        """The cells in order, each with its pictures and what it printed."""
        heading = ""
        for number, cell in enumerate(_cells(notebook), start=1):
            kind = cell.get("cell_type")
            lines = split_lines(self._text(cell.get("source", cell.get("input", ""))))
            marks = landmarks(lines, self.path, "markdown") if kind == "markdown" else []
            if kind == "heading":  # format 3
                marks = [(0, "".join(lines).strip())]
            yield from cut(lines, self.path, marks, cell=number, above=heading)
            heading = marks[-1][1] if marks else heading
            origin = Lines(self.path, 1, max(1, len(lines)), number)
            self._attached(cell)
            yield from self._shown(origin, heading)
            printed = self._printed(cell)
            if printed:
                text = f"Output of cell {number}:\n{_shortened(printed, self.left)}"
                made_of = ((1, origin.last),) * (text.count("\n") + 1)
                yield Segment(text, origin, f"output of cell {number}", made_of=made_of)
            yield from self._shown(origin, f"output of cell {number}")

    def _shown(self, origin: Lines, heading: str) -> Iterator[_Shown]:
        runs, self.runs = self.runs, []
        yield from (_Shown(run, origin, heading) for run in runs)

    def _text(self, value: object, separator: str = "") -> str:
        """A text without long base64; pictures in it are kept."""
        return self.aside.restored(sound(_joined(value, separator)), self._met)

    def _met(self, before: str, run: tuple[int, int]) -> None:
        if _PICTURE.search(before):
            self.runs.append(run)

    def _take(self, picture: object) -> None:
        """A picture in base64, as a value of its own."""
        run = self.aside.run(_joined(picture)) if isinstance(picture, str | list) else None
        if run is None:
            self.left.kinds["picture"] += 1
        else:
            self.runs.append(run)

    def _attached(self, cell: Mapping[str, Any]) -> None:
        for forms in _mapping(cell.get("attachments")).values():
            pictures = [form for mime, form in _mapping(forms).items() if mime in _DECODED]
            self._take(pictures[0] if pictures else None)

    def _printed(self, cell: Mapping[str, Any]) -> str:
        """The text of a cell's outputs, as a reader of the notebook sees it."""
        texts = [self._output(_mapping(output)) for output in _listed(cell.get("outputs") or [])]
        plain = _ANSI.sub("", "\n".join(text.rstrip("\n") for text in texts if text.strip()))
        return "\n".join(map(_overwritten, plain.split("\n"))) if "\r" in plain else plain

    def _output(self, output: Mapping[str, Any]) -> str:
        if output.get("output_type") in ("error", "pyerr"):
            return self._text(output.get("traceback"), "\n") or f"{output.get('ename')}: {output.get('evalue')}"
        data = _mapping(output.get("data", output))
        rich = [mime for mime in data if "/" in mime and mime != "text/plain"] + [
            mime for mime in ("png", "jpeg", "svg") if mime in data
        ]
        pictures = [mime for mime in rich if not mime.startswith(("text/", "application/"))]
        text = self._text(data.get("text/plain", output.get("text", "")))
        if pictures:
            self._take(next((data[mime] for mime in _DECODED if mime in data), None))
            return "" if text.startswith("<") else text  # "<Figure size 640x480 with 1 Axes>" says nothing
        said = next((mime for mime in ("text/markdown", "text/latex") if mime in data), None)
        if said and (not text or text.startswith("<IPython.core.display.")):
            return self._text(data[said])
        self.left.kinds["rich output"] += bool(rich) and not text
        return text


def _cells(notebook: object) -> list[Mapping[str, Any]]:
    sheets = _mapping(notebook).get("worksheets") or [notebook]
    cells = [cell for sheet in _listed(sheets) for cell in _listed(_mapping(sheet).get("cells"), "cells")]
    return [_mapping(cell, "a cell") for cell in cells]


def _overwritten(line: str) -> str:
    r"""What a terminal shows of a line in the end: progress bars return to its beginning.

    >>> _overwritten("10 %\r100 %\r")
    '100 %'
    """
    return line.rstrip("\r").rpartition("\r")[2]


def _shortened(text: str, left: _Left) -> str:
    """The beginning and the end of a text, a little more of it where a secret would be cut: a part is not told for one."""
    first, last = OUTPUT_HEAD, len(text) - OUTPUT_TAIL
    places = [_whereabouts(text, secret) for secret in secrets.find(text)] if first < last else []
    for start, stop in places:
        first = stop if start < first < stop else first
    for start, stop in reversed(places):
        last = start if start < last < stop else last
    if first >= last:
        return text
    left.cut_outputs += 1
    left.cut_chars += last - first
    return f"{text[:first]}\n[{last - first:,} characters left out]\n{text[last:]}"


def _whereabouts(text: str, secret: Secret) -> tuple[int, int]:
    """Where a secret stands together with what it may be told by: the name before it, or the host behind it."""
    line = text.rfind("\n", max(0, secret.start - _BESIDE), secret.start) + 1
    start = line or max(0, secret.start - _BESIDE)
    return start, secret.stop + len(text[secret.stop : secret.stop + _BESIDE].partition("\n")[0])


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
