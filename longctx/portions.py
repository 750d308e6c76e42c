"""What is read of one source for which there is less room than it takes: a shorter form of it, its first segments, its name.

Code is read whole to some line and by its signatures from there, a document by the text of its pages, a video that stands for
itself by its subtitles. More room never shows less of a source.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from longctx.corpus import Lines, Source
from longctx.counting import Cost, Measure
from longctx.sources.page_text import page_text
from longctx.sources.programs.outline import outline
from longctx.sources.programs.shapes import Shape, shapes

#: How a source is read of which not all is.
FEWER, SIGNATURES, TEXT, BEGINNING = "fewer or smaller frames", "signatures", "the text of its pages", "its first segments"
SUBTITLES, MIXED = "subtitles", "whole to some line, then by signatures"
NAME, NOTHING, LATER, CHOSEN = "its name only", "nothing", "as much of its text as fits", "chosen for each question"
#: What many sources are told by.
MANY = {
    "": "whole",
    FEWER: "with fewer or smaller frames",
    SIGNATURES: "by signatures",
    MIXED: "by signatures from some line on",
    SUBTITLES: "by subtitles",
    TEXT: "by the text of their pages",
    BEGINNING: "by their first segments",
    NAME: "by name only",
    NOTHING: "not at all",
    LATER: "by as much of their text as fits",
}


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


def forms(
    sources: Sequence[Source], costs: Mapping[str, Cost], measure: Measure, known: Mapping[str, Shape] | None = None
) -> Mapping[str, Form]:
    """Code by its signatures and documents by the text of their pages, by path, where that is less.

    Args:
        sources: whole.
        costs: of them, by path.
        measure: counts tokens.
        known: shapes of all that is code; None finds them.
    """
    known = shapes(sources) if known is None else known
    found = []
    for source in sources:
        for how, said in ((SIGNATURES, outline(source, known.get(source.path, Shape()))), (TEXT, page_text(source))):
            found += [(replace(source, segments=said), how)] if said else []
    shorter = measure.costs([source for source, _ in found])
    made = (Form(source, shorter[source.path], how) for source, how in found)
    return {form.source.path: form for form in made if form.cost.total < costs[form.source.path].total}


def within(whole: Form, shorter: Form | None, room: int) -> Part:
    """As much of a source as there is room for.

    Args:
        whole: all of it.
        shorter: another form of it, where it has one.
        room: tokens.
    """
    if whole.cost.total <= room:
        return Part(whole.source, whole.cost.total)
    if shorter is None:
        return beginning(whole, room)
    if shorter.cost.total <= room and shorter.how == SIGNATURES:
        return _mixed(whole, shorter, room)
    return beginning(shorter, room)


def _mixed(whole: Form, shorter: Form, room: int) -> Part:
    """The first segments whole, and the signatures of the rest: as many segments as there is room for."""
    ends = [segment.origin.last for segment in whole.source.segments if isinstance(segment.origin, Lines)]
    firsts = [segment.origin.first for segment in shorter.source.segments if isinstance(segment.origin, Lines)]
    spent = list(accumulate(whole.cost.segments))
    saved = list(accumulate(shorter.cost.segments, initial=0))
    best = 0, 0, shorter.cost.total
    for count, end in enumerate(ends, start=1):
        said = bisect_right(firsts, end)
        total = shorter.cost.total + spent[count - 1] - saved[said]
        if total <= room and (count == len(ends) or ends[count] > end):  # a long line is several segments: never a part of it
            best = count, said, total
    count, said, total = best
    if not count:
        return Part(shorter.source, total, SIGNATURES, SIGNATURES)
    segments = (*whole.source.segments[:count], *shorter.source.segments[said:])
    if said == len(firsts):
        return Part(replace(whole.source, segments=segments), total, BEGINNING, _cut(whole, count))
    words = f"its first {ends[count - 1]:,} lines, and {SIGNATURES} from there"
    return Part(replace(whole.source, segments=segments), total, MIXED, words)


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
