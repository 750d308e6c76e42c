"""The lines of a page as MuPDF finds them, and what is painted around them, in the order in which it is painted.

Everything is turned so that most of the text runs to the right; :class:`Frame` leads back to the page as a reader sees it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from longctx.corpus import Box
from longctx.sources.parsed import sound

if TYPE_CHECKING:
    import pymupdf

Direction = tuple[int, int]
Matrix = tuple[float, float, float, float, float, float]
#: Letters that are written from right to left.
_LEFTWARD = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
#: Brackets around words of the other direction, as they are painted.
_TURNED = re.compile(r"\)([^()]*)\(")
#: Shares of a line's height: between two pieces of one line at most; between the middles of two lines side by side at most, and
#: between their ends at least.
_TOUCH, _LEVEL, _GAP = 0.4, 0.35, 0.8
#: Share of the size of letters by which a line that is drawn twice is moved at most.
_STRUCK = 0.12
_IMAGE = re.compile(r"<image: (.*), width: (\d+), height: (\d+), bpc: (\d+)>\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page.

    Args:
        box: in the page's own frame until it is put into the frame of its page.
        text: in logical order.
        size: of its largest letters, points.
        direction: in which it runs: (1, 0) to the right, (0, -1) upwards.
        hidden: why a reader does not see it; empty where it is seen.
        table: the number of the table of which it is a row, from 1; 0 for all other lines.
    """

    box: Box
    text: str
    size: float
    direction: Direction = (1, 0)
    hidden: str = ""
    table: int = 0


@dataclass(frozen=True, slots=True)
class Paint:
    """Something painted that is no text: a box, its number in the order of painting.

    Args:
        box: of it.
        order: blocks of text and vectors that were painted before it.
        color: sRGB, 24 bits.
        alpha: from 0 to 255.
        stroked: whether it is a line, or else a filled area.
        rectangle: whether it fills its box.
    """

    box: Box
    order: int
    color: int = 0
    alpha: int = 255
    stroked: bool = False
    rectangle: bool = True


@dataclass(frozen=True, slots=True)
class Image:
    """An image on a page.

    Args:
        box: where it stands.
        order: as in :class:`Paint`.
        key: what tells it from other images of the document.
        pixels: its own width and height.
        opaque: whether it hides what is behind it.
    """

    box: Box
    order: int
    key: str
    pixels: tuple[int, int]
    opaque: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Between a page on which most text runs to the right and the page as a reader sees it.

    Args:
        direction: of most of the text in the page's own frame.
        matrix: from the page's own frame to the page as it is seen.
        size: width and height in points as it is seen.
    """

    direction: Direction
    matrix: Matrix
    size: tuple[float, float]

    def upright(self, box: Box) -> Box:
        """A box of the page's own frame."""
        x0, y0, x1, y1 = box
        match self.direction:
            case (0, -1):
                return (-y1, x0, -y0, x1)
            case (0, 1):
                return (y0, -x1, y1, -x0)
            case (-1, 0):
                return (-x1, -y1, -x0, -y0)
        return box

    def own(self, box: Box) -> Box:
        """Back to the page's own frame."""
        x0, y0, x1, y1 = box
        match self.direction:
            case (0, -1):
                return (y0, -x1, y1, -x0)
            case (0, 1):
                return (-y1, x0, -y0, x1)
            case (-1, 0):
                return (-x1, -y1, -x0, -y0)
        return box

    def seen(self, box: Box) -> Box:
        """A box on the page as a reader sees it, points with one decimal."""
        x0, y0, x1, y1 = self.own(box)
        a, b, c, d, e, f = self.matrix
        xs, ys = (a * x0 + c * y0 + e, a * x1 + c * y1 + e), (b * x0 + d * y0 + f, b * x1 + d * y1 + f)
        return (round(min(xs), 1), round(min(ys), 1), round(max(xs), 1), round(max(ys), 1))


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def middle_in(box: Box, around: Box, slack: float = 0.0) -> bool:
    """Whether the middle of a box lies in another."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return around[0] - slack <= x <= around[2] + slack and around[1] - slack <= y <= around[3] + slack


def side_by_side(before: Line, line: Line) -> bool:
    """Whether a line stands right of another in the same row, clearly apart."""
    if before.direction != line.direction:
        return False
    height = min(before.box[3] - before.box[1], line.box[3] - line.box[1])
    level = abs(before.box[1] + before.box[3] - line.box[1] - line.box[3]) / 2 <= _LEVEL * height
    return level and line.box[0] - before.box[2] >= _GAP * height


def chars(lines: Sequence[Line]) -> int:
    """Characters of lines, their ends included."""
    return sum([len(line.text) + 1 for line in lines])


# -- from MuPDF ------------------------------------------------------------------------------------------------------
Judge = Callable[[Mapping[str, Any], int], str]


def page_dict(page: pymupdf.Page) -> list[Mapping[str, Any]]:
    """Blocks of text and of vectors in the order of painting; ligatures are letters, text beside the page is kept."""
    import pymupdf

    left_out = pymupdf.TEXT_PRESERVE_IMAGES | pymupdf.TEXT_PRESERVE_LIGATURES | pymupdf.TEXT_MEDIABOX_CLIP
    flags = pymupdf.TEXTFLAGS_DICT & ~left_out | pymupdf.TEXT_COLLECT_VECTORS
    found: list[Mapping[str, Any]] = page.get_textpage(clip=pymupdf.INFINITE_RECT(), flags=flags).extractDICT()["blocks"]
    return found


def unknown(blocks: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many letters there are of which the file does not say what they are; and, where there are some, how many in all.

    The numbers of their shapes stand in the text for them.

    Args:
        blocks: of :func:`page_dict`.
    """
    import pymupdf

    numbers = pymupdf.mupdf.FZ_STEXT_UNICODE_IS_CID | pymupdf.mupdf.FZ_STEXT_UNICODE_IS_GID
    spans = [span for block in blocks if block["type"] == 0 for line in block["lines"] for span in line["spans"]]
    odd = sum([len(span["text"]) for span in spans if span["char_flags"] & numbers])
    return odd, sum([len(span["text"]) for span in spans]) if odd else 0


