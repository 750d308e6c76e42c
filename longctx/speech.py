"""What a model says, token by token: text, reasoning kept apart, and how fast it came."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from longctx.backends.base import Drafted, Reuse
from longctx.outcomes import Usage

THINK, END_OF_THINK = "<think>", "</think>"


class Streamer(Protocol):
    """Turns token ids into text, never half a character."""

    def push(self, token: int) -> str:
        """The new text."""

    def finish(self) -> str:
        """What is still held back."""


class Speech:
    """Splits a stream of tokens into reasoning and answer.

    Args:
        streamer: of the model's tokenizer.
        added: the tokenizer's control strings with their ids.
        thinking: whether the prompt leaves the model inside a reasoning block.
    """

    def __init__(self, streamer: Streamer, added: Mapping[str, int], thinking: bool) -> None:
        self.count = 0
        self.answer_ids: list[int] = []
        self._streamer = streamer
        self._opens, self._closes = added.get(THINK), added.get(END_OF_THINK)
        self._thinking = thinking
        self.began = time.monotonic()
        self._first = self._last = 0.0

    def push(self, token: int) -> tuple[str, bool]:
        """The new text of a token, and whether it is reasoning."""
        self._last = time.monotonic()
        self._first = self._first or self._last
        self.count += 1
        if token in (self._opens, self._closes):
            self._thinking = token == self._opens
            return "", self._thinking
        text = self._streamer.push(token)
        if not self._thinking and (self.answer_ids or text.strip()):
            self.answer_ids.append(token)
        return text, self._thinking

    def finish(self) -> tuple[str, bool]:
        """What is still held back at the end."""
        return self._streamer.finish(), self._thinking

    def usage(self, prompt_tokens: int, reuse: Reuse, drafted: Drafted) -> Usage:
        """What it cost; times count from :attr:`began`, the creation of this object unless it was set."""
        spoken = self._last - self._first
        return Usage(
            prompt_tokens=prompt_tokens,
            reused_tokens=reuse.tokens,
            reused_from=reuse.source,
            miss_reason=reuse.miss_reason,
            new_tokens=self.count,
            seconds_to_first_token=self._first - self.began if self.count else 0.0,
            decode_tokens_per_s=(self.count - 1) / spoken if spoken > 0 else 0.0,
            guessed_tokens=drafted.tokens,
            accepted_tokens=drafted.accepted,
        )
