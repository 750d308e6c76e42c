"""Citations checked again, against sources that may have changed since: what still stands, what moved, what is lost.

What is lost keeps its place and its words, so that it is found again where the sources come back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from longctx.citations.marks import MARK, sentences
from longctx.citations.quotes import Found, Segments, find, locate
from longctx.corpus import Lines, Moment, Origin, Page, Segment, split_lines

if TYPE_CHECKING:
    from longctx.citations import Citation

GONE = "no longer among the sources"
NO_PLACE = "the source has no such place any more"
NO_WORDS = "the words no longer stand in the source"
CHANGED = "the source has changed, and there are no words to check it by"


def again(
    citation: Citation,
    segments: Segments,
    *,
    unchanged: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Citation:
    """A citation as it is to be shown now. It is verified only where its words stand in the sources as they are.

    Words that stand in another place of the same source lead there, and the note says from where. A quote that was not found
    when it was made is not looked for: its note says what it was.

    Args:
        citation: as it was.
        segments: of the corpus as it is, by id.
        unchanged: paths, as they are now, of sources whose content is the same.
        renamed: new paths of sources that are the same but for their path, by the old ones.
    """
    if citation.origin is None:
        return citation
    path = (renamed or {}).get(citation.origin.path, citation.origin.path)
    there = {number: segment for number, segment in segments.items() if segment.origin.path == path}
    if citation.quote and not (citation.verified or citation.lost):
        return replace(citation, segment=next(_at(replace(citation.origin, path=path), there), 0))
    if not there:
        return _lost(citation, GONE)
    origin = replace(citation.origin, path=path)
    if citation.quote.strip():
        return _by_words(citation, origin, there, segments)
    if (number := next(_at(origin, there), None)) is None:
        return _lost(citation, NO_PLACE)
    if citation.verified and path not in unchanged:
        return _lost(citation, CHANGED)
    return replace(citation, segment=number, origin=origin, lost="")


def _lost(citation: Citation, why: str) -> Citation:
    """It leads to no segment: the one with its number is another one now."""
    return replace(citation, segment=0, verified=False, lost=why)


def _by_words(citation: Citation, origin: Origin, there: Segments, segments: Segments) -> Citation:
    number = _standing(citation.quote, origin, there, segments)
    if number is not None:
        return replace(citation, segment=number, origin=origin, verified=True, lost="", note=_note(citation, origin))
    found = _nearest(citation.quote, origin, there, segments)
    if found is None:
        return _lost(citation, NO_WORDS)
    note = _note(citation, found.origin)
    return replace(citation, segment=found.segment, origin=found.origin, quote=found.quote, verified=True, lost="", note=note)


def _note(citation: Citation, origin: Origin) -> str:
    """The note, with the place from which the words have moved."""
    if str(origin) == str(citation.origin):
        return citation.note
    return "; ".join(filter(None, (f"stood at {citation.origin} before", citation.note)))


def _standing(quote: str, origin: Origin, there: Segments, segments: Segments) -> int | None:
    """The segment in which words stand at the very place."""
    numbers = list(_at(origin, there))
    if isinstance(origin, Lines):
        return numbers[0] if numbers and find(quote, _lines(origin, [there[n] for n in numbers])) else None
    return next((number for number in numbers if locate(quote, number, segments, there)), None)


def _nearest(quote: str, origin: Origin, there: Segments, segments: Segments) -> Found | None:
    """Where words stand elsewhere in a source, as near as possible."""
    found = (place for number in there if (place := locate(quote, number, segments, there)))
    return min(found, key=lambda place: _distance(place.origin, origin), default=None)


def _at(origin: Origin, there: Segments) -> Iterator[int]:
    return (number for number, segment in there.items() if _meet(segment.origin, origin))


def _meet(one: Origin, other: Origin) -> bool:
    """Whether two places in the same source have something in common."""
    match one, other:
        case Lines(), Lines():
            return one.alongside(other) and one.first <= other.last and other.first <= one.last
        case Page(), Page():
            return one.number == other.number
        case Moment(), Moment():
            return one.start <= other.end and other.start <= one.end
    return False


def _distance(one: Origin, other: Origin) -> float:
    match one, other:
        case Lines(), Lines():
            return abs(one.first - other.first) + (0 if one.alongside(other) else 1e9)
        case Page(), Page():
            return abs(one.number - other.number)
        case Moment(), Moment():
            return abs(one.start - other.start)
    return float("inf")


def _lines(origin: Lines, segments: Iterable[Segment]) -> str:
    """The text of some lines, out of the segments that hold them; a long line may be spread over several."""
    kept = []
    for segment in segments:
        for index, text in enumerate(split_lines(segment.text)):
            first, last = segment.lines_at(index)
            kept += [text] if first <= origin.last and origin.first <= last else []
    return "".join(kept)


def referring(text: str, segments: Mapping[int, int]) -> str:
    """An answer whose marks name segments, as a model writes and reads them, in the stead of citations.

    Args:
        text: of an answer, with the numbers of its citations in square brackets.
        segments: by the numbers of the citations; 0 for none: the mark is then left out.

    >>> referring("It is so [1], and so [2]. Not `x[1]`.", {1: 12, 2: 0})
    'It is so [12], and so. Not `x[1]`.'
    """
    parts, at = [], 0
    marks = [mark for sentence in sentences(text, segments) for mark in sentence.marks]
    for mark in sorted(marks, key=lambda mark: mark.start):
        if any(number in segments for number in mark.ids):
            named = "".join(f"[{segments[number]}]" for number in mark.ids if segments.get(number))
            before = text[at : mark.start]
            parts += [before if named else before.rstrip(" "), named]
            at = mark.stop
    return "".join((*parts, text[at:]))


def unmarked(text: str) -> str:
    """The words of an answer alone, without marks and white space: the same for what a model wrote and for what is shown of it.

    >>> unmarked("It is so [seg 12].") == unmarked("It is so [1].") == unmarked("It is so.")
    True
    """
    return "".join(MARK.sub("", text).split())
