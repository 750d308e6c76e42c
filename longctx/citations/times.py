"""Times that a question names, and what a recording holds there: ``at 12 seconds``, ``1:05``, ``00:01:05``, ``2 min 5 s``."""

from __future__ import annotations

import re
from collections.abc import Collection

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


def held(time: float, segments: Segments, allowed: Collection[int]) -> list[int]:
    """The segments of recordings that hold a time; of two that meet there, the one that begins then.

    A time that is less than a second past the end of a recording means its end: people say 12 seconds where it has 11.96.
    """
    moments = {number: origin for number in allowed if isinstance(origin := segments[number].origin, Moment)}
    found = [number for number, m in moments.items() if m.start <= time < m.end or m.start == time]
    paths = {moments[number].path for number in found}
    ends: dict[str, float] = {}
    for segment in segments.values():
        if isinstance(segment.origin, Moment):
            ends[segment.origin.path] = max(segment.origin.end, ends.get(segment.origin.path, 0.0))
    past = [n for n, m in moments.items() if m.path not in paths and m.end == ends[m.path] and m.end <= time < m.end + 1]
    return [*found, *past]
