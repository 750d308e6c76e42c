"""What a video shows and says, as text by time: what stands on the screen, and the subtitles meanwhile.

Texts and times in, segments out; knows no video.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from longctx.corpus import Cue, Moment, Segment

#: Seconds after which a stretch with subtitles is cut, where the next one begins.
STRETCH = 10.0
HEADING = "read as text (OCR)"
#: How alike two lines must be to be the same line, read twice.
_ALIKE = 0.85
#: A clock, a counter of slides, or hardly anything: what changes without anything else being shown.
_PASSING = re.compile(r"\W*(?:\d{1,2}(?:[:.]\d{2}){1,2}|\d+\s*/\s*\d+|\w{0,2})\W*")


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``start`` to ``end``, in seconds, the same lines stand on the screen; perhaps none."""

    start: float
    end: float
    lines: tuple[str, ...] = ()


def stretches(frames: Sequence[tuple[float, Sequence[str]]], end: float) -> list[Stretch]:
    """Frames with their lines, neighbours of the same text drawn together.

    Args:
        frames: time and lines, ascending; may be none.
        end: of the video, seconds.

    >>> stretches([(0.0, ["Hello"]), (1.0, ["Hello"]), (2.0, ["World"])], 3.0)
    [Stretch(start=0.0, end=2.0, lines=('Hello',)), Stretch(start=2.0, end=3.0, lines=('World',))]
    """
    found: list[Stretch] = []
    for time, lines in frames:
        if not found or not _same(found[-1].lines, lines):
            found.append(Stretch(time, end, tuple(lines)))
    ends = [*(stretch.start for stretch in found[1:]), end]  # one too many where no frame was read
    return [replace(stretch, end=stop) for stretch, stop in zip(found, ends, strict=False)]


def segments(path: str, shown: Sequence[Stretch], cues: Sequence[Cue], end: float) -> list[Segment]:
    """What is shown and what is said, by time; a stretch in which there is neither is left out.

    Args:
        path: of the video.
        shown: stretches that follow each other.
        cues: subtitles, ascending; each is told in the stretch in which it begins.
        end: of the video, seconds.
    """
    first = shown[0].start if shown else end
    whole = [Stretch(min(0.0, first), first), *shown] if not shown or first > 0 else list(shown)
    found: list[Segment] = []
    for number, stretch in enumerate(whole):
        starts = float("-inf") if number == 0 else stretch.start
        stops = float("inf") if number == len(whole) - 1 else stretch.end
        found += _pieces(path, stretch, [cue for cue in cues if starts <= cue.start < stops])
    return found


def _pieces(path: str, stretch: Stretch, cues: Sequence[Cue]) -> Iterator[Segment]:
    """A stretch cut at subtitles after every ten seconds or so; what stands on the screen is told in the first piece."""
    groups: list[tuple[float, list[Cue]]] = [(stretch.start, [])]
    if cues and not stretch.lines:
        groups = [(max(stretch.start, cues[0].start), [])]
    for cue in cues:
        if cue.start >= groups[-1][0] + STRETCH and (groups[-1][1] or stretch.lines):
            groups.append((cue.start, []))
        groups[-1][1].append(cue)
    stops = [*(start for start, _ in groups[1:]), stretch.end]
    for number, ((start, said), stop) in enumerate(zip(groups, stops, strict=True)):
        lines = stretch.lines if number == 0 else ()
        text = f"On screen: {chr(10).join(lines)}\n" if lines else ""
        text += f"Subtitles: {' '.join(cue.text for cue in said)}\n" if said else ""
        if text:
            yield Segment(text, Moment(path, start, max(start, stop)), HEADING if lines else "")


# -- the same text ---------------------------------------------------------------------------------------------------
def _same(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether neither shows a line that the other has not; clocks and counters aside."""
    return _holds(before, after) and _holds(after, before)


def _holds(lines: Sequence[str], others: Sequence[str]) -> bool:
    return all(any(_is_same(other, line) for line in lines) for other in others if not _PASSING.fullmatch(other))


def _is_same(one: str, other: str) -> bool:
    """Whether two lines are one, read twice; figures must agree."""
    if one == other:
        return True
    if [*filter(str.isdigit, one)] != [*filter(str.isdigit, other)]:
        return False
    matcher = SequenceMatcher(None, one.casefold(), other.casefold(), autojunk=False)
    return matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE
