"""Things to look at, made on the spot: media whose frames are known, without a file behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from longctx.corpus import Box, Frame


@dataclass
class Noise:
    """A medium of random frames: each place has its own, the same whenever it is asked for.

    Args:
        identity: two media with different ones show different frames.
        missing: places that cannot be decoded.
    """

    identity: str = "noise"
    missing: tuple[float, ...] = ()
    asked: list[tuple[float, ...]] = field(default_factory=list)
    given: int = 0

    def frames(self, places: Sequence[float], width: int, height: int, check: Callable[[], None]) -> Iterator[Frame]:
        self.asked.append(tuple(places))
        for place in places:
            check()
            if place not in self.missing:
                self.given += 1
                yield Frame(place, self.pixels(place, width, height))

    def pixels(self, place: float, width: int, height: int) -> np.ndarray:
        seed = [*self.identity.encode(), int(1000 * place) + 1]
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    def look(self, place: float, side: int, box: Box | None = None) -> bytes:
        return b""
