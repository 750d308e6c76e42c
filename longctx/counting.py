"""How many tokens a corpus and its prompt come to: by the model's own tokenizer, by the vocabulary of its family, or estimated.

A model of which only the config is at hand has no tokenizer and no template; what it would read is counted as nearly as the
installed packages allow, and the basis says how.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from longctx import looking, planner, prompts, stream
from longctx.corpus import Corpus, Lines, Segment, Source, Visual
from longctx.errors import MissingPackageError
from longctx.looking import Wishes
from longctx.models import ModelFiles
from longctx.planner import Geometry, Sampling, Sight
from longctx.sources.programs.outline import MOST
from longctx.stream import Encoder, Tokenizer, VisionFormat

#: Tokens kept free for the text of a question when a prompt's length is planned.
QUESTION_TOKENS = 128
#: Tokens that a template adds to the texts, and characters of a token of the texts, where neither is at hand.
TEMPLATE_TOKENS, CHARACTERS = 24, 3
#: Tokens beside the placeholders of a temporal patch, rather too few: a time has two digits at least.
STAMP = 8
#: Those that some plan still holds. One takes tens of megabytes, and a notebook keeps the plans of every run of a cell.
_tokenizers: weakref.WeakValueDictionary[tuple[object, ...], Tokenizer] = weakref.WeakValueDictionary()


def tokenizer_of(files: ModelFiles) -> Tokenizer | None:
    """The tokenizer of a model: the one that is loaded already, where its file is still the same.

    Of a member of the family that is not on this machine the vocabulary; None where that is not installed.

    Raises:
        ModelDamagedError: tokenizer.json cannot be read.
    """
    if files.config_only:
        try:
            return stream.qwen()
        except MissingPackageError:
            return None
    file = files.folder / "tokenizer.json"
    state = file.stat() if file.is_file() else None
    key = (file, state and (state.st_ino, state.st_size, state.st_mtime_ns))
    if (known := _tokenizers.get(key)) is None:
        known = _tokenizers[key] = Tokenizer.from_folder(files.folder)
    return known


def overhead(files: ModelFiles, tokenizer: Tokenizer | None, native_window: int) -> int:
    """Tokens of a prompt besides the corpus: template, system text, room for a question, which is small in a small window."""
    question = min(QUESTION_TOKENS, native_window // 16)
    pieces = prompts.render(files.template, files.special, [prompts.Turn("")])
    unseen = TEMPLATE_TOKENS if files.config_only else 0
    if tokenizer is None:
        return sum(len(piece.text) for piece in pieces) // CHARACTERS + unseen + question
    encode = {True: tokenizer.encode_template, False: tokenizer.encode_data}
    return sum(len(encode[piece.control](piece.text)) for piece in pieces) + unseen + question


def basis(files: ModelFiles, tokenizer: Tokenizer) -> str:
    """How tokens were counted, in words."""
    if files.header is not None:
        return f"by the {tokenizer.name} vocabulary, for that of a GGUF file is not read"
    return f"exact, {tokenizer.name} vocabulary" if files.config_only else f"exact, {files.name}"


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of one source in the prompt.

    Args:
        frame: of what opens and closes it.
        segments: of each segment, with its mark and what there is to look at.
        largest: of the largest thing that there is to look at.
    """

    frame: int
    segments: tuple[int, ...]
    largest: int = 0

    @property
    def total(self) -> int:
        """Tokens of all of it."""
        return self.frame + sum(self.segments)


class Measure(Protocol):
    """Counts what sources cost, segment by segment."""

    def costs(self, sources: Sequence[Source]) -> dict[str, Cost]:
        """The cost of each source by its path; no path may stand twice."""


@dataclass(frozen=True)
class Exact:
    """Costs as the tokenizer has them.

    Args:
        tokenizer: of the model.
        vision: how it is shown things; None for one that cannot see.
        first: an id that has as many digits as any can have that a segment gets in the end: a digit is a token.
    """

    tokenizer: Tokenizer
    vision: VisionFormat | None
    first: int = 1

    def costs(self, sources: Sequence[Source]) -> dict[str, Cost]:
        """The cost of each source by its path."""
        corpus = Corpus(tuple(sources), ())
        made = stream.build(corpus, self.tokenizer, _Far(self.first), vision=self.vision)
        largest: dict[str, int] = {}
        for span in made.spans:
            if span.look is not None:
                largest[span.path] = max(span.look.count, largest.get(span.path, 0))
        found = {}
        for source, numbered in corpus.numbered():
            segments = tuple(made.tokens_per_segment[number] for number, _ in numbered)
            frame = made.tokens_per_source[source.path] - sum(segments)
            found[source.path] = Cost(frame, segments, largest.get(source.path, 0))
        return found


