"""What a model looks at in one prompt, decoded when it is asked for, a chunk at a time: a video never is in memory whole.

Knows looks and where their pixels come from; no model. Satisfies what an engine asks for
(:class:`longctx.backends.base.Visuals`).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from longctx.corpus import Frame, Visual
from longctx.errors import FramesLostError, SourceChangedError
from longctx.stream.vision import Look, VisionFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sight:
    """The looks of a prompt.

    Args:
        placed: index in the prompt of the first placeholder of each look, and the look.
        vision: how they are shown.
        paths: of the source of each look, for messages.
    """

    def __init__(self, placed: Sequence[tuple[int, Look]], vision: VisionFormat, paths: Sequence[str]) -> None:
        self.placed = tuple(placed)
        self._vision = vision
        self._paths = tuple(paths)
        self._open: _Reading | None = None

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First and after-last placeholder of each look, ascending."""
        return tuple((start, start + look.count) for start, look in self.placed)

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """A negative number for each look that stands for what is seen: two that differ in a pixel have different ones."""
        return tuple(self._key(look) for _, look in self.placed)

    def _key(self, look: Look) -> int:
        seen = repr((look.visual.medium.identity, look.places, look.size, look.kind, self._vision.name))
        return -1 - int.from_bytes(hashlib.sha256(seen.encode()).digest()[:8], "little") // 2

    def positions(self, start: int, stop: int) -> NDArray[np.int64]:
        """The positions of the tokens from ``start`` to ``stop``, [axes, tokens]; neither lies inside of a look."""
        first, last = (bisect_left(self.spans, (place, place)) for place in (start, stop))
        inside = [(index - start, look) for index, look in self.placed[first:last]]
        before = start - (self._saved[first - 1] if first else 0)
        return before + self._vision.positions(stop - start, inside)

    @cached_property
    def _saved(self) -> list[int]:
        """By how many positions each look and all before it take less than they have tokens."""
        advances: dict[tuple[object, int], int] = {}
        saved = []
        for _, look in self.placed:
            kind = (look.grid, look.count)
            if kind not in advances:
                advances[kind] = max(self._vision.positions(look.count + 1, [(0, look)])[:, -1].tolist())
            saved.append(look.count - advances[kind])
        return list(accumulate(saved))

    def inputs(self, first: int, stop: int, check: Callable[[], None]) -> Mapping[str, NDArray[Any]]:
        """What the model's forward takes besides ids and positions for some looks. Asked for in order, a video is read once.

        Args:
            first: number of the first look.
            stop: number after the last one.
            check: called often while frames are decoded; what it raises ends the work.

        Raises:
            FramesLostError: frames that the file lists cannot be decoded; all of those that this prompt wants are named.
            SourceChangedError: the file is not the one that was read.
        """
        placed = self.placed[first:stop]
        frames = [self._frames(number, check) for number in range(first, stop)]
        return self._vision.inputs([look for _, look in placed], frames, [start for start, _ in placed])

    def close(self) -> None:
        """End the decoding that is under way. Safe to call twice."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _frames(self, number: int, check: Callable[[], None]) -> list[Frame]:
        look = self.placed[number][1]
        if self._open is None or not self._open.continues(look):
            self.close()
            self._open = _Reading(self._following(number), self._paths[number], check)
        frames = self._open.take(look)
        if self._open.exhausted:
            self.close()
        return frames

    def _following(self, number: int) -> list[Look]:
        """This look, and those right after it that the same decoder can go on with."""
        first = self.placed[number][1]
        same: list[Look] = []
        for _, look in self.placed[number:]:
            later = not same or look.places[0] > same[-1].places[-1]
            if not (_same_reading(first.visual, look.visual) and look.size == first.size and later):
                break
            same.append(look)
        return same


def _same_reading(one: Visual, other: Visual) -> bool:
    return one.medium is other.medium and one.moving == other.moving


class _Reading:
    """One pass over a medium, from look to look."""

    def __init__(self, looks: Sequence[Look], path: str, check: Callable[[], None]) -> None:
        self._looks = looks
        self._path = path
        self._done = 0
        self._held: Frame | None = None
        width, height = looks[0].size
        places = [place for look in looks for place in look.places]
        self._frames: Iterator[Frame] = iter(looks[0].visual.medium.frames(places, width, height, check))

    @property
    def exhausted(self) -> bool:
        return self._done == len(self._looks)

    def continues(self, look: Look) -> bool:
        return not self.exhausted and self._looks[self._done] is look

    def take(self, look: Look) -> list[Frame]:
        found = []
        for place in look.places:
            frame = self._next()
            if frame is None or frame.place != place:
                raise self._lost(place, frame)
            found.append(frame)
        self._done += 1
        return found

    def _next(self) -> Frame | None:
        try:
            return next(self._frames, None)
        except FramesLostError as error:  # a medium knows its file, not how it is cited
            raise FramesLostError(self._path, error.places) from error

    def _lost(self, place: float, frame: Frame | None) -> SourceChangedError:
        """Which of the places from here on have no frame; the rest is decoded to find out, so that one new plan suffices."""
        wanted = [p for look in self._looks[self._done :] for p in look.places if p >= place]
        there = {frame.place} if frame is not None else set()
        there |= {later.place for later in self._frames}
        lost = tuple(p for p in wanted if p not in there)
        if not self._looks[0].visual.moving:
            return SourceChangedError(f"{self._path} cannot be shown any more", hint="read it again")
        return FramesLostError(self._path, lost)

    def close(self) -> None:
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()
