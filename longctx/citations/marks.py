"""What an answer says about its sources: its sentences, the segments that they cite, the words that they quote. Text only."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

#: Members of a range such as [12-14] that are looked at.
MOST_OF_RANGE = 20

_NUMBER = r"(?:(?:seg(?:ment)?s?\.?|source|id)\s*)?#?[0-9]{1,9}"
_ITEM = rf"{_NUMBER}(?:\s*[-–—]\s*{_NUMBER})?"
_PLACE = r"(?:[\s,:]+(?:lines?|page|cell)\b[^\[\]<>\n]{0,40})?"
_LIST = rf"\s*{_ITEM}(?:\s*(?:[,;&]|\band\b)+\s*{_ITEM})*{_PLACE}\s*"
#: A place at which an answer cites.
MARK = re.compile(rf"\[{_LIST}\](?!\()|【{_LIST}】|<seg\s+[0-9]{{1,9}}{_PLACE}\s*>", re.IGNORECASE)
_RANGE = re.compile(rf"({_NUMBER})(?:\s*[-–—]\s*({_NUMBER}))?", re.IGNORECASE)
_PLACE_AT_END = re.compile(r"[\s,:]+(?:lines?|page|cell)\b.*", re.IGNORECASE | re.DOTALL)

#: Stretches inside of which no sentence ends. In code, nothing is a mark.
_SET_OFF = re.compile(
    r"^[ \t]*(?P<rail>```+|~~~+)[^\n]*\n(?P<fence>.*?)(?:^[ \t]*(?P=rail)[ \t]*$|\Z)"
    r"|(?<!`)(?P<tick>`{1,3})(?!`)(?P<code>[^\n]{1,1000}?)(?<!`)(?P=tick)(?!`)"
    r'|(?<![\w"])"(?P<straight>[^"\n]{1,1000})"(?![\w"])'
    r"|“(?P<curly>[^“”\n]{1,1000})”|«(?P<angle>[^«»\n]{1,1000})»|„(?P<low>[^„“”\n]{1,1000})[“”]",
    re.MULTILINE | re.DOTALL,
)
_QUOTED = ("fence", "code", "straight", "curly", "angle", "low")

#: A line that goes on in small letters is the same sentence, which the model has wrapped.
_END = re.compile(r"\n{2,}|\n(?![ \t]*[a-z])|[。！？]|[.!?…]+[*_'’)\]]*(?=\s|$)")
_AFTER_QUOTE = re.compile(r"\s+(?=[A-Z\d“\"`*])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|etc|vs|cf|approx|resp|Fig|Figs|Eq|Sec|No|Dr|Mr|Mrs|Ms|St|[A-Z])\.$|^[ \t]*\d{1,3}\.$",
    re.MULTILINE,
)
_NO_WORDS = re.compile(r"[\W_]*")
_CUT_MARK = re.compile(r"\[\s*(?:seg\w*\s*)?[\d,;\s-]*\Z")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6}|>)\s+")
_MARKUP = re.compile(r"\*\*|__|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where an answer cites, and the segment ids that it names there."""

    start: int
    stop: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """Words that an answer quotes.

    Args:
        start: where they begin in the answer, signs of quotation included.
        stop: where they end.
        text: the words, without marks in them.
        fenced: whether it is a block of code, which may as well be of the model's own making.
    """

    start: int
    stop: int
    text: str
    fenced: bool

    @property
    def counts(self) -> bool:
        """Whether it is long enough to be looked for: three words or eight characters."""
        return len(self.text.split()) >= 3 or len(self.text.strip()) >= 8


@dataclass(slots=True)
class Sentence:
    """A sentence, a list item or a line, with the marks and quotes that belong to it."""

    start: int
    stop: int
    marks: list[Mark] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        """The segments that it cites, each once, in order."""
        return list(dict.fromkeys(number for mark in self.marks for number in mark.ids))

    @property
    def said(self) -> int:
        """Where its own words end: before the block of code that belongs to it, unless it is nothing else."""
        block = next((quote.start for quote in self.quotes if quote.fenced), self.start)
        return block if block > self.start else self.stop

    def bare(self, text: str) -> str:
        """Its words without marks, bullets and emphasis."""
        kept, at = [], self.start
        for mark in self.marks:
            if mark.stop <= self.said:
                kept.append(text[at : mark.start])
                at = mark.stop
        kept.append(_CUT_MARK.sub("", text[at : self.said]))
        return " ".join(_MARKUP.sub("", _BULLET.sub("", "".join(kept))).split())


