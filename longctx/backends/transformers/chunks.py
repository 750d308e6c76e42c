"""A prompt in chunks: every so many tokens, but never cut inside of what is looked at. Numbers only; no torch, no model."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx.backends.base import Visuals


@dataclass(frozen=True)
class Step:
    """What one forward reads.

    Args:
        ids: of its tokens.
        positions: [axes, tokens].
        inputs: further arguments of the model's forward, by name.
    """

    ids: list[int]
    positions: NDArray[np.int64]
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Reading:
    """One prompt, cut into steps.

    Args:
        ids: of its tokens.
        visuals: what there is to look at in it.
        chunk: tokens of a step.
    """

    def __init__(self, ids: list[int], visuals: Visuals | None, chunk: int) -> None:
        self._ids = ids
        self._visuals = visuals
        self._spans = visuals.spans if visuals is not None else ()
        self.ends = ends(len(ids), chunk, self._spans)
        self.keys = _keyed(ids, visuals)

    @property
    def next(self) -> int:
        """The position of the token that follows."""
        return int(np.max(self._positions(len(self._ids), len(self._ids) + 1)))

    def stops(self, start: int, marks: Sequence[int]) -> list[int]:
        """Where the steps from ``start`` on end: at chunks' ends, so that a restored state goes on alike, and at marks."""
        if start >= len(self._ids):
            return []
        return sorted({*(end for end in (*self.ends, *marks) if start < end <= len(self._ids))})

    def step(self, start: int, stop: int, check: Callable[[], None]) -> Step:
        """The tokens from ``start`` to ``stop``, with what is looked at among them."""
        first = bisect_left(self._spans, (start, start))
        last = bisect_left(self._spans, (stop, stop))
        inputs = self._visuals.inputs(first, last, check) if self._visuals is not None and first < last else {}
        return Step(self._ids[start:stop], self._positions(start, stop), inputs)

    def _positions(self, start: int, stop: int) -> NDArray[np.int64]:
        """Made step by step: of a long prompt all of them would take three times as much as its tokens."""
        if self._visuals is not None and self._spans:
            return self._visuals.positions(start, stop)
        return np.arange(start, stop)[np.newaxis]

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._visuals is not None:
            self._visuals.close()


def _keyed(ids: list[int], visuals: Visuals | None) -> list[int]:
    """The ids, with what is seen in the stead of placeholders, so that two pictures are not taken for the same."""
    if visuals is None:
        return ids
    keys = list(ids)
    for (start, stop), key in zip(visuals.spans, visuals.keys, strict=True):
        keys[start:stop] = [key] * (stop - start)
    return keys


def ends(length: int, chunk: int, spans: Sequence[tuple[int, int]] = ()) -> list[int]:
    """The ends of the chunks of a prompt, ascending, the last one its length.

    A picture that would be cut is moved into the next chunk; one that is larger than a chunk makes a chunk of its own. The
    ends depend on what stands before them only, so that prompts which begin alike are cut alike.

    Args:
        length: tokens of the prompt.
        chunk: tokens of a chunk.
        spans: first and after-last placeholder of each picture or temporal patch, ascending.

    >>> ends(10, 4), ends(20, 4, [(3, 6), (8, 14)])
    ([4, 8, 10], [3, 7, 8, 14, 18, 20])
    """
    found: list[int] = []
    starts = [start for start, _ in spans]
    at = 0
    while at < length:
        stop = at + chunk
        number = bisect_right(starts, stop - 1) - 1
        if number >= 0 and spans[number][0] < stop < spans[number][1]:
            start, end = spans[number]
            stop = start if start > at else end
        at = min(stop, length)
        found.append(at)
    return found


def upto(chunk_ends: Sequence[int], length: int) -> list[int]:
    """The ends of chunks below a length, and that length.

    >>> upto([4, 8, 10], 9)
    [4, 8, 9]
    """
    return [*(end for end in chunk_ends if end < length), length]
