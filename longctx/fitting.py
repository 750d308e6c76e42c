"""A corpus within a budget of tokens: what is worth most for its tokens.

Each source goes as far up as there is room: nothing, its name, its signatures (or the text of its pages, or its subtitles), all
of it. Names come first, but those of thousands of files only as a part of what is read. Steps up are taken in the order of what
they are worth for a token, and that order does not depend on the budget: the first step for which there is no room is taken in
part, and none after it. So a larger budget never reads less of a source. Pictures and videos, of which nothing can be taken in
part, come after everything else.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush
from itertools import pairwise
from numbers import Integral
from typing import Any

from longctx import counting, reading
from longctx.corpus import Corpus, Row, Status
from longctx.counting import Measure
from longctx.errors import UsageError
from longctx.jobs import Job
from longctx.portions import MANY, MIXED, NAME, NOTHING, SIGNATURES, SUBTITLES, TEXT, Form, Part, forms, within
from longctx.sources.programs.ranking import ranks
from longctx.sources.programs.shapes import BY_LOOK, Shape, installed, shapes

#: How much of what a source is worth its shorter form has.
SHORT = 0.6
#: Tokens of names that come before all texts; of what comes after these, how many names there are for a token of text.
NAMES, NAMES_BESIDE = 2_000, 1 / 3
#: Read only where there is room after all the rest.
LAST = ("image", "video")
_BY = {SIGNATURES: "by its ", SUBTITLES: "by its ", TEXT: "by "}


def check(budget: object) -> None:
    """Refuse what is no budget.

    Raises:
        UsageError: it is no whole number above 0.
    """
    if isinstance(budget, bool) or not isinstance(budget, Integral) or budget < 1:
        raise UsageError(f"budget={budget!r} is no number of tokens", hint="give budget=50_000")


def fit(corpus: Corpus, budget: int, model: str | None = None, job: Job[Any] | None = None) -> Corpus:
    """What is worth most of a corpus within a budget, in the same order; the corpus itself where all of it fits.

    Args:
        corpus: as it was read.
        budget: tokens, as ``longctx read`` counts them, and of the names of all files, which it does not count.
        model: whose tokenizer counts, as for :func:`read`.
        job: its stop ends the work.

    Raises:
        UsageError: the budget is no number of tokens, or has no room for a name.
    """
    check(budget)
    fitting = _Fitting(corpus, budget, counting.Plain(reading.tokenizer(model)), job)
    return corpus if fitting.all_fits else fitting.corpus_within()


@dataclass(frozen=True)
class _Step:
    """A step up of one source.

    Args:
        path: of the source.
        tokens: that it costs.
        last: whether it comes after all others.
        rate: what it is worth for a token.
        number: of the steps of this source, from 1; 0 is its name.
    """

    path: str
    tokens: int
    last: bool
    rate: float
    number: int

    @property
    def order(self) -> tuple[bool, float, str, int]:
        """The least is taken first."""
        return self.last, -self.rate, self.path, self.number


@dataclass(frozen=True)
class _Fitting:
    """A corpus that may be more than its budget."""

    base: Corpus
    budget: int
    measure: Measure
    job: Job[Any] | None

    def _go_on(self) -> None:
        if self.job is not None:
            self.job.check()

    @cached_property
    def whole(self) -> Mapping[str, Form]:
        """All of every source, by its path."""
        costs = self.measure.costs(self.base.sources)
        return {source.path: Form(source, costs[source.path]) for source in self.base.sources}

    @property
    def all_fits(self) -> bool:
        """Whether nothing need be cut."""
        return self._of_all <= self.budget

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Of all that is code."""
        return shapes(self.base.sources, self._go_on, words=True)

    @cached_property
    def shorter(self) -> Mapping[str, Form]:
        """The shorter form of each source that has one."""
        costs = {path: form.cost for path, form in self.whole.items()}
        films = [replace(one, footage=None) for one in self.base.sources if one.footage is not None and one.segments]
        said = self.measure.costs(films)
        subtitles = {film.path: Form(film, said[film.path], SUBTITLES) for film in films}
        return {**forms(self.base.sources, costs, self.measure, self.shapes), **subtitles}

    @cached_property
    def worth(self) -> Mapping[str, float]:
        """What each source is worth: its rank, and twice as much where it is four times as long."""
        found = ranks(self.base.sources, self._go_on, known=self.shapes)
        return {path: rank * math.sqrt(self.whole[path].cost.total) for path, rank in found.items()}

    # -- what is read ------------------------------------------------------------------------------------------------
    def corpus_within(self) -> Corpus:
        """What is read within the budget."""
        rooms: dict[str, int] = {}
        left = self.budget
        for step in self._sequence():
            before = rooms.get(step.path, 0)
            if left >= step.tokens or step.number:
                rooms[step.path] = self._part(step.path, before + min(step.tokens, left)).tokens
            if left < step.tokens and not step.last:
                break
            left -= rooms[step.path] - before
        if not rooms:
            hint = f"those of all files take {self._of_names:,}; give more, or exclude some"
            raise UsageError(f"budget={self.budget} has no room for the name of a single file", hint=hint)
        return self._made({path: self._part(path, rooms.get(path, 0)) for path in self.whole})

    def _sequence(self) -> Iterator[_Step]:
        """Names and steps up as they are taken, whatever the budget; of each source its name first."""
        steps: dict[str, list[_Step]] = defaultdict(list)
        for step in self._steps():
            steps[step.path].append(step)
        waiting: list[tuple[tuple[bool, float, str, int], _Step]] = []
        ahead = -float(NAMES)  # how many tokens of names more there are than there should be
        for path in sorted(self.whole, key=lambda path: (-self.worth[path], path)):
            while ahead > 0 and waiting and not waiting[0][1].last:
                step = heappop(waiting)[1]
                ahead -= step.tokens * NAMES_BESIDE
                yield step
            frame = self.whole[path].cost.frame
            ahead += frame
            yield _Step(path, frame, False, math.inf, 0)
            for step in steps[path]:
                heappush(waiting, (step.order, step))
        yield from (heappop(waiting)[1] for _ in range(len(waiting)))

    @property
    def _of_names(self) -> int:
        """Tokens of all names."""
        return sum(form.cost.frame for form in self.whole.values())

    @property
    def _of_all(self) -> int:
        """Tokens of everything, names included."""
        return sum(form.cost.total for form in self.whole.values())

    def _steps(self) -> Iterator[_Step]:
        """From a name to a shorter form, from there to all of a source."""
        for path, whole in self.whole.items():
            levels, shares = [whole.cost.frame, whole.cost.total], [1.0]
            if path in self.shorter:
                levels.insert(1, self.shorter[path].cost.total)
                shares = [SHORT, 1 - SHORT]
            costs = [upper - lower for lower, upper in pairwise(levels)]
            rates = [self.worth[path] * share / max(cost, 1) for share, cost in zip(shares, costs, strict=True)]
            if rates[0] < rates[-1]:  # a shorter form that says little for its tokens: all of it is one step
                rates = [self.worth[path] / sum(costs)] * len(rates)
            for number, (cost, rate) in enumerate(zip(costs, rates, strict=True), start=1):
                yield _Step(path, cost, whole.source.kind in LAST, rate, number)

    def _part(self, path: str, room: int) -> Part:
        part = within(self.whole[path], self.shorter.get(path), room)
        if part.source is None or part.source.footage is None or not part.how:
            return part
        return replace(part, source=replace(part.source, footage=None))  # its name: no frame is shown

    # -- what there is to say ----------------------------------------------------------------------------------------
    def _made(self, parts: Mapping[str, Part]) -> Corpus:
        """The corpus of what is read, with a word in the row of all that was cut, and a row for all of it."""
        rows = [self._row(row, parts[row.path]) if row.path in parts else row for row in self.base.manifest]
        notes = [row.reason for row in rows if (row.path, row.kind) == (".", "folder")]
        rows = [row for row in rows if (row.path, row.kind) != (".", "folder")]
        rows.append(Row(".", "folder", "truncated", "; ".join(filter(None, (*notes, self._sentence(parts))))))
        return Corpus(tuple(part.source for part in parts.values() if part.source is not None), tuple(rows))

    def _row(self, row: Row, part: Part) -> Row:
        if not part.how:
            return row
        of = self.whole[row.path].cost
        cut = f"{_BY.get(part.how, '')}{part.words}, {part.tokens - of.frame:,} of {of.total - of.frame:,} tokens"
        said = {NAME: NAME, NOTHING: "not even its name"}.get(part.how, cut)
        cut_short: Status = "redacted" if row.status == "redacted" else "truncated"
        status: Status = "skipped" if part.how == NOTHING else cut_short
        shape = self.shapes.get(row.path) if part.how in (SIGNATURES, MIXED) else None
        looks = f"found by their look ({shape.why})" if shape is not None and shape.why else ""
        return replace(row, status=status, reason="; ".join(filter(None, (row.reason, f"{said}, for the budget", looks))))

    def _sentence(self, parts: Mapping[str, Part]) -> str:
        """What the budget gave up, in words."""
        hows = Counter(part.how for part in parts.values())
        told = ", ".join(f"{hows[how]:,} {words}" for how, words in MANY.items() if hows[how])
        names = f"the names of all would take {self._of_names:,}" if hows[NOTHING] else ""
        looks = BY_LOOK if (hows[SIGNATURES] or hows[MIXED]) and not installed() else ""
        head = f"of {len(parts):,} sources, for the budget of {self.budget:,} tokens: {told}"
        return "; ".join(filter(None, (head, f"all would take {self._of_all:,}, names included", names, looks)))
