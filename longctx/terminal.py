"""A conversation in a terminal or a plain log: progress on standard error, answers on standard output as they come."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from longctx import showing
from longctx.answers import Answer
from longctx.corpus import Corpus
from longctx.jobs import Job, Worker
from longctx.views import answer as answer_view
from longctx.views import progress, terminal, units
from longctx.views.live import Live

T = TypeVar("T")

#: Seconds that a stopped answer is given to end between two tokens or chunks.
PATIENCE = 60.0


def present(live: Live) -> object:
    """Show a live view on standard error."""
    return terminal.present(live)


def follow(answer: Answer, corpus: Corpus, *, quiet: bool = False) -> bool:
    """Print an answer as it comes, then what it rests on; an interrupt stops it and keeps what was said.

    Args:
        answer: just asked.
        corpus: for the lines that it cites.
        quiet: print nothing, only wait.

    Returns:
        whether it was stopped.
    """
    live = showing.AnswerLive(answer, corpus)
    shown = None if quiet else terminal.stream_text(live, status=live.text)
    try:
        answer.job.wait()
    except KeyboardInterrupt:
        answer.job.wait(PATIENCE)
    if shown is not None:
        shown.wait()
        print("\n" + _what_it_rests_on(live) + "\n", flush=True)
    return answer.outcome.stopped


def _what_it_rests_on(live: showing.AnswerLive) -> str:
    """The answer's view without the question; and without the words, unless marks of the model's were renumbered in them."""
    state = live.state()
    same = all(citation.basis == "matched" for citation in state.citations)
    return answer_view.text(replace(state, text="") if same else state).partition("\n\n")[2]


def recall(answer: Answer, corpus: Corpus) -> None:
    """Print the last turn of a conversation that was reopened, with what differs since it was saved."""
    earlier = len(answer.turns) - 1
    if earlier:
        print(f"({units.plural(earlier, 'earlier turn')})\n")
    print(answer_view.text(showing.AnswerLive(answer, corpus).state()), flush=True)


def prompt(text: str) -> str:
    """A line from the user, without the spaces around it; empty at the end of the input."""
    try:
        return input(text).strip()
    except EOFError:
        return ""


def watch_here(job: Job[T]) -> T:
    """Run a job that has no session yet on a thread of its own, show its progress, and give its result."""
    worker = Worker(job.title)
    try:
        shown = terminal.present(_Plain(job))
        worker.submit(job)
        result = job.result()
        shown.wait(1.0)
        return result
    finally:
        worker.close()


class _Plain:
    """A job without a plan as a live view."""

    def __init__(self, job: Job[T]) -> None:
        self.title = job.title
        self._job = job
        self.watch = job.watch
        self.stop = job.cancel

    @property
    def finished(self) -> bool:
        return self._job.finished

    def html(self) -> str:
        return progress.html(self._state())

    def text(self) -> str:
        return progress.text(self._state())

    def _state(self) -> progress.ProgressState:
        return progress.ProgressState(self.title, self._job.state, self._job.progress)
