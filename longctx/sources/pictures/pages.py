"""Pages of a document as pictures, at exactly the size that is asked for, as a reader sees them. Runs in the worker process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from longctx.sources.pdf import PAGES_PER_OPENING, opened

if TYPE_CHECKING:
    import pymupdf
    from PIL import Image

Reply = Mapping[str, Any]


def frames(file: str, places: Sequence[float], width: int, height: int) -> Iterator[tuple[Reply, bytes] | Reply]:
    """The pixels of pages, or why they cannot be had, in the order of the places.

    Args:
        file: the absolute path.
        places: page numbers, from 1.
        width: pixels.
        height: pixels.
    """
    for first in range(0, len(places), PAGES_PER_OPENING):
        document = opened(file)
        for place in places[first : first + PAGES_PER_OPENING]:
            picture = _rendered(document, place, width, height)
            if isinstance(picture, str):
                yield {"place": place, "error": picture}
            else:
                yield {"place": place, "width": width, "height": height}, picture.tobytes()
        if not isinstance(document, str):
            document.close()


def look(file: str, place: float, side: int, box: Sequence[float] | None) -> Iterator[tuple[Reply, bytes] | Reply]:
    """A page as a JPEG for people.

    Args:
        file: the absolute path.
        place: the number of the page, from 1.
        side: pixels of the longer side.
        box: in points.
    """
    from longctx.sources.pictures.pixels import jpeg

    document = opened(file)
    size = _size(document, place)
    scale = side / max(size or (1.0, 1.0))
    picture = _rendered(document, place, *(max(1, round(scale * points)) for points in size or (1.0, 1.0)))
    if isinstance(picture, str):
        yield {"error": picture}
    else:
        yield {"place": place}, jpeg(picture, box and [scale * value for value in box])


def _size(document: pymupdf.Document | str, place: float) -> tuple[float, float] | None:
    """A page's width and height in points, where there is such a page."""
    if isinstance(document, str) or not 1 <= place <= document.page_count:
        return None
    rectangle = document[int(place) - 1].rect
    return (rectangle.width, rectangle.height)


def _rendered(document: pymupdf.Document | str, place: float, width: int, height: int) -> Image.Image | str:
    """A page at a size, or why it cannot be had."""
    import pymupdf
    from PIL import Image

    if isinstance(document, str):
        return document
    try:
        if (size := _size(document, place)) is None:
            return f"there is no page {place:g}"
        matrix = pymupdf.Matrix(width / size[0], height / size[1])
        drawn = document[int(place) - 1].get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
        picture = Image.frombytes("RGB", (drawn.width, drawn.height), drawn.samples)
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError, MemoryError, pymupdf.mupdf.FzErrorBase) as error:
        return f"it cannot be drawn: {error}"
    # MuPDF rounds the page's edges outwards; where that makes a pixel more, the page is fitted.
    return picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BICUBIC)
