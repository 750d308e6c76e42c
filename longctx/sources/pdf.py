"""PDF pages: parts of about a thousand characters in reading order, each with its box. Runs in the worker process.

Boxes are in points from the top left corner of the page as a reader sees it, turned pages included. Knows text; tables,
forms, annotations and pictures on a page with text are not looked at. A page without text that shows something is a picture.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from longctx.corpus import Box, Medium, Page, Segment, Status, Visual
from longctx.sources.parsed import Parsed, counted, ranges, sound
from longctx.sources.reading_order import Placed, reading_order

if TYPE_CHECKING:
    import pymupdf

#: Characters of one segment.
PART = 1000
#: PyMuPDF keeps the memory of every page it has seen until the document is closed.
PAGES_PER_OPENING = 100
#: Points of empty page, above which what follows, such as a footer, is a part of its own.
GAP = 150.0
#: Pixels of the longer side at which a page without text is looked at for anything but its background.
GLANCE = 100
#: A line so much larger than the page's text is a heading.
HEADING_SIZE = 1.15

Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page, its box in the page's own frame, before it is turned."""

    box: Box
    text: str
    size: float
    direction: tuple[int, int]


# -- in the worker ---------------------------------------------------------------------------------------------------
def pages(file: str) -> Iterator[Reply]:
    """What the pages of a document say: one reply for each, after one that tells how many there are; or one error.

    Args:
        file: the absolute path.
    """
    first, last = 0, 1
    heading = ""
    while first < last:
        document = opened(file)
        if isinstance(document, str):
            yield {"error": document}
            return
        with document:
            last = document.page_count
            if first == 0:
                yield {"pages": last, "repaired": bool(document.is_repaired)}
            for number in range(first, min(first + PAGES_PER_OPENING, last)):
                reply, heading = _page(document, number, heading)
                yield reply
        first += PAGES_PER_OPENING


def opened(file: str) -> pymupdf.Document | str:
    """The document, or why it cannot be opened.

    Args:
        file: the absolute path.
    """
    import pymupdf

    try:
        file.encode()
        document = pymupdf.open(file, filetype="pdf")
    except UnicodeEncodeError:  # MuPDF takes names in UTF-8 only
        with open(os.fsencode(file), "rb") as stream:
            document = pymupdf.open(stream=stream.read(), filetype="pdf")
    except (pymupdf.FileDataError, pymupdf.EmptyFileError):
        return "damaged: it cannot be opened"
    except (RuntimeError, ValueError, pymupdf.mupdf.FzErrorBase) as error:
        return f"it cannot be opened: {error}"
    return "encrypted: it opens with a password only" if document.needs_pass else document


def _page(document: pymupdf.Document, number: int, heading: str) -> tuple[Reply, str]:
    """One page's reply, and the heading that holds after it."""
    import pymupdf

    try:
        page = document[number]
        label = sound(page.get_label())
        parts, heading = page_parts(page, heading)
        size = [round(page.rect.width, 1), round(page.rect.height, 1)]
        shown = bool(parts) or _shows_something(page)
    except (RuntimeError, ValueError, IndexError, pymupdf.mupdf.FzErrorBase) as error:
        return {"page": number + 1, "error": str(error)}, heading
    return {"page": number + 1, "label": label, "size": size, "shown": shown, "parts": parts}, heading


def _shows_something(page: pymupdf.Page) -> bool:
    """Whether a page holds an image, or drawings that are seen; a sheet of one colour shows nothing."""
    import pymupdf

    painted = [what for what, _ in page.get_bboxlog()]
    if any("im" in what for what in painted):
        return True
    width, height = page.rect.width, page.rect.height
    scale = GLANCE / max(width, height)
    matrix = pymupdf.Matrix(max(1, round(scale * width)) / width, max(1, round(scale * height)) / height)
    return bool(painted) and not page.get_pixmap(matrix=matrix).is_unicolor


