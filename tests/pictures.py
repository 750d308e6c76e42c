"""Things to look at, made on the spot: media whose frames are known without a file behind them, slides, pages."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

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


def slide(*lines: str) -> np.ndarray:
    """A dark slide of 640x360 with these lines; RGB of shape [360, 640, 3]."""
    with _pymupdf().open() as document:
        page = document.new_page(width=640, height=360)
        page.draw_rect(page.rect, fill=(0.1, 0.2, 0.2))
        for number, line in enumerate(lines):
            page.insert_text((40, 80 + 70 * number), line, fontsize=30, color=(1, 1, 1))
        picture = page.get_pixmap(alpha=False)
        return np.frombuffer(picture.samples, np.uint8).reshape(360, 640, 3).copy()


def picture_of_words(*lines: str) -> bytes:
    """The slide as a PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(slide(*lines)).save(stream, "PNG")
    return stream.getvalue()


def page_of_words(*lines: str) -> bytes:
    """A PDF of one page with these lines as text."""
    with _pymupdf().open() as document:
        page = document.new_page(width=300, height=200)
        for number, line in enumerate(lines):
            page.insert_text((40, 40 + 20 * number), line)
        data: bytes = document.tobytes()
        return data


def _pymupdf() -> Any:
    """PyMuPDF without the warnings of its bindings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pymupdf

    return pymupdf
