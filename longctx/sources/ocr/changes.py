"""When a picture came onto the screen, to the very frame: the frames before one that was read are compared with it.

Knows frames and whether they differ; no text. What was found out is kept on disk by content.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.corpus import Footage
from longctx.places import put
from longctx.sources.ocr.reader import alike

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Pixels at which frames are compared; as ``alike`` takes them.
SIZE = (160, 90)
#: Frames between two others that are looked at; where there are more, every so many.
MOST_BETWEEN = 120
_VERSION = "2"

#: The times of two frames that were read and differ.
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Changes:
    """Finds changes, and keeps what was found.

    Args:
        folder: for what was found; made where it is missing.
        check: called often; what it raises ends the work.
    """

    folder: Path
    check: Callable[[], None]

    def of(self, footage: Footage, pairs: Sequence[Pair]) -> Mapping[Pair, float]:
        """For each pair the time of the first frame from which on the later one is seen.

        Args:
            footage: of the video.
            pairs: times of its frames, ascending; no two overlap.

        Raises:
            SourceChangedError: the file is not the one that was read, or is gone.
        """
        found = {pair: time for pair in pairs if (time := self._kept(footage, pair)) is not None}
        missing = [pair for pair in pairs if pair not in found]
        places = sorted({place for pair in missing for place in (*pair, *_between(footage.times, pair))})
        small: dict[float, NDArray[np.float32]] = {}
        waiting = list(missing)
        for frame in footage.medium.frames(places, *SIZE, self.check) if places else ():
            small[frame.place] = frame.pixels.mean(axis=2, dtype="float32")
            while waiting and frame.place >= waiting[0][1]:
                found[waiting[0]] = self._keep(footage, waiting[0], _first_like_the_later(small, waiting[0]))
                waiting.pop(0)
                small = {frame.place: small[frame.place]}  # an hour has many frames
        return found | {pair: pair[1] for pair in waiting}

    def _entry(self, footage: Footage, pair: Pair) -> Path:
        key = "\0".join((footage.medium.identity, repr(pair), repr(SIZE), _VERSION))
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.change"

    def _kept(self, footage: Footage, pair: Pair) -> float | None:
        try:
            time: Any = json.loads(self._entry(footage, pair).read_bytes())
        except (OSError, ValueError):
            return None
        return time if isinstance(time, float) and pair[0] < time <= pair[1] else None

    def _keep(self, footage: Footage, pair: Pair, time: float) -> float:
        put(self._entry(footage, pair), json.dumps(time).encode("ascii"))
        return time


def _between(times: Sequence[float], pair: Pair) -> list[float]:
    inside = times[bisect_right(times, pair[0]) : bisect_right(times, pair[1]) - 1]
    return list(inside[:: 1 + len(inside) // MOST_BETWEEN])


def _first_like_the_later(small: Mapping[float, NDArray[np.float32]], pair: Pair) -> float:
    """Back from the later frame as long as nothing differs: what it shows stands there for certain, whatever was before."""
    after, first = small.get(pair[1]), pair[1]
    for place in sorted((place for place in small if pair[0] < place < pair[1]), reverse=True):
        if after is None or not alike(small[place], after):
            break
        first = place
    return first
