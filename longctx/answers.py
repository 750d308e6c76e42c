"""An answer that fills in while the model speaks, and what it rests on.

Reading ``text`` or ``citations``, ``str()``, iterating and ``await`` wait for what they give; ``partial`` never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from longctx.citations import Citation
from longctx.jobs import WAIT_STEP, Job


@dataclass(frozen=True)
class Usage:
    """What an answer cost.

    Args:
        prompt_tokens: tokens of the whole prompt.
        reused_tokens: how many of them did not have to be read again.
        reused_from: ``"memory"``, ``"disk"`` or ``"none"``.
        miss_reason: why not all of the head was reused; empty where it was.
        new_tokens: tokens of the answer, reasoning included.
        seconds_to_first_token: from the start of the work to the first token; a session's first answer accounts for the
            reading of the corpus while it was loaded.
        decode_tokens_per_s: after the first token.
        guessed_tokens: tokens of the answer that were guessed from the prompt; see :class:`~longctx.backends.base.Sampling`.
        accepted_tokens: how many of them the model said itself.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    reused_from: str = "none"
    miss_reason: str = ""
    new_tokens: int = 0
    seconds_to_first_token: float = 0.0
    decode_tokens_per_s: float = 0.0
    guessed_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True)
class Outcome:
    """Everything that is known of an answer once it has ended.

    Args:
        text: the answer; what was said until then where it was stopped.
        reasoning: what the model thought before, kept apart.
        stopped: whether the user stopped it.
        citations: resolved and checked.
        unsupported: sentences that no source supports.
        left_out: paths, or parts of them, that the model did not see for this answer.
        usage: what it cost.
        memory: ``{"peak": bytes, "predicted_peak": bytes}``.
        notes: what the user should know: citations were matched, the store could not be written.
        ids: token ids of the answer without reasoning, so that a follow-up continues exactly.
    """

    text: str = ""
    reasoning: str = ""
    stopped: bool = False
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[str, ...] = ()
    left_out: tuple[Mapping[str, Any], ...] = ()
    usage: Usage = field(default_factory=Usage)
    memory: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()


class Answer:
    """An answer, from the moment of the question on. Made by :meth:`longctx.Session.ask`.

    Args:
        question: as the user asked it.
        follow: asks a follow-up in the conversation of this answer.
        show: shows an answer where the user looks.
    """

    def __init__(self, question: str, *, follow: Callable[..., Answer], show: Callable[[Answer], None]) -> None:
        self.question = question
        self.partial = ""
        self.partial_reasoning = ""
        self.job: Job[Outcome]
        self._follow = follow
        self._show = show

    # -- filled in by the session ------------------------------------------------------------------------------------
    def say(self, text: str, *, reasoning: bool = False) -> None:
        """Add what the model said; called on the worker's thread."""
        if reasoning:
            self.partial_reasoning += text
        else:
            self.partial += text
        self.job.changed()

    # -- for the user ------------------------------------------------------------------------------------------------
    @property
    def outcome(self) -> Outcome:
        """All that is known; waits for the end.

        Raises:
            LongctxError: the answer failed.
        """
        return self.job.result()

    @property
    def text(self) -> str:
        """The answer; waits for the end."""
        return self.outcome.text

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered; waits for the end."""
        return self.outcome.reasoning

    @property
    def citations(self) -> Sequence[Citation]:
        """Where the answer comes from, checked; waits for the end."""
        return self.outcome.citations

    @property
    def unsupported(self) -> Sequence[str]:
        """Sentences that no source supports; waits for the end."""
        return self.outcome.unsupported

    @property
    def usage(self) -> Usage:
        """Tokens read, reused and spoken, and how fast; waits for the end."""
        return self.outcome.usage

    @property
    def finished(self) -> bool:
        """Whether the answer has ended; never waits."""
        return self.job.finished

    def stop(self) -> None:
        """Stop the model; what it said is kept. Returns at once."""
        self.job.cancel()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called whenever there is more; returns a function that ends this."""
        return self.job.watch(changed)

    def ask(self, question: str, **options: Any) -> Answer:
        """A follow-up question: the model sees this conversation too. Options as for :meth:`longctx.Session.ask`."""
        return self._follow(question, **options)

    def show(self) -> None:
        """Show the answer with its citations, live while it is being written."""
        self._show(self)

    def to_json(self) -> dict[str, Any]:
        """The answer as the JSON contract of ``longctx ask`` has it; waits for the end."""
        outcome = self.outcome
        return {
            "question": self.question,
            "answer": outcome.text,
            "reasoning": outcome.reasoning,
            "stopped": outcome.stopped,
            "citations": [citation.to_json() for citation in outcome.citations],
            "unsupported": list(outcome.unsupported),
            "left_out": [dict(row) for row in outcome.left_out],
            "usage": asdict(outcome.usage),
            "memory": dict(outcome.memory),
            "notes": list(outcome.notes),
        }

    def __iter__(self) -> Iterator[str]:
        seen = 0
        while True:
            ended = self.finished
            if len(self.partial) > seen:
                text, seen = self.partial[seen:], len(self.partial)
                yield text
            elif ended:
                self.job.result()
                return
            else:
                self.job.wait(WAIT_STEP)

    def __await__(self) -> Generator[Any, None, Answer]:
        yield from self.job.__await__()
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Answer {self.job.state} to {self.question!r}: {self.partial[:60]!r}>"

    def _ipython_display_(self) -> None:
        self._show(self)
