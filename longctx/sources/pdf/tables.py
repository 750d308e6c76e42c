"""Tables: found by the lines that are ruled between their cells or rows, or by cells that stand in columns; told as Markdown.

Nothing is looked for on a page that has neither. Cells in columns are a table only where they were set row by row, which the
columns of prose are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from longctx.corpus import Box
from longctx.sources.pdf.lines import Line, Paint, middle_in, side_by_side, union

#: Points: how thick a ruled line is at most, how long at least, how far from each other its ends may lie to meet.
_THICK, _LONG, _MEET = 3.5, 6.0, 3.0
#: A page with more ruled lines, or a table with more of them in one direction, is a drawing.
_MOST_RULES, _MOST_LINES = 3000, 400
#: Share of a table's cells that hold something, characters of a cell on average at most.
_FILLED, _CELL_CHARS = 0.35, 300
#: Rows at least, and characters of a cell on average at most, where nothing is ruled.
_ROWS, _SHORT = 3, 30
#: Lines between which at least two rows stand, where nothing is ruled between columns; points that are free between these;
#: share of the cells that hold something, characters of one on average at most.
_LINES_OF_BANDS, _GUTTER, _TOLD, _CELL = 4, 8.0, 0.6, 80
#: A word with its box.
Word = tuple[Box, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its box, and its rows, each with its box and its cells."""

    box: Box
    rows: tuple[tuple[Box, tuple[str, ...]], ...]

    def lines(self, number: int) -> list[Line]:
        """The table as Markdown, a line for each row; the rule below the head belongs to the first.

        Args:
            number: that tells it from other tables of the page, from 1.
        """
        head, *others = [(box, _row(cells)) for box, cells in self.rows]
        rule = "| " + " | ".join("---" for _ in self.rows[0][1]) + " |"
        return [Line(box, text, 0.0, table=number) for box, text in ((head[0], f"{head[1]}\n{rule}"), *others)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables(blocks: Sequence[Sequence[Line]], areas: Sequence[Paint], words: Callable[[], Sequence[Word]]) -> list[Table]:
    """The tables of a page.

    Args:
        blocks: lines in the order in which they were set, in the frame of the page.
        areas: what is painted besides text, in the same frame.
        words: gives the words of the page; asked only where something is ruled.
    """
    rules = _rules(areas)
    found = list(_ruled(rules, words)) if len(rules) >= 4 else []
    found += _banded(rules, words, [table.box for table in found]) if len(rules) >= _LINES_OF_BANDS else []
    free = [line for block in blocks for line in block if not any(middle_in(line.box, table.box) for table in found)]
    return [*found, *_aligned(free, rules)]


# -- ruled -----------------------------------------------------------------------------------------------------------
def _rules(areas: Sequence[Paint]) -> list[Box]:
    """Ruled lines: thin boxes, and the four sides of rectangles that are drawn."""
    found: list[Box] = []
    for area in areas:
        x0, y0, x1, y1 = box = area.box
        width, height = x1 - x0, y1 - y0
        if not area.rectangle or max(width, height) < _LONG:
            continue
        if min(width, height) <= _THICK:
            found.append(box)
        elif area.stroked:
            found += [(x0, y0, x1, y0 + 2), (x0, y1 - 2, x1, y1), (x0, y0, x0 + 2, y1), (x1 - 2, y0, x1, y1)]
    return found if len(found) <= _MOST_RULES else []


def _ruled(rules: Sequence[Box], words: Callable[[], Sequence[Word]]) -> Iterator[Table]:
    for group in _meeting(rules):
        across = [box for box in group if box[2] - box[0] > box[3] - box[1]]
        down = [box for box in group if box[2] - box[0] <= box[3] - box[1]]
        if min(len(across), len(down)) < 2 or max(len(across), len(down)) > _MOST_LINES:
            continue
        grid = _Grid(across, down)
        if grid.is_one and (table := grid.table([word for word in words() if middle_in(word[0], grid.box)])):
            yield table


def _meeting(rules: Sequence[Box]) -> list[list[Box]]:
    """Ruled lines that meet each other, directly or by others."""
    done: list[list[Box]] = []
    groups: list[tuple[Box, list[Box]]] = []  # those that what comes further down the page can still meet
    for rule in sorted(rules, key=lambda box: (box[1], box[0])):
        near: list[tuple[Box, list[Box]]] = []
        far: list[tuple[Box, list[Box]]] = []
        for group in groups:
            if group[0][3] + _MEET < rule[1]:
                done.append(group[1])
            else:
                (near if _touch(group[0], rule) else far).append(group)
        groups = [*far, (union([rule, *[box for box, _ in near]]), [rule, *[box for _, boxes in near for box in boxes]])]
    return [*done, *[boxes for _, boxes in groups]]


def _touch(one: Box, other: Box) -> bool:
    return (
        one[0] - _MEET <= other[2] and other[0] - _MEET <= one[2] and one[1] - _MEET <= other[3] and other[1] - _MEET <= one[3]
    )


class _Grid:
    """Cells between ruled lines; where a line is missing between two, they are one."""

    def __init__(self, across: Sequence[Box], down: Sequence[Box]) -> None:
        self._across, self._down = across, down
        self.box = union([*across, *down])
        self._ys = _places([(box[1] + box[3]) / 2 for box in across] + [self.box[1] + 1, self.box[3] - 1])
        self._xs = _places([(box[0] + box[2]) / 2 for box in down] + [self.box[0] + 1, self.box[2] - 1])

    @property
    def is_one(self) -> bool:
        """Whether there are two rows and two columns at least."""
        return len(self._ys) > 2 and len(self._xs) > 2

    def table(self, words: Sequence[Word]) -> Table | None:
        """The table with its words, or None where it is no table: mostly empty, or pages of text in frames."""
        cells: dict[tuple[int, int], list[Word]] = {}
        for word in words:
            place = self._cell((word[0][0] + word[0][2]) / 2, (word[0][1] + word[0][3]) / 2)
            cells.setdefault(place, []).append(word)
        columns, rows = len(self._xs) - 1, len(self._ys) - 1
        texts = [[_flowed(cells.get((row, column), ())) for column in range(columns)] for row in range(rows)]
        texts, kept = _without_empty(texts)
        full = [text for row in texts for text in row if text]
        if len(texts) < 2 or len(texts[0]) < 2 or len(full) < _FILLED * len(texts) * len(texts[0]):
            return None
        if sum(map(len, full)) > _CELL_CHARS * len(full):
            return None
        left, _, right, _ = self.box
        boxes = [(left, self._ys[row], right, self._ys[row + 1]) for row in kept]
        return Table(self.box, tuple((box, tuple(row)) for box, row in zip(boxes, texts, strict=True)))

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of the cell in which a point lies, the first of those that are joined."""
        row = _between(self._ys, y)
        column = _between(self._xs, x)
        while column and not _crosses(self._down, self._xs[column], y, 0):
            column -= 1
        middle = (self._xs[column] + self._xs[column + 1]) / 2
        while row and not _crosses(self._across, self._ys[row], middle, 1):
            row -= 1
        return row, column


def _crosses(rules: Sequence[Box], at: float, along: float, axis: int) -> bool:
    """Whether a rule runs at a place, past a point of the other axis."""
    return any(
        abs((box[axis] + box[axis + 2]) / 2 - at) <= _MEET and box[1 - axis] - 1 <= along <= box[3 - axis] + 1 for box in rules
    )


def _places(values: Sequence[float]) -> list[float]:
    """Ascending, those that lie together drawn to one."""
    found: list[list[float]] = []
    for value in sorted(values):
        if found and value - found[-1][-1] <= _MEET:
            found[-1].append(value)
        else:
            found.append([value])
    return [sum(some) / len(some) for some in found]


def _between(places: Sequence[float], value: float) -> int:
    for index in range(len(places) - 1):
        if value < places[index + 1]:
            return index
    return len(places) - 2


def _flowed(words: Sequence[Word]) -> str:
    return " ".join(text for _, text in words)


def _without_empty(texts: list[list[str]]) -> tuple[list[list[str]], list[int]]:
    """Rows and columns that hold something, and the numbers of these rows."""
    kept = [number for number, row in enumerate(texts) if any(row)]
    columns = [number for number in range(len(texts[0]) if texts else 0) if any(row[number] for row in texts)]
    return [[texts[row][column] for column in columns] for row in kept], kept


# -- ruled between rows only -------------------------------------------------------------------------------------------
def _banded(rules: Sequence[Box], words: Callable[[], Sequence[Word]], taken: Sequence[Box]) -> list[Table]:
    """Tables whose rows stand between lines that run across, and whose columns are told by gutters through all rows."""
    across = [box for box in rules if box[2] - box[0] > 10 * (box[3] - box[1]) and not any(middle_in(box, t) for t in taken)]
    by_extent: dict[tuple[int, int], list[Box]] = {}
    for line in _whole(across):
        by_extent.setdefault((round(line[0] / _MEET), round(line[2] / _MEET)), []).append(line)
    many = [lines for lines in by_extent.values() if _LINES_OF_BANDS <= len(lines) <= _MOST_LINES]
    return [table for lines in many if (table := _between_lines(lines, words()))]


def _whole(across: Sequence[Box]) -> list[Box]:
    """Lines that run on in each other, as one."""
    found: list[Box] = []
    for box in sorted(across, key=lambda box: (round(box[1]), box[0])):
        if found and round(found[-1][1]) == round(box[1]) and box[0] <= found[-1][2] + _MEET:
            found[-1] = union([found[-1], box])
        else:
            found.append(box)
    return found


def _between_lines(lines: Sequence[Box], words: Sequence[Word]) -> Table | None:
    box = union(lines)
    ys = _places([(line[1] + line[3]) / 2 for line in lines])
    inside = [word for word in words if middle_in(word[0], box)]
    gutters = _gutters([word[0] for word in inside])
    if not gutters or len(ys) < _LINES_OF_BANDS:
        return None
    xs = [box[0], *gutters, box[2]]
    cells: dict[tuple[int, int], list[Word]] = {}
    for word in inside:
        place = _between(ys, (word[0][1] + word[0][3]) / 2), _between(xs, (word[0][0] + word[0][2]) / 2)
        cells.setdefault(place, []).append(word)
    texts = [[_flowed(cells.get((row, column), ())) for column in range(len(xs) - 1)] for row in range(len(ys) - 1)]
    full = [text for row in texts for text in row if text]
    if not all(map(any, texts)) or len(full) < _TOLD * len(texts) * len(texts[0]) or sum(map(len, full)) > _CELL * len(full):
        return None
    boxes = [(box[0], ys[row], box[2], ys[row + 1]) for row in range(len(texts))]
    return Table(box, tuple((one, tuple(row)) for one, row in zip(boxes, texts, strict=True)))


def _gutters(boxes: Sequence[Box]) -> list[float]:
    """The middles of stretches across which no word reaches."""
    found: list[float] = []
    reached = float("inf")
    for box in sorted(boxes):
        if box[0] - reached >= _GUTTER:
            found.append((reached + box[0]) / 2)
        reached = box[2] if reached == float("inf") else max(reached, box[2])
    return found


# -- aligned ---------------------------------------------------------------------------------------------------------
def _aligned(lines: Sequence[Line], rules: Sequence[Box]) -> Iterator[Table]:
    """Tables of cells in columns: rows that follow each other in the order of setting."""
    run: list[list[Line]] = []
    for row in [*_rows(lines), []]:
        if run and row and _goes_on(run, row):
            run.append(row)
            continue
        if table := _columns(run, rules):
            yield table
        run = [row] if len(row) > 1 else []


def _rows(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines that were set one after the other, each right of the one before it."""
    row: list[Line] = []
    for line in lines:
        if row and not side_by_side(row[-1], line):
            yield row
            row = []
        row.append(line)
    if row:
        yield row


def _goes_on(run: Sequence[Sequence[Line]], row: Sequence[Line]) -> bool:
    """Whether a row stands right below the one before it; one line alone must go on with a cell that is not the first."""
    height = run[-1][0].box[3] - run[-1][0].box[1]
    gap = row[0].box[1] - max(line.box[3] for line in run[-1])
    if not -0.5 * height <= gap <= 2.0 * height:
        return False
    if len(row) > 1:
        return True
    return gap < 0.6 * height and any(abs(line.box[0] - row[0].box[0]) < 2 for line in run[-1][1:])


def _columns(run: Sequence[Sequence[Line]], rules: Sequence[Box]) -> Table | None:
    """The table that rows make, if their cells stand in columns and are short."""
    most = max((len(row) for row in run), default=0)
    whole = [row for row in run if len(row) == most]
    enough = most >= 3 or (most == 2 and _is_ruled(run, rules))
    if not enough or len(whole) < min(_ROWS, len(run)) or len(run) < _ROWS or 2 * len(whole) < len(run):
        return None
    spans = [(min(row[at].box[0] for row in whole), max(row[at].box[2] for row in whole)) for at in range(most)]
    if any(left[1] >= right[0] for left, right in pairwise(spans)):
        return None
    cells = [line.text for row in run for line in row]
    if sum(map(len, cells)) > _SHORT * len(cells):
        return None
    rows: list[tuple[Box, tuple[str, ...]]] = []
    for row in run:
        texts = _in_columns(row, spans)
        if len(row) == 1 and rows:
            box, before = rows.pop()
            texts = [" ".join(filter(None, pair)) for pair in zip(before, texts, strict=True)]
            rows.append((union([box, row[0].box]), tuple(texts)))
        else:
            rows.append((union([line.box for line in row]), tuple(texts)))
    return Table(union([box for box, _ in rows]), tuple(rows))


def _in_columns(row: Sequence[Line], spans: Sequence[tuple[float, float]]) -> list[str]:
    texts = [""] * len(spans)
    for line in row:
        overlaps = [min(line.box[2], right) - max(line.box[0], left) for left, right in spans]
        at = overlaps.index(max(overlaps))
        texts[at] = f"{texts[at]} {line.text.strip()}".strip()
    return texts


def _is_ruled(run: Sequence[Sequence[Line]], rules: Sequence[Box]) -> bool:
    """Whether two ruled lines or more run across, above, below or between the rows."""
    left, top, right, bottom = union([line.box for row in run for line in row])
    height = run[0][0].box[3] - run[0][0].box[1]
    wide = [box for box in rules if box[0] <= left + 5 and box[2] >= right - 5 and box[3] - box[1] <= _THICK]
    return len({round(box[1]) for box in wide if top - height <= box[1] <= bottom + height}) >= 2