def sentences(text: str, known: Container[int]) -> list[Sentence]:
    """The sentences of an answer.

    Args:
        text: as the model wrote it.


    >>> [(s.ids, [q.text for q in s.quotes]) for s in sentences('It is "a b c" [3]. See `x[1]` too. [4, 6-7]', {3, 4})]
    [([3], ['a b c']), ([4, 6], ['x[1]'])]
    """
    set_off = list(_SET_OFF.finditer(text))
    marks = list(_marks(text, set_off, known))
    found = [Sentence(start, stop) for start, stop in _stretches(text, set_off)]
    _place(found, marks, [_quote(match, marks) for match in set_off])
    return list(_merged(text, found))


def _marks(text: str, set_off: Sequence[re.Match[str]], known: Container[int]) -> Iterator[Mark]:
    code = [match.span() for match in set_off if match["code"] is not None or match["fence"] is not None]
    for match in MARK.finditer(text):
        ids = tuple(dict.fromkeys(_ids(match.group(), known)))
        attached = match.start() > 0 and (text[match.start() - 1].isalnum() or text[match.start() - 1] in "_)")
        if attached and not any(number in known for number in ids):
            continue
        if not any(start <= match.start() < stop for start, stop in code):
            yield Mark(match.start(), match.end(), ids)


def _ids(mark: str, known: Container[int]) -> Iterator[int]:
    """The ids of a mark; of a range those that exist, and its first one where none does."""
    for item in _RANGE.finditer(_PLACE_AT_END.sub("", mark)):
        first, last = (int("".join(filter(str.isdecimal, end or item[1]))) for end in item.groups())
        members = [number for number in range(first, min(last, first + MOST_OF_RANGE - 1) + 1) if number in known]
        yield from members or (first,)


def _quote(match: re.Match[str], marks: Sequence[Mark]) -> Quote:
    name = next(name for name in _QUOTED if match[name] is not None)
    start, stop = match.span(name)
    words, at = "", start
    for mark in marks:
        if start <= mark.start and mark.stop <= stop:
            words += match.string[at : mark.start].rstrip()
            at = mark.stop
    return Quote(match.start(), match.end(), words + match.string[at:stop], name == "fence")


def _stretches(text: str, set_off: Sequence[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """From one sentence's end to the next, without gaps."""
    start = 0
    for stop in sorted({*_ends(text, set_off), len(text)}):
        if stop > start:
            yield start, stop
            start = stop


def _ends(text: str, set_off: Sequence[re.Match[str]]) -> Iterator[int]:
    closed = [match.span() for match in set_off]
    at = 0
    for match in _END.finditer(text):
        while at < len(closed) and closed[at][1] <= match.start():
            at += 1
        inside = at < len(closed) and closed[at][0] < match.start()
        if not inside and not _ABBREVIATION.search(text, max(0, match.start() - 8), match.start() + 1):
            yield match.end()
    for match in set_off:
        whole = match["fence"] is not None
        if whole or (match.group()[-2:-1] in (*".!?",) and _AFTER_QUOTE.match(text, match.end())):
            yield match.end()
        if whole:
            yield match.start()


def _place(found: Sequence[Sentence], marks: Sequence[Mark], quotes: Sequence[Quote]) -> None:
    """Give marks and quotes to the sentences in which they begin."""
    for items, name in ((marks, "marks"), (quotes, "quotes")):
        at = 0
        for item in items:
            while item.start >= found[at].stop:
                at += 1
            getattr(found[at], name).append(item)


def _merged(text: str, found: Sequence[Sentence]) -> Iterator[Sentence]:
    """Sentences without those that are blank; marks and code alone belong to the sentence before them."""
    last: Sentence | None = None
    for sentence in found:
        if last is not None:
            _hand_back(text, last, sentence)
        blank = _NO_WORDS.fullmatch(sentence.bare(text)) is not None
        block = any(quote.fenced for quote in sentence.quotes)
        if last is not None and (block or (blank and sentence.marks)):
            last.stop = sentence.stop
            last.marks += sentence.marks
            last.quotes += sentence.quotes
        elif not blank or sentence.marks:
            if last is not None:
                yield last
            last = sentence
    if last is not None:
        yield last


def _hand_back(text: str, before: Sentence, sentence: Sentence) -> None:
    """Marks that open a sentence after one without marks, on the same line, are those of the one before."""
    if before.marks or text[before.stop - 1] == "\n":
        return
    while sentence.marks and not text[sentence.start : sentence.marks[0].start].strip():
        mark = sentence.marks.pop(0)
        before.marks.append(mark)
        before.stop = sentence.start = mark.stop
