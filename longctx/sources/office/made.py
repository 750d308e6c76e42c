"""What readers of documents hand over: lines of text with the places that they stand for, and pictures between them.

Runs in the worker process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longctx.sources.office.formats import RefusedError
from longctx.sources.parsed import counted, sound
from longctx.sources.pictures.inside import Address, Gallery

Reply = Mapping[str, Any]

#: Lines of one reply.
BATCH = 400
#: Characters of a name, such as that of a sheet, that are told.
NAME = 60
_FILE_NAME = re.compile(r"[^\s/]*\.\w{3,4}")
_BLANK = re.compile(r"\s+")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text.

    Args:
        text: without an end.
        first: line, paragraph or row for which it stands, counted from 1.
        last: included.
        level: of a heading, from 1; 0 for every other line.
        picture: where the picture is that stands here; its text is empty.
    """

    text: str
    first: int
    last: int
    level: int = 0
    picture: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Lines that belong together: a sheet, a slide, a chapter, a section.

    Args:
        name: in words; empty where the document has no parts.
        unit: what is counted, as in :class:`longctx.corpus.Lines`.
        lines: in reading order.
        heading: that holds at their beginning.
    """

    name: str
    unit: str
    lines: Iterable[Line]
    heading: str = ""


@dataclass
class Findings:
    """What is to be said about a document besides its text.

    Args:
        gallery: its pictures.
        left: what is left out, counted by its name.
        flags: what is to be said in words of its own.
    """

    gallery: Gallery
    left: Counter[str] = field(default_factory=Counter)
    flags: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """All of it, ready for the row."""
        left = [counted(number, noun) for noun, number in sorted(self.left.items()) if number]
        return [*self.flags, *([f"left out: {', '.join(left)}"] if left else []), *self.gallery.words()]


def replies(make: Callable[[Findings], Iterator[Part]], file: str) -> Iterator[Reply]:
    """What a reader makes, as replies: lines of one part each, and at last what there is to say; or one error.

    Args:
        make: the reader's parts.
        file: the absolute path.
    """
    from longctx.errors import MissingPackageError

    findings = Findings(Gallery(file))
    try:
        for part in make(findings):
            yield from _batches(part)
    except MissingPackageError as error:
        yield {"missing": error.hint}
    except RefusedError as error:
        yield {"error": str(error)}
    except MemoryError:
        yield {"error": "too large for the memory that a document may take"}
    except RecursionError:
        yield {"error": "damaged: it is nested too deeply"}
    except Exception as error:  # the libraries raise whatever a damaged document leads them to
        yield {"error": f"damaged: {type(error).__name__}: {error}"[:300]}
    else:
        yield {"notes": findings.words()}


def _batches(part: Part) -> Iterator[Reply]:
    head: dict[str, str | None] = {"part": part.name, "unit": part.unit, "heading": part.heading}
    batch: list[Any] = []
    for line in part.lines:
        batch.append((sound(line.text), line.first, line.last, line.level, line.picture))
        if len(batch) == BATCH:
            yield {**head, "lines": batch}
            batch, head = [], {**head, "heading": None}
    if batch:
        yield {**head, "lines": batch}


def plain(text: str) -> str:
    """A text on one line, white space drawn together."""
    return _BLANK.sub(" ", text).strip()


def name(text: str) -> str:
    """A foreign name for messages and places: on one line, nothing unseen in it, not too long.

    >>> name("Q1\\n<b>")
    'Q1 <b>'
    """
    shown = plain(_UNSEEN.sub(" ", sound(text)))
    return shown if len(shown) <= NAME else shown[: NAME - 1] + "…"


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table.

    >>> row(["a", "b|c", ""])
    '| a | b\\\\|c |  |'
    """
    return "| " + " | ".join(plain(cell).replace("|", "\\|") for cell in cells) + " |"


def table(rows: Sequence[tuple[Sequence[str], int, int]]) -> Iterator[Line]:
    """Rows with their places as lines of a Markdown table; the rule below the first stands where that stands.

    Args:
        rows: cells, first place and last.
    """
    width = max((len(cells) for cells, _, _ in rows), default=0)
    for index, (cells, first, last) in enumerate(rows):
        yield Line(row([*cells, *[""] * (width - len(cells))]), first, last)
        if not index:
            yield Line("|" + " --- |" * width, first, last)


def described(text: str) -> str:
    """What the author says that a picture shows, as a line; empty where it is the name of a file, which programs put there.

    >>> described("A whale"), described("image1.png")
    ('[Picture: A whale]', '')
    """
    shown = plain(text)[:500]
    return f"[Picture: {shown}]" if shown and not _FILE_NAME.fullmatch(shown) else ""


def pictured(address: Address, data: bytes, findings: Findings, first: int, last: int) -> Iterator[Line]:
    """A picture as a line, where it is one to show."""
    if (seen := findings.gallery.add(address, data)) is not None:
        yield Line("", first, last, picture=seen)
