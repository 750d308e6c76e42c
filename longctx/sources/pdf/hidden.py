"""Text that a reader of the page does not see, and why; it may be meant for machines only.

What looks hidden by its colour, or is covered by a painted area, is looked at: the page is drawn once, in grey, where there is
such a text. The text that a scanner's software lays under the picture of a page is not hidden: it is what the page says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from longctx.corpus import Box
from longctx.sources.pdf.lines import Image, Paint, middle_in

if TYPE_CHECKING:
    import pymupdf

#: Points below which letters cannot be read.
TINY = 1.0
#: Of 255: how little a colour, or the grey of a place on the drawn page, may differ to be the same for the eye.
SAME = 12
#: Of 255: what is this transparent is not seen.
CLEAR = 13
#: Share of a page that the picture of a scan covers; of a page's part, under which text counts as read from it.
SCAN, PART_OF_SCAN = 0.7, 0.4
#: Painted areas that are looked at, the largest; pixels of the longer side of the drawn page, at a glance (photographs are
#: decoded small for it) and where that shows nothing.
_MOST_AREAS, _SIDES = 300, (400, 1200)

INVISIBLE = "drawn invisibly"
TINY_WORDS = "too small to read"
OUTSIDE = "outside of the page"
COLOUR = "in the colour of what is behind it"
COVERED = "covered by what is drawn over it"


class Judge:
    """Says of a span of text why it is hidden.

    Args:
        page: that it stands on.
        areas: what is painted on it besides text.
        pictures: its images.
    """

    def __init__(self, page: pymupdf.Page, areas: Sequence[Paint], pictures: Sequence[Image]) -> None:
        import pymupdf

        self._page = page
        filled = [area for area in areas if not area.stroked and area.rectangle and area.alpha == 255 and _area(area.box) > 9]
        self._areas = sorted(filled, key=lambda area: -_area(area.box))[:_MOST_AREAS]
        self._areas.sort(key=lambda area: area.order)
        self._pictures = pictures
        self._looks: dict[int, tuple[float, int, int, bytes]] = {}
        self.layered = False  # whether text of a scan was met that lies unseen with its picture
        self._drawn_with = pymupdf.mupdf.FZ_STEXT_FILLED | pymupdf.mupdf.FZ_STEXT_STROKED
        turned = page.rotation % 180 != 0
        width, height = page.rect.width, page.rect.height
        self._sheet: Box = (0.0, 0.0, height, width) if turned else (0.0, 0.0, width, height)
        self._layers = [one.box for one in pictures if _area(self._on_sheet(one.box)) >= PART_OF_SCAN * _area(self._sheet)]

    @property
    def size(self) -> tuple[float, float]:
        """Of the page in its own frame, points."""
        return self._sheet[2], self._sheet[3]

    @property
    def scan(self) -> bool:
        """Whether pictures cover most of the page."""
        return sum(_area(self._on_sheet(one.box)) for one in self._pictures) >= SCAN * _area(self._sheet)

    def sees_all(self, blocks: Sequence[Mapping[str, Any]]) -> bool:
        """Whether nothing can be hidden: it is inside the page, drawn, and in no colour that could be that of what is behind.

        Most pages are like that, and their spans need not be judged one by one.

        Args:
            blocks: of :func:`longctx.sources.pdf.lines.page_dict`.
        """
        if self._pictures:
            return False
        texts = [block for block in blocks if block["type"] == 0]
        _, _, width, height = self._sheet
        boxes = [block["bbox"] for block in texts]
        if any(x0 < -1 or y0 < -1 or x1 > width + 1 or y1 > height + 1 for x0, y0, x1, y1 in boxes):
            return False
        first = next((order for order, block in enumerate(blocks) if block["type"] == 0), 0)
        if self._areas and self._areas[-1].order > first:
            return False
        styles = {
            (span["char_flags"], span["alpha"], span["color"], span["size"])
            for block in texts
            for line in block["lines"]
            for span in line["spans"]
        }
        behind = {0xFFFFFF, *(area.color for area in self._areas)}
        return all(
            flags & self._drawn_with and alpha > CLEAR and size >= TINY and not any(_alike(color, one) for one in behind)
            for flags, alpha, color, size in styles
        )

    def __call__(self, span: Mapping[str, Any], order: int) -> str:
        """Why a span, of the block of that number, is hidden; empty where it is seen."""
        x0, y0, x1, y1 = box = span["bbox"]
        _, _, width, height = self._sheet
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            return OUTSIDE
        if span["size"] < TINY:
            return TINY_WORDS
        drawn = span["char_flags"] & self._drawn_with and span["alpha"] > CLEAR
        if not drawn:
            return "" if self._is_read_from_a_scan(box) else INVISIBLE
        return self._behind_or_covered(box, span["color"], order)

    def _behind_or_covered(self, box: Box, color: int, order: int) -> str:
        behind = 0xFFFFFF
        for area in self._areas:
            if middle_in(box, area.box):
                if area.order > order:
                    if _holds(area.box, box) and not self._shows(box):
                        return COVERED
                    continue
                behind = area.color
        for one in self._pictures:
            if one.order > order and one.opaque and _holds(one.box, box):
                return "" if self._is_read_from_a_scan(box) else COVERED
        return COLOUR if _alike(color, behind) and not self._shows(box) else ""

    def _is_read_from_a_scan(self, box: Box) -> bool:
        found = self.scan or any(middle_in(box, layer) for layer in self._layers)
        self.layered |= found
        return found

    def _on_sheet(self, box: Box) -> Box:
        _, _, width, height = self._sheet
        return (max(0.0, box[0]), max(0.0, box[1]), min(width, box[2]), min(height, box[3]))

    # -- drawn -------------------------------------------------------------------------------------------------------
    def _drawn(self, side: int) -> tuple[float, int, int, bytes]:
        """Pixels for a point, width and height of the page in its own frame, and its grey."""
        if side not in self._looks:
            self._looks[side] = self._looked_at(side)
        return self._looks[side]

    def _looked_at(self, side: int) -> tuple[float, int, int, bytes]:
        import pymupdf

        _, _, width, height = self._sheet
        scale = min(1.0, side / max(width, height, 1.0))
        matrix = self._page.derotation_matrix * pymupdf.Matrix(scale, scale)
        try:
            drawn = self._page.get_pixmap(matrix=matrix, colorspace=pymupdf.csGRAY, alpha=False)
        except (RuntimeError, ValueError, MemoryError, pymupdf.mupdf.FzErrorBase):
            return scale, 0, 0, b""  # what cannot be drawn is not seen by a reader either
        return scale, drawn.width, drawn.height, drawn.samples

    def _shows(self, box: Box) -> bool:
        """Whether anything is to be seen in a box: its grey is not the same everywhere. Most is seen at a glance."""
        return any(self._differs(box, *self._drawn(side)) for side in _SIDES)

    @staticmethod
    def _differs(box: Box, scale: float, width: int, height: int, grey: bytes) -> bool:
        inset = 0.2 * (box[3] - box[1])
        left, right = max(0, int(scale * box[0])), min(width, round(scale * box[2]) + 1)
        top, bottom = max(0, int(scale * (box[1] + inset))), min(height, round(scale * (box[3] - inset)) + 1)
        rows = [grey[row * width + left : row * width + right] for row in range(top, bottom)] if left < right else []
        return bool(rows) and max(map(max, rows)) - min(map(min, rows)) > SAME


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _holds(around: Box, box: Box) -> bool:
    """Whether nine tenths of a box lie in another."""
    x0, y0, x1, y1 = (max(around[0], box[0]), max(around[1], box[1]), min(around[2], box[2]), min(around[3], box[3]))
    return _area((x0, y0, x1, y1)) >= 0.9 * _area(box)


def _alike(one: int, other: int) -> bool:
    return all(abs((one >> shift & 255) - (other >> shift & 255)) <= SAME for shift in (0, 8, 16))
