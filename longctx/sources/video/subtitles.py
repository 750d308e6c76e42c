"""Subtitles as cues: SubRip and WebVTT files, markup taken off. Knows no video."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from longctx.corpus import Cue, Moment, Segment
from longctx.sources.parsed import Parsed, counted, sound
from longctx.sources.texts.decoding import decode

#: Seconds of one segment.
STRETCH = 10.0

_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}")
#: Tags as of HTML, times as of karaoke, and braces as of ASS; a plain ``a < b`` is none of these.
_MARKUP = re.compile(r"</?[A-Za-z][^<>\n]*>|<\d[\d:.]*>|\{\\[^{}]*\}")


def cues_of(text: str) -> tuple[Cue, ...]:
    r"""The cues of a SubRip or WebVTT text, ascending; one that says what the one before it says prolongs that one.

    >>> cues_of("1\n00:00:01,500 --> 00:00:02,000\n<i>Hello</i>\nthere\n")
    (Cue(start=1.5, end=2.0, text='Hello\nthere'),)
    """
    found: list[tuple[float, float, list[str]]] = []
    is_open = False
    goes_on = not text.lstrip("\ufeff").startswith("WEBVTT")  # in SubRip words may follow an empty line; in WebVTT a remark
    for line in [*text.splitlines(), ""]:
        if times := _TIMES.match(line):
            if is_open and found[-1][2] and found[-1][2][-1].strip().isdigit():
                found[-1][2].pop()  # the number of the next cue, without an empty line before it
            start, end = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
            found.append((start, end, []))
            is_open = True
        elif not line.strip():
            is_open = is_open and (goes_on or not found[-1][2])
        elif is_open:
            found[-1][2].append(line)
    return tidy(Cue(start, end, "\n".join(lines)) for start, end, lines in found)


def tidy(cues: Iterable[Cue]) -> tuple[Cue, ...]:
    """Cues without markup, ascending, none empty, none that ends before it starts."""
    tidied: list[Cue] = []
    for cue in sorted(cues, key=lambda cue: (cue.start, cue.end)):
        text = plain(cue.text)
        if not text:
            continue
        before = tidied[-1] if tidied else None
        if before is not None and before.text == text and cue.start <= before.end + 0.05:
            tidied[-1] = Cue(before.start, max(before.end, cue.end), text)
        else:
            tidied.append(Cue(max(0.0, cue.start), max(0.0, cue.start, cue.end), text))
    return tuple(tidied)


def plain(text: str) -> str:
    r"""Words without markup.

    >>> plain(r"{\an8}<b>5 &lt; 6</b> and a < b")
    '5 < 6 and a < b'
    """
    bare = html.unescape(_MARKUP.sub("", text))
    return sound("\n".join(stripped for line in bare.splitlines() if (stripped := line.strip())))


def cue_segments(path: str, cues: Sequence[Cue]) -> tuple[Segment, ...]:
    """Cues as segments of about ten seconds, a line for each cue."""
    return tuple(
        Segment(
            "".join(cue.text + "\n" for cue in stretch),
            Moment(path, stretch[0].start, max(cue.end for cue in stretch)),
        )
        for stretch in _stretches(cues)
    )


def parse_subtitles(path: str, data: bytes) -> Parsed | None:
    """The segments of a subtitle file that belongs to no video; None for what holds no subtitles.

    Args:
        path: as it is cited.
        data: the file's bytes.
    """
    decoded = decode(data)
    cues = cues_of(decoded.text) if decoded else ()
    return Parsed("subtitles", cue_segments(path, cues), reason=counted(len(cues), "cue")) if cues else None


def _stretches(cues: Sequence[Cue]) -> Iterator[list[Cue]]:
    stretch: list[Cue] = []
    for cue in cues:
        if stretch and cue.start - stretch[0].start >= STRETCH:
            yield stretch
            stretch = []
        stretch.append(cue)
    if stretch:
        yield stretch


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + int((fraction or "").ljust(3, "0")) / 1000
