"""Which lines of the sources say most nearly what a sentence says: overlap of words; rare ones, names and numbers count more.

Similarity of words, no more: it proves neither that the lines support the sentence nor that they contradict it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from longctx.citations.quotes import Found, Segments, narrowed
from longctx.corpus import Lines, Segment, split_lines
from longctx.words import stem

#: The part of a sentence's weight that lines must share to be called its source.
ENOUGH = 0.5
#: Segments that are looked at line by line for one sentence.
MOST_SEGMENTS = 24
#: Lines, or sentences of a page, that a quote takes at most; and what every further one must add.
MOST_LINES = 3
WORTH = 0.12
#: A number or a name that is made of parts (``max_attempts``) weighs so much more than a word.
NAME_WEIGHT = 2.0
LEAST_NAME = 4

#: The parts of words: ``maxAttempts`` and ``max_attempts`` have two; a Chinese or Japanese character is one.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+(?:[.,]\d+)*|[぀-ヿ㐀-鿿가-힯]|[^\W\d_a-zA-Z぀-ヿ㐀-鿿가-힯]+")
_NAME = re.compile(r"\b(?=\w*[^\W\d_])(?:\w+(?:[._]\w+)+|[a-z]+[A-Z]\w*|[A-Z]+[a-z]+[A-Z]\w*|[A-Z_]{3,}|\w*\d\w*)")
_SEPARATOR = re.compile(r"[\W_]+")
_STOP = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n\s*\n")

_COMMON = frozenset(
    """a about above after again all also am an and any answer are as at be because been before being below between both but by
    can could did do does doing don down during each few for from further had has have having he her here hers him his how i if
    in into is it its itself just let ll may me more most must my no nor not now of off on once only or other our out over own
    provide provided re same say says she should so some source sources state stated states such than that the their them then
    there these they this those through to too under until up use used uses using ve very was we were what when where which
    while who whom why will with within would you your according segment text file code line document following however also
    s t""".split()  # noqa: SIM905
)
_NO_CLAIM = re.compile(
    r"(?:sure|certainly|of course|okay|ok|yes|no|hello|hi|thanks?|thank you|sorry|unfortunately)\b[^.]{0,40}[.!,:]?"
    r"|(?:here (?:is|are)|i hope|let me know|feel free|i(?: a|')m sorry|in (?:summary|conclusion))\b.*"
    r"|(?:the |these )?(?:provided )?(?:sources?|text) (?:do(?:es)?(?: not|n't)) (?:say|state|mention|specify|contain).*"
    r"|.*[:：?？]",
    re.IGNORECASE | re.DOTALL,
)


def claims(sentence: str) -> bool:
    """Whether a sentence says something that a source could support: no greeting, no question, no heading, some content.

    >>> claims("Sure!"), claims("Here is the answer:"), claims("It retries 5 times.")
    (False, False, True)
    """
    return not _NO_CLAIM.fullmatch(sentence.strip()) and bool(words(sentence))


def words(text: str) -> set[str]:
    """The content words of a text in their plainest form, names in their parts.

    >>> sorted(words("The maxAttempts are 5."))
    ['5', 'attempt', 'max']
    """
    return {_plain(part) for part in set(_PART.findall(text))} - {""}


@lru_cache(maxsize=1 << 17)
def _plain(part: str) -> str:
    """A word without case and endings, empty for one without content."""
    word = part.lower()
    return "" if word in _COMMON or (len(word) == 1 and "a" <= word <= "z") else stem(word)


@dataclass(frozen=True, slots=True)
class Support:
    """The lines that are nearest to a sentence.

    Args:
        found: the lines.
        share: what part of the sentence's weight they share, from 0 to 1.
        shared: how many of its words and names they share.
        missing: those that they lack.
    """

    found: Found
    share: float
    shared: int
    missing: frozenset[str]

    @property
    def enough(self) -> bool:
        """Whether they may be called the sentence's source: not for one word of many, nor where a number or name is another."""
        lone = self.shared == 1 and bool(self.missing)
        return self.share >= ENOUGH and not lone and not any(word[0].isdigit() or _made(word) for word in self.missing)


