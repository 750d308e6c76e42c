"""What is read of one source for which there is less room than it takes: a shorter form of it, its first segments, its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from longctx.corpus import Segment, Source
from longctx.counting import Cost, Measure
from longctx.sources.outline import outline
from longctx.sources.page_text import page_text

#: How a source is read of which not all is.
FEWER, SIGNATURES, TEXT, BEGINNING = "fewer or smaller frames", "signatures", "the text of its pages", "its first segments"
NAME, NOTHING, LATER, CHOSEN = "its name only", "nothing", "as much of its text as fits", "chosen for each question"
#: What many sources are told by.
MANY = {
    "": "whole",
    FEWER: "with fewer or smaller frames",
    SIGNATURES: "by signatures",
    TEXT: "by the text of their pages",
    BEGINNING: "by their first segments",
    NAME: "by name only",
    NOTHING: "not at all",
    LATER: "by as much of their text as fits",
}
#: Forms of a source that say less of it; empty where it has none.
_SHORTER: Mapping[str, Callable[[Source], tuple[Segment, ...]]] = {SIGNATURES: outline, TEXT: page_text}


@dataclass(frozen=True)
class Form:
    """A source as it may be read.

    Args:
        source: with its segments in that form.
        cost: of it in tokens.
        how: ``SIGNATURES`` or ``TEXT``; empty for whole.
    """

    source: Source
    cost: Cost
    how: str = ""


@dataclass(frozen=True)
class Part:
    """What is read of one source.

    Args:
        source: with the segments that are read; None where not even its name is.
        tokens: of it.
        how: one of the words above; empty for whole.
        words: the same with numbers.
    """

    source: Source | None
    tokens: int
    how: str = ""
    words: str = ""


def forms(sources: Iterable[Source], costs: Mapping[str, Cost], measure: Measure) -> Mapping[str, Form]:
    """Code by its signatures and documents by the text of their pages, by path, where that is less.

    Args:
        sources: whole.
        costs: of them, by path.
        measure: counts tokens.
    """
    found = [(replace(s, segments=said), how) for s in sources for how, shorten in _SHORTER.items() if (said := shorten(s))]
    shorter = measure.costs([source for source, _ in found])
    made = (Form(source, shorter[source.path], how) for source, how in found)
    return {form.source.path: form for form in made if form.cost.total < costs[form.source.path].total}


def beginning(form: Form, room: int) -> Part:
    """As many of the first segments of a form as there is room for; else the source's name; else nothing.

    Args:
        form: of the source.
        room: tokens.
    """
    cost, left, kept = form.cost, room - form.cost.frame, 0
    while kept < len(cost.segments) and cost.segments[kept] <= left:
        left -= cost.segments[kept]
        kept += 1
    if room < cost.frame:
        return Part(None, 0, NOTHING, NOTHING)
    if not kept and cost.segments:
        return Part(replace(form.source, segments=()), cost.frame, NAME, NAME)
    part = replace(form.source, segments=form.source.segments[:kept])
    if kept == len(cost.segments):
        return Part(part, room - left, form.how, form.how)
    return Part(part, room - left, form.how or BEGINNING, _cut(form, kept))


def _cut(form: Form, kept: int) -> str:
    """What is read of a form of which not all is."""
    of = len(form.cost.segments)
    if form.how == SIGNATURES:
        return f"{SIGNATURES}, the first {kept:,} of {of:,} stretches"
    words = f"its first {kept:,} of {of:,} segments, the last of them {form.source.segments[kept - 1].origin.where}"
    return f"{form.how}, {words}" if form.how else words
