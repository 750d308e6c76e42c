"""Summaries that keep their citations: part by part, then the whole. Knows how to divide and combine, not how to speak."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from longctx.citations import Citation
from longctx.corpus import Corpus, Moment, Segment, Source
from longctx.jobs import Job
from longctx.outcomes import Outcome, Usage

#: A summary has about so many parts at the most, however many files there are.
MOST_PARTS = 12

SUMMARISED = "the part that was summarised"
PART = "Summarize {title} in two or three sentences. Name the segments that you rest on."
COMBINE = "Combine these summaries into one of at most five sentences. Keep the segment numbers in square brackets.\n\n{digest}"


@dataclass(frozen=True)
class Part:
    """Segments that are summarised together.

    Args:
        title: the file, or the files from first to last.
        segments: their ids, in reading order.
        moment: of a recording, from when to when.
    """

    title: str
    segments: tuple[int, ...]
    moment: Moment | None = None


@dataclass(frozen=True)
class PartSummary:
    """The summary of one part; the fields of ``outcome`` are those of an answer."""

    title: str
    outcome: Outcome
    moment: Moment | None = None

    def to_json(self) -> dict[str, Any]:
        """As the JSON contract of ``longctx summarize`` has it; a part of a recording has the seconds of its start and end."""
        citations = [citation.to_json() for citation in self.outcome.citations]
        dated = {} if self.moment is None else {"start": self.moment.start, "end": self.moment.end}
        return {"title": self.title, **dated, "text": self.outcome.text, "citations": citations}


#: Has the model speak: which segments it shall see (None: as planned), what it is asked, which segments it may rest on (none:
#: all); returns what came of it.
Speak = Callable[[Sequence[int] | None, str, Sequence[int]], Outcome]


@dataclass
class Summary:
    """A summary that fills in while the model works. ``text`` and ``parts`` wait for the end; ``so_far`` does not."""

    so_far: list[PartSummary] = field(default_factory=list)
    whole: str = ""
    usage: Usage = field(default_factory=Usage)
    job: Job[None] = field(init=False)

    @property
    def text(self) -> str:
        """The summary of the whole; waits for the end."""
        self.job.result()
        return self.whole

    @property
    def parts(self) -> list[PartSummary]:
        """Part by part, with citations; waits for the end."""
        self.job.result()
        return self.so_far

    def stop(self) -> None:
        """Stop; finished parts are kept. Returns at once."""
        self.job.cancel()

    def to_json(self) -> dict[str, Any]:
        """The summary as the JSON contract of ``longctx summarize`` has it; waits for the end."""
        return {"summary": self.text, "parts": [part.to_json() for part in self.parts], "usage": asdict(self.usage)}

    def __str__(self) -> str:
        return self.text

    def __await__(self) -> Generator[Any, None, Summary]:
        yield from self.job.__await__()
        return self


def parts_of(corpus: Corpus, tokens: Mapping[int, int], most_tokens: int) -> list[Part]:
    """Divide a corpus into parts that fit a prompt, about :data:`MOST_PARTS` at the most where they may be as large.

    Args:
        corpus: with its segments in reading order.
        tokens: tokens of each segment, by id.
        most_tokens: tokens that the segments of one part may take.
    """
    aim = min(most_tokens, max(1, sum(tokens.values()) // MOST_PARTS))
    groups: list[_Group] = []
    size = 0
    for source, numbered in corpus.numbered():
        members: _Group = [(source, number, segment) for number, segment in numbered]
        if members and _is_recording(members):
            groups += _entries(members, tokens, most_tokens)
            size = most_tokens + 1  # the next source begins a part of its own
            continue
        whole = sum(tokens[number] for _, number, _ in members)
        if not groups or size + whole > aim:
            groups.append([])
            size = 0
        for member in members:
            if groups[-1] and size + tokens[member[1]] > most_tokens:
                groups.append([])
                size = 0
            groups[-1].append(member)
            size += tokens[member[1]]
    return [Part(_title(group), tuple(number for _, number, _ in group), _moment(group)) for group in groups if group]


_Group = list[tuple[Source, int, Segment]]


def _is_recording(group: _Group) -> bool:
    return all(isinstance(segment.origin, Moment) for _, _, segment in group)


def _entries(members: _Group, tokens: Mapping[int, int], most_tokens: int) -> list[_Group]:
    """A recording by time: about :data:`MOST_PARTS` entries at the most where they may be as large."""
    aim = min(most_tokens, max(1, sum(tokens[number] for _, number, _ in members) // MOST_PARTS))
    groups: list[_Group] = [[]]
    size = 0
    for member in members:
        if groups[-1] and size + tokens[member[1]] > aim:
            groups.append([])
            size = 0
        groups[-1].append(member)
        size += tokens[member[1]]
    return groups


def _moment(group: _Group) -> Moment | None:
    """From when to when, for a part of a recording."""
    first, last = group[0][2].origin, group[-1][2].origin
    if isinstance(first, Moment) and isinstance(last, Moment):
        return Moment(first.path, first.start, last.end)
    return None


def summarize(summary: Summary, parts: Sequence[Part], speak: Speak, whole_at_hand: bool, job: Job[None]) -> None:
    """Fill a summary.

    Args:
        summary: gets a part after each question.
        parts: from :func:`parts_of`.
        speak: asks the model.
        whole_at_hand: whether the model has read everything already, so that only questions are left to read.
        job: is told of each part, and asked for a stop between them.
    """
    for number, part in enumerate(parts):
        job.check()
        job.report("summarize", number, len(parts), unit="parts")
        outcome = speak(None if whole_at_hand else part.segments, PART.format(title=part.title), part.segments)
        summary.so_far.append(PartSummary(part.title, _dated(outcome, part), part.moment))
        summary.usage = _add(summary.usage, outcome.usage)
    summary.whole = summary.so_far[0].outcome.text if len(parts) == 1 else _combine(summary, speak)
    job.report("summarize", len(parts), len(parts), unit="parts")


def _dated(outcome: Outcome, part: Part) -> Outcome:
    """A part of a recording always rests on its own time, even where the model cites nothing."""
    if part.moment is None or outcome.citations:
        return outcome
    return replace(outcome, citations=(Citation(1, part.segments[0], part.moment, "", True, "matched", SUMMARISED),))


def _combine(summary: Summary, speak: Speak) -> str:
    digest = "\n".join(f"{part.title}: {part.outcome.text}" for part in summary.so_far)
    outcome = speak((), COMBINE.format(digest=digest), ())
    summary.usage = _add(summary.usage, outcome.usage)
    return outcome.text


def _add(total: Usage, more: Usage) -> Usage:
    """Tokens added up, the first time to a first token, the latest speed."""
    return Usage(
        prompt_tokens=total.prompt_tokens + more.prompt_tokens,
        reused_tokens=total.reused_tokens + more.reused_tokens,
        reused_from=more.reused_from if more.reused_tokens else total.reused_from,
        miss_reason=total.miss_reason or more.miss_reason,
        new_tokens=total.new_tokens + more.new_tokens,
        seconds_to_first_token=total.seconds_to_first_token or more.seconds_to_first_token,
        decode_tokens_per_s=more.decode_tokens_per_s,
        guessed_tokens=total.guessed_tokens + more.guessed_tokens,
        accepted_tokens=total.accepted_tokens + more.accepted_tokens,
    )


def _title(group: _Group) -> str:
    paths = list(dict.fromkeys(source.path for source, _, _ in group))
    if len(paths) > 1:
        return f"{paths[0]} to {paths[-1]} ({len(paths)} files)"
    if (moment := _moment(group)) is not None:
        return f"{paths[0]}, {moment.where}"
    (source, _, first), (_, _, last) = group[0], group[-1]
    whole = (first, last) == (source.segments[0], source.segments[-1])
    return paths[0] if whole else f"{paths[0]}, {first.origin.where} to {last.origin.where}"
