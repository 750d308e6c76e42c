"""Pictures, scanned pages and videos for a model that cannot see: read as text.

Every segment with something to look at is a promise; here it becomes text with the place where it stands. What shows no text is
dropped, and its row says so. Knows no model.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from longctx.corpus import Box, Corpus, Footage, Lines, Origin, Page, Row, Segment, Source, Status, Visual
from longctx.jobs import Job
from longctx.sources.ocr.boxes import parts
from longctx.sources.ocr.changes import Changes
from longctx.sources.ocr.recognised import Blocks, Look, Recogniser
from longctx.sources.ocr.timeline import HEADING, Stretch, segments, stretches
from longctx.sources.page_text import DRAWING, FIGURE, is_said, said_on
from longctx.sources.parsed import counted, ranges, sound
from longctx.sources.texts.redaction import told_of, without_recognised

#: Frames of a video that are read, where nobody chose: one each second, at most so many.
MOST_FRAMES = 240
#: Pixels for a point of a page; of the longer side of a page at least and at most.
PAGE_SCALE, PAGE_SIDES = 2.4, (1280, 2600)
#: Pixels of the longer side of a picture at least (it is enlarged, but not more than twice) and at most; of a frame at most.
PICTURE_SIDES, FRAME_SIDE = (1024, 3200), 1536
#: Tokens that text may come to, generously: of a page or picture at most, of one frame (most show what the one before showed),
#: and pixels or points² for each.
MOST_TOKENS, FRAME_TOKENS, PIXELS, POINTS = 4000, 40, 700, 250
#: Times that a worker may die over one video.
DEATHS = 3

STAGE = "read pictures as text"


@dataclass(frozen=True, slots=True)
class Told:
    """What was read as text.

    Args:
        pictures: that were read.
        pages: of documents.
        frames: of videos that were looked at.
        kept: of all these, how many had been read before.
        left: promises that stay open, because only what is kept was wanted.
        seconds: that it took.
    """

    pictures: int = 0
    pages: int = 0
    frames: int = 0
    kept: int = 0
    left: int = 0
    seconds: float = 0.0

    def words(self) -> str:
        """For the answer; empty where nothing was read.

        >>> Told(pictures=1, frames=90).words()
        '1 picture and 90 frames were read as text (OCR)'
        """
        numbers = (("picture", self.pictures), ("page", self.pages), ("frame", self.frames))
        told = [counted(number, noun) for noun, number in numbers if number]
        verb = "was" if self.pictures + self.pages + self.frames == 1 else "were"
        return f"{' and '.join(told)} {verb} read as text (OCR)" if told else ""


def fulfil(
    corpus: Corpus,
    *,
    job: Job[Any] | None = None,
    cache_folder: Path,
    frames: Mapping[str, Sequence[float]] | None = None,
    only_kept: bool = False,
) -> tuple[Corpus, Told]:
    """The corpus for a model that cannot see: everything that there is to look at, read as text.

    Args:
        corpus: as it was read.
        job: told about progress, in pictures; its stop ends the work, and what was read until then is kept.
        cache_folder: what was read is kept in its folder ``ocr``.
        frames: by the path of a video, the seconds at which it is read; None takes one frame each second, at most
            :data:`MOST_FRAMES`, evenly spaced.
        only_kept: take what was read before, and leave the other promises open.

    Returns:
        the corpus with text segments in place of what was looked at, and what was done.

    Raises:
        MissingPackageError: something must be read and the recogniser is not installed.
        SourceChangedError: a file is not the one that was read, or is gone.
        Stopped: the job was stopped.
    """
    began = time.monotonic()
    folder, check = cache_folder / "ocr", job.check if job else _go_on
    work = _Work(Recogniser(folder, check), Changes(folder, check), job, only_kept, frames or {})
    work.total = sum(work.promised(source) for source in corpus.sources)
    if not any(source.footage or any(segment.visuals for segment in source.segments) for source in corpus.sources):
        return corpus, Told()
    work.report()
    found = {source.path: work.source(source) for source in corpus.sources}
    sources = tuple(source for source in found.values() if source is not None)
    rows = tuple(work.rows[row.path](row) if row.path in work.rows else row for row in corpus.manifest)
    counts = {name: work.counts.get(name, 0) for name in ("pictures", "pages", "frames", "kept", "left")}
    return Corpus(sources, rows), Told(**counts, seconds=time.monotonic() - began)


def estimate(source: Source, seconds: Sequence[float] | None = None) -> int:
    """Tokens that a source's promises may come to as text, generously; 0 where there are none.

    Args:
        source: as it was read.
        seconds: at which a video is read, as for :func:`fulfil`.
    """
    if source.footage is not None:
        cues = sum(len(cue.text) // 3 + 20 for cue in source.footage.cues)
        return FRAME_TOKENS * len(_chosen(source.footage, seconds)) + cues
    return sum(_tokens(segment, visual) for segment in source.segments for visual in segment.visuals)


def _tokens(segment: Segment, visual: Visual) -> int:
    if segment.heading == DRAWING:
        return 0
    share = POINTS if isinstance(segment.origin, Page) and not segment.origin.picture else PIXELS
    return min(MOST_TOKENS, 32 + visual.width * visual.height // share) * len(visual.places)


# -- the work --------------------------------------------------------------------------------------------------------
@dataclass
class _Became:
    """What became of the promises of one source that is no video."""

    read: int = 0
    silent: list[int] = field(default_factory=list)
    wordless: int = 0
    drawn: int = 0
    lost: list[str] = field(default_factory=list)
    left: int = 0


@dataclass
class _Work:
    """One fulfilment."""

    recogniser: Recogniser
    changes: Changes
    job: Job[Any] | None
    only_kept: bool
    frames: Mapping[str, Sequence[float]]
    total: int = 0
    done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, Callable[[Row], Row]] = field(default_factory=dict)

    def promised(self, source: Source) -> int:
        """How many pictures, pages and frames of a source are to be read."""
        if source.footage is not None:
            return len(self._times(source.path, source.footage))
        return sum(len(visual.places) for segment in source.segments for visual in segment.visuals)

    def report(self) -> None:
        """Tell how far the work is, and stop where that is wanted."""
        if self.job is not None:
            self.job.check()
            self.job.report(STAGE, self.done, self.total, unit="pictures")

    def source(self, source: Source) -> Source | None:
        """A source without promises, or None where nothing is left of it."""
        if source.footage is not None:
            return self._video(source, source.footage)
        return self._stills(source) if any(segment.visuals for segment in source.segments) else source

    def _count(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def _advance(self, number: int = 1) -> None:
        self.done += number
        self.report()

    # -- pictures and pages ------------------------------------------------------------------------------------------
    def _stills(self, source: Source) -> Source | None:
        became = _Became()
        said = said_on(source)
        found: list[Segment] = []
        for segment in source.segments:
            found += self._still(segment, said, became)
        found, secrets = _without_secrets(source, found)
        self.rows[source.path] = lambda row: _redacted(_row_of_stills(row, source.kind, became, bool(found)), secrets)
        return replace(source, segments=tuple(found)) if found else None

    def _still(self, segment: Segment, said: set[int], became: _Became) -> Iterator[Segment]:
        """A segment, followed by the text of what there is to look at in it."""
        number, figure = segment.origin.number if isinstance(segment.origin, Page) else 0, segment.heading == FIGURE
        if not segment.visuals:
            yield segment
            return
        if segment.text:
            yield replace(segment, visuals=())
        if is_said(segment, said) and not figure:  # the page's own text says it better
            became.drawn += segment.heading == DRAWING
            self._advance(sum(len(visual.places) for visual in segment.visuals))
            return
        for visual in segment.visuals:
            for place in visual.places:
                blocks = self._blocks(visual, place, _look(segment, visual))
                self._advance()
                if blocks is None:
                    became.left += 1
                    yield replace(segment, text="", visuals=(replace(visual, places=(place,), at=0),))
                elif isinstance(blocks, str):
                    became.lost.append(blocks)
                else:
                    became.read += bool(blocks)
                    became.silent += [] if blocks or figure else [number]
                    became.wordless += figure and not blocks
                    self._count(_noun(segment))
                    yield from _text_segments(segment.origin, blocks)

    def _blocks(self, visual: Visual, place: float, look: Look) -> Blocks | str | None:
        """What is read at a place, why nothing can be, or None where the promise stays open."""
        kept = self.recogniser.kept(visual.medium, place, look)
        if kept is not None:
            self._count("kept")
            return kept
        if self.only_kept:
            self._count("left")
            return None
        for _, blocks in self.recogniser.read(visual.medium, [place], look):
            return blocks
        return "it cannot be decoded"

    # -- videos ------------------------------------------------------------------------------------------------------
    def _times(self, path: str, footage: Footage) -> list[float]:
        return _chosen(footage, self.frames.get(path))

    def _video(self, source: Source, footage: Footage) -> Source | None:
        times = self._times(source.path, footage)
        look = _fitted(footage.width, footage.height, 0, FRAME_SIDE)
        texts: dict[float, Blocks] = {}
        for place in times:
            if (kept := self.recogniser.kept(footage.medium, place, look)) is not None:
                texts[place] = kept
        missing = [place for place in times if place not in texts]
        if missing and self.only_kept:
            self._count("left", len(times))
            self._advance(len(times))
            return source
        self._count("kept", len(texts))
        self._advance(len(texts))
        why = self._frames(footage, missing, look, texts)
        self._count("frames", len(texts))
        lines = [(place, [sound(text) for block in texts[place] for _, text in block]) for place in times if place in texts]
        shown = self._dated(footage, stretches(lines, footage.duration), [place for place, _ in lines])
        found, secrets = _without_secrets(source, segments(source.path, shown, footage.cues, footage.duration))
        self.rows[source.path] = lambda row: _redacted(_row_of_video(row, len(texts), len(times), why, bool(found)), secrets)
        return replace(source, segments=tuple(found), footage=None) if found else None

    def _dated(self, footage: Footage, shown: Sequence[Stretch], read: Sequence[float]) -> list[Stretch]:
        """Stretches that begin with the first frame that shows them, which need not be one that was read."""
        before = {later: earlier for earlier, later in pairwise(read)}
        pairs = [(before[stretch.start], stretch.start) for stretch in shown[1:]]
        first = self.changes.of(footage, pairs)
        starts = [*(stretch.start for stretch in shown[:1]), *(first[pair] for pair in pairs)]
        ends = [*starts[1:], footage.duration]
        return [replace(stretch, start=start, end=end) for stretch, start, end in zip(shown, starts, ends, strict=False)]

    def _frames(self, footage: Footage, places: Sequence[float], look: Look, texts: dict[float, Blocks]) -> str:
        """Read frames, and say why some cannot be; what is lost with a worker that dies is one frame."""
        left, why = list(places), ""
        for _ in range(DEATHS):
            blocks: Blocks | str = ""
            for place, blocks in self.recogniser.read(footage.medium, left, look, unlike=True) if left else ():
                left = left[left.index(place) + 1 :]
                if isinstance(blocks, str):
                    why = blocks
                else:
                    texts[place] = blocks
                    self._advance()
            if not isinstance(blocks, str):
                break
        self._advance(sum(place not in texts for place in places))
        return why


# -- sizes -----------------------------------------------------------------------------------------------------------
def _look(segment: Segment, visual: Visual) -> Look:
    """At what size something is read: a page, or a part of it, as at 170 dots an inch, a picture as it is."""
    longer, origin = max(visual.width, visual.height), segment.origin
    if segment.heading == FIGURE:
        return Look(visual.width, visual.height, min(PAGE_SCALE, PAGE_SIDES[1] / longer))
    if isinstance(origin, Page) and not origin.picture:
        scale = min(max(PAGE_SCALE * longer, PAGE_SIDES[0]), PAGE_SIDES[1]) / longer
        return Look(visual.width, visual.height, scale)
    return _fitted(visual.width, visual.height, *PICTURE_SIDES)


def _fitted(width: int, height: int, least: int, most: int) -> Look:
    longer = max(width, height)
    return Look(width, height, min(most / longer, max(1.0, min(2.0, least / longer))))


def _chosen(footage: Footage, seconds: Sequence[float] | None) -> list[float]:
    """The times of the frames that are shown at these seconds; by default one each second, at most so many."""
    times = footage.times
    if not len(times):
        return []
    if seconds is None:
        span = footage.duration - times[0]
        number = min(MOST_FRAMES, int(span) + 1)
        step = max(1.0, span / MOST_FRAMES)
        seconds = [times[0] + index * step for index in range(number)]
    return sorted({times[max(0, bisect_right(times, second + 1e-6) - 1)] for second in seconds})


# -- secrets ---------------------------------------------------------------------------------------------------------
def _without_secrets(source: Source, found: list[Segment]) -> tuple[list[Segment], Counter[str]]:
    """Segments of which those that were recognised hold no secrets, and how many there were of what."""
    if not source.redact:
        return found, Counter()
    places = [index for index, segment in enumerate(found) if segment.heading == HEADING]
    safe, secrets = without_recognised([found[index] for index in places])
    changed = dict(zip(places, safe, strict=True))
    return [changed.get(index, segment) for index, segment in enumerate(found)], secrets


def _redacted(row: Row, secrets: Counter[str]) -> Row:
    if not secrets:
        return row
    status: Status = "redacted" if row.status == "read" else row.status
    return replace(row, status=status, reason="; ".join(filter(None, (row.reason, f"{told_of(secrets)} in it"))))


# -- what became of it -----------------------------------------------------------------------------------------------
def _text_segments(origin: Origin, blocks: Blocks) -> Iterator[Segment]:
    for box, text in parts(blocks):
        text = sound(text)
        if isinstance(origin, Lines):
            made_of = ((origin.first, origin.last),) * (text.count("\n") + 1)
            yield Segment(text, origin, HEADING, made_of=made_of)
        else:
            yield Segment(text, replace(origin, box=_on_page(box, origin)) if isinstance(origin, Page) else origin, HEADING)


def _on_page(box: Box, place: Page) -> Box:
    """A box in what was read, on the page from which that was cut out."""
    left, top = place.box[:2] if place.box is not None else (0.0, 0.0)
    return (round(box[0] + left, 1), round(box[1] + top, 1), round(box[2] + left, 1), round(box[3] + top, 1))


def _noun(segment: Segment) -> str:
    is_page = isinstance(segment.origin, Page) and not segment.origin.picture and segment.heading != FIGURE
    return "pages" if is_page else "pictures"


def _row_of_stills(row: Row, kind: str, became: _Became, found: bool) -> Row:
    said = [HEADING] if became.read else []
    if became.silent and kind == "image":
        said.append("a picture without text; nothing to read for a model that cannot see")
    elif 0 in became.silent:  # in a document that has no pages
        said.append(f"{counted(len(became.silent), 'picture')} without text for a model that cannot see")
    elif became.silent:
        pages = sorted(set(became.silent))
        said.append(f"no text on {'page' if len(pages) == 1 else 'pages'} {ranges(pages)} for a model that cannot see")
    if became.wordless:
        said.append(f"{counted(became.wordless, 'figure')} without text left out for a model that cannot see")
    if became.drawn:
        said.append(f"{counted(became.drawn, 'drawing')} left out for a model that cannot see: what is written in them is read")
    if became.lost:
        said.append(f"{counted(len(became.lost), 'picture')} cannot be read as text: {became.lost[0]}")
    return _row(row, said, whole=not became.lost, found=found)


def _row_of_video(row: Row, read: int, wanted: int, why: str, found: bool) -> Row:
    said = [f"{counted(read, 'frame')} {HEADING}"] if read else []
    if read < wanted:
        said.append(f"{counted(wanted - read, 'frame')} cannot be read as text: {why or 'they cannot be decoded'}")
    if not found:
        said.append("a video without text; nothing to read for a model that cannot see")
    return _row(row, said, whole=read == wanted, found=found)


def _row(row: Row, said: Sequence[str], *, whole: bool, found: bool) -> Row:
    """The row with what is to be said about it; ``whole`` says that all could be looked at, ``found`` that there was text."""
    status: Status = row.status
    if not found:
        status = "skipped" if whole else "failed"
    elif not whole:
        status = "truncated"
    return replace(row, status=status, reason="; ".join([*([row.reason] if row.reason else []), *said]))


def _go_on() -> None:
    """Nobody can stop the work without a job."""
