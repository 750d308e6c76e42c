"""The replies about a document as segments, and the row that says what became of it. Runs in the reading process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longctx.corpus import Box, Page, Segment, Status, Visual
from longctx.sources.page_text import DRAWING, FIGURE, HIDDEN, SCANNED
from longctx.sources.parsed import Parsed, counted, ranges
from longctx.sources.pictures.stills import Stills

#: Pages on which an image that stands on more of them is a logo or a background, and no figure.
REPEATED = 2
#: Times that a worker may die over the pages of one document.
DEATHS = 3
#: Figures of one document; the rest is counted.
MOST_FIGURES = 2000

Reply = Mapping[str, Any]


def parse_pdf(
    path: str,
    replies: Iterator[Reply],
    *,
    ends_early: bool,
    medium: Stills | None = None,
    pages_as_pictures: bool = False,
    figures_as_pictures: bool = True,
) -> Parsed:
    """The segments of a document.

    Args:
        path: as it is cited.
        replies: of :func:`longctx.sources.pdf.pages.pages`.
        ends_early: whether the file lacks the mark with which a PDF ends.
        medium: of its pages; without it no page is a picture.
        pages_as_pictures: whether pages with text are pictures as well.
        figures_as_pictures: whether figures on pages with text are cut out.
    """
    found = _Found(path, medium, pages_as_pictures, figures_as_pictures)
    failure = ""
    for reply in replies:
        if "pages" in reply:
            found.total, found.damaged = reply["pages"], reply["repaired"] or ends_early
            found.attached, found.off = reply["attached"], reply["off"]
        elif "page" not in reply:
            failure = failure or reply["error"]
        else:
            found.add(reply)
    if failure:
        return Parsed("pdf", status="failed", reason=failure)
    return found.told(ends_early=ends_early)


def surviving(ask: Callable[..., Iterator[Reply]]) -> Iterator[Reply]:
    """The replies about a document, also where the worker dies over some of its pages: another goes on behind each of them.

    Args:
        ask: asks a worker for the pages ``after`` a number.
    """
    total = number = 0
    for _ in range(DEATHS):
        death = ""
        for reply in ask(after=number) if number else ask():
            total, number = reply.get("pages", total), reply.get("page", number)
            if "error" in reply and "page" not in reply and number < total:
                death = reply["error"]
                break
            yield reply
        if not death:
            return
        number += 1
        yield {"page": number, "error": death, "died": True}
        if number >= total:
            return
    yield from ({"page": left, "error": "not tried"} for left in range(number + 1, total + 1))


@dataclass
class _Found:
    """What was found on the pages so far; figures by their segments, with the images of which they are made."""

    path: str
    medium: Stills | None
    pages_as_pictures: bool
    figures_as_pictures: bool
    total: int = 0
    damaged: bool = False
    segments: list[Segment] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    scanned: list[int] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    garbled: list[int] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)
    figures: dict[int, tuple[str, ...]] = field(default_factory=dict)
    images: Counter[str] = field(default_factory=Counter)
    small: int = 0
    unshown: int = 0
    more: int = 0
    death: str = ""
    attached: Sequence[str] = ()
    off: Sequence[str] = ()

    def add(self, reply: Reply) -> None:
        """Take in a page."""
        number = reply["page"]
        if "error" in reply:
            self.unread.append(number)
            self.death = self.death or (reply["error"] if "died" in reply else "")
            return
        label = reply["label"] or None  # PyMuPDF says "" where there are none
        texts = [
            Segment(text, Page(self.path, number, _box(box), label), heading, hidden=heading.startswith(HIDDEN))
            for box, text, heading in reply["parts"]
        ]
        picture = self._picture(reply, label) if self.pages_as_pictures or reply["scan"] else []
        if not picture:
            self._add_figures(reply, label, texts)
        self.segments += picture + texts
        self.garbled += [number] if reply["unknown"] else []
        if reply["scan"]:
            self.scanned += [number] if picture and not reply["unknown"] else []
            self.empty += [] if picture or texts else [number]
        self.lost += [number] if reply["lost"] else []
        self.more += reply["more"]
        if reply["hidden"]:
            self.hidden.append(number)
            self.reasons.update(reply["hidden"])

    def _picture(self, reply: Reply, label: str | None) -> list[Segment]:
        if self.medium is None or not reply["shown"]:
            return []
        width, height = reply["size"]
        place = Page(self.path, reply["page"], (0.0, 0.0, width, height), label)
        return [self._visual(place, self.medium, SCANNED if reply["scan"] else "")]

    def _add_figures(self, reply: Reply, label: str | None, texts: list[Segment]) -> None:
        """Put the figures of a page among its texts: before what stands right below them."""
        self.small += reply["small"]
        for box, keys, written in reply["figures"]:
            self.images.update(keys)
            if self.medium is None or not self.figures_as_pictures:
                self.unshown += 1
                continue
            place = Page(self.path, reply["page"], _box(box), label)
            made = self._visual(place, self.medium.cut(_box(box)), DRAWING if written else FIGURE)
            self.figures[id(made)] = tuple(keys)
            texts.insert(_before(place, texts), made)

    @staticmethod
    def _visual(place: Page, medium: Stills, heading: str) -> Segment:
        x0, y0, x1, y1 = place.box or (0.0, 0.0, 1.0, 1.0)
        visual = Visual(medium, (float(place.number),), max(1, round(x1 - x0)), max(1, round(y1 - y0)))
        return Segment("", place, heading, (visual,))

    def _without_decoration(self) -> int:
        """Take out figures that stand on many pages; how many they are, those that were too small included."""
        decoration = {made for made, keys in self.figures.items() if all(self.images[key] > REPEATED for key in keys)}
        kept = [made for made in self.figures if made not in decoration]
        decoration.update(kept[MOST_FIGURES:])
        self.segments = [segment for segment in self.segments if id(segment) not in decoration]
        return self.small + len(decoration)

    def told(self, *, ends_early: bool) -> Parsed:
        """What became of a document whose pages were all looked at."""
        total, damaged = self.total, self.damaged
        if not total:
            return Parsed("pdf", status="failed", reason="0 pages: the file is cut off or damaged")
        if not self.segments and self.death:
            return Parsed("pdf", status="failed", reason=self.death)
        if not self.segments and (damaged or self.unread):
            return Parsed("pdf", status="failed", reason=f"damaged: no text could be recovered from {counted(total, 'page')}")
        if not self.segments:
            return Parsed("pdf", status="skipped", reason=f"no text and no picture on {counted(total, 'page')}")
        status: Status = "truncated" if ends_early or self.unread or self.lost or self.more else "read"
        left_out = self._without_decoration()
        said = "; ".join(self._said(ends_early=ends_early, left_out=left_out))
        return Parsed("pdf", tuple(self.segments), status, said, medium=self.medium)

    def _said(self, *, ends_early: bool, left_out: int) -> Iterator[str]:
        """What there is to say about a document of which something was read."""
        if ends_early:
            yield f"the file is cut off: {counted(self.total, 'page')} recovered, more may be missing"
        elif self.damaged:
            yield "damaged and repaired: something may be missing"
        if self.unread:
            yield f"{_pages(self.unread)} cannot be read: {self.death or 'damaged'}"
        if self.empty:
            yield f"{_pages(self.empty)} {_has(self.empty)} no text and no picture{' (lost?)' if self.damaged else ''}"
        if self.scanned:
            yield f"{_pages(self.scanned)} {'is a picture' if len(self.scanned) == 1 else 'are pictures'} (scanned)"
        if self.garbled:
            shown = "shown as a picture where that is most of them"
            yield f"fonts on {_pages(self.garbled)} do not say which letters they draw: {shown}"
        if self.lost:
            yield f"fields, annotations and links of {_pages(self.lost)} cannot be read: damaged"
        if self.more:
            yield f"{self.more:,} more fields, annotations and links left out"
        if self.hidden:
            yield f"hidden text on {_pages(self.hidden)}, not seen by a reader: {', '.join(sorted(self.reasons))}"
        if self.attached:
            yield f"left out: {counted(len(self.attached), 'attached file')}, {_names(self.attached)}"
        if self.off:
            yield f"left out: what stands on {counted(len(self.off), 'layer')} switched off, {_names(self.off)}"
        if self.unshown:
            yield f"{counted(self.unshown, 'figure')} not shown"
        if left_out:
            yield f"{counted(left_out, 'small or repeated picture')} left out"


def _before(place: Page, texts: list[Segment]) -> int:
    """Where a figure goes among the segments of its page: before the first text that begins below its middle, in its column."""
    x0, y0, x1, y1 = place.box or (0.0, 0.0, 0.0, 0.0)
    for index, segment in enumerate(texts):
        box = segment.origin.box if isinstance(segment.origin, Page) and segment.origin.box else (0.0, 0.0, 0.0, 0.0)
        if box[1] >= (y0 + y1) / 2 and box[0] < x1 and box[2] > x0:
            return index
    return len(texts)


def _box(values: Sequence[float]) -> Box:
    x0, y0, x1, y1 = values
    return (x0, y0, x1, y1)


def _pages(numbers: list[int]) -> str:
    return f"{'page' if len(numbers) == 1 else 'pages'} {ranges(numbers)}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + ("…" if len(names) > 5 else "")


def _has(numbers: list[int]) -> str:
    return "has" if len(numbers) == 1 else "have"
