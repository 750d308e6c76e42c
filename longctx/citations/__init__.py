"""Citations: what an answer cites, resolved to places in the sources and checked; what it does not cite, matched to them.

A checked quote proves that the words stand there, not that they support the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from longctx.citations import marks
from longctx.citations.again import again, referring, unmarked
from longctx.citations.marks import Quote, Sentence
from longctx.citations.quotes import Found, Segments, locate, search
from longctx.citations.support import Matcher, claims
from longctx.citations.times import held, named
from longctx.corpus import Moment, Origin, origin_json

__all__ = [
    "Citation",
    "Resolved",
    "again",
    "at_times",
    "check",
    "held",
    "match",
    "named",
    "nearest",
    "referring",
    "resolve",
    "unmarked",
]

#: What the prompt has a model say where the sources do not state the answer.
NOT_STATED = "The sources do not say."
#: The part of a sentence's weight that a line must share to be chosen where the model cites but does not quote.
RESEMBLES = 0.15
NEAREST = "nearest to the question; the answer itself has no source"
ASKED = "what stands at the time that was asked about"


@dataclass(frozen=True)
class Citation:
    """A place in a source on which an answer rests.

    Args:
        number: by which the answer's text refers to it: ``[1]``.
        segment: the id of the segment.
        origin: the lines, the page or the moment, as narrow as it is known; None for a segment that does not exist.
        quote: the words as they stand in the source where ``verified``; else as the answer has them; may be empty.
        verified: whether the quote stands in the source at ``origin``.
        basis: ``"cited"`` by the model, or ``"matched"`` by longctx because the model cites nothing.
        note: what the user should know about it; may be empty.
        lost: of a citation that was checked again, why it holds no longer; empty where it holds.
        shower: shows it where the user looks; the session provides it.
    """

    number: int
    segment: int
    origin: Origin | None
    quote: str = ""
    verified: bool = False
    basis: Literal["cited", "matched"] = "cited"
    note: str = ""
    lost: str = ""
    shower: Callable[[Any], None] | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """The place in short: ``"src/retry.py:41-52"``."""
        return f"segment {self.segment}" if self.origin is None else str(self.origin)

    @property
    def where(self) -> str:
        """The place inside the file: ``"lines 41-52"``; empty where there is none."""
        return "" if self.origin is None else self.origin.where

    @property
    def remark(self) -> str:
        """What the user should know about it: why it is lost, else its note."""
        return self.lost or self.note

    def show(self) -> None:
        """Show the lines, the page or the frame."""
        if self.shower is None:
            print(self)
        else:
            self.shower(self)

    def to_json(self) -> dict[str, Any]:
        """The citation as the JSON contract of ``longctx ask`` has it; ``path`` is None for a segment that does not exist."""
        place = dict.fromkeys(_PLACE_KEYS) if self.origin is None else origin_json(self.origin)
        own = {"quote": self.quote, "verified": self.verified, "basis": self.basis, "note": self.remark}
        return {"number": self.number, "segment": self.segment, **place, **own}

    def __str__(self) -> str:
        quote = f": “{self.quote}”" if self.quote else ""
        return f"[{self.number}] {self.label}{quote}" + (f" ({self.remark})" if self.remark else "")


_PLACE_KEYS = ("path", "first_line", "last_line", "cell", "part", "unit", "page", "box", "start", "end")


@dataclass(frozen=True)
class Resolved:
    """An answer with its citations.

    Args:
        text: the answer; its marks are the numbers of the citations.
        citations: each once, numbered from 1 in the order in which the text refers to them.
        unsupported: sentences, as they stand in ``text``, for which no source was found.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[str, ...] = ()


def check(text: str, segments: Segments, allowed: Collection[int] | None = None) -> Resolved:
    """What the model cited, checked; what longctx matched where nothing that the model cited exists.

    An answer that ends with NOT_STATED and cites nothing rests on nothing: lines that resemble it would seem to support it.

    Args:
        text: the answer as the model wrote it.
        segments: of the corpus, by id.
        allowed: ids that the model saw; None for all.
    """
    resolved = resolve(text, segments, allowed)
    if any(citation.origin is not None for citation in resolved.citations):
        return resolved
    return _uncited(text, segments, allowed) if text.rstrip().endswith(NOT_STATED) else match(text, segments, allowed)


