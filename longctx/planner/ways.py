"""Ways to read what is more than fits at once, each with its cost: whole, chosen for each question, by budgets, part by part.

Numbers in, numbers and words out. Offered is only what longctx does; where a way cannot be gone, its words say why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from longctx.planner.limits import Limits
from longctx.planner.notes import gb

Name = Literal["whole", "retrieval", "budgets", "map-reduce"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to read a corpus.

    Args:
        way: ``"whole"``: in a window that holds all of it; ``"retrieval"``: segments are chosen for each question;
            ``"budgets"``: each source has its share of the room; ``"map-reduce"``: summarised part by part.
        taken: whether this plan goes it.
        fits: whether it can be gone with this model and this memory.
        whole: whether the model reads every token of the corpus.
        window: tokens that it needs.
        yarn_factor: 1 for none.
        tokens_once: that are read once, however many questions follow.
        tokens_per_question: of the corpus that each question reads anew, at most.
        memory: bytes at its peak.
        words: what it is like.
    """

    way: Name
    taken: bool
    fits: bool
    whole: bool
    window: int
    yarn_factor: float
    tokens_once: int
    tokens_per_question: int
    memory: int
    words: str

    def to_json(self) -> dict[str, Any]:
        """The entry of the JSON contract."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Going:
    """The way that a plan goes, as its figures have it; the names are those of :class:`Way`."""

    way: Name
    window: int
    yarn_factor: float
    tokens_once: int
    tokens_per_question: int
    memory: int


def ways(limits: Limits, corpus_tokens: int, going: Going) -> Iterator[Way]:
    """Every way to read a corpus that is not read whole.

    Args:
        limits: of the plan.
        corpus_tokens: of all of it.
        going: the way that the plan goes.
    """
    for way in _ways(limits, corpus_tokens):
        if way.way != going.way:
            yield way
        else:
            yield replace(way, **asdict(going), taken=True, fits=True)


def _ways(limits: Limits, corpus_tokens: int) -> Iterator[Way]:
    yield _whole(limits, corpus_tokens)
    window, prompt = limits.questions
    room = max(0, prompt - limits.overhead)
    memory, factor = limits.estimate(window, limits.chunk_for(window) or limits.chunks[-1]), limits.geometry.rope.choose(window)
    most = min(room, corpus_tokens)
    ways: tuple[tuple[Name, bool, int, int, str], ...] = (
        ("retrieval", False, 0, most, "what matches a question best, read anew for each"),
        ("budgets", False, most, 0, "less of each source: fewer frames, signatures of code, text of pages, first segments"),
        (
            "map-reduce",
            True,
            corpus_tokens,
            0,
            f"session.summarize() reads {-(-corpus_tokens // max(1, room)):,} parts or more, once",
        ),
    )
    for way, whole, once, each, words in ways[1:2] if corpus_tokens <= room else ways:
        yield Way(way, False, memory.fits, whole, window, factor, once, each, memory.total, words)


def _whole(limits: Limits, corpus_tokens: int) -> Way:
    rope, tokens = limits.geometry.rope, corpus_tokens + limits.overhead + limits.reserve
    factor, memory = rope.choose(tokens), limits.estimate(tokens, limits.chunk_for(tokens) or limits.chunks[-1])
    reached = tokens <= rope.maximum_window
    words = "all of it, read once"
    if not reached:
        words = f"this model reaches {rope.maximum_window:,}"
    elif not memory.fits:
        words = f"{gb(memory.total - memory.available)} too much"
    window = rope.window(factor) if reached else tokens
    return Way("whole", False, reached and memory.fits, True, window, factor, corpus_tokens, 0, memory.total, words)
