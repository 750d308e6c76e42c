"""What is known of an answer once it has ended, as plain values: its words, what it rests on, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from longctx.citations import Citation


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
        differences: of an answer that was reopened: what is not as it was when its conversation was saved.
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
    differences: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The outcome as the JSON contract of ``longctx ask`` has it, which has no token ids."""
        return {
            "answer": self.text,
            "reasoning": self.reasoning,
            "stopped": self.stopped,
            "citations": [citation.to_json() for citation in self.citations],
            "unsupported": list(self.unsupported),
            "left_out": [dict(row) for row in self.left_out],
            "usage": asdict(self.usage),
            "memory": dict(self.memory),
            "notes": [*self.differences, *self.notes],
        }
