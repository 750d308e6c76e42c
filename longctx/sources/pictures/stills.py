"""Pictures and pages in the reading process: what their worker is asked for, and one picture as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from longctx.corpus import Box, Frame, Page, Segment, Visual
from longctx.errors import SourceChangedError
from longctx.sources import passwords
from longctx.sources.parsed import Parsed
from longctx.sources.process import lent
from longctx.sources.snapshot import Snapshot

_DECODERS = {"picture": "pillow", "page": "pymupdf"}


@cache
def version_of(distribution: str) -> str:
    """A distribution with its version, ``"pillow 13.0.0"``; without one where it is not installed."""
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution


@dataclass(frozen=True, slots=True)
class Stills:
    """A picture, or the pages of a document, decoded by a worker; a :class:`longctx.corpus.Medium`.

    Args:
        snapshot: of the file.
        what: ``"picture"``, whose only place is 0, or ``"page"``, whose places are page numbers.
        clip: the part of each page that is seen, in points; None for all of it.
    """

    snapshot: Snapshot
    what: Literal["picture", "page"]
    clip: Box | None = None

    @property
    def identity(self) -> str:
        """The file's hash, the decoder with its version, and what is cut out."""
        whole = f"{self.snapshot.sha256} {version_of(_DECODERS[self.what])}"
        return whole if self.clip is None else f"{whole} {self.clip}"

    def cut(self, box: Box) -> Stills:
        """A part of a page, as a medium of its own; its places stay the pages' numbers."""
        return replace(self, clip=box)

    def request(self, places: Sequence[float], width: int, height: int) -> dict[str, Any]:
        """What a worker is asked for frames: ``do`` and its arguments."""
        arguments = {"file": self.snapshot.file, "places": list(places), "width": width, "height": height}
        return {"do": f"{self.what}_frames", **arguments, **self._of_pages}

    @property
    def _of_pages(self) -> dict[str, Any]:
        """What else the worker needs for pages; the password is looked up when it is used, and stands nowhere else."""
        if self.what == "picture":
            return {}
        return {"clip": self.clip, "password": passwords.of(self.snapshot.sha256)}

    def frames(self, places: Sequence[float], width: int, height: int, check: Callable[[], None]) -> Iterator[Frame]:
        """As :class:`longctx.corpus.Medium` has it: what cannot be decoded is left out."""
        import numpy as np

        left = list(places)
        while left:
            with lent(self.snapshot.file) as parser:
                for reply in parser.ask(check=check, **self.request(left, width, height)):
                    self.snapshot.check()
                    left.pop(0)  # an error without a place is the worker's end, and the first place's fault
                    if "data" in reply:
                        yield Frame(reply["place"], np.frombuffer(reply["data"], np.uint8).reshape(height, width, 3))
                    elif "place" not in reply:
                        break

    def look(self, place: float, side: int, box: Box | None = None) -> bytes:
        """As :class:`longctx.corpus.Medium` has it."""
        self.snapshot.check()
        with lent(self.snapshot.file) as parser:
            arguments = {"file": self.snapshot.file, "place": place, "side": side, "box": box, **self._of_pages}
            replies = list(parser.ask(f"{self.what}_look", _go_on, **arguments))
        if not replies or "data" not in replies[0]:
            reason = replies[0]["error"] if replies else "no such place"
            raise SourceChangedError(f"{self.snapshot.path}: nothing can be shown: {reason}")
        return bytes(replies[0]["data"])


def parse_picture(path: str, replies: Iterator[Mapping[str, Any]], medium: Stills) -> Parsed:
    """The one segment of a picture.

    Args:
        path: as it is cited.
        replies: of :func:`longctx.sources.pictures.pixels.probe`.
        medium: of the file.
    """
    told = list(replies)
    reply: Mapping[str, Any] = told[0] if told else {"error": "the picture reader said nothing"}
    if "error" in reply:
        return Parsed("image", status="failed", reason=reply["error"])
    width, height = reply["width"], reply["height"]
    place = Page(path, 1, box=(0.0, 0.0, float(width), float(height)), picture=True)
    segment = Segment("", place, visuals=(Visual(medium, (0.0,), width, height),))
    said = [] if reply["whole"] else ["cut off or damaged: what is left of it is read"]
    said += ["several pictures in one file: the first is read"] if reply["more"] else []
    return Parsed("image", (segment,), "truncated" if said else "read", "; ".join(said), medium=medium)


def _go_on() -> None:
    """A look is quick; nobody stops it."""
