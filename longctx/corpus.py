"""What was read: segments with exact origins, and a manifest of what became of every path.

Knows no file format, no tokenizer and no model. ``sources/`` fills it; everything on the right of the house reads it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Status = Literal["read", "truncated", "skipped", "failed", "redacted"]

#: Lines end here and nowhere else. ``str.splitlines`` also breaks at form feed and U+2028 and would shift file:line.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")
#: Where it breaks besides: a text without these is split six times as fast by it.
_OTHER_BREAKS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def split_lines(text: str) -> list[str]:
    r"""The lines of a text with their ends; they end at ``\n``, ``\r\n`` and ``\r`` only.

    >>> split_lines("a\r\nb\x0cc\n\nd")
    ['a\r\n', 'b\x0cc\n', '\n', 'd']
    """
    if any(character in text for character in _OTHER_BREAKS):
        return _LINE.findall(text)
    return text.splitlines(keepends=True)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a text file, counted from 1, both ends included; or paragraphs or rows of an office document, counted likewise.

    Args:
        path: of the source.
        first: counted from 1.
        last: included.
        cell: of a notebook, counted from 1, whose lines they are.
        part: of a document, in words, as a reader finds it: ``"sheet 'Q1'"``, ``"slide 3"``, ``"chapter 2 (Loomings)"``.
        unit: what is counted: ``"line"``, ``"paragraph"`` (a row of a table counts as one) or ``"row"``.

    >>> str(Lines("book.xlsx", 2, 40, part="sheet 'Q1'", unit="row")), str(Lines("report.docx", 7, 7, unit="paragraph"))
    ("book.xlsx, sheet 'Q1' rows 2-40", 'report.docx, paragraph 7')
    """

    path: str
    first: int
    last: int
    cell: int | None = None
    part: str = field(default="", repr=False)
    unit: str = field(default="line", repr=False)

    @property
    def where(self) -> str:
        """The place inside the file: ``"lines 3-9"``."""
        lines = f"{self.unit} {self.first}" if self.first == self.last else f"{self.unit}s {self.first}-{self.last}"
        return " ".join(filter(None, ("" if self.cell is None else f"cell {self.cell}", self.part, lines)))

    def alongside(self, other: Lines) -> bool:
        """Whether both count the same things of the same text, so that their numbers can be compared."""
        return (self.path, self.cell, self.part, self.unit) == (other.path, other.cell, other.part, other.unit)

    def __str__(self) -> str:
        if self.part or self.unit != "line":
            return f"{self.path}, {self.where}"
        span = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.path}:{span}" if self.cell is None else f"{self.path}:cell {self.cell}:{span}"


@dataclass(frozen=True, slots=True)
class Page:
    """A place on a page of a document, or in a picture, which counts as a document of one page.

    Args:
        path: of the source.
        number: counted from 1.
        box: (x0, y0, x1, y1) from the top left corner as a reader sees it; in points, in a picture in pixels.
        label: the number printed on the page, where the document has such.
        picture: whether the file is a picture.
    """

    path: str
    number: int
    box: Box | None = None
    label: str | None = None
    picture: bool = False

    @property
    def where(self) -> str:
        """The place inside the file: ``"page 3"``."""
        return "picture" if self.picture else f"page {self.number}"

    def __str__(self) -> str:
        return self.path if self.picture else f"{self.path}, page {self.number}"


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of a recording, in seconds from its start."""

    path: str
    start: float
    end: float

    @property
    def where(self) -> str:
        """The place inside the file: ``"00:01:05-00:01:07"``."""
        return f"{clock(self.start)}-{clock(self.end)}"

    def __str__(self) -> str:
        return f"{self.path} at {self.where}"


Origin = Lines | Page | Moment


def clock(seconds: float) -> str:
    """Seconds as ``hh:mm:ss``.

    >>> clock(3725.4)
    '01:02:05'
    """
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def origin_json(origin: Origin) -> dict[str, Any]:
    """An origin as the JSON contract has it: every key present, those of other kinds None."""
    empty: dict[str, Any] = dict.fromkeys(("first_line", "last_line", "cell", "part", "unit", "page", "box", "start", "end"))
    match origin:
        case Lines():
            own: dict[str, Any] = {"first_line": origin.first, "last_line": origin.last, "cell": origin.cell}
            own |= {"part": origin.part or None, "unit": origin.unit}
        case Page():
            own = {"page": origin.number, "box": None if origin.box is None else list(origin.box)}
        case Moment():
            own = {"start": origin.start, "end": origin.end}
    return {"path": origin.path, **empty, **own}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a source looks like at one place.

    Args:
        place: seconds from the start of a video (the frame's own pts); the number of a page; 0 of a picture.
        pixels: RGB, uint8, shape [height, width, 3].
    """

    place: float
    pixels: NDArray[np.uint8]


