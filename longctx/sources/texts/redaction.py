"""Secrets are taken out of what a parser found: the place keeps its lines and says what stood there.

One place for all kinds of files: the segments of a file are looked through as one text, so that a key is found that is spread
over several of them. Text that is recognised in pictures later is looked through when it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter

from longctx.corpus import Cue, Footage, Lines, Segment
from longctx.sources.parsed import Parsed, counted
from longctx.sources.texts import secrets
from longctx.sources.texts.secrets import Secret

_LINE_END = re.compile(r"\r\n|\n|\r")
#: What a recogniser takes hyphens for, such as those around the name of a key.
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−一", "-"))


def without_secrets(parsed: Parsed) -> Parsed:
    """A file without its secrets; its status and reason say how many there were.

    Args:
        parsed: as its parser found it.
    """
    segments, found = _without(parsed.segments, [segment.text for segment in parsed.segments])
    footage, told = _silent(parsed.footage)
    found += told if parsed.footage and not found else Counter()
    if not found:
        return parsed
    status = "redacted" if parsed.status == "read" else parsed.status
    reason = "; ".join(filter(None, (parsed.reason, told_of(found))))
    return replace(parsed, segments=segments, footage=footage, status=status, reason=reason)


def without_recognised(segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], Counter[str]]:
    """Segments that were recognised in pictures, without their secrets; and how many there were of what.

    Args:
        segments: of one file, in reading order.
    """
    return _without(segments, [segment.text.translate(_DASHES) for segment in segments])


def redacted(text: str, found: Iterable[Secret]) -> str:
    r"""A text in which each secret is replaced by what it is, and by the line ends that stood in it.

    Args:
        text: in which the secrets were found.
        found: ascending, none over another.

    >>> redacted("key: 1\n2\n3;", [Secret(5, 10, "private key")])
    'key: [redacted: private key]\n\n;'
    """
    parts, at = [], 0
    for secret in found:
        ends = _LINE_END.findall(text, secret.start, secret.stop)
        parts += [text[at : secret.start], f"[redacted: {secret.what}]", *ends]
        at = secret.stop
    return "".join((*parts, text[at:]))


def told_of(found: Counter[str]) -> str:
    """Secrets in words, for a row.

    Args:
        found: how many of what.

    >>> told_of(Counter({"password": 2}))
    '2 secrets redacted: 2 × password'
    """
    kinds = ", ".join(kind if number == 1 else f"{number:,} × {kind}" for kind, number in sorted(found.items()))
    return f"{counted(found.total(), 'secret')} redacted: {kinds}"


def _without(segments: Sequence[Segment], typed: Sequence[str]) -> tuple[tuple[Segment, ...], Counter[str]]:
    """Segments without the secrets that stand in their texts as they may have been typed, sign for sign."""
    pairs = zip(typed, pairwise(segments), strict=False)
    texts = [text + ("" if _goes_on(before, after) else "\n") for text, (before, after) in pairs]
    found = secrets.find("".join((*texts, *typed[-1:])))
    if not found:
        return tuple(segments), Counter()
    kept, start = [], 0
    for segment, length in zip(segments, [*map(len, texts), 0], strict=True):
        own = list(_inside(found, start, start + len(segment.text)))
        kept.append(_replaced(segment, own) if own else segment)
        start += length
    # A name above a segment is a line of the text, too.
    kept = [replace(segment, heading=redacted(segment.heading, secrets.find(segment.heading))) for segment in kept]
    return tuple(kept), Counter(secret.what for secret in found)


def _goes_on(before: Segment, after: Segment) -> bool:
    """Whether one segment follows the other without a break, as in a text and in a line that is too long."""
    one, other = before.origin, after.origin
    return isinstance(one, Lines) and isinstance(other, Lines) and one.cell is None and one.last <= other.first <= one.last + 1


def _inside(found: Sequence[Secret], start: int, stop: int) -> Iterator[Secret]:
    """The parts of secrets, which ascend, that stand between two places, told from the first of these."""
    first, last = bisect_right(found, start, key=attrgetter("stop")), bisect_left(found, stop, key=attrgetter("start"))
    for secret in found[first:last]:
        yield Secret(max(secret.start - start, 0), min(secret.stop, stop) - start, secret.what)


def _replaced(segment: Segment, own: Sequence[Secret]) -> Segment:
    visuals = tuple(
        replace(visual, at=len(redacted(segment.text[: visual.at], _inside(own, 0, visual.at)))) for visual in segment.visuals
    )
    return replace(segment, text=redacted(segment.text, own), visuals=visuals)


def _silent(footage: Footage | None) -> tuple[Footage | None, Counter[str]]:
    """A video whose subtitles hold no secrets."""
    found: Counter[str] = Counter()
    if footage is None:
        return None, found
    cues = []
    for cue in footage.cues:
        secret = secrets.find(cue.text)
        found.update(one.what for one in secret)
        cues.append(Cue(cue.start, cue.end, redacted(cue.text, secret)) if secret else cue)
    return (replace(footage, cues=tuple(cues)) if found else footage), found
