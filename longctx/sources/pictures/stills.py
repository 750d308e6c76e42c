"""Pictures and pages in the reading process: what their worker is asked for, and one picture as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from longctx.corpus import Box, Frame, Origin, Page, Segment, Visual
from longctx.errors import SourceChangedError
from longctx.sources import passwords
from longctx.sources.parsed import Parsed
from longctx.sources.process import lent
from longctx.sources.snapshot import Snapshot

#: Asks the worker of a file: what to do, and further arguments.
Ask = Callable[..., Iterator[Mapping[str, Any]]]
#: Times that a worker may die over the pictures inside of one file.
DEATHS = 3
_DECODERS = {"picture": "pillow", "page": "pymupdf", "inside": "pillow"}


@cache
def version_of(distribution: str) -> str:
    """A distribution with its version, ``"pillow 13.0.0"``; without one where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and seldom needed

    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution


@dataclass(frozen=True, slots=True)
class Stills:
    """A picture, or the pages of a document, decoded by a worker; a :class:`longctx.corpus.Medium`.

    Args:
        snapshot: of the file.
        what: ``"picture"``, whose only place is 0; ``"page"``, whose places are page numbers; or ``"inside"``, a picture inside
            of another file, whose only place is 0.
        address: of the picture inside, as :mod:`longctx.sources.pictures.inside` has it, keys and values in pairs.
        clip: the part of each page that is seen, in points; None for all of it.
    """

    snapshot: Snapshot
    what: Literal["picture", "page", "inside"]
    address: tuple[tuple[str, str | int], ...] = ()
    clip: Box | None = None

    @property
    def identity(self) -> str:
        """The picture's or the file's hash, the decoder with its version, and what is cut out."""
        whole = f"{dict(self.address).get('sha256', self.snapshot.sha256)} {version_of(_DECODERS[self.what])}"
        return whole if self.clip is None else f"{whole} {self.clip}"

    def cut(self, box: Box) -> Stills:
        """A part of a page, as a medium of its own; its places stay the pages' numbers."""
        return replace(self, clip=box)

    @property
    def _where(self) -> dict[str, Any]:
        """By what the worker finds what is asked for; a password is looked up when it is used, and stands nowhere else."""
        if self.what == "page":
            return {"file": self.snapshot.file, "clip": self.clip, "password": passwords.of(self.snapshot.sha256)}
        return {"file": self.snapshot.file, **({"address": dict(self.address)} if self.address else {})}

    def request(self, places: Sequence[float], width: int, height: int) -> dict[str, Any]:
        """What a worker is asked for frames: ``do`` and its arguments."""
        arguments = {**self._where, "places": list(places), "width": width, "height": height}
        return {"do": f"{self.what}_frames", **arguments}

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
            arguments = {**self._where, "place": place, "side": side, "box": box}
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


def picture_segment(snapshot: Snapshot, picture: Mapping[str, Any], origin: Origin, heading: str) -> Segment:
    """A picture inside of a file as a segment of its own.

    Args:
        snapshot: of the file.
        picture: its address, width and height, as :class:`longctx.sources.pictures.inside.Gallery` has them.
        origin: where it stands.
        heading: that holds there.
    """
    medium = Stills(snapshot, "inside", tuple(sorted(picture["address"].items())))
    return Segment("", origin, heading, (Visual(medium, (0.0,), picture["width"], picture["height"]),))


def probed(ask: Ask, addresses: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any] | None], list[str]]:
    """Pictures inside of a file with their sizes, None for those that are left out, and what is to be said of these.

    Args:
        ask: asks the worker.
        addresses: of the pictures, as :mod:`longctx.sources.pictures.inside` has them.
    """
    found: list[Mapping[str, Any] | None] = []
    notes: list[str] = []
    lost = 0
    while len(found) < len(addresses) and lost < DEATHS:
        for reply in ask("inside_probe", addresses=list(addresses[len(found) :])):
            notes += reply.get("notes", ())
            if "number" in reply:
                found.append(reply["picture"])
            elif "error" in reply:
                found.append(None)  # the picture at which the worker has died
                lost += 1
    left = lost + len(addresses) - len(found) if lost else 0
    notes += [f"{left:,} pictures left out: the picture reader crashed"] if left else []
    return [*found, *[None] * (len(addresses) - len(found))], notes


def _go_on() -> None:
    """A look is quick; nobody stops it."""
