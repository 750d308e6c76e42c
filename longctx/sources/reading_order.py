"""The order in which the blocks of a page are read: columns one after the other, a heading across both before them.

Boxes and counts in, an order out; knows no file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx.corpus import Box

#: Points between two columns at least.
_GUTTER = 6.0
#: A column's lines hold so many characters at least, on average; the cells of a table hold fewer.
_CHARS_PER_LINE = 18
#: Share of the page's width by which the middle of a title may miss that of the page; points between edges that are one.
_MIDDLE, _ALIGNED = 0.05, 3.0
#: Pages with more blocks are drawings or tables; they are read from top to bottom.
_MOST_BLOCKS = 400


@dataclass(frozen=True, slots=True)
class Placed:
    """A block of text: its box in points from the top left, its lines, its characters."""

    box: Box
    lines: int
    chars: int


def reading_order(blocks: Sequence[Placed]) -> list[int]:
    """The indices of the blocks in reading order.

    >>> page = [(40, 20, 560, 40), (310, 60, 560, 300), (40, 60, 290, 300)]
    >>> reading_order([Placed(box, 5, 300) for box in page])
    [0, 2, 1]
    """
    indices = sorted(range(len(blocks)), key=lambda index: (round(blocks[index].box[1]), blocks[index].box[0]))
    if len(indices) > _MOST_BLOCKS:
        return indices
    head, body, foot = _apart(blocks, indices)
    return [*head, *_ordered(blocks, body), *foot]


def _apart(blocks: Sequence[Placed], indices: list[int]) -> tuple[list[int], list[int], list[int]]:
    """The lines above a title that stands in the middle of the page, with it, and a page number that does below; the rest."""
    strips = _strips(blocks, indices)
    single = [len(strip) == 1 and blocks[strip[0]].lines == 1 for strip in strips]
    lead = next((number for number, one in enumerate(single) if not one), len(strips))
    trail = next((number for number, one in enumerate(reversed(single)) if not one), len(strips))
    titles = [number + 1 for number in range(lead) if _is_centred(blocks, strips[number][0], indices)]
    first, last = max(titles, default=0), len(strips)
    if trail and first < last and _is_centred(blocks, strips[-1][0], indices):
        last -= 1
    head, foot = sum(map(len, strips[:first])), sum(map(len, strips[:last]))
    return indices[:head], indices[head:foot], indices[foot:]


def _is_centred(blocks: Sequence[Placed], index: int, indices: Sequence[int]) -> bool:
    """Whether a line stands in the middle of a page, and begins where no longer block does."""
    left, right = min(blocks[one].box[0] for one in indices), max(blocks[one].box[2] for one in indices)
    x0, _, x1, _ = blocks[index].box
    begins = any(abs(blocks[one].box[0] - x0) < _ALIGNED for one in indices if blocks[one].lines > 1)
    return abs(x0 + x1 - left - right) / 2 < _MIDDLE * (right - left) and not begins


def _ordered(blocks: Sequence[Placed], indices: list[int]) -> list[int]:
    """Bands of the page from top to bottom: the tallest that falls into columns, or else one strip as it stands.

    A single line at a band's end is the heading of what follows, not the end of its left column.
    """
    ordered: list[int] = []
    while indices:
        strips = _strips(blocks, indices)
        divided = _divided(blocks, strips)
        for depth in range(len(strips), 0, -1):
            if not divided[depth - 1]:
                continue
            band = [index for strip in strips[:depth] for index in strip]
            ends_in_heading = depth < len(strips) and sum(blocks[index].lines for index in strips[depth - 1]) == 1
            if not ends_in_heading and (columns := _columns(blocks, band)):
                ordered += [index for column in columns for index in _ordered(blocks, column)]
                break
        else:
            band = strips[0]
            ordered += band
        indices = indices[len(band) :]
    return ordered


def _strips(blocks: Sequence[Placed], indices: Sequence[int]) -> list[list[int]]:
    """Groups of blocks between which a horizontal line can be drawn; the blocks come from top to bottom."""
    strips: list[list[int]] = []
    bottom = float("-inf")
    for index in indices:
        _, top, _, below = blocks[index].box
        if not strips or top >= bottom:
            strips.append([])
        strips[-1].append(index)
        bottom = max(bottom, below)
    return strips


def _divided(blocks: Sequence[Placed], strips: Sequence[Sequence[int]]) -> list[bool]:
    """For each strip whether it, with all above it, leaves a gutter free; most pages have none, and that is found out soon."""
    boxes = [blocks[index].box for strip in strips for index in strip]
    first, last = min([box[0] for box in boxes]) + _GUTTER, max([box[2] for box in boxes]) - _GUTTER
    taken: list[tuple[float, float]] = []
    found = []
    for strip in strips:
        for index in strip:
            left, _, right, _ = blocks[index].box
            near = [span for span in taken if span[1] + _GUTTER > left and span[0] - _GUTTER < right]
            if near:
                left, right = min([left, *[span[0] for span in near]]), max([right, *[span[1] for span in near]])
            taken = [*[span for span in taken if span not in near], (left, right)] if near else [*taken, (left, right)]
        found.append(len(taken) > 1)
        if len(taken) == 1 and taken[0][0] < first and taken[0][1] > last:
            break  # a line over the whole width: no gutter below it either
    return found + [False] * (len(strips) - len(found))


def _columns(blocks: Sequence[Placed], band: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """The band's two sides of its widest gutter, if both are columns of prose."""
    across = sorted(band, key=lambda index: blocks[index].box[0])
    right = float("-inf")
    best, at = _GUTTER, None
    for index in across:
        gap = blocks[index].box[0] - right
        if right > float("-inf") and gap >= best:
            best, at = gap, right
        right = max(right, blocks[index].box[2])
    if at is None:
        return None
    sides = [index for index in band if blocks[index].box[2] <= at], [index for index in band if blocks[index].box[2] > at]
    return sides if all(_is_prose([blocks[index] for index in side]) for side in sides) else None


def _is_prose(blocks: Sequence[Placed]) -> bool:
    lines = sum(block.lines for block in blocks)
    return lines >= 2 and sum(block.chars for block in blocks) >= _CHARS_PER_LINE * lines
