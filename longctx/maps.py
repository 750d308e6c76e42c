"""The map of a repository for a person: its files, what is worth most first, with what they define and where.

The same shapes and ranks by which :mod:`longctx.fitting` chooses, within a number of tokens: of each file all that it defines,
what stands at its margin, or its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    forms = [*([note] for note in notes), *(_forms(path, known.get(path, Shape())) for path in paths)]
    return "\n".join(_chosen(forms, budget, counting.Plain(reading.tokenizer(model))))


def _forms(path: str, shape: Shape) -> list[str]:
    """A file in the map: with all its definitions, with those at the margin, by name; each shorter than the one before."""
    name = oneline(path)
    found = [name + "".join(_line(shape, head.at) for head in shape.heads if head.depth <= depth) for depth in (99, 0)]
    count = len(shape.heads)
    found.append(f"{name}  ({count:,} definition{'' if count == 1 else 's'})" if count else name)
    return sorted(dict.fromkeys(found), key=len, reverse=True)


def _line(shape: Shape, at: int) -> str:
    line = shape.lines[at].expandtabs(4)
    indent = " " * min(len(line) - len(line.lstrip()), 24)
    shown = oneline(line)
    return f"\n{shape.numbers[at]:>5}  {indent}{shown[:WIDTH]}{'…' if len(shown) > WIDTH else ''}"


def _chosen(forms: Sequence[Sequence[str]], budget: int, measure: counting.Measure) -> Iterator[str]:
    """Of each file the longest form within a share of what is left, else the shortest; then how many are left."""
    texts = [f"{text}\n" for file in forms for text in file]
    costs = measure.costs([_text(number, text) for number, text in enumerate(texts)])
    tokens = iter([costs[str(number)].total - costs[str(number)].frame for number in range(len(texts))])
    left = budget - REST
    for place, file in enumerate(forms):
        priced = [(text, next(tokens)) for text in file]
        text, cost = next((one for one in priced if one[1] <= left * SHARE), priced[-1])
        if cost > left:
            yield f"… and {len(forms) - place:,} more"
            return
        left -= cost
        yield text


def _text(number: int, text: str) -> Source:
    return Source(str(number), "", "code", 0, "", (Segment(text, Lines(str(number), 1, 1)),))


def _go_on() -> None:
    """Nobody can stop a map without a job."""
