"""What is shown of running work: jobs and answers as live views, and who shows them. Knows no widget and no terminal."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from longctx import conversations
from longctx.answers import Answer
from longctx.backends.base import Memory
from longctx.citations import Citation
from longctx.corpus import Box, Corpus, Lines, Medium, Moment, Page, clock, split_lines
from longctx.errors import LongctxError
from longctx.jobs import Job
from longctx.plans import Plan
from longctx.summaries import PartSummary, Summary
from longctx.views import answer as answer_view
from longctx.views import citations as citation_view
from longctx.views import progress as progress_view
from longctx.views import timeline as timeline_view
from longctx.views.answer import AnswerState
from longctx.views.citations import CitationState, SourceLine
from longctx.views.live import Live, Presenter
from longctx.views.progress import ProgressState
from longctx.views.timeline import PartState, SummaryState

T = TypeVar("T")

#: Lines shown before and after a quote.
AROUND = 3
#: Seconds that the final state of a view is waited for.
SETTLE = 1.0
#: Pixels of the longer side of a picture inside an answer, beside a part of a summary, and shown alone.
SMALL_SIDE, PART_SIDE, LARGE_SIDE = 360, 240, 1280
#: Pictures inside one view at the most, so that a saved notebook stays small.
MOST_PICTURES = 12
NOT_SHOWN = "not shown here: citation.show() shows it"

_presenter: Presenter | None = None
#: In which cell of a notebook an answer is shown already: it must not stand there twice when it is the cell's last value.
_shown_in: weakref.WeakKeyDictionary[Answer, int] = weakref.WeakKeyDictionary()
#: Pictures by what decides about them, the oldest first.
_looked: dict[tuple[str, float, int, Box | None], bytes] = {}
_MOST_KEPT = 64
_looking = threading.Lock()


def set_presenter(presenter: Presenter | None) -> None:
    """Say who shows live views: a notebook's widgets, a terminal; None shows nothing."""
    global _presenter
    _presenter = presenter


def present(live: Live) -> Callable[[], None]:
    """Show a live view where the user looks; returns at once.

    What it returns waits a moment until what has ended stands there, so that nothing is printed into the middle of it.
    """
    shown = None if _presenter is None else _presenter(live)
    wait = getattr(shown, "wait", None)
    return (lambda: None) if wait is None else (lambda: wait(SETTLE))


