"""What text stands in pictures, pages and frames: asked of the worker once, then kept on disk by content.

The reading process's side of ``ocr``. Nothing is recognised here, and no picture is held.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from longctx.corpus import Box, Medium
from longctx.errors import MissingPackageError
from longctx.places import put
from longctx.sources.pictures.stills import version_of
from longctx.sources.process import lent
from longctx.sources.snapshot import Snapshot

#: What decides about a reading besides the picture and the versions of the packages: the code of ``ocr`` and ``text_boxes``.
SETTINGS = "1"
#: Seconds that one dense page may take on a slow machine.
SILENCE = 600.0

#: Blocks of text in reading order, each a list of lines (box, text).
Blocks = list[list[tuple[Box, str]]]


@runtime_checkable
class Asked(Protocol):
    """A medium whose frames another request of the worker can use."""

    @property
    def snapshot(self) -> Snapshot:
        """Of its file."""

    def request(self, places: Sequence[float], width: int, height: int) -> dict[str, Any]:
        """What a worker is asked for frames: ``do`` and its arguments, ``width`` and ``height`` among them.

        The replies name the frames by ``place``, or by ``number``, their number in ``places``.
        """


@dataclass(frozen=True, slots=True)
class Look:
    """At what size a medium is read.

    Args:
        width: of the original, in the units in which boxes are wanted.
        height: as ``width``.
        scale: pixels for each of these units.
    """

    width: float
    height: float
    scale: float

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the picture that is read."""
        return max(1, round(self.scale * self.width)), max(1, round(self.scale * self.height))

    def back(self, box: Sequence[float]) -> Box:
        """A box in pixels, in the units of the original and inside it."""
        width, height = self.pixels
        across, down = self.width / width, self.height / height
        x0, x1 = (round(min(max(0.0, x * across), self.width), 1) for x in box[0::2])
        y0, y1 = (round(min(max(0.0, y * down), self.height), 1) for y in box[1::2])
        return (x0, y0, x1, y1)


class Recogniser:
    """Reads text in media.

    Args:
        folder: for what was read before; made where it is missing.
        check: called often; what it raises ends the work.
    """

    def __init__(self, folder: Path, check: Callable[[], None]) -> None:
        self._folder = folder
        self._check = check
        self.engine = f"{version_of('rapidocr')} {version_of('onnxruntime')} {SETTINGS}"

    def kept(self, medium: Medium, place: float, look: Look) -> Blocks | None:
        """What was read there before."""
        try:
            entry = json.loads(self._entry(medium, place, look).read_bytes())
            blocks = [[_line(line) for line in block] for block in entry["blocks"]]
            return blocks if entry["sum"] == _sum(blocks) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def read(
        self, medium: Medium, places: Sequence[float], look: Look, *, unlike: bool = False
    ) -> Iterator[tuple[float, Blocks | str]]:
        """What stands there, or why it cannot be read; as it comes, and kept.

        Args:
            medium: that is looked at.
            places: ascending, at least one; one about which nothing comes cannot be decoded.
            look: the size.
            unlike: whether frames that look like the one before them need not be read again.

        Raises:
            MissingPackageError: the recogniser is not installed.
            SourceChangedError: the file is not the one that was read, or is gone.
        """
        if not isinstance(medium, Asked):
            yield from ((place, "it cannot be shown to the text recogniser") for place in places)
            return
        last: Blocks = []
        coming = 0
        request = medium.request(places, *look.pixels)
        with lent("ocr", silence=SILENCE) as parser:
            for reply in parser.ask("ocr", self._check, of=request, unlike=unlike):
                medium.snapshot.check()
                if "missing" in reply:
                    raise MissingPackageError(reply["missing"], hint=reply["hint"])
                named = reply["place"] if "place" in reply else places[reply.get("number", coming)]
                if "blocks" in reply:
                    last = [[(look.back(box), text) for box, text in block] for block in reply["blocks"]]
                if "blocks" in reply or "same" in reply:
                    self._keep(medium, named, look, last)
                    yield named, last
                elif "error" in reply:
                    yield named, reply["error"]
                if named in places:
                    coming = min(places.index(named) + 1, len(places) - 1)

    # -- on disk -----------------------------------------------------------------------------------------------------
    def _entry(self, medium: Medium, place: float, look: Look) -> Path:
        key = "\0".join((self.engine, medium.identity, repr(float(place)), repr(look)))
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _keep(self, medium: Medium, place: float, look: Look, blocks: Blocks) -> None:
        entry = {"sum": _sum(blocks), "blocks": blocks}
        put(self._entry(medium, place, look), json.dumps(entry).encode("ascii"))


def _line(line: Any) -> tuple[Box, str]:
    (x0, y0, x1, y1), text = line
    return (float(x0), float(y0), float(x1), float(y1)), str(text)


def _sum(blocks: Blocks) -> str:
    return hashlib.sha256(json.dumps(blocks).encode()).hexdigest()
