"""From a plan and a conversation to the token ids of one prompt, with the lengths at which its state is worth keeping; which
tokens end the answer, and what a backend says of the prompt, in words of its sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from longctx import prompts
from longctx.backends.base import Reuse
from longctx.errors import UsageError
from longctx.plans import Plan
from longctx.speech import END_OF_THINK, THINK
from longctx.stream import Sight, TokenStream

#: Least room for an answer; a question that leaves less is refused.
LEAST_ANSWER = 16
#: Control strings that end a turn in the families we know, besides those that a model's own configs name.
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>")


@dataclass(frozen=True)
class Exchange:
    """A finished turn: the question, the answer without reasoning, and the answer's own token ids."""

    question: str
    answer: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for a backend.

    Args:
        ids: all of it.
        head: tokens of the head: template, system text and corpus.
        marks: lengths at which the state is worth keeping, the head's first.
        thinking: whether the model speaks inside a reasoning block at first.
        segments: ids of the segments that it holds.
        visuals: what there is to look at in it; None where there is nothing.
    """

    ids: list[int]
    head: int
    marks: tuple[int, ...]
    thinking: bool
    segments: frozenset[int]
    visuals: Sight | None = None


def assemble(
    plan: Plan,
    stream: TokenStream,
    question: str,
    *,
    history: Sequence[Exchange] = (),
    thinking: bool | None = None,
) -> Prompt:
    """The prompt for a question.

    Args:
        plan: template, tokenizer and window.
        stream: the segments that the model shall see.
        question: the last turn.
        history: earlier turns; their answers keep their own token ids.
        thinking: on, off, or None for the template's default.
    """
    turns = [*(prompts.Turn(told.question, told.answer) for told in history), prompts.Turn(question)]
    pieces = prompts.render(plan.files.template, plan.files.special, turns, thinking=thinking)
    ids: list[int] = []
    ends: dict[str, int] = {}
    visuals = None
    for piece in pieces:
        if piece.role == "corpus":
            visuals = _visuals(plan, stream, len(ids))
        ids += _encode(plan, piece, stream, history)
        ends[piece.role] = len(ids)
    _, opened, after = pieces[-1].text.rpartition(THINK)
    segments = frozenset(span.segment for span in stream.spans if span.segment is not None)
    inside = bool(opened) and END_OF_THINK not in after
    return Prompt(ids, ends["corpus"], (ends["corpus"], ends["question"]), inside, segments, visuals)


def assemble_fitting(
    plan: Plan, stream: TokenStream, question: str, history: Sequence[Exchange], thinking: bool | None
) -> tuple[Prompt, Sequence[Exchange]]:
    """The prompt, without the oldest turns where they no longer fit the window; and the turns that were left out.

    Raises:
        UsageError: the question alone is too long.
    """
    for dropped in range(len(history) + 1):
        prompt = assemble(plan, stream, question, history=history[dropped:], thinking=thinking)
        if len(prompt.ids) + LEAST_ANSWER <= plan.window:
            return prompt, history[:dropped]
    raise UsageError(
        f"the prompt takes {len(prompt.ids):,} tokens and the window has {plan.window:,}",
        hint="ask a shorter question, or plan a larger window",
    )


def stop_ids(plan: Plan) -> list[int]:
    """Tokens that end an answer: those that the model's configs name, and those that end a turn in the families we know."""
    added = plan.tokenizer.added
    ends = (plan.files.special.get("eos_token", ""), *TURN_ENDS)
    return sorted({*plan.files.stop_tokens, *(added[text] for text in ends if text in added)})


def with_source(reuse: Reuse, prompt: Prompt, plan: Plan) -> Reuse:
    """The reuse, with the source from which on the text is another one than before."""
    start = prompt.head - len(plan.stream)
    if not plan.whole or reuse.known is None or not start <= reuse.known < prompt.head:
        return reuse
    path = plan.stream.span(reuse.known - start).path
    return replace(reuse, miss_reason=f"{reuse.miss_reason}, in {path} or after it") if path else reuse


def _visuals(plan: Plan, stream: TokenStream, start: int) -> Sight | None:
    """What there is to look at, where the corpus begins at a token of the prompt."""
    if plan.vision is None or not stream.looks:
        return None
    paths = [span.path for span in stream.spans if span.look is not None]
    return Sight([(start + index, look) for index, look in stream.looks], plan.vision, paths)


def _encode(plan: Plan, piece: prompts.Piece, stream: TokenStream, history: Sequence[Exchange]) -> list[int]:
    if piece.role == "corpus":
        return list(stream.ids.tolist())
    if piece.role == "answer":
        return list(history[piece.turn].ids)
    encode = plan.tokenizer.encode_template if piece.control else plan.tokenizer.encode_data
    return encode(piece.text)