class JobLive:
    """A job as a live view of progress and memory."""

    def __init__(self, job: Job[Any], plan: Plan) -> None:
        self.job = job
        self.title = job.title
        self._memory = plan.to_json()["memory"]
        self._began = time.monotonic()
        self._elapsed = 0.0

    @property
    def finished(self) -> bool:
        """Whether the job has ended."""
        return self.job.finished

    def stop(self) -> None:
        """Ask the job to stop."""
        self.job.cancel()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called at each report."""
        return self.job.watch(changed)

    def html(self) -> str:
        """Progress and memory as HTML."""
        return progress_view.html(self.state())

    def parts(self) -> list[str]:
        """Progress and memory in parts that are redrawn alone."""
        return progress_view.parts(self.state())

    def text(self) -> str:
        """Progress and memory as text."""
        return progress_view.text(self.state())

    def state(self) -> ProgressState:
        """The picture of now."""
        job = self.job
        if not job.finished or not self._elapsed:
            self._elapsed = time.monotonic() - self._began
        memory: Memory = job.progress.figures.get("memory") or Memory()
        shown = ("weights", "kv_cache", "state", "activations", "vision", "host")
        planned = {key: self._memory[key] for key in shown if key in self._memory}
        return ProgressState(
            title=self.title,
            state=job.state,
            progress=job.progress,
            elapsed=self._elapsed,
            planned=planned,
            measured=dict(memory.components),
            peak=memory.peak,
            available=self._memory["available"],
            stopping=job.stopping and not job.finished,
            error="" if job.error is None else str(job.error),
        )


class SummaryLive(JobLive):
    """A summary while it is being made: finished parts above the progress."""

    def __init__(self, summary: Summary, plan: Plan) -> None:
        super().__init__(summary.job, plan)
        self.summary = summary
        self._corpus = plan.corpus

    def html(self) -> str:
        """The parts so far with their citations, and the progress."""
        return timeline_view.html(self.picture(PART_SIDE))

    def parts(self) -> list[str]:
        """The same in parts that are redrawn alone; the picture of a finished part is made once."""
        return timeline_view.parts(self.picture(PART_SIDE))

    def text(self) -> str:
        """The parts so far with their citations, and the progress, as text."""
        return timeline_view.text(self.picture())

    def picture(self, side: int = 0) -> SummaryState:
        """The state of now; parts of a recording with what is to be seen then, at most ``side`` pixels wide and high."""
        parts: list[PartState] = []
        for part in list(self.summary.so_far):
            room = side if sum(bool(made.picture) for made in parts) < MOST_PICTURES else 0
            parts.append(part_state(part, self._corpus, side=room))
        progress = self.state()
        usage = asdict(self.summary.usage) if self.finished else {}
        sources = self._corpus.sources
        title = sources[0].path if len(sources) == 1 else f"{len(sources):,} sources"
        return SummaryState(title, self.summary.whole, parts, progress.state, usage, (), progress, progress.error)


class AnswerLive:
    """An answer as a live view: words as they come, then citations with their lines."""

    def __init__(self, answer: Answer, corpus: Corpus | Callable[[], Corpus]) -> None:
        self.answer = answer
        self._corpus = corpus
        self.title = answer.question

    @property
    def corpus(self) -> Corpus:
        """What the answer cites; it may still be read or added to when the answer is asked for."""
        return self._corpus if isinstance(self._corpus, Corpus) else self._corpus()

    @property
    def finished(self) -> bool:
        """Whether the answer has ended."""
        return self.answer.finished

    def stop(self) -> None:
        """Stop the model; what it said is kept."""
        self.answer.stop()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called when there is more."""
        return self.answer.watch(changed)

    def partial(self) -> str:
        """The words so far."""
        return self.answer.partial

    def html(self) -> str:
        """The answer as HTML; once it is finished, with pictures of what it cites, which may take seconds to make."""
        return answer_view.html(self.state(SMALL_SIDE))

    def parts(self) -> list[str]:
        """The answer in parts that are redrawn alone, without pictures."""
        return answer_view.parts(self.state())

    def text(self) -> str:
        """The answer as text."""
        return answer_view.text(self.state())

    def state(self, side: int = 0) -> AnswerState:
        """The state of now; what a finished answer cites with pictures of at most ``side`` pixels, 0 without."""
        answer, job = self.answer, self.answer.job
        if job.state != "done":
            return AnswerState(
                question=answer.question,
                text=answer.partial,
                reasoning=answer.partial_reasoning,
                state=job.state,
                error="" if job.error is None else str(job.error),
                progress=ProgressState(self.title, job.state, job.progress, stopping=job.stopping),
            )
        outcome = answer.outcome
        return AnswerState(
            question=answer.question,
            text=outcome.text,
            reasoning=outcome.reasoning,
            state="stopped" if outcome.stopped else "done",
            citations=citation_states(outcome.citations, self.corpus, side=side),
            unsupported=list(outcome.unsupported),
            usage=answer.to_json()["usage"],
            left_out=list(outcome.left_out),
            notes=[*outcome.differences, *outcome.notes],
        )


def citation_states(citations: Sequence[Citation], corpus: Corpus, *, side: int = 0) -> list[CitationState]:
    """Citations with their lines; where ``side`` is not 0, the first :data:`MOST_PICTURES` that can be seen with pictures."""
    states: list[CitationState] = []
    for citation in citations:
        full = sum(bool(state.picture) for state in states) >= MOST_PICTURES
        state = citation_state(citation, corpus, side=0 if full else side)
        states.append(replace(state, picture_note=NOT_SHOWN) if full and side and state.picture_alt else state)
    return states


def citation_state(citation: Citation, corpus: Corpus, *, side: int = 0) -> CitationState:
    """A citation with the lines of its source around it, and what the place looks like.

    Args:
        citation: to show.
        corpus: that it cites.
        side: pixels of the picture's longer side; 0 makes none, but says what would be seen.
    """
    origin = citation.origin
    alt, picture, remark = sight(citation, corpus, side)
    return replace(
        conversations.citation_state(citation),
        lines=source_lines(citation, corpus),
        box=origin.box if isinstance(origin, Page) else None,
        picture=picture,
        picture_alt=alt,
        picture_note=remark,
    )


def part_state(part: PartSummary, corpus: Corpus, *, side: int = 0) -> PartState:
    """A part of a summary; where it cites a recording, with the earliest moment that it cites."""
    citations = [citation_state(citation, corpus) for citation in part.outcome.citations]
    moments = [(place.origin.start, place) for place in part.outcome.citations if isinstance(place.origin, Moment)]
    if not moments:
        return PartState(part.title, part.outcome.text, citations)
    start, first = min(moments, key=lambda moment: moment[0])
    alt, picture, remark = sight(first, corpus, side)
    return PartState(part.title, part.outcome.text, citations, clock(start), picture, alt, remark)


