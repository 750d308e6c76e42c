"""A corpus as token ids, with spans that lead every token back to its line, page or moment."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING, Any, Protocol

from longctx.corpus import Corpus, Framing, Lines, Moment, Origin, Segment, Source
from longctx.errors import UsageError
from longctx.jobs import Job
from longctx.stream.counts import Counts, key
from longctx.stream.tokenizer import Encoding, Tokenizer
from longctx.stream.vision import Look, VisionFormat, usual_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int32]

#: Characters that are tokenised at one stroke, between two reports of progress.
BATCH = 2_000_000

#: Characters per token of the Qwen3.5 vocabulary, rather too few than too many. Measured: Python's standard library 3.8, C and
#: C++ headers 3.2 to 3.7, minified JavaScript 2.5; Python's documentation 4.2, Markdown of packages 3.4 to 4.0.
CODE, PROSE = 3.4, 3.9
_PROSE_KINDS = frozenset({"docx", "epub", "html", "markdown", "pdf", "pptx", "subtitles", "text"})
#: Frames of a second of video, and tokens of two of them at about 448 x 256 with the text of their time, for estimates.
FPS, PAIR_TOKENS = 2.0, 122

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the stream that comes from one place.

    Args:
        start: index of its first token.
        stop: index after its last token; a frame without text is an empty span.
        segment: id of the segment of which it is the text; None for what frames the sources.
        path: the source.
        look: what is looked at there, where it is no text.
    """

    start: int
    stop: int
    segment: int | None
    path: str
    look: Look | None = None

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Token ids of a corpus, or of chosen segments of it, in reading order. Made by :func:`build`.

    Args:
        ids: int32, one dimension.
        spans: without gaps, in order. For each source: what opens it, for each segment its mark and then its text and what
            there is to look at, what closes it.
        corpus: where the segments are.
        tokenizer: whose ids they are.
        framing: how the segments were set.
    """

    ids: Ids
    spans: tuple[Span, ...]
    corpus: Corpus = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    framing: Framing = field(repr=False)
    _lines: dict[int, list[tuple[int, int]]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def span(self, index: int) -> Span:
        """The span in which a token lies.

        Raises:
            IndexError: there is no such token.
        """
        if not 0 <= index < len(self.ids):
            raise IndexError(f"token {index} of {len(self.ids)}")
        return self.spans[bisect_right(self._starts, index) - 1]

    def origin(self, index: int) -> Origin | None:
        """Where a token stands in its source, to the line; None for what frames the sources.

        A token that spans a line's end stands on both lines.

        Raises:
            IndexError: there is no such token.
        """
        span = self.span(index)
        if span.segment is None:
            return None
        segment = self.corpus.segments[span.segment]
        origin = segment.origin
        if not isinstance(origin, Lines) or segment.visuals:
            return _of_look(origin, span.look)
        first, last = self._lines_of(span.segment)[index - span.start]
        return replace(origin, first=segment.lines_at(first)[0], last=segment.lines_at(last)[1])

    @cached_property
    def tokens_per_source(self) -> Mapping[str, int]:
        """Tokens by path, with all that frames the source."""
        counts: Counter[str] = Counter()
        for span in self.spans:
            counts[span.path] += len(span)
        return counts

    @cached_property
    def tokens_per_segment(self) -> Mapping[int, int]:
        """Tokens by segment id, with its mark: what choosing the segment costs, besides the frame of its source."""
        counts: Counter[int] = Counter()
        for before, span in pairwise(self.spans):
            if span.segment is not None:
                counts[span.segment] += len(span) + (len(before) if before.segment is None else 0)
        return counts

    @cached_property
    def looks(self) -> tuple[tuple[int, Look], ...]:
        """What there is to look at, in order, each with the index of its first placeholder."""
        return tuple((span.start + span.look.lead, span.look) for span in self.spans if span.look is not None)

    @property
    def largest_look(self) -> int:
        """The most placeholders that one look has; 0 where there is nothing to look at."""
        return max((look.count for _, look in self.looks), default=0)

    def select(self, segments: Collection[int]) -> TokenStream:
        """The stream of some segments only, in reading order, with the frames of their sources.

        Raises:
            UsageError: a segment is not in this stream.
        """
        import numpy as np

        chosen = frozenset(segments)
        missing = chosen - self.tokens_per_segment.keys()
        if missing:
            raise UsageError(f"segment {min(missing)} is not in this stream", hint="choose ids of corpus.segments")
        kept = list(self._kept(chosen))
        parts = [self.ids[span.start : span.stop] for span in kept]
        ids = np.concatenate(parts) if parts else self.ids[:0]
        return TokenStream(ids, _place(kept, map(len, kept)), self.corpus, self.tokenizer, self.framing)

    def _kept(self, chosen: Collection[int]) -> Iterator[Span]:
        """Spans of the chosen segments, each with its mark, between those that open and close their source."""
        for _, spans in groupby(self.spans, key=lambda span: span.path):
            opening, *inner, closing = spans
            # A mark belongs to the segment of the span after it.
            owners = [
                span.segment if span.segment is not None else after.segment for span, after in pairwise((*inner, closing))
            ]
            kept = [span for span, owner in zip(inner, owners, strict=True) if owner in chosen]
            if kept:
                yield from (opening, *kept, closing)

    @cached_property
    def _starts(self) -> Sequence[int]:
        return [span.start for span in self.spans]

    def _lines_of(self, number: int) -> list[tuple[int, int]]:
        """For each token of a segment, on which of its lines it begins and ends, counted from 0."""
        if number not in self._lines:
            text = self.framing.escape(self.corpus.segments[number].text)  # keeps every line end
            ends = [match.end() for match in _LINE_END.finditer(text)]
            _, places = self.tokenizer.offsets(text)
            self._lines[number] = [
                (bisect_right(ends, start), bisect_right(ends, max(start, stop - 1))) for start, stop in places
            ]
        return self._lines[number]


def build(
    corpus: Corpus, tokenizer: Tokenizer, framing: Framing, job: Job[Any] | None = None, vision: VisionFormat | None = None
) -> TokenStream:
    """Tokenise a corpus as data: nothing in it, paths included, can become a control token.

    Args:
        corpus: what was read.
        tokenizer: of the model.
        framing: what is set around sources and segments.
        job: gets stage ``"tokenise"`` in characters, and is asked for a stop.
        vision: how the model is shown things; None for one that cannot see, which gets the text alone.

    Raises:
        Stopped: the user stopped.
    """
    import numpy as np

    pieces = list(_pieces(corpus, framing, vision))
    texts = [piece for _, _, piece in pieces if isinstance(piece, str)]
    encoded = iter(list(_encoded(texts, tokenizer, job)))
    parts = [next(encoded) if isinstance(piece, str) else np.array(piece.ids, dtype=np.int32) for _, _, piece in pieces]
    spans = [Span(0, 0, number, path, piece if isinstance(piece, Look) else None) for number, path, piece in pieces]
    ids = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return TokenStream(ids, _place(spans, map(len, parts)), corpus, tokenizer, framing)


def _encoded(texts: Sequence[str], tokenizer: Tokenizer, job: Job[Any] | None) -> Iterator[Ids]:
    """The ids of each text; progress is told batch by batch."""
    import numpy as np

    total, done = sum(map(len, texts)), 0
    for batch in _batches(texts):
        yield from (np.array(ids, dtype=np.int32) for ids in tokenizer.encode_data_batch(batch))
        done += sum(map(len, batch))
        if job is not None:
            job.report("tokenise", done, total, "characters")
            job.check()


def _of_look(origin: Origin, look: Look | None) -> Origin:
    """The place of what is looked at: of a video the very seconds."""
    if look is None or not isinstance(origin, Moment):
        return origin
    return replace(origin, start=look.places[0], end=look.places[-1])


def _pieces(corpus: Corpus, framing: Framing, vision: VisionFormat | None) -> Iterator[tuple[int | None, str, str | Look]]:
    """Everything in the stream in order: segment id, path, and a text or what is looked at."""
    for source, numbered in corpus.numbered():
        yield None, source.path, framing.open(source)
        for number, segment in numbered:
            yield None, source.path, framing.mark(number, segment)
            yield from ((number, source.path, piece) for piece in _inside(segment, framing, vision))
        yield None, source.path, framing.close(source)


def _inside(segment: Segment, framing: Framing, vision: VisionFormat | None) -> Iterator[str | Look]:
    """The text of a segment, cut where there is something to look at."""
    visuals = segment.visuals if vision is not None else ()
    cuts = [0, *(visual.at for visual in visuals), len(segment.text)]
    for index, (start, stop) in enumerate(pairwise(cuts)):
        if start < stop or not visuals:
            yield framing.escape(segment.text[start:stop])
        if vision is not None and index < len(visuals):
            yield from vision.looks(visuals[index])


def _place(spans: Sequence[Span], lengths: Iterable[int]) -> tuple[Span, ...]:
    """The spans one after another from 0."""
    ends = list(accumulate(lengths, initial=0))
    return tuple(Span(ends[i], ends[i + 1], span.segment, span.path, span.look) for i, span in enumerate(spans))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Encoder(Encoding, Protocol):
    """What counts tokens: a :class:`Tokenizer`, or one that is opened when it is needed."""

    name: str
    fingerprint: str


def count(corpus: Corpus, tokenizer: Encoder | None, kept: Counts | None = None) -> tuple[dict[str, int], str]:
    """Tokens of every source by path, without any frame, and how they were counted.

    What there is to look at is estimated, as Qwen3.5 is shown it: a video at two frames a second of usual size.

    Args:
        corpus: what was read.
        tokenizer: None estimates the text too.
        kept: counts of earlier reads, to which those of this one are added; None counts everything.

    Returns:
        the counts; and ``"exact, NAME"``, ``"exact, NAME; pictures and video estimated"`` or ``"estimated"``.
    """
    looked = {source.path: _look_estimate(source) for source in corpus.sources}
    if tokenizer is None:
        return {source.path: _estimate(source) + looked[source.path] for source in corpus.sources}, "estimated"
    texts = {source.path: [segment.text for segment in source.segments] for source in corpus.sources}
    tokens = _counted(texts, tokenizer) if kept is None else _counted_anew(texts, tokenizer, kept)
    estimated = "; pictures and video estimated" if any(looked.values()) else ""
    return {path: tokens[path] + look for path, look in looked.items()}, f"exact, {tokenizer.name}{estimated}"


def _counted(texts: Mapping[str, Sequence[str]], tokenizer: Encoder) -> dict[str, int]:
    """Tokens of some texts by the path that they are of."""
    counts = dict.fromkeys(texts, 0)
    owners = [path for path, own in texts.items() for _ in own]
    batches = _batches([text for own in texts.values() for text in own])
    lengths = (len(ids) for batch in batches for ids in tokenizer.encode_data_batch(batch))
    for path, length in zip(owners, lengths, strict=True):
        counts[path] += length
    return counts


def _counted_anew(texts: Mapping[str, Sequence[str]], tokenizer: Encoder, kept: Counts) -> dict[str, int]:
    """As :func:`_counted`, of what was not counted before."""
    keys = {path: key(tokenizer.fingerprint, own) for path, own in texts.items()}
    known = kept.known(list(keys.values()))
    new = _counted({path: own for path, own in texts.items() if keys[path] not in known}, tokenizer)
    if new:
        kept.keep({keys[path]: tokens for path, tokens in new.items()})
    return {path: new[path] if path in new else known[keys[path]] for path in texts}


def _estimate(source: Source) -> int:
    characters = sum(len(segment.text) for segment in source.segments)
    return math.ceil(characters / (PROSE if source.kind in _PROSE_KINDS else CODE))


def _look_estimate(source: Source) -> int:
    if source.footage is not None:
        pairs = min(len(source.footage.times), int(FPS * source.footage.duration) + 1) // 2
        return max(1, pairs) * PAIR_TOKENS if len(source.footage.times) else 0
    return sum(usual_tokens(visual) for segment in source.segments for visual in segment.visuals)