@dataclass(frozen=True)
class Plain:
    """Costs as ``longctx read`` counts them: of the text alone, and of what there is to look at as it is usually seen.

    What frames a source is its name. A video whose frames are yet to be chosen is one thing with its subtitles.

    Args:
        tokenizer: None estimates.
    """

    tokenizer: Encoder | None

    def costs(self, sources: Sequence[Source]) -> dict[str, Cost]:
        """The cost of each source by its path."""
        parts: list[Source] = []
        for number, source in enumerate(sources):
            bare = replace(source, segments=(), footage=None)
            name = Segment(prompts.plain_path(source.path), Lines(source.path, 1, 1))
            parts.append(replace(bare, path=f"{number} name", segments=(name,)))
            parts += [replace(bare, path=f"{number} {i}", segments=(one,)) for i, one in enumerate(source.segments)]
            parts += [replace(source, path=f"{number} look", segments=())] if source.footage is not None else []
        counts, _ = stream.count(Corpus(tuple(parts), ()), self.tokenizer)
        found = {}
        for number, source in enumerate(sources):
            segments = tuple(counts[f"{number} {i}"] for i in range(len(source.segments)))
            if source.footage is not None:
                segments = (sum(segments) + counts[f"{number} look"],)
            found[source.path] = Cost(counts[f"{number} name"], segments)
        return found


class _Far(prompts.Frame):
    """Sets segments as if many stood before them."""

    def __init__(self, first: int) -> None:
        self.first = first

    def mark(self, number: int, segment: Segment) -> str:
        """The line before a segment."""
        return super().mark(self.first + number - 1, segment)


@dataclass(frozen=True)
class Estimated:
    """Costs where nothing here can count: by characters, and by the size of frames.

    Args:
        sight: of the model.
    """

    sight: Sight

    def costs(self, sources: Sequence[Source]) -> dict[str, Cost]:
        """The cost of each source by its path."""
        return {source.path: Cost(0, tuple(self._segments(source))) for source in sources}

    def _segments(self, source: Source) -> Iterator[int]:
        for segment in source.segments:
            frames = sum(self._frames(visual) for visual in segment.visuals if visual.moving)
            still = replace(segment, visuals=tuple(visual for visual in segment.visuals if not visual.moving))
            one = Corpus((replace(source, segments=(still,), footage=None),), ())
            yield frames + stream.count(one, None)[0][source.path]

    def _frames(self, visual: Visual) -> int:
        pairs = -(-len(visual.places) // self.sight.temporal)
        return pairs * (self.sight.tokens(*visual.shown) + STAMP) if visual.shown else 0


def exact(corpus: Corpus, tokenizer: Tokenizer, vision: VisionFormat | None) -> Exact:
    """What counts a corpus of which the sources may be read in part, as signatures or as frames.

    Args:
        corpus: of which all costs will be asked.
        tokenizer: of the model.
        vision: how it is shown things; None for one that cannot see.
    """
    frames = sum(int(source.footage.duration) // 10 + 2 for source in corpus.sources if source.footage is not None)
    # Signatures are shorter than segments of text, and may be more.
    most = sum((MOST if source.kind == "code" else 1) * len(source.segments) for source in corpus.sources) + frames
    return Exact(tokenizer, vision, 10 ** (len(str(most)) - 1))


@dataclass(frozen=True)
class Estimate:
    """What a corpus may come to.

    Args:
        tokens: by path.
        samplings: what is looked at of each video.
        largest_item: tokens of the largest temporal patch.
        basis: how it was found, in words.
    """

    tokens: Mapping[str, int]
    samplings: tuple[Sampling, ...]
    largest_item: int
    basis: str


def estimate(corpus: Corpus, geometry: Geometry, wishes: Wishes, asked: Mapping[str, Any]) -> Estimate:
    """Tokens of a corpus without any tokenizer, frames of its videos as many as there is room for.

    Args:
        corpus: as it was read.
        geometry: of the model.
        wishes: about what is to be seen.
        asked: what the planner is asked, by the names of its arguments.
    """
    tokens, how = stream.count(corpus, None)
    videos, sight = looking.reels(corpus), geometry.sight or Sight()
    others = sum(tokens.values()) - sum(tokens[reel.path] for reel in videos)
    room = planner.room(geometry, source_tokens=others, **asked).tokens
    samplings = planner.sample(videos, room=room, sight=sight, fps=wishes.fps, frames=wishes.frames, pixels=wishes.pixels)
    largest = planner.largest_patch(videos, sight, pixels=wishes.pixels)
    return Estimate({**tokens, **{s.path: s.tokens for s in samplings}}, samplings, largest, how)
