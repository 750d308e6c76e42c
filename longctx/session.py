"""Where the parts meet: a loaded plan that can be asked.

All work of a session runs on its engine's one thread, in the order in which it was asked for.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any

from longctx import citations, conversations, engines, prompts, reopening, retrieval, selection, showing, sources
from longctx.answers import Answer
from longctx.assembly import Exchange, Prompt, assemble, assemble_fitting, stop_ids, with_source
from longctx.backends.base import Reuse, Sampling
from longctx.conversations import Conversation, Turn
from longctx.corpus import Corpus
from longctx.engines import Make
from longctx.errors import ClosedError, FramesLostError, Stopped, UsageError
from longctx.jobs import Job, in_kernel
from longctx.models import with_weights
from longctx.outcomes import Outcome
from longctx.planning import extended, fulfilled, loadable, plan, without_frames
from longctx.plans import Plan
from longctx.speech import Speech
from longctx.stream import TokenStream
from longctx.summaries import Summary, parts_of, summarize

MATCHED = "the model named no segment; longctx matched its sentences to the sources"


class Session:
    """A model that has read a corpus. Made by :func:`load`.

    ``close()`` stops what runs; the end of a ``with`` block waits for what was asked for, and then closes.

    Args:
        plan: what to load.
        make: builds the backend; None takes transformers.

    Raises:
        UsageError: the plan has no corpus, or is for a device that is not in this machine.
        DoesNotFitError: the plan does not fit.
        ModelNotFoundError: the weights are not here and the hub cannot be reached.
    """

    def __init__(self, plan: Plan, make: Make | None = None) -> None:
        self.plan = plan = loadable(plan)
        self._make = make
        self._engine = engines.acquire(plan.spec(with_weights(plan.files)), make)
        self._release = weakref.finalize(self, engines.release, self._engine)
        self._index: retrieval.Index | None = None
        self._last: Job[Any]
        self._read: tuple[Reuse, float] | None = None  # of the corpus, when it was read; the next answer accounts for it
        self._coming = plan.request.corpus or plan.corpus  # with what is still to be added
        self.loading: Job[None] = Job(self._load, title=f"load {plan.model}")
        self._submit(self.loading)

    # -- for the user ------------------------------------------------------------------------------------------------
    @property
    def corpus(self) -> Corpus:
        """What the model reads; for a model that cannot see, pictures are text in it once the session is loaded."""
        return self.plan.corpus

    def ask(
        self,
        question: str,
        *,
        thinking: bool | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        max_tokens: int = 1024,
        seed: int | None = None,
        lookup: bool = True,
        show: bool = True,
    ) -> Answer:
        """Ask about the corpus. Returns at once; the answer fills in while you look at it.

        Args:
            question: each one starts afresh over the same prefix; ``answer.ask`` follows up.
            thinking: let the model reason first, where it can; None leaves it to the model's template.
            temperature: 0 is greedy; None leaves it to the model's generation config, as for the next two.
            top_p: smallest set of tokens with this probability.
            top_k: at most so many candidates.
            max_tokens: most tokens of the answer, reasoning included.
            seed: makes sampling repeatable.
            lookup: whether what the model may be about to quote is guessed from the prompt: the same answer, only sooner.
            show: whether the answer is shown where the user looks.

        Raises:
            UsageError: the question is empty, or a value is out of range.
            ClosedError: the session was closed.
        """
        return self._ask(question, None, Sampling(temperature, top_p, top_k, max_tokens, seed, lookup), thinking, show)

    def add(self, *paths: str | os.PathLike[str], show: bool = True, **options: Any) -> Session:
        """Read more, and put it behind what is there, of which nothing is prefilled again.

        The plan is made again with the options that it was made with, and ``session.plan`` is the new one. Where the corpus
        outgrows the window, the window grows where none was asked for; a YaRN step that this needs is announced by the plan,
        and reads all of it anew. Where it cannot grow, the plan's other ways are taken: segments are then chosen for each
        question. What budgets cut is cut anew where the window grows. The next answer says what was reused. In a notebook it
        returns once the files are read, and questions wait for the rest; elsewhere it blocks until all is prefilled.

        Args:
            paths: folders, files and archives. Names begin with the name of their path, as with several given to
                :func:`longctx.read`; one that is taken is numbered. A file that was read already and has not changed since is
                not read twice; one that has changed is read as it is now, besides what it was.
            show: whether progress is shown where the user looks.
            options: as for :func:`longctx.read`, but for ``budget`` and ``model``, which say what is read of all sources.

        Returns:
            this session: ``session.add("notes/").ask("…")``.

        Raises:
            UsageError: as :func:`longctx.read`; a budget.
            EmptyCorpusError: nothing readable was found.
            DoesNotFitError: there is no memory for it, in any way; the session goes on as it was.
            ClosedError: the session was closed.
        """
        if self.closed:
            raise ClosedError("add: the session is closed", hint="load the plan again")
        if refused := {"budget", "behind", "model"} & options.keys():
            hint = "read with it before, and plan what was read: lc.plan(lc.read(..., budget=50_000))"
            raise UsageError(f"add takes no {min(refused)}=", hint=hint)
        before = self._coming
        read = sources.read(*paths, behind=before, **options)
        more = Corpus(read.sources[len(before.sources) :], read.manifest[len(before.manifest) :])
        if more.sources:
            self._coming = read
            self._run(Job(lambda job: self._add(job, more), title=f"add {_names(more)}"), show)
        return self

    def reopen(self, path: str | os.PathLike[str]) -> Answer:
        """Go on with a saved conversation: gives its last answer, ``.ask`` follows up, ``.turns`` has them all.

        Every citation is checked again against the sources as they are now; one whose place or words are gone says so and is
        not verified any more. The answer's notes tell which sources changed, and whether the model is another one.

        Args:
            path: a file that :meth:`longctx.Answer.save` wrote.

        Raises:
            ConversationError: it cannot be read, is no conversation, is damaged, or is of a newer longctx.
            ClosedError: the session was closed.
        """
        saved = conversations.read(path)
        answer: Answer | None = None
        for number in range(len(saved.turns)):
            answer = self._reopened(saved, number, answer)
        assert answer is not None  # a conversation has a turn
        if not in_kernel():
            answer.job.wait()
        return answer

    def summarize(self, *, max_tokens: int = 256, show: bool = True) -> Summary:
        """Summarise the corpus part by part, with citations. Returns at once.

        Args:
            max_tokens: most tokens of one part.
            show: whether it is shown where the user looks.
        """
        summary = Summary()
        summary.job = Job(lambda job: self._summarize(job, summary, Sampling(max_tokens=max_tokens)), title="summarize")
        self._submit(summary.job)
        if show:
            showing.present(showing.SummaryLive(summary, self.plan))
        return summary

    def close(self) -> None:
        """Stop what runs and give the memory back, unless another session uses the same weights."""
        self._release()

    @property
    def closed(self) -> bool:
        """Whether the session was closed."""
        return self._engine.ended or not self._release.alive

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None and not self.closed:
            self._last.wait()  # what was asked for is finished first, as with an executor; an error ends it at once
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else self.loading.state
        return f"<Session {self.plan.model}, {self.plan.figures.prompt_tokens:,} tokens, {state}>"

    # -- on the worker -----------------------------------------------------------------------------------------------
    def _submit(self, job: Job[Any]) -> None:
        if self.closed:
            raise ClosedError(f"{job.title}: the session is closed", hint="load the plan again")
        self._last = self._engine.worker.submit(job)

    def _run(self, job: Job[None], show: bool) -> None:
        """Have a job done, and outside of a notebook wait for it."""
        self._submit(job)
        settle = showing.present(showing.JobLive(job, self.plan)) if show else None
        if not in_kernel():
            try:
                job.result()
            finally:
                if settle is not None:
                    settle()

    def _load(self, job: Job[None]) -> None:
        if self.plan.pending:
            self.plan = self._fulfilled(job)
        self._read_corpus(job)

    def _add(self, job: Job[None], more: Corpus) -> None:
        """Go on with more behind the corpus. What goes wrong on the way to the new plan leaves the session as it was."""
        self.loading.result()
        before = self.plan
        head = len(self._head().ids) if before.whole else 0
        try:
            self.plan, self._index = self._extended(job, more), None
            self._read_corpus(job, head)
        except BaseException:
            self.plan, self._index = before, None
            engines.change(self._engine, before.spec(with_weights(before.files)), self._make, again=True)
            lost = {source.path for source in more.sources}
            left = (source for source in self._coming.sources if source.path not in lost)
            self._coming = Corpus(tuple(left), tuple(row for row in self._coming.manifest if row not in more.manifest))
            raise

    def _extended(self, job: Job[None], more: Corpus) -> Plan:
        """The plan with more behind its corpus. Weights that others use stay as they are, and the window with them."""
        for settled in (False, True):
            plan = extended(self.plan, more, job, settled=settled)
            plan = fulfilled(plan, job, settled=settled) if plan.pending else plan
            plan.require_fit()
            if engines.change(self._engine, plan.spec(with_weights(plan.files)), self._make, again=True):
                break
        return plan

    def _read_corpus(self, job: Job[None], head: int = 0) -> None:
        """Load the weights unless they are there, and prefill the corpus where all of it is read at once.

        Args:
            job: is told of progress.
            head: tokens of the one before, behind which there is more now; where all of them are reused, nothing is missing.
        """
        self._engine.loaded = True
        self._engine.backend.load(job)
        if self.plan.whole:
            began = time.monotonic()
            reuse, _ = self._prefill(job, self._head)
            reuse = replace(reuse, miss_reason="") if 0 < head <= reuse.tokens else reuse
            self._read = (reuse, time.monotonic() - began)

    def _fulfilled(self, job: Job[None]) -> Plan:
        """The plan with its pictures read as text. What was estimated is exact now, and with it the window and the memory."""
        exact = fulfilled(self.plan, job)
        if engines.change(self._engine, exact.spec(with_weights(exact.files)), self._make):
            exact.require_fit()
            return exact
        return fulfilled(self.plan, job, settled=True)  # others use these weights as they are

    def _head(self) -> Prompt:
        """What every question begins with."""
        prompt = assemble(self.plan, self.plan.stream, "")
        return replace(prompt, ids=prompt.ids[: prompt.head], marks=prompt.marks[:1])

    def _prefill(self, job: Job[Any], assembled: Callable[[], Prompt], prompt: Prompt | None = None) -> tuple[Reuse, Prompt]:
        """Read a prompt. Frames that turn out not to be decodable are left out of the plan, and the prompt is made again."""
        while True:
            prompt = prompt or assembled()
            try:
                reuse = self._engine.backend.prefill(prompt.ids, job, marks=prompt.marks, visuals=prompt.visuals)
                return with_source(reuse, prompt, self.plan), prompt
            except FramesLostError as error:  # fewer frames each time, so this ends
                self.plan, self._index, prompt = without_frames(self.plan, error.path, error.places, job), None, None

    def _ask(self, question: str, before: Answer | None, sampling: Sampling, thinking: bool | None, show: bool) -> Answer:
        _check(question, sampling)
        answer = self._turn(question, before, sampling, thinking)
        history = () if before is None else self._history(before)
        answer.job = Job(lambda job: self._answer(job, answer, history, sampling, thinking), title=question)
        self._submit(answer.job)
        if show:
            showing.show(answer, lambda: self.corpus)
        return answer

    def _turn(self, question: str, before: Answer | None, sampling: Sampling, thinking: bool | None) -> Answer:
        """An answer whose job is still to be made; a follow-up is asked as it was, unless told otherwise."""

        def follow(text: str, *, thinking: bool | None = thinking, show: bool = True, **options: Any) -> Answer:
            return self._ask(text, answer, replace(sampling, **options), thinking, show)

        asked = {"thinking": thinking, **asdict(sampling)}
        answer = Answer(question, follow=follow, show=self._show, keep=self._conversation, before=before, options=asked)
        return answer

    def _history(self, answer: Answer) -> tuple[Exchange, ...]:
        """The turns up to an answer, as a follow-up has them before it; waits for its end."""
        return tuple(
            Exchange(selection.pointed(self.plan, told.question), told.text, told.outcome.ids) for told in answer.turns
        )

    def _conversation(self, turns: Sequence[Turn]) -> Conversation:
        """Turns with what they are with: the model, and the corpus as it is."""
        plan = self.plan
        return Conversation(
            tuple(turns), plan.model, plan.tokenizer.fingerprint, prompts.VERSION, conversations.sources_of(plan.corpus)
        )

    def _reopened(self, saved: Conversation, number: int, before: Answer | None) -> Answer:
        """A turn of a saved conversation; it is checked on the worker, since pictures may have to be read as text before."""
        turn = saved.turns[number]
        answer = self._turn(turn.question, before, reopening.sampling(turn), turn.options.get("thinking"))
        answer.partial, answer.partial_reasoning = turn.outcome.text, turn.outcome.reasoning

        def check(job: Job[Outcome]) -> Outcome:
            self.loading.result()
            outcome = reopening.outcome(saved, number, self.corpus, self.plan.model, self.plan.tokenizer)
            return replace(outcome, citations=self._showable(outcome.citations))

        answer.job = Job(check, title=f"reopen {turn.question}")
        self._submit(answer.job)
        return answer

    def _answer(
        self, job: Job[Outcome], answer: Answer, history: Sequence[Exchange], sampling: Sampling, thinking: bool | None
    ) -> Outcome:
        self.loading.result()
        notes: list[str] = []

        def prompt() -> Prompt:
            stream, chosen = self._segments_for(answer.question)
            made, dropped = assemble_fitting(
                self.plan, stream, selection.pointed(self.plan, answer.question), history, thinking
            )
            notes[:] = [f"the turn {told.question!r} no longer fits and was left out" for told in dropped]
            notes.extend(filter(None, (chosen, *self.plan.notes)))
            return made

        outcome, seen = self._speak(job, prompt, sampling, answer.say)
        segments, question = self.corpus.segments, answer.question
        places = citations.at_times(question, segments, seen, outcome.citations) or citations.nearest(question, segments, seen)
        return replace(
            outcome,
            citations=self._showable(places),
            left_out=tuple(selection.left_out(self.plan, seen)),
            notes=(*notes, *outcome.notes),
        )

    def _speak(
        self, job: Job[Any], assembled: Callable[[], Prompt], sampling: Sampling, say: Any, citable: Sequence[int] = ()
    ) -> tuple[Outcome, frozenset[int]]:
        """Read a prompt, have the model speak, and check what it said; also gives the segments on which it may rest."""
        if not self._engine.loaded:  # another plan was tried, and could not be loaded
            self._engine.loaded = True
            self._engine.backend.load(job)
        backend = self._engine.backend
        prompt = assembled()
        tokenizer = self.plan.tokenizer
        speech = Speech(tokenizer.streamer(), tokenizer.added, prompt.thinking)
        said: dict[bool, str] = {False: "", True: ""}

        def tell(text: str, reasoning: bool) -> None:
            said[reasoning] += text
            say(text, reasoning=reasoning)

        reuse, stopped, room = Reuse(), False, sampling.max_tokens
        try:
            reuse, prompt = self._prefill(job, assembled, prompt)
            room = min(room, self.plan.window - len(prompt.ids))
            if self._read is not None:
                (reuse, seconds), self._read = self._read, None
                speech.began -= seconds
            for token in backend.decode(replace(sampling, max_tokens=room), stop_ids(self.plan), job):
                tell(*speech.push(token))
                job.report("answer", speech.count, room, memory=backend.memory())
        except Stopped:
            stopped = True
        tell(*speech.finish())
        allowed = frozenset(citable) or prompt.segments or frozenset(self.corpus.segments)  # a digest of summaries holds none
        found = citations.check(said[False].strip(), self.corpus.segments, allowed)
        notes = [MATCHED] if any(citation.basis == "matched" for citation in found.citations) else []
        if speech.count >= room and not stopped:
            notes.append(f"the answer was cut after {room:,} tokens")
        memory = backend.memory()
        outcome = Outcome(
            text=found.text,
            reasoning=said[True].strip(),
            stopped=stopped,
            citations=self._showable(found.citations),
            unsupported=found.unsupported,
            usage=speech.usage(len(prompt.ids), reuse, backend.drafted),
            memory={"peak": memory.peak, "predicted_peak": self.plan.to_json()["memory"]["total"]},
            notes=(*notes, *backend.take_notes()),
            ids=tuple(speech.answer_ids),
        )
        return outcome, allowed

    def _showable(self, found: Iterable[citations.Citation]) -> tuple[citations.Citation, ...]:
        return tuple(replace(citation, shower=self._show) for citation in found)

    def _segments_for(self, question: str) -> tuple[TokenStream, str]:
        """The whole stream, or the segments that matter for a question where not all fit; and a note that says so."""
        if self.plan.whole:
            return self.plan.stream, ""
        self._index = self._index or selection.index(self.plan)
        return selection.for_question(self.plan, self._index, question)

    def _summarize(self, job: Job[None], summary: Summary, sampling: Sampling) -> None:
        self.loading.result()
        whole, budget = self.plan.whole, self.plan.figures.segment_budget

        def speak(segments: Sequence[int] | None, question: str, citable: Sequence[int]) -> Outcome:
            def prompt() -> Prompt:
                stream = self.plan.stream if segments is None else self.plan.stream.select(segments)
                return assemble_fitting(self.plan, stream, question, (), False)[0]

            return self._speak(job, prompt, sampling, _nowhere, citable)[0]

        parts = parts_of(self.corpus, self.plan.stream.tokens_per_segment, budget)
        summarize(summary, parts, speak, whole, job)

    def _show(self, what: Answer | citations.Citation) -> None:
        showing.show(what, lambda: self.corpus)


def load(plan: Plan, *, backend: Make | None = None, show: bool = True) -> Session:
    """Load a plan: the weights, then the corpus, read once or restored from disk.

    In a notebook it returns at once and the view shows the progress; elsewhere it blocks until the session is ready.

    Args:
        plan: from :func:`longctx.plan`.
        backend: builds the engine from a :class:`~longctx.backends.base.LoadSpec`; None takes transformers.
        show: whether progress is shown where the user looks.

    Raises:
        UsageError: the plan has no corpus, or is for a device that is not in this machine.
        DoesNotFitError: the plan does not fit; the hint names alternatives.
        ModelError: the weights cannot be loaded.
    """
    session = Session(plan, backend)
    settle = showing.present(showing.JobLive(session.loading, session.plan)) if show else None
    if not in_kernel():
        try:
            session.loading.result()
        except BaseException:
            session.close()
            raise
        finally:
            if settle is not None:
                settle()
    return session


def ask(question: str, *paths: str | os.PathLike[str], model: str | None = None, **options: Any) -> Answer:
    """Read, plan, load and ask in one line; the weights stay loaded while the answer lives, or until
    :func:`longctx.free`.

    Args:
        question: the question.
        paths: what to read.
        model: as for :func:`longctx.plan`.
        options: as for :meth:`Session.ask`.
    """
    _check(question, Sampling())
    return load(plan(list(paths), model)).ask(question, **options)  # the answer keeps its session alive, to follow up


def free() -> None:
    """Close every session and give the memory back."""
    engines.free()


def _check(question: str, sampling: Sampling) -> None:
    if not isinstance(question, str) or not question.strip():
        raise UsageError(f"the question is empty: {question!r}", hint="ask something")
    sampling.check()


def _names(corpus: Corpus) -> str:
    """The sources of a corpus in a few words."""
    first, *others = (source.path for source in corpus.sources)
    return f"{first} and {len(others):,} more" if others else first


def _nowhere(text: str, *, reasoning: bool) -> None:
    """Summaries are shown part by part, not word by word."""
