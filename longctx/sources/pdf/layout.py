"""The text of a page in reading order: parts of about a thousand characters, each with its box and its heading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from longctx.corpus import Box
from longctx.sources.pdf.lines import Frame, Line, chars, leftward, middle_in, side_by_side, union
from longctx.sources.pdf.tables import Table
from longctx.sources.reading_order import Placed, reading_order

#: Characters of one segment.
PART = 1000
#: Points of empty page, above which what follows, such as a footer, is a part of its own.
GAP = 150.0
#: A line so much larger than the page's text is a heading.
HEADING_SIZE = 1.15
#: A row of a table counts as a line of prose where columns are told by the length of their lines.
_ROW_CHARS = 18

#: Box, text, heading.
Part = tuple[Box, str, str]


def parts_of(
    frame: Frame, blocks: Sequence[Sequence[Line]], found: Sequence[Table], heading: str = ""
) -> tuple[list[Part], str]:
    """The text of a page in reading order.

    Args:
        frame: of the page.
        blocks: of its lines, those of tables included.
        found: its tables, which take the place of their lines.
        heading: that holds at its beginning.

    Returns:
        parts (box, text, heading), and the heading that holds at the page's end.
    """
    blocks = _with_tables(blocks, found)
    boxes = [union([line.box for line in block]) for block in blocks]
    if leftward(blocks):
        boxes = [(-x1, y0, -x0, y1) for x0, y0, x1, y1 in boxes]
    placed = [Placed(box, len(block), _weight(block)) for box, block in zip(boxes, blocks, strict=True)]
    body = _body_size(blocks)
    parts: list[Part] = []
    gathered: list[Line] = []
    only_titles = True
    for line_group in _units([blocks[index] for index in reading_order(placed)]):
        title = _title(line_group, body)
        full = chars(gathered) + chars(line_group) > PART
        if gathered and ((title and not only_titles) or full or _is_apart(gathered[-1], line_group[0])):
            parts.append(_part(frame, gathered, heading))
            gathered = []
        only_titles = bool(title) and (only_titles or not gathered)
        heading = title or heading
        gathered += line_group
    return ([*parts, _part(frame, gathered, heading)] if gathered else parts), heading


def _with_tables(blocks: Sequence[Sequence[Line]], found: Sequence[Table]) -> list[list[Line]]:
    """Blocks without the lines of tables, and the tables as blocks."""
    if not found:
        return [list(block) for block in blocks]
    left: list[list[Line]] = []
    for block in blocks:
        inside = [any(middle_in(line.box, table.box) for table in found) for line in block]
        for is_cell, numbered in groupby(zip(inside, block, strict=True), key=lambda one: one[0]):
            left += [] if is_cell else [[line for _, line in numbered]]
    return [*left, *(table.lines(number) for number, table in enumerate(found, start=1))]


def _weight(block: Sequence[Line]) -> int:
    return max(chars(block), _ROW_CHARS * len(block)) if block[0].table else chars(block)


def _body_size(blocks: Sequence[Sequence[Line]]) -> float:
    """The size in which most characters of a page are set; points."""
    sizes: Counter[float] = Counter()
    for block in blocks:
        for line in block:
            if not line.table:
                sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _units(blocks: Sequence[Sequence[Line]]) -> Iterator[list[Line]]:
    """Blocks, those that are longer than a part taken apart by lines, and titles by themselves."""
    for block in blocks:
        for _, same_size in groupby(block, key=lambda line: round(line.size, 1)):
            gathered: list[Line] = []
            held = 0
            for line in same_size:
                if gathered and held + len(line.text) > PART:
                    yield gathered
                    gathered, held = [], 0
                gathered.append(line)
                held += len(line.text) + 1
            yield gathered


def _title(lines: Sequence[Line], body: float) -> str:
    if lines[0].table or lines[0].size < HEADING_SIZE * body:
        return ""
    text = " ".join([line.text.strip() for line in lines])
    return text if len(text) <= 120 and any(map(str.isalpha, text)) else ""


def _is_apart(before: Line, after: Line) -> bool:
    """Whether a line stands clearly above the one before it, in the next column, far below, or is of a table."""
    above, below = before.box, after.box
    return before.table != after.table or below[3] < above[1] or below[1] > above[3] + GAP


def _part(frame: Frame, lines: Sequence[Line], heading: str) -> Part:
    return frame.seen(union([line.box for line in lines])), _told(lines), heading


def _told(lines: Sequence[Line]) -> str:
    """Lines as text; those that stand side by side, such as a number and its title, in one."""
    texts = [lines[0].text]
    for before, line in pairwise(lines):
        beside = not line.table and side_by_side(before, line)
        texts.append(f"{'  ' if beside else chr(10)}{line.text}")
    return "".join(texts)
