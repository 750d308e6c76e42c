"""An engine without a model: speaks what it was told to, and remembers what it was asked. For tests and trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from longctx.backends.base import Drafted, LoadSpec, Memory, Reuse, Sampling, Visuals
from longctx.jobs import Job


class ScriptedBackend:
    """Replies from a queue. Satisfies :class:`longctx.backends.base.Backend`.

    Args:
        replies: token ids of each reply, in order; the last one repeats.
        chunk: tokens of one prefill step.
        delay: seconds that each chunk and each token takes.
    """

    def __init__(self, replies: Sequence[Sequence[int]], *, chunk: int = 512, delay: float = 0.0) -> None:
        self.replies = [list(reply) for reply in replies]
        self.chunk = chunk
        self.delay = delay
        self.prompts: list[list[int]] = []
        self.loads = 0
        self.closed = False
        self._state: list[int] = []
        self._spoken = 0
        self.drafted = Drafted()

    @classmethod
    def maker(
        cls, encode: Callable[[str], Sequence[int]], *texts: str, **options: Any
    ) -> Callable[[LoadSpec], ScriptedBackend]:
        """A maker for :func:`longctx.load` whose backend says these texts.

        Args:
            encode: turns a text into token ids: ``plan.tokenizer.encode_data``.
            texts: the replies.
            options: as for the class.
        """
        replies = [encode(text) for text in texts]
        return lambda spec: cls(replies, chunk=spec.chunk, **options)

    def load(self, job: Job[Any]) -> None:
        """Count the load."""
        self.loads += 1
        job.report("load", 1, 1, "weights")

    def prefill(self, ids: Sequence[int], job: Job[Any], *, marks: Sequence[int] = (), visuals: Visuals | None = None) -> Reuse:
        """Take the ids in chunks, without looking at anything; reuses what the last prompt has in common."""
        same = next(
            (i for i, (a, b) in enumerate(zip(self._state, ids, strict=False)) if a != b), min(len(self._state), len(ids))
        )
        reused = min(same, len(ids) - 1)
        self.prompts.append(list(ids))
        for stop in [*range(reused + self.chunk, len(ids), self.chunk), len(ids)]:
            job.check()
            time.sleep(self.delay)
            job.report("prefill", stop, len(ids), reused=reused, memory=self.memory())
        self._state = list(ids)
        return Reuse(reused, "memory" if reused else "none", "" if reused else "first question")

    def decode(self, sampling: Sampling, stop_ids: Sequence[int], job: Job[Any]) -> Iterator[int]:
        """Say the next reply."""
        reply = self.replies[min(self._spoken, len(self.replies) - 1)]
        self._spoken += 1
        for token in reply[: sampling.max_tokens]:
            job.check()
            time.sleep(self.delay)
            yield token
            self._state.append(token)

    def take_notes(self) -> list[str]:
        """Nothing goes wrong here."""
        return []

    def memory(self) -> Memory:
        """Nothing is held."""
        return Memory()

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
