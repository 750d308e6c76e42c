"""Lines of text as they were found in a picture: in reading order, and joined to parts of about a thousand characters.

Boxes in, boxes out, in the picture's own units; knows no picture and no recogniser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median

from longctx.corpus import Box
from longctx.sources.reading_order import Placed, reading_order

#: Characters of one part.
PART = 1000
#: The height of a line to which boxes are scaled before columns are looked for; points.
_HEIGHT = 12.0
#: Heights of a line: between words of one line, between lines of one block, between blocks of one part at most.
_WORDS, _LINES, _BLOCKS = 1.0, 0.8, 10.0
#: Characters below which a line beside others is a cell of a table.
_CELL = 18


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: its box as if the picture were not askew, its box in the picture, its words."""

    level: Box
    box: Box
    text: str

    @property
    def height(self) -> float:
        """Of the level box."""
        return self.level[3] - self.level[1]


def blocks_in_order(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines gathered to blocks, and the blocks in reading order: columns one after the other.

    >>> boxes = [(x, y, x + 200, y + 12) for y in (0, 14) for x in (0, 220)]
    >>> [block[0].box[0] for block in blocks_in_order([Line(box, box, "some words of prose") for box in boxes])]
    [0, 220]
    """
    lines = [line for line in lines if line.text.strip() and line.height > 0]
    if not lines:
        return []
    blocks = _blocks([list(_joined(row)) for row in _rows(lines)])
    scale = _HEIGHT / median(line.height for line in lines)
    placed = [Placed(_scaled(union([line.level for line in block]), scale), len(block), _chars(block)) for block in blocks]
    return [blocks[index] for index in reading_order(placed)]


def parts(blocks: Sequence[Sequence[tuple[Box, str]]]) -> list[tuple[Box, str]]:
    """Blocks of (box, text) lines, in reading order, joined to parts; none reaches from one column into the next.

    >>> parts([[((0, 0, 9, 1), "a"), ((0, 2, 9, 3), "b")], [((20, 0, 29, 1), "c")]])
    [((0, 0, 9, 3), 'a\\nb'), ((20, 0, 29, 1), 'c')]
    """
    found: list[list[tuple[Box, str]]] = []
    for unit in _units(blocks):
        full = bool(found) and sum(len(text) + 1 for _, text in [*found[-1], *unit]) > PART
        if not found or full or _is_apart(found[-1][-1][0], unit[0][0]):
            found.append([])
        found[-1] += unit
    return [(union([box for box, _ in part]), "\n".join(text for _, text in part)) for part in found]


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


# -- blocks ----------------------------------------------------------------------------------------------------------
def _rows(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines side by side, from left to right, all with the top and bottom of their row, so that no jitter orders them."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.level[1] + line.level[3]):
        middle = (line.level[1] + line.level[3]) / 2
        if rows and middle - sum(rows[-1][0].level[1::2]) / 2 < 0.4 * min(line.height, rows[-1][0].height):
            rows[-1].append(line)
        else:
            rows.append([line])
    for row in rows:
        _, top, _, bottom = union([line.level for line in row])
        level = [replace(line, level=(line.level[0], top, line.level[2], bottom)) for line in row]
        yield sorted(level, key=lambda line: line.level[0])


def _joined(row: Sequence[Line]) -> Iterator[Line]:
    """Neighbours in a row that stand no further apart than words do, as one line."""
    last = row[0]
    for line in row[1:]:
        if line.level[0] - last.level[2] < _WORDS * line.height:
            last = Line(union([last.level, line.level]), union([last.box, line.box]), f"{last.text} {line.text}")
        else:
            yield last
            last = line
    yield last


def _blocks(rows: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Lines that follow each other downwards, each the only one below the one before and that the only one above.

    Short lines side by side are the cells of a table and stay alone.
    """
    cells = [line for row in rows for line in row if len(row) > 1 and len(line.text) < _CELL]
    lines = [line for row in rows for line in row if len(row) == 1 or len(line.text) >= _CELL]
    below = [[other for other in range(len(lines)) if _follows(lines[index], lines[other])] for index in range(len(lines))]
    above = [0] * len(lines)
    for followers in below:
        for other in followers:
            above[other] += 1
    follower = {index: found[0] for index, found in enumerate(below) if len(found) == 1 and above[found[0]] == 1}
    blocks = [[cell] for cell in cells]
    for index in sorted(set(range(len(lines))) - set(follower.values())):
        blocks.append([lines[index]])
        while (index := follower.get(index, -1)) >= 0:
            blocks[-1].append(lines[index])
    return blocks


def _follows(line: Line, other: Line) -> bool:
    (x0, _, x1, bottom), (u0, top, u1, _) = line.level, other.level
    small, large = sorted((line.height, other.height))
    close = -0.5 * small < top - bottom < _LINES * small
    return close and large < 1.4 * small and min(x1, u1) - max(x0, u0) > 0.3 * min(x1 - x0, u1 - u0)


def _chars(block: Sequence[Line]) -> int:
    return sum(len(line.text) + 1 for line in block)


def _scaled(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = (scale * value for value in box)
    return (x0, y0, x1, y1)


# -- parts -----------------------------------------------------------------------------------------------------------
def _units(blocks: Sequence[Sequence[tuple[Box, str]]]) -> Iterator[list[tuple[Box, str]]]:
    """Blocks, those that are longer than a part taken apart by lines."""
    for block in blocks:
        sizes: list[int] = []
        for _, text in block:
            sizes.append((sizes[-1] if sizes else 0) + len(text) + 1)
        for _, numbered in groupby(zip(sizes, block, strict=True), key=lambda one: (one[0] - 1) // PART):
            yield [line for _, line in numbered]


def _is_apart(before: Box, after: Box) -> bool:
    """Whether a line stands clearly above the one before it, in the next column, or far below."""
    height = min(before[3] - before[1], after[3] - after[1])
    return after[3] < before[1] + 0.5 * height or after[1] > before[3] + _BLOCKS * height or _beside(before, after)


def _beside(before: Box, after: Box) -> bool:
    return after[1] < before[3] - 0.5 * (before[3] - before[1]) and after[0] > before[2]
