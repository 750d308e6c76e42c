"""Pictures: how large they are, their pixels at the size that is asked for, a JPEG to look at. Runs in the worker process.

A decoder is given foreign bytes here: whatever it raises is a reply, and nothing is decoded that would not fit. Sizes and
boxes are those of the upright picture. Knows no page and no video.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

#: As Pillow calls them, first those that it always knows: for the sake of any other it imports all of its plugins. A photograph
#: of a telephone is often an MPO, which opens as a JPEG and is called so afterwards.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
#: Pixels of a picture that has to be decoded as a whole; twice Pillow's own limit, where it calls a picture a bomb.
MOST_PIXELS = 178_956_970
#: Pixels above which a picture is reduced while it is decoded, or right after, before it is resized exactly.
REDUCED = 24_000_000
#: The frame around a box: its width as a share of the longer side, and its rings (0 is the outer one), the last drawn on top.
_FRAME = 1 / 160
_RINGS = ((0, "white"), (2, "white"), (1, "#d6006e"))

Reply = Mapping[str, Any]


class _TooLargeError(ValueError):
    """Too many pixels to decode. Stays in this module."""


def probe(file: str | bytes) -> Iterator[Reply]:
    """What a picture is, without decoding it at full size.

    Args:
        file: the absolute path, or the picture's bytes.

    Yields:
        ``width``, ``height``, ``more`` (whether further pictures follow the first), ``whole`` (whether all of it is there);
        or one ``error``.
    """
    try:
        with _opened(file) as picture:
            width, height = _upright_size(picture)
            _refuse_too_large(picture)
            more = picture.format != "MPO" and bool(getattr(picture, "is_animated", False))
            whole = _is_whole(picture)
        if not whole:
            _show_something(file)
        yield {"width": width, "height": height, "more": more, "whole": whole}
    except Exception as error:
        yield {"error": _why(error)}


def frames(file: str | bytes, places: Sequence[float], width: int, height: int) -> Iterator[tuple[Reply, bytes] | Reply]:
    """The picture's pixels at a size, once for every place; or why they cannot be had.

    Args:
        file: the absolute path, or the picture's bytes.
        places: 0 of a picture.
        width: pixels.
        height: pixels.
    """
    for place in places:
        try:
            pixels = upright(file, width, height).tobytes()
        except Exception as error:
            yield {"place": place, "error": _why(error)}
        else:
            yield {"place": place, "width": width, "height": height}, pixels


def look(file: str | bytes, place: float, side: int, box: Sequence[float] | None) -> Iterator[tuple[Reply, bytes] | Reply]:
    """The picture as a JPEG for people, never larger than it is.

    Args:
        file: the absolute path, or the picture's bytes.
        place: 0 of a picture.
        side: pixels of the longer side at most.
        box: in pixels of the upright picture.
    """
    try:
        with _opened(file) as picture:
            size = _upright_size(picture)
        scale = min(1.0, side / max(size))
        shown = upright(file, *(max(1, round(scale * pixels)) for pixels in size))
        yield {"place": place}, jpeg(shown, box and [scale * value for value in box])
    except Exception as error:
        yield {"error": _why(error)}


def upright(file: str | bytes, width: int, height: int) -> Image.Image:
    """The picture in RGB on white, as a reader sees it, resized (bicubic, with antialiasing).

    Args:
        file: the absolute path, or the picture's bytes.
        width: pixels of the result.
        height: pixels of the result.
    """
    from PIL import Image

    with _opened(file, damaged=True) as picture:
        turned = _TURNS.get(_orientation(picture))
        wanted = (height, width) if _lies(picture) else (width, height)
        _refuse_too_large(picture)
        if picture.width * picture.height > REDUCED:
            picture.draft("RGB", (2 * wanted[0], 2 * wanted[1]))
        picture.load()
        plain = _rgb(_reduced(picture, wanted))
    if turned is not None:
        plain = plain.transpose(Image.Transpose[turned])
    return plain if plain.size == (width, height) else plain.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, box: Sequence[float] | None = None) -> bytes:
    """A picture as JPEG, with a thick frame around a box that is seen on light and on dark.

    Args:
        picture: in RGB.
        box: in its pixels.
    """
    if box is not None:
        from PIL import ImageDraw

        line = max(1, round(_FRAME * max(picture.size) / len(_RINGS)))
        draw = ImageDraw.Draw(picture)
        for ring, colour in _RINGS:
            draw.rectangle(_ring(box, picture.size, line * (len(_RINGS) - ring), line * ring), outline=colour, width=line)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()


# -- decoding --------------------------------------------------------------------------------------------------------
@contextmanager
def _opened(file: str | bytes, *, damaged: bool = False) -> Iterator[Image.Image]:
    """A picture of which only the head was read.

    Args:
        file: the absolute path, or the picture's bytes.
        damaged: whether what is missing is made up in grey instead of an error.
    """
    from PIL import Image, ImageFile

    most, cut = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, damaged
    try:
        with (
            io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb") as stream,
            Image.open(stream, formats=FORMATS) as picture,
        ):
            yield picture
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = most, cut


def _refuse_too_large(picture: Image.Image) -> None:
    """A JPEG in plain order is decoded at an eighth of its size; everything else is held as a whole."""
    reduced = picture.format in ("JPEG", "MPO") and picture.mode in ("L", "RGB") and not picture.info.get("progressive")
    if picture.width * picture.height > MOST_PIXELS * (64 if reduced else 1):
        raise _TooLargeError(f"too large: {picture.width:,} x {picture.height:,} pixels")


def _is_whole(picture: Image.Image) -> bool:
    """Whether all of a picture can be decoded; of a JPEG at an eighth of its size, of a PNG by its checksums."""
    try:
        if picture.format == "PNG":
            picture.verify()
        else:
            picture.draft("L", (1, 1))
            picture.load()
    except (MemoryError, _TooLargeError):
        raise
    except Exception:
        return False
    return True


def _show_something(file: str | bytes) -> None:
    """Fail where nothing of a damaged picture can be decoded."""
    with _opened(file) as picture:
        side = _upright_size(picture)
    small = upright(file, min(64, side[0]), min(64, side[1]))
    if all(low == high for low, high in small.getextrema()):
        raise ValueError("damaged: nothing of it can be decoded")


def _reduced(picture: Image.Image, wanted: tuple[int, int]) -> Image.Image:
    """A very large picture at twice the wanted size or more, so that no second one of full size is made."""
    factor = min(picture.width // (2 * wanted[0]), picture.height // (2 * wanted[1]))
    if picture.width * picture.height <= REDUCED or factor < 2:
        return picture
    return (picture.convert("L") if picture.mode == "1" else picture).reduce(factor) if picture.mode != "P" else picture


def _rgb(picture: Image.Image) -> Image.Image:
    """On white where it is transparent; sixteen bits brought down to eight."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _grey(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    cover = picture.convert("RGBA")
    plain = Image.new("RGB", cover.size, "white")
    plain.paste(cover, mask=cover.getchannel("A"))
    return plain