class Medium(Protocol):
    """The way from a source back to what it looks like: a picture, the pages of a document, the frames of a video.

    The frame-reader protocol: ``sources/`` fills it, one class for each engine. Nothing is decoded before it is asked for.
    """

    @property
    def identity(self) -> str:
        """What decides about the pixels besides place and size: sha256 of the file, decoder and its version."""

    def frames(self, places: Sequence[float], width: int, height: int, check: Callable[[], None]) -> Iterator[Frame]:
        """The frames at these very places, resized while they are decoded, one at a time.

        Args:
            places: ascending. One that cannot be decoded is left out, never replaced by another.
            width: pixels of every frame, as a reader sees it.
            height: pixels.
            check: called often; what it raises ends the work.

        Raises:
            SourceChangedError: the file is not the one that was read, or is gone.
        """

    def look(self, place: float, side: int, box: Box | None = None) -> bytes:
        """The place as a JPEG for people.

        Args:
            place: as in :class:`Frame`; the frame that is shown at that time.
            side: pixels of the longer side at most.
            box: set off from the rest, in the units of :class:`Page`.

        Raises:
            SourceChangedError: as above; or there is nothing to be seen there.
        """


@dataclass(frozen=True, slots=True)
class Visual:
    """Something to look at inside a segment: a picture, or frames of a video that follow each other.

    Args:
        medium: where the pixels come from.
        places: of one picture or page; of frames their exact times, ascending.
        width: of the original as a reader sees it, in pixels (of a page: in points).
        height: as ``width``.
        moving: whether it is of a video.
        at: characters of the segment's text that stand before it.
        shown: pixels (width, height) at which a model sees it; None leaves it to the model's format.
    """

    medium: Medium
    places: tuple[float, ...]
    width: int
    height: int
    moving: bool = False
    at: int = 0
    shown: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said or written from one second of a recording to another: a subtitle."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Footage:
    """A video of which no frame was chosen yet.

    Args:
        medium: where the frames come from.
        width: as a reader sees it, pixels.
        height: pixels.
        duration: seconds, to the end of the last frame.
        times: of every frame, its pts in seconds from the start of the video, ascending, none twice.
        cues: subtitles, ascending.
    """

    medium: Medium
    width: int
    height: int
    duration: float
    times: Sequence[float]
    cues: tuple[Cue, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """The smallest part of a source that can be cited.

    Args:
        text: as it stands in the source. For :class:`Lines` of a text the segments of a file, joined, give the decoded file; a
            line too long for one segment is spread over several with the same line number.
        origin: where it stands.
        heading: the nearest heading or definition above it, where the source has such; may be empty.
        visuals: what there is to look at, in the order of their places in the text.
        made_of: for each line of a text that was made of something else (markup, a document): the first and the last line,
            paragraph or row of the source that it stands for. Empty where the lines are the source's own, counted up.
        hidden: whether a reader of the source does not see it, as text in white on white; the heading says why.

    >>> row = Segment("| a | 1 |\\n", Lines("a.html", 3, 6), made_of=((3, 6),))
    >>> row.lines_at(0), Segment("x\\ny\\n", Lines("a.txt", 7, 8)).lines_at(1)
    ((3, 6), (8, 8))
    """

    text: str
    origin: Origin
    heading: str = ""
    visuals: tuple[Visual, ...] = ()
    made_of: tuple[tuple[int, int], ...] = ()
    hidden: bool = False

    def lines_at(self, index: int) -> tuple[int, int]:
        """The first and the last line of the source that a line of the text stands for; for :class:`Lines` only.

        Args:
            index: of the line in the text, from 0; what follows the last line end counts as the line before it.
        """
        assert isinstance(self.origin, Lines)
        if self.made_of:
            return self.made_of[min(index, len(self.made_of) - 1)]
        return self.origin.first + index, self.origin.first + index


@dataclass(frozen=True)
class Source:
    """One file that was read.

    Args:
        path: the name shown and cited: relative to the folder that was read; bytes that are not UTF-8 are surrogate-escaped.
        file: the absolute path on this machine, by which the source can be opened again.
        kind: ``"code"``, ``"text"``, ``"markdown"``, ``"notebook"``, ``"pdf"``, ``"docx"``, ``"pptx"``, ``"xlsx"``, ``"epub"``,
            ``"html"``, ``"image"``, ``"video"``, ``"subtitles"``.
        size: bytes of the file.
        sha256: of the file's bytes.
        segments: in reading order. Of a video they hold its subtitles by time until frames are chosen (see ``footage``).
        medium: what the source looks like, where it looks like something.
        footage: of a video; a plan chooses frames of it, and the segments are then made anew.
        note: what a model is told where not all of a file was read: what it is, and how much of it is read.
        redact: whether secrets are taken out of what is read of it later, such as text in its pictures.
    """

    path: str
    file: str
    kind: str
    size: int
    sha256: str
    segments: tuple[Segment, ...]
    medium: Medium | None = field(default=None, repr=False, compare=False)
    footage: Footage | None = field(default=None, repr=False, compare=False)
    note: str = ""
    redact: bool = field(default=True, repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one path.

    Args:
        path: as in :class:`Source`; a path that was met but not read has its row too.
        kind: as in :class:`Source`, or ``"archive"``, ``"audio"``, ``"binary"``, ``"document"``, ``"folder"``, ``"link"``,
            ``"other"``.
        status: read, truncated (reason says how much), skipped (reason says why), failed (reason says the error), redacted.
        reason: empty for a plain ``read``.
        size: bytes; 0 where it is not known.
        tokens: None until they are counted.
    """

    path: str
    kind: str
    status: Status
    reason: str = ""
    size: int = 0
    tokens: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as the JSON contract of ``longctx read`` has it."""
        return {
            "path": self.path,
            "kind": self.kind,
            "status": self.status,
            "reason": self.reason,
            "bytes": self.size,
            "tokens": self.tokens,
        }


@dataclass(frozen=True, repr=False)
class Corpus:
    """Everything that was read, in the order in which a model will read it.

    Args:
        sources: files with their segments; what changes rarely comes first.
        manifest: a row for every path met.

    >>> source = Source("a.txt", "/tmp/a.txt", "text", 3, "", (Segment("hi\\n", Lines("a.txt", 1, 1)),))
    >>> corpus = Corpus((source,), (Row("a.txt", "text", "read", size=3),))
    >>> corpus.segments[1].origin
    Lines(path='a.txt', first=1, last=1, cell=None)
    """

    sources: tuple[Source, ...]
    manifest: tuple[Row, ...]

    @cached_property
    def segments(self) -> Mapping[int, Segment]:
        """Every segment by its id: 1, 2, 3, … in reading order."""
        return dict(enumerate((s for source in self.sources for s in source.segments), start=1))

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The absolute path of every source by the path that is cited."""
        return {source.path: source.file for source in self.sources}

    def __repr__(self) -> str:
        statuses = Counter(row.status for row in self.manifest)
        paths = ", ".join(f"{count:,} {status}" for status, count in statuses.items())
        return f"<Corpus of {len(self.sources):,} sources in {len(self.segments):,} segments; paths: {paths or 'none'}>"

    def numbered(self) -> Iterator[tuple[Source, list[tuple[int, Segment]]]]:
        """Sources with their segments and ids, in reading order."""
        first = 1
        for source in self.sources:
            yield source, list(enumerate(source.segments, start=first))
            first += len(source.segments)

    def with_tokens(self, counts: Mapping[str, int]) -> Corpus:
        """The same corpus with token counts in its manifest, by path."""
        rows = tuple(replace(row, tokens=counts.get(row.path, row.tokens)) for row in self.manifest)
        return Corpus(self.sources, rows)


class Framing(Protocol):
    """How segments are set into the stream: what stands before, between and after them. ``prompts`` provides it."""

    def open(self, source: Source) -> str:
        """What stands before the first segment of a source."""

    def mark(self, number: int, segment: Segment) -> str:
        """What stands before a segment and carries its id."""

    def escape(self, text: str) -> str:
        """A source's text in which nothing can pose as a mark. Reversible; adds characters, removes none."""

    def close(self, source: Source) -> str:
        """What stands after the last segment of a source."""