def sight(citation: Citation, corpus: Corpus, side: int) -> tuple[str, bytes, str]:
    """What is to be seen at a cited place: in words, as a JPEG (empty where ``side`` is 0), and why there is no picture."""
    origin = citation.origin
    medium = next((source.medium for source in corpus.sources if origin is not None and source.path == origin.path), None)
    segment = corpus.segments.get(citation.segment)
    visual = segment.visuals[0] if segment is not None and segment.visuals else None
    match origin:
        case Lines() if visual is not None:
            alt, place, box, medium = f"Picture of {origin}", visual.places[0], None, visual.medium
        case Page() if medium is not None:
            alt = f"Picture {origin.path}" if origin.picture else f"Page {origin.number} of {origin.path}"
            place, box = 0.0 if origin.picture else float(origin.number), origin.box
        case Moment() if medium is not None:
            alt, place, box = f"Frame of {origin.path} at {clock(origin.start)}", origin.start, None
        case _:
            return "", b"", ""
    try:
        return alt, _look(medium, place, side, box) if side else b"", ""
    except (LongctxError, OSError) as error:
        return alt, b"", "no picture: " + str(error).replace("\n  ", "; ")


def _look(medium: Medium, place: float, side: int, box: Box | None) -> bytes:
    """A picture of a place, made once while it is among the last that were asked for."""
    key = (medium.identity, place, side, box)
    if (picture := _looked.get(key)) is None:
        picture = medium.look(place, side, box)
        with _looking:
            _looked[key] = picture
            while len(_looked) > _MOST_KEPT:
                del _looked[next(iter(_looked))]
    return picture


def source_lines(citation: Citation, corpus: Corpus) -> list[SourceLine]:
    """The cited lines with a few around them: number (None on a page), text, whether it is cited."""
    segment = corpus.segments.get(citation.segment)
    if segment is None:
        return []
    lines = [line.rstrip("\r\n") for line in split_lines(segment.text)]
    match segment.origin, citation.origin:
        case Lines(), Lines() as cited:
            placed = [(*segment.lines_at(index), line) for index, line in enumerate(lines)]
            return [
                SourceLine(first, line, first <= cited.last and cited.first <= last)
                for first, last, line in placed
                if first <= cited.last + AROUND and cited.first - AROUND <= last
            ]
        case _, Page() | Moment():
            return [SourceLine(None, line, bool(line.strip()) and line.strip() in citation.quote) for line in lines]
    return [SourceLine(None, line) for line in lines]


def show(what: Answer | Citation, corpus: Callable[[], Corpus]) -> None:
    """Show an answer or a citation where the user looks; an answer only once in a notebook's cell."""
    if isinstance(what, Citation):
        _present_or_print(CitationLive(what, corpus()))
    elif _shown_in.get(what, 0) != (cell := _cell()) or not cell:
        _shown_in[what] = cell
        _present_or_print(AnswerLive(what, corpus))


def _present_or_print(live: Live) -> None:
    if _presenter is not None:
        _presenter(live)
    elif live.finished:
        print(live.text(), file=sys.stdout)


def format_as_html(kind: type[T], html: Callable[[T], str]) -> None:
    """Have a notebook show values of a kind, which knows no view itself, by this function."""
    if (shell := _shell()) is not None:
        shell.display_formatter.formatters["text/html"].for_type(kind, html)


def _cell() -> int:
    """The number of the notebook's cell that runs now; 0 elsewhere."""
    return int(getattr(_shell(), "execution_count", 0))


def _shell() -> Any:
    """The running IPython, or None."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


class CitationLive:
    """One citation with its lines, and large what the place looks like; never changes."""

    def __init__(self, citation: Citation, corpus: Corpus) -> None:
        self.title = citation.label
        self._citation, self._corpus = citation, corpus

    @property
    def finished(self) -> bool:
        """It is complete from the start."""
        return True

    def html(self) -> str:
        """The citation as HTML, its lines open; a picture may take seconds to make."""
        return citation_view.html(citation_state(self._citation, self._corpus, side=LARGE_SIDE))

    def text(self) -> str:
        """The citation as text."""
        return citation_view.text(citation_state(self._citation, self._corpus))

    def stop(self) -> None:
        """Nothing runs."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Nothing changes."""
        return lambda: None
