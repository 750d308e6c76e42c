"""The map of a repository for a person: its files, what is worth most first, with what they define and where.

The same shapes and ranks by which :mod:`longctx.fitting` chooses, within a number of tokens: of each file all that it defines,
what stands at its margin, as much of that as there is room for, or its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from longctx import counting, reading
from longctx.corpus import Corpus, Lines, Segment, Source
from longctx.errors import UsageError
from longctx.jobs import Job
from longctx.sources.programs.ranking import ranks
from longctx.sources.programs.shapes import BY_LOOK, Shape, installed, shapes
from longctx.views.safe import oneline

#: Tokens of a map where nobody said how long it may be.
TOKENS = 8_000
#: Of what is left of these, what one file may take with its definitions; tokens that the last line takes at most.
SHARE, REST = 0.25, 16
#: Definitions that say more of a file than how many there are.
FEW = 3
#: Characters of a line that are shown.
WIDTH = 120


def repository_map(corpus: Corpus, budget: int = TOKENS, model: str | None = None, job: Job[Any] | None = None) -> str:
    """The files of a corpus with their definitions and line numbers, as text.

    Args:
        corpus: as it was read.
        budget: tokens that the map may take.
        model: whose tokenizer counts, as for :func:`longctx.read`.
        job: its stop ends the work.

    Raises:
        UsageError: the budget is below 1.

    >>> text = "class Station:\\n    def send(self):\\n        return 1\\n"
    >>> source = Source("a.py", "/a.py", "code", 9, "", (Segment(text, Lines("a.py", 1, 3)),))
    >>> print(repository_map(Corpus((source,), ())))
    a.py
        1  class Station:
        2      def send(self):
    """
    if budget < 1:
        raise UsageError(f"budget={budget!r} is no number of tokens", hint="give budget=8_000")
    check = job.check if job is not None else _go_on
    known = shapes(corpus.sources, check, words=True)
    rank = ranks(corpus.sources, check, known=known)
    paths = sorted(rank, key=lambda path: (-rank[path], path))
    notes = [f"({BY_LOOK})"] if known and not installed() else []
    files = [*(_File(note) for note in notes), *(_file(path, known.get(path, Shape())) for path in paths)]
    return "\n".join(_chosen(files, budget, counting.Plain(reading.tokenizer(model))))


@dataclass(frozen=True)
class _File:
    """A file in the map.

    Args:
        name: as it is shown.
        lines: of its definitions, each after a line end, and how many definitions are around each.
    """

    name: str
    lines: tuple[tuple[str, int], ...] = ()

    @property
    def forms(self) -> list[str]:
        """With all its definitions, with those at the margin, by its name; each shorter than the one before."""
        found = [self.name + "".join(line for line, depth in self.lines if depth <= most) for most in (99, 0)]
        count = len(self.lines)
        found.append(f"{self.name}  ({count:,} definition{'' if count == 1 else 's'})" if count else self.name)
        return sorted(dict.fromkeys(found), key=len, reverse=True)

    def part(self, room: int, measure: counting.Measure) -> str:
        """With the first of its definitions at the margin, or of all where few stand there; empty where few have room."""
        margin = [line for line, depth in self.lines if not depth]
        lines = margin if len(margin) >= FEW else [line for line, _ in self.lines]
        left = room - REST - _cost(self.name, measure)
        shown = sum(spent <= left for spent in accumulate(_costs(lines, measure)))
        more = f"\n       … and {len(self.lines) - shown:,} more definitions"
        return "".join((self.name, *lines[:shown], more)) if FEW <= shown < len(self.lines) else ""


def _file(path: str, shape: Shape) -> _File:
    return _File(oneline(path), tuple((_line(shape, head.at), head.depth) for head in shape.heads))


def _line(shape: Shape, at: int) -> str:
    line = shape.lines[at].expandtabs(4)
    indent = " " * min(len(line) - len(line.lstrip()), 24)
    shown = oneline(line)
    return f"\n{shape.numbers[at]:>5}  {indent}{shown[:WIDTH]}{'…' if len(shown) > WIDTH else ''}"


def _chosen(files: Sequence[_File], budget: int, measure: counting.Measure) -> Iterator[str]:
    """Of each file the longest form within a share of what is left, else the shortest; then how many are left."""
    costs = iter(_costs([f"{form}\n" for file in files for form in file.forms], measure))
    left = budget - REST
    for place, file in enumerate(files):
        priced = [(form, next(costs)) for form in file.forms]
        text, cost = next((one for one in priced if one[1] <= left * SHARE), priced[-1])
        if (text, cost) == priced[-1] and (part := file.part(int(left * SHARE), measure)):
            text, cost = part, _cost(f"{part}\n", measure)
        if cost > left:
            yield f"… and {len(files) - place:,} more"
            return
        left -= cost
        yield text


def _cost(text: str, measure: counting.Measure) -> int:
    return _costs([text], measure)[0]


def _costs(texts: Sequence[str], measure: counting.Measure) -> list[int]:
    """Tokens of each text."""
    costs = measure.costs([_text(number, text) for number, text in enumerate(texts)])
    return [costs[str(number)].total - costs[str(number)].frame for number in range(len(texts))]


def _text(number: int, text: str) -> Source:
    return Source(str(number), "", "code", 0, "", (Segment(text, Lines(str(number), 1, 1)),))


def _go_on() -> None:
    """Nobody can stop a map without a job."""
