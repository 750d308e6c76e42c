"""What of a plan's corpus is read for one question where not all of it fits, what is left out then, and what the question
points at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from longctx import citations, prompts, retrieval
from longctx.corpus import clock
from longctx.plans import Plan
from longctx.stream import TokenStream


def index(plan: Plan) -> retrieval.Index:
    """Every segment that may be chosen, with what it costs at the most: its own tokens and the frame of its source."""
    stream, always = plan.stream, _always(plan)
    rows, paths = [], []
    for source, numbered in plan.corpus.numbered():
        if source.path in always:
            continue
        frame = stream.tokens_per_source[source.path] - sum(stream.tokens_per_segment[n] for n, _ in numbered)
        for number, segment in numbered:
            text = f"{source.path} {segment.heading}\n{segment.text}"
            rows.append((number, text, stream.tokens_per_segment[number] + frame))
            paths.append(source.path)
    return retrieval.Index(rows, paths)


def for_question(plan: Plan, among: retrieval.Index, question: str) -> tuple[TokenStream, str]:
    """The segments that matter for a question, and a note that says so.

    Args:
        plan: whose corpus does not fit as a whole.
        among: from :func:`index`.
        question: a time that it names chooses what stands there.
    """
    stream, segments = plan.stream, plan.corpus.segments
    asked = [number for time in citations.named(question) for number in citations.held(time, segments, segments)]
    always, given = _always(plan), plan.given
    room = plan.figures.segment_budget - sum(stream.tokens_per_source[path] for path in always)
    choice = among.choose(question, max(0, room), first=asked, caps=given.caps if given else ())
    read = [n for source, numbered in plan.corpus.numbered() if source.path in always for n, _ in numbered]
    note = f"{len(choice.ids):,} of {len(segments) - len(read):,} segments were chosen for this question: {choice.reason}"
    note += f"; {len(read):,} more are read for every question, within their budgets" if read else ""
    return stream.select([*choice.ids, *read]), note


def pointed(plan: Plan, question: str) -> str:
    """The question, and what recordings hold at the times that it names: so close to it, a weak model looks there too."""
    segments = plan.corpus.segments
    places = ((time, number) for time in citations.named(question) for number in citations.held(time, segments, segments))
    notes = (prompts.point(clock(time), number, segments[number].text) for time, number in places)
    return "".join((question, *notes))


def left_out(plan: Plan, seen: frozenset[int]) -> list[Mapping[str, Any]]:
    """Files that the model did not see, or saw in part.

    Args:
        plan: which may leave out something for every question.
        seen: ids of the segments that it saw.
    """
    rows: list[Mapping[str, Any]] = [asdict(entry) for entry in plan.given.left_out] if plan.given else []
    tokens = plan.stream.tokens_per_segment
    for source, numbered in plan.corpus.numbered():
        missing = [number for number, _ in numbered if number not in seen]
        if missing:
            part = "" if len(missing) == len(numbered) else f"{len(missing)} of {len(numbered)} segments "
            reason = f"{part}not chosen for this question"
            rows.append({"path": source.path, "tokens": sum(tokens[n] for n in missing), "reason": reason})
    return rows


def _always(plan: Plan) -> frozenset[str]:
    """Sources that every question reads, where segments are chosen."""
    return frozenset() if plan.given is None else plan.given.always
