"""Retrieval: which segments matter for a question when not all fit. BM25 over words and parts of identifiers, and neighbours.

Knows ids, texts and token counts; no corpus, no model. The same question over the same segments always gives the same choice,
and a choice never costs more than its budget.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from longctx.errors import UsageError
from longctx.words import stem

if TYPE_CHECKING:
    import numpy as np

#: A segment: its id, its text with the words of its heading and path, its tokens in the prompt.
Entry = tuple[int, str, int]

_WORD = re.compile(r"\w+")
#: Parts of an identifier: HTTPServer2 is HTTP, Server, 2.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
#: Scripts that put no spaces between words are matched by pairs of characters.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]{2,}")
#: Words that say how a question is asked, not what it asks for.
# fmt: off
STOPWORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "been", "by", "can", "could", "did", "do", "does",
        "for", "from", "had", "has", "have", "how", "i", "in", "is", "it", "its", "me", "my", "of", "on", "or", "our",
        "please", "shall", "should", "tell", "that", "the", "their", "there", "these", "they", "this", "those", "to",
        "us", "was", "we", "were", "what", "when", "where", "which", "who", "whom", "why", "will", "with", "would",
        "you", "your",
    }
)
# fmt: on


def terms(text: str) -> list[str]:
    """The words of a text as they are matched: lower case, without endings, identifiers whole and in parts.

    >>> terms("Where are the maxRetries of retry_policy?")
    ['maxretries', 'max', 'retri', 'retry_policy', 'retri', 'polici']
    """
    return [term for word in _WORD.findall(text) for term in _word_terms(word)]


def _word_terms(word: str) -> tuple[str, ...]:
    lower = word.lower()
    if lower in STOPWORDS:
        return ()
    if _UNSPACED.search(word):
        return (lower, *(lower[i : i + 2] for i in range(len(lower) - 1)))
    parts = _PART.findall(word) if word.isascii() else [part for part in word.split("_") if part]
    if len(parts) <= 1:
        return (stem(lower.strip("_") or lower),)
    return (lower, *(stem(part.lower()) for part in parts))


@dataclass(frozen=True)
class Choice:
    """What was chosen for a question.

    Args:
        ids: of the chosen segments, in reading order.
        scores: BM25 score of every chosen segment that a word of the question stands in; neighbours have none.
        left_out: ids of the others, in reading order.
        tokens: that the chosen segments take.
        reason: how they were chosen, in words.
    """

    ids: tuple[int, ...]
    scores: Mapping[int, float]
    left_out: tuple[int, ...]
    tokens: int
    reason: str


class Index:
    """Segments made ready to be searched: built once, asked often.

    Args:
        segments: id, text and tokens of each, in reading order; ids ascend.
        sources: which source each is of, in the same order; a neighbour is of the same source. None takes all as one.

    Raises:
        UsageError: ids do not ascend, a token count is negative, or ``sources`` has another length.

    >>> index = Index([(1, "def retry(): ...", 5), (2, "def parse(): ...", 5), (3, "license text", 5)])
    >>> index.choose("Where is parse?", budget=5).ids
    (2,)
    """

    def __init__(self, segments: Sequence[Entry], sources: Sequence[str] | None = None) -> None:
        self._ids = [number for number, _, _ in segments]
        self._tokens = [tokens for _, _, tokens in segments]
        self._sources = list(sources) if sources is not None else [""] * len(segments)
        if any(a >= b for a, b in zip(self._ids, self._ids[1:], strict=False)):
            raise UsageError("the ids of segments must ascend, as in reading order")
        if min(self._tokens, default=0) < 0:
            raise UsageError(f"a segment has {min(self._tokens)} tokens; a count cannot be negative")
        if len(self._sources) != len(segments):
            raise UsageError(f"{len(self._sources)} sources are named for {len(segments)} segments")
        self._vocabulary: dict[str, int] = {}
        self._bm25 = self._build([text for _, text, _ in segments])

    def choose(
        self,
        question: str,
        budget: int,
        *,
        neighbours: int = 1,
        first: Sequence[int] = (),
        caps: Sequence[tuple[Collection[str], int]] = (),
    ) -> Choice:
        """The segments that match a question best, with their neighbours while the budget lasts.

        Each hit is taken with its neighbours, the best hit first; one that is too large for what is left is passed over. Where
        no word of the question stands in any segment, the opening segments of every source are taken.

        Args:
            question: in the user's words.
            budget: tokens that the chosen segments may take together.
            neighbours: segments on either side that are kept with a hit.
            first: ids that are taken before all others, such as those of a time that the question names.
            caps: sources, and tokens of the budget that are theirs together and no more; all others have what is left of it.

        Raises:
            UsageError: ``budget``, ``neighbours`` or a cap is negative.
        """
        if min(budget, neighbours, *(tokens for _, tokens in caps)) < 0:
            raise UsageError(f"budget={budget}, neighbours={neighbours} and caps={list(caps)!r} cannot be negative")
        scores = self._scores(question)
        hits = self._ranked(scores)
        places = {number: place for place, number in enumerate(self._ids)}
        named = [places[number] for number in first if number in places]
        wanted = self._with_neighbours([*named, *hits], neighbours) if hits or named else self._openings()
        taken = self._fill(wanted, budget, caps)
        found = {self._ids[i]: float(scores[i]) for i in sorted(taken) if scores[i] > 0}
        return Choice(
            ids=tuple(self._ids[i] for i in sorted(taken)),
            scores=MappingProxyType(found),
            left_out=tuple(number for i, number in enumerate(self._ids) if i not in taken),
            tokens=sum(self._tokens[i] for i in taken),
            reason=_reason(len(hits), len(found), len(taken)),
        )

    def _build(self, texts: Sequence[str]) -> Any:
        """The BM25 index, or None where there is not a single word."""
        known: dict[str, tuple[int, ...]] = {}
        rows = [self._numbers(text, known) for text in texts]
        if not self._vocabulary:
            return None
        import bm25s

        index = bm25s.BM25()
        index.index((rows, dict(self._vocabulary)), show_progress=False)
        return index

    def _numbers(self, text: str, known: dict[str, tuple[int, ...]]) -> list[int]:
        """The terms of a text as numbers; each word is taken apart once."""
        row: list[int] = []
        for word in _WORD.findall(text):
            if (numbers := known.get(word)) is None:
                numbers = tuple(self._vocabulary.setdefault(term, len(self._vocabulary)) for term in _word_terms(word))
                known[word] = numbers
            row += numbers
        return row

    def _scores(self, question: str) -> np.ndarray:
        import numpy as np

        numbers = [self._vocabulary[term] for term in dict.fromkeys(terms(question)) if term in self._vocabulary]
        if not numbers or self._bm25 is None:
            return np.zeros(len(self._ids), dtype=np.float32)
        scores: np.ndarray = self._bm25.get_scores_from_ids(numbers)
        return scores

    def _ranked(self, scores: np.ndarray) -> list[int]:
        """Places of the hits, the best first; of equals, the earlier."""
        order = (-scores).argsort(kind="stable")
        return [int(i) for i in order if scores[i] > 0]

    def _with_neighbours(self, hits: Sequence[int], neighbours: int) -> Iterator[int]:
        for hit in hits:
            yield hit
            for distance in range(1, neighbours + 1):
                yield from (i for i in (hit - distance, hit + distance) if self._same_source(hit, i))

    def _same_source(self, a: int, b: int) -> bool:
        return 0 <= b < len(self._ids) and self._sources[a] == self._sources[b]

    def _openings(self) -> Iterator[int]:
        """The first segment of every source, then the second of every source, and so on."""
        depth: dict[str, int] = {}
        placed = []
        for i, source in enumerate(self._sources):
            depth[source] = depth.get(source, -1) + 1
            placed.append((depth[source], i))
        yield from (i for _, i in sorted(placed))

    def _fill(self, wanted: Iterator[int], budget: int, caps: Sequence[tuple[Collection[str], int]]) -> set[int]:
        """Take what fits, in the order in which it is wanted."""
        purses = {source: number for number, (sources, _) in enumerate(caps, start=1) for source in sources}
        capped = [tokens for _, tokens in caps]
        left = [max(0, budget - sum(capped)), *capped]
        taken: set[int] = set()
        total, smallest = budget, min(self._tokens, default=0)
        for i in wanted:
            if total < smallest:
                break
            purse, tokens = purses.get(self._sources[i], 0), self._tokens[i]
            if i not in taken and tokens <= min(left[purse], total):
                taken.add(i)
                left[purse] -= tokens
                total -= tokens
        return taken


def choose(question: str, segments: Sequence[Entry], budget: int, *, neighbours: int = 1) -> Choice:
    """The segments that match a question best; for one question. See :class:`Index` for several.

    Raises:
        UsageError: see :class:`Index` and :meth:`Index.choose`.

    >>> choose("timeout", [(1, "connect", 3), (2, "read timeout", 3), (3, "close", 3)], budget=6).ids
    (1, 2)
    """
    return Index(segments).choose(question, budget, neighbours=neighbours)


def _reason(hits: int, kept: int, taken: int) -> str:
    if not hits:
        return "no word of the question stands in any segment: the opening segments of each source were taken"
    return f"{kept} of {hits} segments with words of the question, and {taken - kept} beside them"
