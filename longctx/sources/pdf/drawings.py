"""Pictures that are drawn in lines and areas, such as charts and diagrams: told from rules, frames, shades and underlines.

What is drawn is known by boxes alone, those that were found with the text. Boxes that touch are one drawing; it is a picture
where curves or slanted lines make it up, or bars on one base, or areas of many colours, and where not most of it is text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from zlib import crc32

from longctx.corpus import Box
from longctx.sources.pdf.figures import Figure
from longctx.sources.pdf.lines import Line, Paint, middle_in, union

#: Points of the shorter side of a drawing at least; of one curve that is a drawing by itself; between two parts at most.
LEAST, _LARGE, _NEAR = 60.0, 36.0, 4.0
#: Parts that make up a drawing: curves, bars on one base, colours.
_CURVES, _BARS, _COLOURS = 3, 3, 6
#: Share of a page that a background or the frame around it covers; of a drawing, or of a panel's area, that text fills.
_PAGE, _TEXT = 0.65, 0.3
#: Parts of a page that are looked at, the largest; drawings that are gathered from them; panels among the parts.
_MOST, _GROUPS, _PANELS = 3000, 100, 40
#: Areas of a drawing that are looked at as bars.
_MOST_BARS = 200
#: Points around a drawing in which its labels stand; characters of a label at most.
_AROUND, _LABEL = 14.0, 40
#: Parts of a drawing that may be an ornament, whatever words stand on it.
_FEW = 5
#: Of 255: what is lighter in all colours is paper; what is more transparent is not seen.
_PAPER, _CLEAR = 243, 13


def drawings(
    areas: Sequence[Paint], blocks: Sequence[Sequence[Line]], taken: Sequence[Box], size: tuple[float, float]
) -> list[Figure]:
    """The drawings of a page, in no order, each with one key that tells it from others.

    Args:
        areas: what is painted on it besides text and images.
        blocks: its lines.
        taken: boxes of its tables and fields, whose rules and shades are no drawing.
        size: of the page. As all boxes in its own frame, points.
    """
    seen = [area for area in areas if _is_seen(area)]
    if not _may_be(seen):
        return []
    seen = [area for area in seen if not _covers(area.box, size) and not any(middle_in(area.box, box, 2.0) for box in taken)]
    lines = [line for block in blocks for line in block]
    parts = sorted(seen, key=lambda area: -_area(area.box))[:_MOST]
    panels = {id(area) for area in islice(filter(_is_panel, parts), _PANELS) if _written(area.box, lines) > _TEXT}
    groups = _groups([area for area in parts if id(area) not in panels])
    return [_figure(box, group, lines, size) for box, group in groups if _is_drawing(box, group, lines)]


def _is_seen(area: Paint) -> bool:
    return area.alpha > _CLEAR and min(area.color >> shift & 255 for shift in (0, 8, 16)) < _PAPER


def _may_be(seen: Iterable[Paint]) -> bool:
    """Whether there is enough for any drawing."""
    telling = sum(1 if area.rectangle else _BARS for area in seen if not (area.rectangle and area.stroked))
    return telling >= _BARS


def _covers(box: Box, size: tuple[float, float]) -> bool:
    """Whether a box is that of the page, or lies outside of it."""
    width = min(box[2], size[0]) - max(box[0], 0.0)
    height = min(box[3], size[1]) - max(box[1], 0.0)
    return width < 0 or height < 0 or width * height > _PAGE * size[0] * size[1]


def _is_panel(area: Paint) -> bool:
    return min(_sides(area.box)) >= LEAST


def _written(box: Box, lines: Sequence[Line]) -> float:
    """The share of a box that lines fill."""
    return sum(_area(line.box) for line in lines if middle_in(line.box, box)) / max(1.0, _area(box))


def _groups(parts: Iterable[Paint]) -> list[tuple[Box, list[Paint]]]:
    """Parts that touch each other, directly or by others.

    Args:
        parts: the largest first, so that most of them fall into a group that is there.
    """
    groups: list[tuple[Box, list[Paint]]] = []
    for part in parts:
        _join(groups, part.box, [part])
    joined: list[tuple[Box, list[Paint]]] = []
    for box, members in groups:  # what has grown since may touch what came before
        _join(joined, box, members)
    return joined


def _join(groups: list[tuple[Box, list[Paint]]], box: Box, members: list[Paint]) -> None:
    """Add parts to the groups that they touch, which are then one; to none where there are too many."""
    near = [number for number, (other, _) in enumerate(groups) if _touch(other, box)]
    if not near and len(groups) < _GROUPS:
        groups.append((box, members))
    if not near:
        return
    first, *others = near
    for number in reversed(others):
        other, more = groups.pop(number)
        box, members = union([box, other]), members + more
    groups[first][1].extend(members)
    groups[first] = (union([groups[first][0], box]), groups[first][1])


def _is_drawing(box: Box, group: Sequence[Paint], lines: Sequence[Line]) -> bool:
    if min(_sides(box)) < LEAST or _written(box, lines) > _TEXT:
        return False
    curves = [area for area in group if not area.rectangle]
    if len(curves) >= _CURVES or any(min(_sides(area.box)) >= _LARGE for area in curves):
        return True
    filled = [area for area in group if area.rectangle and not area.stroked and min(_sides(area.box)) > 1.5]
    bars = [area for area in filled[:_MOST_BARS] if not any(middle_in(line.box, area.box) for line in lines)]
    return len({area.color for area in bars}) >= _COLOURS or _stand_on_one_base([area.box for area in bars])


def _stand_on_one_base(boxes: Sequence[Box]) -> bool:
    """Whether boxes begin at one line, below or at the left, and are not all of one length."""
    below, left = Counter(round(box[3]) for box in boxes), Counter(round(box[0]) for box in boxes)
    upright = {base: {round(box[3] - box[1]) for box in boxes if round(box[3]) == base} for base in below}
    lying = {base: {round(box[2] - box[0]) for box in boxes if round(box[0]) == base} for base in left}
    return any(
        counts[base] >= _BARS and len(lengths) > 1
        for counts, ends in ((below, upright), (left, lying))
        for base, lengths in ends.items()
    )


def _figure(box: Box, group: Sequence[Paint], lines: Sequence[Line], size: tuple[float, float]) -> Figure:
    """A drawing with the labels around it; one of few parts is the same wherever it stands, whatever its words are."""
    x0, y0, x1, y1 = box
    around = (x0 - _AROUND, y0 - _AROUND, x1 + _AROUND, y1 + _AROUND)
    inside = [line for line in lines if middle_in(line.box, around)]
    labels = [line.box for line in inside if len(line.text) <= _LABEL]
    shape = sorted(tuple(round(value) for value in area.box) for area in group)
    words = [line.text for line in inside] if len(group) > _FEW else []
    x0, y0, x1, y1 = union([box, *labels])
    clipped = (max(0.0, x0), max(0.0, y0), min(size[0], x1), min(size[1], y1))
    return Figure(clipped, (f"drawn {crc32(repr((shape, words)).encode('utf-8', 'replace'))}",), written=bool(inside))


def _touch(one: Box, other: Box) -> bool:
    return (
        one[0] - _NEAR <= other[2] and other[0] - _NEAR <= one[2] and one[1] - _NEAR <= other[3] and other[1] - _NEAR <= one[3]
    )


def _sides(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
