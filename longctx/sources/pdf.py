"""PDF pages: parts of about a thousand characters in reading order, each with its box. Runs in the worker process.

Boxes are in points from the top left corner of the page as a reader sees it, turned pages included. Knows text; tables,
forms, annotations and pictures are not looked at.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from longctx.corpus import Box, Page, Segment
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
        document = _opened(file)
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


def _opened(file: str) -> pymupdf.Document | str:
    """The document, or why it cannot be opened."""
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
    except (RuntimeError, ValueError, IndexError, pymupdf.mupdf.FzErrorBase) as error:
        return {"page": number + 1, "error": str(error)}, heading
    return {"page": number + 1, "label": label, "parts": parts}, heading


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
def parse_pdf(path: str, replies: Iterator[Reply], *, ends_early: bool) -> Parsed:
    """The segments of a document.

    Args:
        path: as it is cited.
        replies: of :func:`pages`.
        ends_early: whether the file lacks the mark with which a PDF ends.
    """
    segments: list[Segment] = []
    unread: list[int] = []
    empty: list[int] = []
    total, repaired, failure = 0, False, ""
    for reply in replies:
        if "pages" in reply:
            total, repaired = reply["pages"], reply["repaired"]
        elif "page" not in reply:
            failure = failure or reply["error"]
        elif "error" in reply:
            unread.append(reply["page"])
        else:
            found = _page_segments(path, reply)
            segments += found
            empty += [] if found else [reply["page"]]
    if failure:
        return Parsed("pdf", status="failed", reason=failure)
    return _told(tuple(segments), total, empty, unread, damaged=repaired or ends_early, ends_early=ends_early)


def _page_segments(path: str, reply: Reply) -> list[Segment]:
    number, label = reply["page"], reply["label"] or None  # PyMuPDF says "" where there are none
    return [Segment(text, Page(path, number, tuple(box), label), heading) for box, text, heading in reply["parts"]]


def _told(
    segments: tuple[Segment, ...], total: int, empty: list[int], unread: list[int], *, damaged: bool, ends_early: bool
) -> Parsed:
    """What became of a document whose pages were all looked at."""
    said = []
    if unread:
        said.append(f"{_pages(unread)} cannot be read: damaged")
    if empty:
        said.append(f"{_pages(empty)} {'has' if len(empty) == 1 else 'have'} no text ({'lost or ' if damaged else ''}scanned?)")
    if not total:
        return Parsed("pdf", status="failed", reason="0 pages: the file is cut off or damaged")
    if not segments and (damaged or unread):
        return Parsed("pdf", status="failed", reason=f"damaged: no text could be recovered from {counted(total, 'page')}")
    if not segments:
        return Parsed("pdf", status="skipped", reason=f"no text on {counted(total, 'page')} (scanned?)")
    if ends_early:
        said.insert(0, f"the file is cut off: {counted(total, 'page')} recovered, more may be missing")
    elif damaged:
        said.insert(0, "damaged and repaired: something may be missing")
    return Parsed("pdf", segments, "truncated" if ends_early or unread else "read", "; ".join(said))


def _pages(numbers: list[int]) -> str:
    return f"{'page' if len(numbers) == 1 else 'pages'} {ranges(numbers)}"