class Matcher:
    """Finds support for a few sentences in many segments.

    Args:
        sentences: without marks; only words that occur in them are looked for.
        segments: by id.
        allowed: ids that may support.
    """

    def __init__(self, sentences: Iterable[str], segments: Segments, allowed: Collection[int]) -> None:
        self._segments = segments
        self._numbers = [number for number in segments if number in allowed]
        self._wanted = frozenset[str]().union(*(words(sentence) for sentence in sentences))

    @cached_property
    def _where(self) -> Mapping[str, list[int]]:
        """For each wanted word the segments that have it."""
        where: dict[str, list[int]] = defaultdict(list)
        for number in self._numbers:
            for word in self._wanted & words(self._segments[number].text):
                where[word].append(number)
        return where

    def best(self, sentence: str, among: Collection[int] | None = None) -> Support | None:
        """The lines that share most with a sentence, of equals the shortest; None where none shares anything.

        Args:
            sentence: one of those that the matcher was made for.
            among: ids to choose from; None takes all that are allowed.
        """
        weights = self._weights(sentence)
        scores: dict[int, float] = defaultdict(float)
        for word, weight in weights.items():
            for number in self._where.get(word, ()):
                if among is None or number in among:
                    scores[number] += weight
        nearest = sorted(scores, key=lambda number: (-scores[number], number))[:MOST_SEGMENTS]
        supports = [_nearest_lines(number, self._segments[number], weights) for number in nearest]
        return max(supports, key=lambda support: (support.share, -len(support.found.quote)), default=None)

    def supported(self, sentence: str) -> Support | None:
        """The lines that share enough with a sentence to be called its source."""
        support = self.best(sentence)
        return support if support and support.enough else None

    def _weights(self, sentence: str) -> dict[str, float]:
        """How much each word of a sentence counts: rare ones more; one that no source has as much as a middling one."""
        total = max(1, len(self._numbers))
        names = set(_NAME.findall(sentence))
        parts = frozenset[str]().union(*map(words, names))
        weights = dict.fromkeys(names - parts, math.log(1 + math.sqrt(total)))
        for word in words(sentence):
            found = len(self._where.get(word, ())) or max(1.0, math.sqrt(total))
            weights[word] = math.log(1 + total / found) * (NAME_WEIGHT if word in parts or word[0].isdigit() else 1.0)
        return weights


def _nearest_lines(number: int, segment: Segment, weights: Mapping[str, float]) -> Support:
    """The few lines of a segment, neighbours of each other, that share most; a further one must add something."""
    places = _places(segment)
    path = _squashed(getattr(segment.origin, "path", ""))
    known = [_shared(segment.text[start:stop], path, weights) for start, stop in places]
    total = sum(weights.values())

    def share(first: int, last: int) -> float:
        return sum(weights[word] for word in frozenset[str]().union(*known[first : last + 1])) / total

    windows = [(first, last) for first in range(len(places)) for last in range(first, min(first + MOST_LINES, len(places)))]
    first, last = max(windows, key=lambda window: share(*window) - WORTH * (window[1] - window[0]))
    start, stop = places[first][0], places[last][1]
    found = Found(number, narrowed(segment, start, stop), segment.text[start:stop])
    missing = frozenset(weights).difference(*known[first : last + 1])
    return Support(found, share(first, last), len(weights) - len(missing), missing)


def _shared(line: str, path: str, weights: Mapping[str, float]) -> set[str]:
    """The words of a line that count, and names that stand there or in its path however they are written."""
    squashed = _squashed(line)
    names = {name for name in weights if _NAME.fullmatch(name) and (name in line or _stands(name, squashed, path))}
    return (words(line).union(*map(words, names)) & weights.keys()) | names


def _stands(name: str, *places: str) -> bool:
    return _made(name) and any(_squashed(name) in place for place in places)


def _made(name: str) -> bool:
    """Whether it is made of parts, so that the parts alone do not make it: ``NoneTypeError``; and no ``e.g``."""
    return len(_squashed(name)) >= LEAST_NAME and len(_PART.findall(name)) > 1


def _squashed(text: str) -> str:
    """A text in which ``maxAttempts``, ``max_attempts`` and ``MAX-ATTEMPTS`` are one."""
    return _SEPARATOR.sub("", text).lower()


def _places(segment: Segment) -> list[tuple[int, int]]:
    """Where the lines of a segment stand, or the sentences of a page, without blanks around them."""
    text = segment.text
    origin = segment.origin
    if isinstance(origin, Lines):
        lines = split_lines(text)
        pieces = [piece for line in lines for piece in _sentences(line)] if origin.unit == "paragraph" else lines
    else:
        pieces = _sentences(text)
    places, at = [], 0
    for piece in pieces:
        start = at + len(piece) - len(piece.lstrip())
        stop = at + len(piece.rstrip())
        if start < stop:
            places.append((start, stop))
        at += len(piece)
    return places


def _sentences(text: str) -> list[str]:
    cuts = [0, *(match.end() for match in _STOP.finditer(text)), len(text)]
    return [text[start:stop] for start, stop in pairwise(cuts)]
