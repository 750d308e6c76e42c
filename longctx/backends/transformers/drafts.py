"""What the model may be about to say: what followed the last time that its present end stood in what it has read or said.

Prompt lookup (Saxena 2023): an answer that quotes its context is guessed from it, several tokens at a time, and the model reads
the guess in one step. Only what it would have said itself is kept, so a draft costs time at worst and changes no answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from longctx.backends.base import Drafted
from longctx.backends.transformers.cache import State

#: Tokens of an end that is looked up; bits of a token in its key, so that a key fits 64.
GRAM, BITS = 3, 21
#: Places that are compared for the longest match, and how far back.
PLACES, BACK = 16, 32
#: Tokens of the first draft, and of the longest.
FIRST, MOST = 4, 32


class Drafts:
    """Guesses from a prompt and what was said after it.

    Args:
        ids: of the prompt. Negative ones, for what is looked at, are never guessed.
        most: tokens of the answer; 0 guesses nothing.

    >>> drafts = Drafts([5, 6, 7, 8, 9, 1, 5, 6], most=100)
    >>> drafts.add(7)
    >>> drafts.guess()
    [8, 9, 1, 5]
    """

    def __init__(self, ids: Sequence[int], *, most: int = 0) -> None:
        self.drafted = Drafted()
        self._ids = list(ids) if most else []
        self._end_at = len(self._ids) + most
        keys = _keys(np.asarray(self._ids, dtype=np.int64))
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._said: dict[int, list[int]] = {}
        self._length = FIRST

    def add(self, token: int) -> None:
        """Tell what was said."""
        if len(self._ids) >= GRAM:  # the end until now is followed by something from now on
            self._said.setdefault(self._end(), []).append(len(self._ids))
        self._ids.append(token)

    def guess(self) -> list[int]:
        """What may follow; nothing where the present end stands nowhere else."""
        most = min(self._length, self._end_at - len(self._ids) - 1)
        places = self._places() if most > 0 and len(self._ids) >= GRAM else []
        if not places:
            return []
        place = max(places, key=lambda place: (self._alike(place), place))
        draft = self._ids[place : place + most]
        return draft[: next((i for i, token in enumerate(draft) if token < 0), len(draft))]

    def judge(self, guessed: int, accepted: int) -> None:
        """Tell what became of a guess: the next one is longer where all of it was right, else shorter."""
        self.drafted = Drafted(self.drafted.tokens + guessed, self.drafted.accepted + accepted)
        if guessed:
            self._length = min(MOST, 2 * self._length) if accepted == guessed else max(FIRST // 2, accepted)

    def _places(self) -> list[int]:
        """Where the present end stood before, by what follows it; the last places of prompt and speech."""
        key = self._end()
        first, last = np.searchsorted(self._keys, [key, key + 1])
        read = self._order[max(first, last - PLACES) : last] + GRAM
        return [*(int(place) for place in read if place < len(self._ids)), *self._said.get(key, [])[-PLACES:]]

    def _alike(self, place: int) -> int:
        """How many tokens before a place are those of the present end."""
        pairs = zip(reversed(self._ids[max(0, place - BACK) : place]), reversed(self._ids[-BACK:]), strict=False)
        return next((count for count, (a, b) in enumerate(pairs) if a != b), BACK)

    def _end(self) -> int:
        return int(_keys(np.asarray(self._ids[-GRAM:], dtype=np.int64))[0])


class Trial:
    """One step that reads a guess behind what was said, and the way back to where the model would have said otherwise.

    K/V is cut. A state that cannot be cut is copied before and set back; what was said since then is read again.

    Args:
        state: before the step.
        logits: of its last token.
        said: tokens that it has not read.
        draft: what may follow.
    """

    def __init__(self, state: State, logits: torch.Tensor, said: Sequence[int], draft: Sequence[int]) -> None:
        self.ids = [*said, *draft]
        self.draft = draft
        self.held = 0
        self._state, self._logits, self._start = state, logits, state.length
        self._before = None if state.croppable or not draft else state.snapshot()

    def holds(self, token: int) -> bool:
        """Whether the next token of the guess is what the model says."""
        right = self.held < len(self.draft) and self.draft[self.held] == token
        self.held += right
        return right

    def end(self, logits: torch.Tensor) -> tuple[list[int], torch.Tensor]:
        """Forget the rest of the guess; the tokens that were said and are not read any more, and the last logits.

        Args:
            logits: that the step gave, [1 + tokens of the guess, vocabulary].
        """
        if self._before is not None and self.held < len(self.draft):
            self._state.restore(self._before)
            return self.ids[: len(self.ids) - len(self.draft) + self.held], self._logits
        self._state.rewind(self._start + len(self.ids) - len(self.draft) + self.held)
        return [], logits[self.held]


def _keys(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each three tokens that follow each other."""
    low = ids & ((1 << BITS) - 1)
    if len(low) < GRAM:
        return low[:0]
    return np.asarray(low[:-2] << (2 * BITS) | low[1:-1] << BITS | low[2:])