def _uncited(text: str, segments: Segments, allowed: Collection[int] | None) -> Resolved:
    """An answer without its marks, which lead nowhere."""
    answer = _Answer(text, segments, allowed)
    for mark in (mark for sentence in answer.sentences for mark in sentence.marks):
        answer.refer(mark.start, mark.stop, [])
    return answer.resolved()


def resolve(text: str, segments: Segments, allowed: Collection[int] | None = None) -> Resolved:
    """The places that an answer cites, each checked: the quoted words are looked for and narrow it to their lines.

    A quote that stands in another segment than the cited one leads to that one; one that stands nowhere is kept unverified.
    Where the model cites without quoting, the line that is nearest to its sentence is chosen. The note says so.

    Args:
        text: the answer as the model wrote it, with ids as ``[12]``, ``[12, 15]``, ``[seg 12]`` or ``[12-14]``.
        segments: of the corpus, by id.
        allowed: ids that the model saw; None for all.
    """
    answer = _Answer(text, segments, allowed)
    for sentence in answer.sentences:
        cited = answer.cite(sentence)
        for mark in sentence.marks:
            answer.refer(mark.start, mark.stop, [citation for id_ in mark.ids for citation in cited[id_]])
        if not any(
            citation.verified or not citation.quote for listed in cited.values() for citation in listed if citation.origin
        ):
            answer.judge(sentence)
    return answer.resolved()


def match(text: str, segments: Segments, allowed: Collection[int] | None = None) -> Resolved:
    """The lines that are nearest to each sentence of an answer whose model does not cite; for models too weak to.

    Similarity of words, labelled as such: ``basis`` is ``"matched"``. Marks that stand in the text are taken out.

    Args:
        text: the answer as the model wrote it.
        segments: of the corpus, by id.
        allowed: ids that the model saw; None for all.
    """
    answer = _Answer(text, segments, allowed)
    for sentence in answer.sentences:
        for mark in sentence.marks:
            answer.refer(mark.start, mark.stop, [])
        if found := answer.judge(sentence):
            end = answer.end(sentence)
            answer.refer(end, end, [Citation(0, found.segment, found.origin, found.quote, True, "matched")])
    return answer.resolved()


def nearest(question: str, segments: Segments, allowed: Collection[int] | None = None) -> tuple[Citation, ...]:
    """The lines that are nearest to a question: where to look, for an answer that rests on no source. At most one place.

    Args:
        question: as the user asked it.
        segments: of the corpus, by id.
        allowed: ids that the model saw; None for all.
    """
    seen: Collection[int] = segments.keys() if allowed is None else frozenset(allowed) & segments.keys()
    support = Matcher([question], segments, seen).best(question)
    if support is None or support.share < RESEMBLES:
        return ()
    found = support.found
    return (Citation(1, found.segment, found.origin, found.quote, True, "matched", NEAREST),)


def at_times(question: str, segments: Segments, allowed: Collection[int], cited: Sequence[Citation]) -> tuple[Citation, ...]:
    """The citations of an answer, and the moments of recordings that its question names by their time, where it cites none.

    Args:
        question: as the user asked it.
        segments: of the corpus, by id.
        allowed: ids that the model saw.
        cited: the citations of the answer.
    """
    found = list(cited)
    seen = sorted(frozenset(allowed) & segments.keys())
    for time in named(question):
        if not any(isinstance(place.origin, Moment) and place.origin.start <= time <= place.origin.end for place in found):
            for id_ in held(time, segments, seen):
                quote = segments[id_].text.strip()
                found.append(Citation(len(found) + 1, id_, segments[id_].origin, quote, True, "matched", ASKED))
    return tuple(found)


