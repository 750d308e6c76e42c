"""What is shown of running work: jobs and answers as live views, and who shows them. Knows no widget and no terminal."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from longctx.answers import Answer
from longctx.backends.base import Memory
from longctx.citations import Citation
from longctx.corpus import Corpus, Lines, Page, split_lines
from longctx.jobs import Job
from longctx.planning import Plan
from longctx.summaries import Summary
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

_presenter: Presenter | None = None
#: In which cell of a notebook an answer is shown already: it must not stand there twice when it is the cell's last value.
_shown_in: weakref.WeakKeyDictionary[Answer, int] = weakref.WeakKeyDictionary()


def set_presenter(presenter: Presenter | None) -> None:
    """Say who shows live views: a notebook's widgets, a terminal; None shows nothing."""
    global _presenter
    _presenter = presenter


def present(live: Live) -> None:
    """Show a live view where the user looks; returns at once."""
    if _presenter is not None:
        _presenter(live)


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

    def text(self) -> str:
        """Progress and memory as text."""
        return progress_view.text(self.state())

    def state(self) -> ProgressState:
        """The picture of now."""
        job = self.job
        if not job.finished or not self._elapsed:
            self._elapsed = time.monotonic() - self._began
        memory: Memory = job.progress.figures.get("memory") or Memory()
        planned = {key: self._memory[key] for key in ("weights", "kv_cache", "state", "activations")}
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
        return timeline_view.html(self.picture())

    def text(self) -> str:
        """The parts so far with their citations, and the progress, as text."""
        return timeline_view.text(self.picture())

    def picture(self) -> SummaryState:
        """The picture of now."""
        parts = [
            PartState(part.title, part.outcome.text, [citation_state(c, self._corpus) for c in part.outcome.citations])
            for part in list(self.summary.so_far)
        ]
        progress = self.state()
        usage = asdict(self.summary.usage) if self.finished else {}
        title = f"{len(self._corpus.sources)} sources"
        return SummaryState(title, self.summary.whole, parts, progress.state, usage, (), progress, progress.error)


class AnswerLive:
    """An answer as a live view: words as they come, then citations with their lines."""

    def __init__(self, answer: Answer, corpus: Corpus) -> None:
        self.answer = answer
        self.corpus = corpus
        self.title = answer.question

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
        """The answer as HTML."""
        return answer_view.html(self.state())

    def text(self) -> str:
        """The answer as text."""
        return answer_view.text(self.state())

    def state(self) -> AnswerState:
        """The picture of now."""
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
            citations=[citation_state(citation, self.corpus) for citation in outcome.citations],
            unsupported=list(outcome.unsupported),
            usage=answer.to_json()["usage"],
            left_out=list(outcome.left_out),
            notes=list(outcome.notes),
        )


def citation_state(citation: Citation, corpus: Corpus) -> CitationState:
    """A citation with the lines of its source around it."""
    origin = citation.origin
    return CitationState(
        number=citation.number,
        label=citation.label,
        where=citation.where,
        quote=citation.quote,
        verified=citation.verified,
        basis=citation.basis,
        lines=source_lines(citation, corpus),
        note=citation.note,
        page=origin.number if isinstance(origin, Page) else None,
        box=origin.box if isinstance(origin, Page) else None,
    )


def source_lines(citation: Citation, corpus: Corpus) -> list[SourceLine]:
    """The cited lines with a few around them: number (None on a page), text, whether it is cited."""
    segment = corpus.segments.get(citation.segment)
    if segment is None:
        return []
    lines = [line.rstrip("\r\n") for line in split_lines(segment.text)]
    match segment.origin, citation.origin:
        case Lines() as whole, Lines() as cited:
            numbered = [(whole.first + i, line) for i, line in enumerate(lines)]
            near = range(cited.first - AROUND, cited.last + AROUND + 1)
            return [SourceLine(n, line, cited.first <= n <= cited.last) for n, line in numbered if n in near]
        case _, Page():
            return [SourceLine(None, line, bool(line.strip()) and line.strip() in citation.quote) for line in lines]
    return [SourceLine(None, line) for line in lines]


def show(what: Answer | Citation, corpus: Corpus) -> None:
    """Show an answer or a citation where the user looks; an answer only once in a notebook's cell."""
    if isinstance(what, Citation):
        _present_or_print(CitationLive(what, corpus))
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
    """One citation with its lines; never changes."""

    def __init__(self, citation: Citation, corpus: Corpus) -> None:
        self.title = citation.label
        self._state = citation_state(citation, corpus)

    @property
    def finished(self) -> bool:
        """It is complete from the start."""
        return True

    def html(self) -> str:
        """The citation as HTML, its lines open."""
        return citation_view.html(self._state)

    def text(self) -> str:
        """The citation as text."""
        return citation_view.text(self._state)

    def stop(self) -> None:
        """Nothing runs."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Nothing changes."""
        return lambda: None
