"""Videos get the frames that a plan chose: segments of about ten seconds, each with its frames and the subtitles between them.

Times in, segments out; nothing is decoded. Knows no model: how frames become tokens is the format's matter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from longctx.corpus import Corpus, Cue, Footage, Moment, Segment, Source, Visual

#: Seconds of one segment, about; a segment has at least one temporal patch.
SECONDS = 10.0
#: What stands before a subtitle.
SAID = "Subtitles: "


@dataclass(frozen=True, slots=True)
class Shown:
    """What a model is shown of one video.

    Args:
        frames: how many.
        width: pixels of each.
        height: pixels.
    """

    frames: int
    width: int
    height: int


def sampled(
    corpus: Corpus, shown: Mapping[str, Shown], *, group: int, lost: Mapping[str, Collection[float]] | None = None
) -> Corpus:
    """The corpus with its videos' segments made of chosen frames.

    Args:
        corpus: with videos of which no frame was chosen.
        shown: by path of the source; a video that is not named keeps its subtitles only.
        group: frames of one temporal patch.
        lost: times of frames that cannot be decoded, by path; no others are shown in their stead.
    """
    gone = lost or {}

    def made(source: Source) -> Source:
        if source.footage is None or source.path not in shown:
            return source
        chosen = segments(source, source.footage, shown[source.path], group, gone.get(source.path, ()))
        return replace(source, segments=tuple(chosen))

    return Corpus(tuple(map(made, corpus.sources)), corpus.manifest)


def choose(times: Sequence[float], count: int) -> tuple[float, ...]:
    """Frames spread evenly over time, from the first to the last; to each of the equal steps the nearest one, none twice.

    Args:
        times: of every frame, ascending.
        count: of frames to choose; where fewer exist, all are taken.

    >>> choose([0.0, 1.0, 2.0, 3.0, 4.0], 3), choose([0.0, 0.1], 5)
    ((0.0, 2.0, 4.0), (0.0, 0.1))
    """
    if count >= len(times):
        return tuple(times)
    if count < 1:
        return ()
    step = (times[-1] - times[0]) / max(1, count - 1)
    return tuple(times[i] for i in sorted({_nearest(times, times[0] + k * step) for k in range(count)}))


def _nearest(times: Sequence[float], wanted: float) -> int:
    after = min(bisect_left(times, wanted), len(times) - 1)
    return after if after == 0 or times[after] - wanted < wanted - times[after - 1] else after - 1


def segments(source: Source, footage: Footage, shown: Shown, group: int, lost: Collection[float] = ()) -> Iterator[Segment]:
    """The segments of one video, in time.

    Args:
        source: of the video.
        footage: what it is made of.
        shown: how many frames, and how large.
        group: frames of one temporal patch.
        lost: times of frames that cannot be decoded.
    """
    # A neighbour of a lost frame most likely is lost with it; to try each of them would take a plan for every one.
    times = [time for time in choose(footage.times, shown.frames) if time not in lost]
    groups = [tuple(times[i : i + group]) for i in range(0, len(times), group)]
    starts = [0.0, *_starts(groups)]
    ends = [*starts[1:], footage.duration]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1):
        last = number == len(starts)
        inside = [places for places in groups if start <= places[0] and (last or places[0] < end)]
        cues = _cues(footage.cues, start, end, last=last)
        if inside or cues:
            text, at = _interleaved(cues, inside)
            visuals = _visuals(footage, shown, inside, at)
            yield Segment(text, Moment(source.path, start, end), visuals=visuals)


def _starts(groups: Sequence[tuple[float, ...]]) -> Iterator[float]:
    """Where a new segment begins, after the first one, which begins at 0."""
    begun = 0.0
    for places in groups[1:]:
        if places[0] - begun >= SECONDS:
            begun = places[0]
            yield begun


def _cues(cues: Sequence[Cue], start: float, end: float, *, last: bool) -> list[Cue]:
    times = [cue.start for cue in cues]
    return list(cues[bisect_left(times, start) if start else 0 : len(cues) if last else bisect_left(times, end)])


def _interleaved(cues: Sequence[Cue], groups: Sequence[tuple[float, ...]]) -> tuple[str, list[int]]:
    """The subtitles as text, and for each temporal patch how many characters of it are said before that patch begins."""
    text, at = "", []
    waiting = list(cues)
    for places in groups:
        while waiting and waiting[0].start < places[0]:
            text += f"{SAID}{waiting.pop(0).text}\n"
        at.append(len(text))
    return text + "".join(f"{SAID}{cue.text}\n" for cue in waiting), at


def _visuals(footage: Footage, shown: Shown, groups: Sequence[tuple[float, ...]], at: Sequence[int]) -> tuple[Visual, ...]:
    """One visual for the patches between two subtitles."""
    found: list[Visual] = []
    for places, offset in zip(groups, at, strict=True):
        if found and found[-1].at == offset:
            found[-1] = replace(found[-1], places=(*found[-1].places, *places))
        else:
            size = (shown.width, shown.height)
            found.append(Visual(footage.medium, places, footage.width, footage.height, True, offset, size))
    return tuple(found)
