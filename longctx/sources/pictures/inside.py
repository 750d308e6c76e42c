"""Pictures inside other files: members of an archive, base64 in a notebook or a page. Runs in the worker process.

An address says where in the file one is: ``{"member": "word/media/image1.png"}``, or the bytes of its base64,
``{"start": 1200, "length": 40000}``.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from longctx.sources.parsed import counted
from longctx.sources.pictures import pixels

#: Bytes of one picture; pictures of one file; pixels of the shorter side below which a picture is an ornament.
MOST_BYTES, MOST_PICTURES, LEAST_SIDE = 64 * 2**20, 1000, 32

Address = Mapping[str, Any]
Reply = Mapping[str, Any]


@dataclass
class Gallery:
    """Pictures of one file as they are met: each once, and none that is too small to show anything.

    Args:
        file: the absolute path.
    """

    file: str
    seen: set[str] = field(default_factory=set)
    left: Counter[str] = field(default_factory=Counter)

    def add(self, address: Address, data: bytes) -> dict[str, Any] | None:
        """A picture with its size, or None where it is left out, which is counted.

        Args:
            address: where it is.
            data: the picture.
        """
        digest = hashlib.sha256(data).hexdigest()
        if digest in self.seen:
            self.left["repeated"] += 1
            return None
        self.seen.add(digest)
        if len(data) > MOST_BYTES or len(self.seen) > MOST_PICTURES:
            self.left["too many or too large"] += 1
            return None
        reply = next(pixels.probe(data))
        if "error" in reply or not reply["whole"]:
            self.left["damaged or of a format that is not decoded"] += 1
            return None
        if min(reply["width"], reply["height"]) < LEAST_SIDE:
            self.left["too small to show anything"] += 1
            return None
        return {"address": {**address, "sha256": digest}, "width": reply["width"], "height": reply["height"]}

    def words(self) -> list[str]:
        """What was left out."""
        return [f"{counted(number, 'picture')} left out: {why}" for why, number in sorted(self.left.items())]


def probe(file: str, addresses: Sequence[Address]) -> Iterator[Reply]:
    """The pictures at some addresses with their sizes, in their order, then what was left out.

    Args:
        file: the absolute path.
        addresses: of pictures.
    """
    gallery = Gallery(file)
    for number, address in enumerate(addresses):
        try:
            found = gallery.add(address, data_of(file, address))
        except Exception:
            gallery.left["damaged or of a format that is not decoded"] += 1
            found = None
        yield {"number": number, "picture": found}
    yield {"notes": gallery.words()}


def frames(
    file: str, address: Address, places: Sequence[float], width: int, height: int
) -> Iterator[tuple[Reply, bytes] | Reply]:
    """As :func:`longctx.sources.pictures.pixels.frames`.

    Args:
        file: the absolute path.
        address: of the picture in it.
        places: 0 of a picture.
        width: pixels.
        height: pixels.
    """
    try:
        data = data_of(file, address)
    except Exception as error:
        yield from ({"place": place, "error": f"it cannot be taken out of its file: {error}"} for place in places)
        return
    yield from pixels.frames(data, places, width, height)


def look(
    file: str, address: Address, place: float, side: int, box: Sequence[float] | None
) -> Iterator[tuple[Reply, bytes] | Reply]:
    """As :func:`longctx.sources.pictures.pixels.look`.

    Args:
        file: the absolute path.
        address: of the picture in it.
        place: 0 of a picture.
        side: pixels of the longer side at most.
        box: in pixels of the upright picture.
    """
    try:
        data = data_of(file, address)
    except Exception as error:
        yield {"error": f"it cannot be taken out of its file: {error}"}
        return
    yield from pixels.look(data, place, side, box)


def data_of(file: str, address: Address) -> bytes:
    """The bytes of a picture.

    Args:
        file: the absolute path.
        address: of the picture in it.

    Raises:
        ValueError: there is none, or it is too large.
    """
    if "member" in address:
        import zipfile  # slow to import, and most pictures lie in no archive

        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(address["member"])
            _bounded(info.file_size)
            return archive.read(info)
    _bounded(address["length"] * 3 // 4)
    with open(file, "rb") as stream:
        stream.seek(address["start"])
        return decoded(stream.read(address["length"]))


def decoded(written: bytes) -> bytes:
    r"""Base64 as it stands in JSON or in an address of HTML, decoded.

    >>> decoded(b"TG\\nln%61HQ")
    b'Light'
    """
    plain = written.replace(b"\\n", b"").replace(b"\\r", b"").replace(b"\\/", b"/")
    plain = unquote_to_bytes(plain) if b"%" in plain else plain
    return base64.b64decode(plain + b"=" * (-len(plain) % 4))


def _bounded(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"too large: {size:,} bytes")