def page_parts(page: pymupdf.Page, heading: str = "") -> tuple[list[tuple[Box, str, str]], str]:
    """The text of a page in reading order.

    Args:
        page: of an open document.
        heading: that holds at its beginning.

    Returns:
        parts (box, text, heading), and the heading that holds at the page's end.
    """
    blocks = _blocks(page)
    direction = _direction(blocks)
    placed = [Placed(_upright(_union([line.box for line in block]), direction), len(block), _chars(block)) for block in blocks]
    body = _body_size(blocks)
    parts: list[tuple[Box, str, str]] = []
    gathered: list[Line] = []
    only_titles = True
    for line_group in _units([blocks[index] for index in reading_order(placed)]):
        title = _title(line_group, body)
        full = _chars(gathered) + _chars(line_group) > PART
        if gathered and ((title and not only_titles) or full or _is_apart(gathered[-1], line_group[0], direction)):
            parts.append(_part(page, gathered, heading))
            gathered = []
        only_titles = bool(title) and (only_titles or not gathered)
        heading = title or heading
        gathered += line_group
    return ([*parts, _part(page, gathered, heading)] if gathered else parts), heading


def _blocks(page: pymupdf.Page) -> list[list[Line]]:
    import pymupdf

    flags = pymupdf.TEXTFLAGS_DICT & ~(pymupdf.TEXT_PRESERVE_IMAGES | pymupdf.TEXT_PRESERVE_LIGATURES)
    blocks = [_lines(block) for block in page.get_text("dict", flags=flags)["blocks"] if block["type"] == 0]
    return [block for block in blocks if block]


def _lines(block: Mapping[str, Any]) -> list[Line]:
    lines = []
    for line in block["lines"]:
        text = sound("".join(span["text"] for span in line["spans"])).rstrip()
        if text.strip():
            size = max(span["size"] for span in line["spans"])
            across, down = line["dir"]
            lines.append(Line(tuple(line["bbox"]), text, size, (round(across), round(down))))
    return lines


def _direction(blocks: Sequence[Sequence[Line]]) -> tuple[int, int]:
    """The way in which most of a page's text runs: (1, 0) to the right, (0, -1) upwards."""
    ways: Counter[tuple[int, int]] = Counter()
    for block in blocks:
        for line in block:
            ways[line.direction] += len(line.text)
    return ways.most_common(1)[0][0] if ways else (1, 0)


def _upright(box: Box, direction: tuple[int, int]) -> Box:
    """A box after the page is turned so that its text runs to the right; what matters is its place among the others."""
    x0, y0, x1, y1 = box
    match direction:
        case (0, -1):
            return (-y1, x0, -y0, x1)
        case (0, 1):
            return (y0, -x1, y1, -x0)
        case (-1, 0):
            return (-x1, -y1, -x0, -y0)
    return box


def _body_size(blocks: Sequence[Sequence[Line]]) -> float:
    """The size in which most characters of a page are set; points."""
    sizes: Counter[float] = Counter()
    for block in blocks:
        for line in block:
            sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _units(blocks: Sequence[Sequence[Line]]) -> Iterator[list[Line]]:
    """Blocks, those that are longer than a part taken apart by lines, and titles by themselves."""
    for block in blocks:
        for _, same_size in groupby(block, key=lambda line: round(line.size, 1)):
            gathered: list[Line] = []
            for line in same_size:
                if gathered and _chars(gathered) + len(line.text) > PART:
                    yield gathered
                    gathered = []
                gathered.append(line)
            yield gathered


def _title(lines: Sequence[Line], body: float) -> str:
    text = " ".join(line.text.strip() for line in lines)
    return text if lines[0].size >= HEADING_SIZE * body and len(text) <= 120 and any(map(str.isalnum, text)) else ""


def _is_apart(before: Line, after: Line, direction: tuple[int, int]) -> bool:
    """Whether a line stands clearly above the one before it, in the next column, or far below."""
    above, below = _upright(before.box, direction), _upright(after.box, direction)
    return below[3] < above[1] or below[1] > above[3] + GAP