def _grey(picture: Image.Image) -> Image.Image:
    """Numbers as brightness: sixteen bits from 0 to 65,535, everything else from its least to its greatest."""
    wide = picture.convert("F")
    low, high = (float(value) for value in wide.getextrema())
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError("its values are no brightness")
    if picture.mode != "F" and low >= 0 and high < 2**16:
        low, high = 0.0, float(2**16 - 1)
    scale = 255 / (high - low) if high > low else 0.0
    return wide.point(lambda value: value * scale - low * scale).convert("L")


# -- upright ---------------------------------------------------------------------------------------------------------
_ORIENTATION = 0x0112
#: What turns a picture upright, by its EXIF orientation.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def _orientation(picture: Image.Image) -> int:
    """Asked before the pixels are decoded; where a PNG keeps it behind them, it counts as upright."""
    from PIL import Image

    try:
        exif = Image.Exif()
        if picture.format == "PNG":
            exif.load(picture.info.get("exif", b""))
        else:
            exif = picture.getexif()
        return int(exif.get(_ORIENTATION, 1))
    except Exception:  # EXIF is as foreign as the rest, and the picture can be seen without it
        return 1


def _lies(picture: Image.Image) -> bool:
    return 5 <= _orientation(picture) <= 8


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    return (picture.height, picture.width) if _lies(picture) else picture.size


def _ring(box: Sequence[float], size: tuple[int, int], outside: int, inside: int) -> tuple[int, int, int, int]:
    """A box grown by a number of pixels, but not beyond the picture, where its rings stay inside each other."""
    (x0, y0, x1, y1), (width, height) = box, size
    left, top = max(inside, round(x0) - outside), max(inside, round(y0) - outside)
    right, bottom = min(width - 1 - inside, round(x1) + outside), min(height - 1 - inside, round(y1) + outside)
    return (min(left, right), min(top, bottom), max(left, right), max(top, bottom))


def _why(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, MemoryError):
        return "too large for the memory that a picture may take"
    if isinstance(error, UnidentifiedImageError):
        return "damaged: it cannot be opened"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be opened: {error.strerror}"
    return str(error) or type(error).__name__
