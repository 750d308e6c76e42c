"""An answer that fills in while the model speaks, and what it rests on.

Reading ``text`` or ``citations``, ``str()``, iterating and ``await`` wait for what they give; ``partial`` never waits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from longctx import conversations
from longctx.citations import Citation
from longctx.conversations import Conversation, Turn
from longctx.errors import ConversationError
from longctx.jobs import WAIT_STEP, Job
from longctx.outcomes import Outcome, Usage


class Answer:
    """An answer, from the moment of the question on. Made by :meth:`longctx.Session.ask`.

    Args:
        question: as the user asked it.
        follow: asks a follow-up in the conversation of this answer.
        show: shows an answer where the user looks.
        keep: makes a conversation of turns: says which model and which sources it is with.
        before: the answer that this one follows up; None for the first.
        options: with which it was asked, by the names of :meth:`longctx.Session.ask`.
    """

    def __init__(
        self,
        question: str,
        *,
        follow: Callable[..., Answer],
        show: Callable[[Answer], None],
        keep: Callable[[Sequence[Turn]], Conversation],
        before: Answer | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.question = question
        self.before = before
        self.options = {key: value for key, value in (options or {}).items() if value is not None}
        self.partial = ""
        self.partial_reasoning = ""
        self.job: Job[Outcome]
        self._follow = follow
        self._show = show
        self._keep = keep

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

    @property
    def turns(self) -> tuple[Answer, ...]:
        """The answers of this conversation, in order, this one last; never waits."""
        turns = [self]
        while (before := turns[-1].before) is not None:
            turns.append(before)
        return tuple(reversed(turns))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the conversation up to this answer; waits for its end. :meth:`longctx.Session.reopen` goes on with it.

        The file is JSON that this user alone may read. It is written whole or not at all. A file that holds the beginning of
        this conversation is replaced, so that it may be saved after every answer; any other file stays.

        Args:
            path: of the file: ``answer.save("talk.json")``.
            overwrite: replace whatever file is there.

        Returns:
            the absolute path of the file.

        Raises:
            ConversationError: another file is there, the disk does not take it, or an answer failed.
        """
        return conversations.write(path, self._conversation(), overwrite=overwrite)

    def to_markdown(self, *, title: str = "", reasoning: bool = False) -> str:
        """The conversation up to this answer as a Markdown document; waits for its end.

        Args:
            title: of the document; empty names the sources.
            reasoning: whether what the model thought before each answer is in it too.

        Raises:
            ConversationError: an answer failed.
        """
        return self._conversation().to_markdown(title=title, reasoning=reasoning)

    def export(
        self, path: str | os.PathLike[str], *, title: str = "", reasoning: bool = False, overwrite: bool = False
    ) -> Path:
        """Write the conversation up to this answer as a Markdown document; waits for its end.

        Args:
            path: of the file: ``answer.export("talk.md")``.
            title: as for :meth:`to_markdown`, and so ``reasoning``.
            reasoning: whether what the model thought is in it too.
            overwrite: replace whatever file is there; else any that holds something else stays.

        Returns:
            the absolute path of the file.

        Raises:
            ConversationError: another file is there, the disk does not take it, or an answer failed.
        """
        return conversations.export(path, self.to_markdown(title=title, reasoning=reasoning), overwrite=overwrite)

    def _conversation(self) -> Conversation:
        return self._keep([Turn(answer.question, answer._said(), answer.options) for answer in self.turns])

    def _said(self) -> Outcome:
        """All that is known; waits for the end. What was stopped before it began has nothing to keep, like what failed."""
        try:
            return self.outcome
        except Exception as error:  # whatever an engine raises
            ended = "was stopped before it began" if self.job.state == "stopped" else f"failed: {error}"
            hint = "answer.before.save(...) keeps what was said before it" if self.before is not None else "ask again"
            raise ConversationError(f"there is nothing to keep of {self.question!r}: it {ended}", hint=hint) from error

    def show(self) -> None:
        """Show the answer with its citations, live while it is being written."""
        self._show(self)

    def to_json(self) -> dict[str, Any]:
        """The answer as the JSON contract of ``longctx ask`` has it; waits for the end."""
        return {"question": self.question, **self.outcome.to_json()}

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