def paints(blocks: Sequence[Mapping[str, Any]]) -> list[Paint]:
    """What is painted besides text and images."""
    return [
        Paint(block["bbox"], order, block["color"], block["alpha"], block["stroked"], block["isrect"])
        for order, block in enumerate(blocks)
        if block["type"] == 3
    ]


def images(page: pymupdf.Page) -> list[Image]:
    """The images of a page; none is decoded."""
    import pymupdf

    known: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for xref, mask, width, height, *_ in page.get_images():
        known.setdefault((width, height), []).append((xref, mask))
    if not known:
        return []
    flags = pymupdf.TEXTFLAGS_DICT & ~pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_COLLECT_VECTORS
    found: list[Image] = []
    for x0, y0, x1, y1, text, number, kind in page.get_textpage(flags=flags).extractBLOCKS():
        if kind == 1 and (match := _IMAGE.match(text)):
            pixels = (int(match[2]), int(match[3]))
            same = known.get(pixels, [])
            key = f"{same[0][0]}" if len(same) == 1 else f"{pixels} {round(x0)} {round(y0)}"
            opaque = match[1] != "None" and bool(same) and not any(mask for _, mask in same)
            found.append(Image((x0, y0, x1, y1), number - len(found), key, pixels, opaque))
    return found


def text_blocks(blocks: Sequence[Mapping[str, Any]], judge: Judge | None) -> list[list[Line]]:
    """The lines of every block of text.

    Args:
        blocks: of :func:`page_dict`.
        judge: says of a span and the number of its block why it is hidden; empty where it is seen. None where all of it is.
    """
    found = []
    struck: dict[str, Box] = {}
    for order, block in enumerate(blocks):
        if block["type"] == 0:
            lines = [line for line in _lines(block["lines"], order, judge) if not _again(line, struck)]
            found += [lines] if lines else []
    return found


def _again(line: Line, struck: dict[str, Box]) -> bool:
    """Whether a line was drawn before at nearly the same place, as it is to look bold or to have a shadow."""
    before, struck[line.text] = struck.get(line.text), line.box
    return before is not None and all(abs(a - b) < _STRUCK * line.size for a, b in zip(before, line.box, strict=True))


def leftward(blocks: Sequence[Sequence[Line]]) -> bool:
    """Whether most letters of a page are written from right to left, so that its columns are read that way, too."""
    texts = [line.text for block in blocks for line in block if not line.text.isascii()]
    written = sum(len(line.text) for block in blocks for line in block)
    return 2 * sum(len(_LEFTWARD.findall(text)) for text in texts) > 0.8 * written if texts else False


