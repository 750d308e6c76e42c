"""Pages of a document as pictures, at exactly the size that is asked for, as a reader sees them. Runs in the worker process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from longctx.sources.pdf.document import PAGES_PER_OPENING, opened

if TYPE_CHECKING:
    import pymupdf
    from PIL import Image

Reply = Mapping[str, Any]


def frames(
    file: str, places: Sequence[float], width: int, height: int, clip: Sequence[float] | None = None, password: str = ""
) -> Iterator[tuple[Reply, bytes] | Reply]:
    """The pixels of pages, or why they cannot be had, in the order of the places.

    Args:
        file: the absolute path.
        places: page numbers, from 1.
        width: pixels.
        height: pixels.
        clip: the part of each page that is drawn, in points; None for all of it.
        password: that opens the document, where it needs one.
    """
    for first in range(0, len(places), PAGES_PER_OPENING):
        document = opened(file, password)
        for place in places[first : first + PAGES_PER_OPENING]:
            picture = _rendered(document, place, width, height, clip)
            if isinstance(picture, str):
                yield {"place": place, "error": picture}
            else:
                yield {"place": place, "width": width, "height": height}, picture.tobytes()
        if not isinstance(document, str):
            document.close()


def look(
    file: str,
    place: float,
    side: int,
    box: Sequence[float] | None,
    clip: Sequence[float] | None = None,
    password: str = "",
) -> Iterator[tuple[Reply, bytes] | Reply]:
    """A page as a JPEG for people.

    Args:
        file: the absolute path.
        place: the number of the page, from 1.
        side: pixels of the longer side.
        box: in points of the page.
        clip: the part of the page that is drawn, in points; None for all of it.
        password: that opens the document, where it needs one.
    """
    from longctx.sources.pictures.pixels import jpeg

    document = opened(file, password)
    left, top, right, bottom = clip or (0.0, 0.0, *(_size(document, place) or (1.0, 1.0)))
    scale = side / max(right - left, bottom - top, 1e-6)
    width, height = (max(1, round(scale * points)) for points in (right - left, bottom - top))
    picture = _rendered(document, place, width, height, clip)
    if isinstance(picture, str):
        yield {"error": picture}
    else:
        starts = (left, top, left, top)
        yield {"place": place}, jpeg(picture, box and [scale * (at - start) for at, start in zip(box, starts, strict=True)])


def _size(document: pymupdf.Document | str, place: float) -> tuple[float, float] | None:
    """A page's width and height in points, where there is such a page."""
    if isinstance(document, str) or not 1 <= place <= document.page_count:
        return None
    rectangle = document[int(place) - 1].rect
    return (rectangle.width, rectangle.height)


def _rendered(
    document: pymupdf.Document | str, place: float, width: int, height: int, clip: Sequence[float] | None
) -> Image.Image | str:
    """A page, or a part of it, at a size, or why it cannot be had."""
    import pymupdf
    from PIL import Image

    if isinstance(document, str):
        return document
    try:
        if (size := _size(document, place)) is None:
            return f"there is no page {place:g}"
        area = pymupdf.Rect(clip or (0, 0, *size))
        matrix = pymupdf.Matrix(width / area.width, height / area.height)
        drawn = document[int(place) - 1].get_pixmap(matrix=matrix, clip=clip and area, colorspace=pymupdf.csRGB, alpha=False)
        picture = Image.frombytes("RGB", (drawn.width, drawn.height), drawn.samples)
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError, MemoryError, pymupdf.mupdf.FzErrorBase) as error:
        return f"it cannot be drawn: {error}"
    # MuPDF rounds the edges outwards; where that makes a pixel more, the page is fitted.
    return picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BICUBIC)
