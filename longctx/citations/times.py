"""Times that a question names, and what a recording holds there: ``at 12 seconds``, ``1:05``, ``00:01:05``, ``2 min 5 s``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from longctx.citations.quotes import Segments
from longctx.corpus import Moment

_CLOCK = re.compile(r"(?<![\d:.])(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d(?:\.\d+)?)(?![\d:])")
_HOURS, _MINUTES, _SECONDS = r"h(?:ours?|rs?)?", r"min(?:ute)?s?", r"s(?:ec(?:ond)?s?)?"
_UNITS = re.compile(
    rf"(?<![\w.])(?:(\d+)\s*{_HOURS}(?:\s+|\s*,\s*|\s+and\s+))?(?:(\d+)\s*{_MINUTES}(?:\s+|\s*,\s*|\s+and\s+))?"
    rf"(\d+(?:\.\d+)?)\s*{_SECONDS}\b",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    rf"\b(?:second|sec)\s+(\d+(?:\.\d+)?)\b|\b(?:minute)\s+(\d+)\b|(?<![\w.])(\d+)\s*{_MINUTES}\b", re.IGNORECASE
)


def named(text: str) -> list[float]:
    """The times that a text names, in seconds, in order, each once.

    >>> named("What is shown at 12 seconds, at 1:05 and in minute 3?")
    [12.0, 65.0, 180.0]
    """
    found: list[tuple[int, float]] = []
    taken: list[tuple[int, int]] = []
    for pattern in (_CLOCK, _UNITS, _ORDINAL):
        for match in pattern.finditer(text):
            if not any(start < match.end() and match.start() < stop for start, stop in taken):
                taken.append(match.span())
                found.append((match.start(), _seconds(pattern, match)))
    return list(dict.fromkeys(time for _, time in sorted(found)))


def _seconds(pattern: re.Pattern[str], match: re.Match[str]) -> float:
    first, second, third = match.groups()
    if pattern is _ORDINAL:
        return float(first) if first else 60.0 * int(second or third)
    return 3600.0 * int(first or 0) + 60.0 * int(second or 0) + float(third)


def held(time: float, segments: Segments, allowed: Collection[int]) -> Iterator[int]:
    """The segments of recordings that hold a time; of two that meet there, the one that begins then."""
    for number in allowed:
        origin = segments[number].origin
        if isinstance(origin, Moment) and (origin.start <= time < origin.end or origin.start == time):
            yield number
