"""Where quoted words stand in a segment, to the line. Knows segments, not answers.

Words are the same where they differ in white space only; else where they differ in case, in the shape of quotation marks and
dashes, or in what a writer adds to a quote: a full stop, emphasis, an ellipsis for what was left out.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from longctx.corpus import Lines, Origin, Page, Segment, split_lines

_WORD = re.compile(r"\S+")
_RUN = re.compile(r"[^\W_]+")
_LINE_END = re.compile(r"\r\n|\n|\r")
_SPLIT_WORD = re.compile(r"(?<=[^\W\d_])-[ \t]*(?:\r\n|\n|\r)[ \t]*(?=[^\W\d_])")
_LEFT_OUT = re.compile(r"\s*(?:\[\s*(?:\.\.\.|…)\s*\]|\.\.\.|…)\s*")
_MARKUP = re.compile(r"[`*]|(?<!\w)_|_(?!\w)")
_SHAPES = str.maketrans("‘’‚‛“”„‟«»‐‑‒–—−", '\'\'\'\'""""""------')

Segments = Mapping[int, Segment]


@dataclass(frozen=True, slots=True)
class Found:
    """Where words stand.

    Args:
        segment: id; of two segments that share a quote, the first.
        origin: narrowed to the very lines.
        quote: as it stands in the source.
    """

    segment: int
    origin: Origin
    quote: str


class Normal:
    """A text with white space made even, that knows where each character came from."""

    def __init__(self, text: str, *, joined: bool = False) -> None:
        self.source = text
        gaps = {match.start(): match.end() for match in _SPLIT_WORD.finditer(text)} if joined else {}
        self._starts: list[int] = []
        self._origins: list[int] = []
        parts: list[str] = []
        at = 0
        for match in _WORD.finditer(text):
            start, stop = match.span()
            hyphen = stop - 1 if stop - 1 in gaps else None
            self._starts.append(at)
            self._origins.append(start)
            parts.append(text[start : stop if hyphen is None else hyphen] + (" " if hyphen is None else ""))
            at += len(parts[-1])
        self.text = "".join(parts).rstrip(" ")
        self.folded = fold(self.text)

    def origin(self, index: int) -> int:
        """Where a character of the normal text stands in the source."""
        word = bisect_right(self._starts, index) - 1
        return self._origins[word] + index - self._starts[word]


def fold(text: str) -> str:
    """A text in lower case with plain quotation marks and dashes; of the same length."""
    shaped = text.translate(_SHAPES)
    lower = shaped.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in shaped)


def find(quote: str, text: str, *, joined: bool = False) -> tuple[int, int] | None:
    r"""Where a quote stands in a text: first and after-last character; None where it does not.

    Args:
        quote: as the answer has it.
        text: of the source.
        joined: whether words that a hyphen splits at a line's end count as one.

    >>> find("Retry at once.", "We retry\n  at once or never")
    (3, 18)
    """
    normal = Normal(text, joined=joined)
    for folded in (False, True):
        for reading in _readings(quote):
            if place := _in_order(reading, normal, folded):
                return place
    return None


def _readings(quote: str) -> Iterator[list[str]]:
    """The ways to read a quote, plainest first, each as parts that stand in order."""
    plain = " ".join(quote.split())
    bare = " ".join(_MARKUP.sub("", plain).split())
    for words in dict.fromkeys((plain, plain.rstrip(".,;:!?… "), bare, bare.rstrip(".,;:!?… "))):
        if words:
            yield [words]
    parts = _LEFT_OUT.split(plain)
    parts = [part.rstrip(".,;: ") for part in parts if part]
    if len(parts) > 1 and all(len(part) >= 8 for part in parts):
        yield parts


def _in_order(parts: list[str], normal: Normal, folded: bool) -> tuple[int, int] | None:
    text = normal.folded if folded else normal.text
    at, first = 0, -1
    for part in parts:
        words = fold(part) if folded else part
        place = _at_words(words, text, at)
        if place < 0:
            return None
        first = place if first < 0 else first
        at = place + len(words)
    return normal.origin(first), normal.origin(at - 1) + 1


def _at_words(words: str, text: str, start: int) -> int:
    """Where ``words`` stand in ``text`` without cutting a word; -1 for nowhere."""
    place = text.find(words, start)
    while place >= 0:
        stop = place + len(words)
        cut_before = place > 0 and words[0].isalnum() and text[place - 1].isalnum()
        cut_after = stop < len(text) and words[-1].isalnum() and text[stop].isalnum()
        if not cut_before and not cut_after:
            return place
        place = text.find(words, place + 1)
    return -1


def locate(quote: str, number: int, segments: Segments, allowed: Collection[int]) -> Found | None:
    """Where a quote stands in a segment, or from it across the border to the next one of the same text."""
    here = segments[number]
    if place := find(quote, here.text, joined=isinstance(here.origin, Page)):
        return Found(number, narrowed(here, *place), here.text[slice(*place)])
    for first in (number, number - 1):
        if first in allowed and first + 1 in allowed and _continues(segments[first], segments[first + 1]):
            both = _both(segments[first], segments[first + 1])
            if place := find(quote, both.text):
                return Found(first, narrowed(both, *place), both.text[slice(*place)])
    return None


def search(quote: str, numbers: Iterable[int], segments: Segments, allowed: Collection[int]) -> Found | None:
    """The first of some segments in which a quote stands."""
    runs: list[str] = _RUN.findall(quote)
    longest = max(runs, key=len, default="").lower()
    for number in numbers:
        if longest in segments[number].text.lower() and (found := locate(quote, number, segments, allowed)):
            return found
    return None


def _continues(first: Segment, second: Segment) -> bool:
    match first.origin, second.origin:
        case Lines() as one, Lines() as other if one.alongside(other):
            made = bool(first.made_of and second.made_of)  # what no text came of may lie between them
            return one.last <= other.first and (made or other.first <= one.last + 1)
    return False


def _both(first: Segment, second: Segment) -> Segment:
    """Two segments that follow each other as one."""
    made_of: tuple[tuple[int, int], ...] = ()
    if first.made_of or second.made_of:
        made_of = tuple(s.lines_at(index) for s in (first, second) for index in range(len(split_lines(s.text))))
    return replace(first, text=first.text + second.text, made_of=made_of)


def narrowed(segment: Segment, start: int, stop: int) -> Origin:
    """The origin of some characters of a segment: for lines the very lines, else the segment's own place."""
    origin = segment.origin
    if not isinstance(origin, Lines):
        return origin
    ends = [match.end() for match in _LINE_END.finditer(segment.text)]
    first, last = (segment.lines_at(bisect_right(ends, place)) for place in (start, stop - 1))
    return replace(origin, first=first[0], last=last[1])