def _lines(lines: Sequence[Mapping[str, Any]], order: int, judge: Judge | None) -> Iterator[Line]:
    before: Line | None = None
    for line in lines:
        for made in _pieces(line, order, judge):
            foreign = before is not None and not (before.text.isascii() and made.text.isascii())
            joined = _joined(before, made) if before is not None and foreign else None
            if before is not None and joined is None:
                yield _logical(before)
            before = joined or made
    if before is not None:
        yield _logical(before)


def _pieces(line: Mapping[str, Any], order: int, judge: Judge | None) -> Iterator[Line]:
    """A line, taken apart where a part of it is hidden."""
    spans = line["spans"]
    across, down = line["dir"]
    direction = (round(across), round(down))
    reasons = [judge(span, order) for span in spans] if judge is not None else []
    if len(set(reasons)) <= 1:
        if made := _line(spans, line["bbox"], direction, reasons[0] if reasons else ""):
            yield made
        return
    start = 0
    for stop in range(1, len(spans) + 1):
        if stop == len(spans) or reasons[stop] != reasons[start]:
            some = spans[start:stop]
            if made := _line(some, union([span["bbox"] for span in some]), direction, reasons[start]):
                yield made
            start = stop


def _line(spans: Sequence[Mapping[str, Any]], box: Box, direction: Direction, hidden: str) -> Line | None:
    text = "".join([span["text"] for span in spans]).rstrip()
    if not text or text.isspace():
        return None
    text = text if text.isascii() and "\x00" not in text else sound(text)
    return Line(box, text, max([span["size"] for span in spans]), direction, hidden)


# -- from right to left ----------------------------------------------------------------------------------------------
def _joined(one: Line, other: Line) -> Line | None:
    """Two pieces as one line where they touch: MuPDF ends a line wherever the direction of writing turns."""
    if one.hidden != other.hidden or one.direction != other.direction:
        return None
    if one.direction == (0, 1) and _follows_below(one, other):
        return replace(one, box=union([one.box, other.box]), text=one.text + other.text, size=max(one.size, other.size))
    if not _LEFTWARD.search(one.text + other.text):
        return None
    (x0, y0, x1, y1), (u0, v0, u1, v1) = one.box, other.box
    height = min(y1 - y0, v1 - v0)
    level = min(y1, v1) - max(y0, v0) > 0.5 * height
    if one.direction != (1, 0) or not level or max(u0 - x1, x0 - u1) > _TOUCH * height:
        return None
    return replace(one, box=union([one.box, other.box]), text=one.text + other.text, size=max(one.size, other.size))


def _follows_below(one: Line, other: Line) -> bool:
    """Whether a letter stands right below another: MuPDF ends a line after each letter of upright columns."""
    width = min(one.box[2] - one.box[0], other.box[2] - other.box[0])
    is_column = abs(one.box[0] + one.box[2] - other.box[0] - other.box[2]) < 0.5 * width
    return is_column and len(other.text) == 1 and -_TOUCH * width <= other.box[1] - one.box[3] <= _TOUCH * width


def _logical(line: Line) -> Line:
    """Brackets around foreign words are painted turned; the letters come in logical order."""
    if line.text.isascii() or "(" not in line.text or not _LEFTWARD.search(line.text):
        return line
    return replace(line, text=_TURNED.sub(r"(\1)", line.text))


# -- the frame -------------------------------------------------------------------------------------------------------
def framed(page: pymupdf.Page, blocks: Sequence[Sequence[Line]]) -> Frame:
    """The frame of a page by the way in which most of its text runs."""
    ways: Counter[Direction] = Counter()
    for block in blocks:
        for line in block:
            ways[line.direction] += len(line.text)
    direction = ways.most_common(1)[0][0] if ways else (1, 0)
    return Frame(direction, turn(page), (page.rect.width, page.rect.height))


def turn(page: pymupdf.Page) -> Matrix:
    """From the page's own frame to the page as it is seen. PyMuPDF's own matrix forgets the unit of the page."""
    width, height = page.rect.width, page.rect.height
    match page.rotation:
        case 90:
            return (0.0, 1.0, -1.0, 0.0, width, 0.0)
        case 180:
            return (-1.0, 0.0, 0.0, -1.0, width, height)
        case 270:
            return (0.0, -1.0, 1.0, 0.0, 0.0, height)
    return (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def turned(frame: Frame, blocks: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Blocks with their boxes in the frame of the page."""
    if frame.direction == (1, 0):
        return [list(block) for block in blocks]
    return [[replace(line, box=frame.upright(line.box)) for line in block] for block in blocks]