class _Answer:
    """An answer while its citations are collected."""

    def __init__(self, text: str, segments: Segments, allowed: Collection[int] | None) -> None:
        self.text = text
        self.segments = segments
        self.allowed: Collection[int] = segments.keys() if allowed is None else frozenset(allowed) & segments.keys()
        self.sentences = marks.sentences(text, self.allowed)
        self._references: list[tuple[int, int, list[Citation]]] = []
        self._unsupported: list[Sentence] = []
        self._bare = {id(sentence): sentence.bare(text) for sentence in self.sentences}
        self._matcher = Matcher(self._bare.values(), segments, self.allowed)

    def refer(self, start: int, stop: int, citations: Sequence[Citation]) -> None:
        """Have the citations, each once, stand at a place of the text, in the stead of what is there."""
        self._references.append((start, stop, list(dict.fromkeys(citations))))

    def judge(self, sentence: Sentence) -> Found | None:
        """The lines that support a sentence; it is noted where it claims something and there are none."""
        bare = self._bare[id(sentence)]
        if not claims(bare):
            return None
        support = self._matcher.supported(bare)
        if support is None:
            self._unsupported.append(sentence)
        return None if support is None else support.found

    def cite(self, sentence: Sentence) -> Mapping[int, Sequence[Citation]]:
        """The citations of a sentence, without numbers, by the id under which it has them."""
        cited: dict[int, list[Citation]] = {id_: [] for id_ in sentence.ids}
        there = [id_ for id_ in cited if id_ in self.allowed]
        for quote in sentence.quotes if cited else ():
            if quote.counts:
                id_, citation = self._quoted(quote, sentence, there)
                cited[id_] += [citation] if citation is not None else []
        for id_, citations in cited.items():
            if not citations:
                citations.append(self._unquoted(id_, sentence))
        return cited

    def _quoted(self, quote: Quote, sentence: Sentence, there: Sequence[int]) -> tuple[int, Citation | None]:
        """The citation of a quote, and the id under which the sentence has it."""
        for id_ in there:
            if place := locate(quote.text, id_, self.segments, self.allowed):
                return id_, _standing(place)
        nearest = _nearest_mark(quote, sentence)
        near = [id_ + step for id_ in there for step in (-1, 1) if id_ + step in self.allowed]
        if elsewhere := search(quote.text, (*near, *self.allowed), self.segments, self.allowed):
            return nearest, replace(_standing(elsewhere), note=f"cited as segment {nearest}, but the words stand here")
        if quote.fenced:
            return nearest, None
        origin = self.segments[nearest].origin if nearest in self.allowed else None
        note = "the quoted words were not found" if origin else self._absent(nearest)
        return nearest, Citation(0, nearest, origin, quote.text, note=note)

    def _unquoted(self, id_: int, sentence: Sentence) -> Citation:
        if id_ not in self.allowed:
            return Citation(0, id_, None, note=self._absent(id_))
        support = self._matcher.best(self._bare[id(sentence)], (id_,))
        if support is not None and support.share >= RESEMBLES:
            return replace(_standing(support.found), note="line chosen by longctx")
        return Citation(0, id_, self.segments[id_].origin, note="no quote to check")

    def _absent(self, id_: int) -> str:
        return f"segment {id_} was not in the prompt" if id_ in self.segments else f"no segment {id_}"

    def end(self, sentence: Sentence) -> int:
        """Where a mark can be put after the words of a sentence: before what ends it."""
        stop = len(self.text[sentence.start : sentence.said].rstrip()) + sentence.start
        if any(quote.stop == stop for quote in sentence.quotes):
            return stop
        while stop > sentence.start and self.text[stop - 1] in ".!?…。！？":
            stop -= 1
        return stop

    def resolved(self) -> Resolved:
        """The answer with its citations numbered."""
        self._references.sort(key=lambda reference: reference[:2])
        numbers: dict[Citation, int] = {}
        for _, _, citations in self._references:
            for citation in citations:
                numbers.setdefault(citation, len(numbers) + 1)
        unsupported = (self._referring(sentence.start, sentence.said, numbers).strip() for sentence in self._unsupported)
        return Resolved(
            self._referring(0, len(self.text), numbers).strip(),
            tuple(replace(citation, number=number) for citation, number in numbers.items()),
            tuple(filter(None, unsupported)),
        )

    def _referring(self, start: int, stop: int, numbers: Mapping[Citation, int]) -> str:
        """A part of the text in which the numbers of the citations stand."""
        parts, at = [], start
        for first, last, citations in self._references:
            if start <= first and last <= stop:
                before = self.text[at:first]
                marks = "".join(f"[{numbers[citation]}]" for citation in citations)
                added = first == last and bool(marks)
                parts += [before if marks else before.rstrip(" "), " " if added else "", marks]
                at = last
        return "".join((*parts, self.text[at:stop]))


def _standing(place: Found) -> Citation:
    return Citation(0, place.segment, place.origin, place.quote, True)


def _nearest_mark(quote: Quote, sentence: Sentence) -> int:
    """The id that a quote is nearest to: of the mark that follows it, else of the last one."""
    after = (mark for mark in sentence.marks if mark.start >= quote.start)
    return next(after, sentence.marks[-1]).ids[0]