def _part(page: pymupdf.Page, lines: Sequence[Line], heading: str) -> tuple[Box, str, str]:
    import pymupdf

    turned = (pymupdf.Rect(_union([line.box for line in lines])) * page.rotation_matrix).normalize()
    x0, y0, x1, y1 = (round(value, 1) for value in turned)
    return (x0, y0, x1, y1), "\n".join(line.text for line in lines), heading


def _chars(lines: Sequence[Line]) -> int:
    return sum(len(line.text) + 1 for line in lines)


def _union(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


# -- in the reading process ------------------------------------------------------------------------------------------
def parse_pdf(
    path: str,
    replies: Iterator[Reply],
    *,
    ends_early: bool,
    medium: Medium | None = None,
    pages_as_pictures: bool = False,
) -> Parsed:
    """The segments of a document.

    Args:
        path: as it is cited.
        replies: of :func:`pages`.
        ends_early: whether the file lacks the mark with which a PDF ends.
        medium: of its pages; without it no page is a picture.
        pages_as_pictures: whether pages with text are pictures as well.
    """
    found = _Found(path, medium, pages_as_pictures)
    failure = ""
    for reply in replies:
        if "pages" in reply:
            found.total, found.damaged = reply["pages"], reply["repaired"] or ends_early
        elif "page" not in reply:
            failure = failure or reply["error"]
        else:
            found.add(reply)
    if failure:
        return Parsed("pdf", status="failed", reason=failure)
    return found.told(ends_early=ends_early)


@dataclass
class _Found:
    """What was found on the pages so far."""

    path: str
    medium: Medium | None
    pages_as_pictures: bool
    total: int = 0
    damaged: bool = False
    segments: list[Segment] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    scanned: list[int] = field(default_factory=list)

    def add(self, reply: Reply) -> None:
        """Take in a page."""
        number = reply["page"]
        if "error" in reply:
            self.unread.append(number)
            return
        label = reply["label"] or None  # PyMuPDF says "" where there are none
        texts = [Segment(text, Page(self.path, number, tuple(box), label), heading) for box, text, heading in reply["parts"]]
        picture = self._picture(reply, label) if self.pages_as_pictures or not texts else []
        self.segments += picture + texts
        if not texts:
            (self.scanned if picture else self.empty).append(number)

    def _picture(self, reply: Reply, label: str | None) -> list[Segment]:
        if self.medium is None or not reply["shown"]:
            return []
        width, height = reply["size"]
        place = Page(self.path, reply["page"], (0.0, 0.0, width, height), label)
        visual = Visual(self.medium, (float(reply["page"]),), max(1, round(width)), max(1, round(height)))
        return [Segment("", place, visuals=(visual,))]

    def told(self, *, ends_early: bool) -> Parsed:
        """What became of a document whose pages were all looked at."""
        total, damaged = self.total, self.damaged
        if not total:
            return Parsed("pdf", status="failed", reason="0 pages: the file is cut off or damaged")
        if not self.segments and (damaged or self.unread):
            return Parsed("pdf", status="failed", reason=f"damaged: no text could be recovered from {counted(total, 'page')}")
        if not self.segments:
            return Parsed("pdf", status="skipped", reason=f"no text and no picture on {counted(total, 'page')}")
        said = [f"{_pages(self.unread)} cannot be read: damaged"] if self.unread else []
        if self.empty:
            lost = " (lost?)" if damaged else ""
            said.append(f"{_pages(self.empty)} {_has(self.empty)} no text and no picture{lost}")
        if self.scanned:
            said.append(f"{_pages(self.scanned)} {'is a picture' if len(self.scanned) == 1 else 'are pictures'} (scanned)")
        if ends_early:
            said.insert(0, f"the file is cut off: {counted(total, 'page')} recovered, more may be missing")
        elif damaged:
            said.insert(0, "damaged and repaired: something may be missing")
        status: Status = "truncated" if ends_early or self.unread else "read"
        return Parsed("pdf", tuple(self.segments), status, "; ".join(said), medium=self.medium)


def _pages(numbers: list[int]) -> str:
    return f"{'page' if len(numbers) == 1 else 'pages'} {ranges(numbers)}"


def _has(numbers: list[int]) -> str:
    return "has" if len(numbers) == 1 else "have"
