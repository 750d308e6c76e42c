"""What a model is shown of a corpus: frames of its videos and sizes of its pictures, as many as the window has room for.

Joins the planner's figures with the stream; decodes nothing. A model that cannot see is shown nothing: its pictures are read as
text, which is the matter of ``sources.promises``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from longctx import models, planner, prompts, stream
from longctx.corpus import Corpus, Footage
from longctx.errors import UsageError
from longctx.jobs import Job
from longctx.models import ModelFiles
from longctx.planner import Geometry, Reel, Room, Sampling, Sight
from longctx.planner.yarn import Rope
from longctx.sources import promises
from longctx.stream import MOST_PIXELS, QwenVision, Shown, Tokenizer, VisionFormat, choose

UNSEEN = "no frame of it is shown"


@dataclass(frozen=True)
class Wishes:
    """What the user said about what is to be seen; None leaves it to the plan.

    Args:
        fps: frames of a second of video.
        frames: of each video.
        pixels: of each frame (width x height).
        picture_pixels: of each still picture, at most.
    """

    fps: float | None = None
    frames: int | None = None
    pixels: int | None = None
    picture_pixels: int | None = None

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            UsageError: one is out of range, or both ``fps`` and ``frames`` are given.
        """
        planner.sample([], room=0, sight=Sight(), fps=self.fps, frames=self.frames, pixels=self.pixels)
        if self.picture_pixels is not None and not 1 <= self.picture_pixels < float("inf"):
            raise UsageError(f"picture_pixels={self.picture_pixels} is no size of a picture", hint="give 1000 * 1000")

    def seconds(self, footage: Footage) -> tuple[float, ...] | None:
        """At which seconds a video is read for a model that cannot see; None leaves it to the reader."""
        if self.fps is None and self.frames is None:
            return None
        count = self.frames if self.frames is not None else round((self.fps or 0) * footage.duration)
        return choose(footage.times, count)


@dataclass(frozen=True)
class Seen:
    """A corpus as a model will be shown it.

    Args:
        corpus: frames of videos are chosen; for a model that cannot see, what was read as text before stands in their stead.
        samplings: what was chosen of each video.
        estimated: tokens that pictures may come to which are still to be read as text, by path.
        notes: what the user should know of each answer.
        remarks: what the plan says of it, where nothing was given up.
        warnings: what the user should know of the plan.
    """

    corpus: Corpus
    samplings: tuple[Sampling, ...] = ()
    estimated: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def seen(
    corpus: Corpus,
    geometry: Geometry,
    tokenizer: Tokenizer,
    vision: VisionFormat | None,
    wishes: Wishes,
    lost: Mapping[str, Collection[float]],
    asked: Mapping[str, Any],
    told: str = "",
    held: Mapping[str, Sampling] | None = None,
) -> Seen:
    """What a model is shown of a corpus.

    Args:
        corpus: as it was read.
        geometry: of the model.
        tokenizer: of the model.
        vision: how it is shown things; None for a model that cannot see.
        wishes: of the user.
        lost: frames that cannot be decoded, by path.
        asked: what the planner is asked, by the names of its arguments.
        told: what of the corpus was read as text already, in words.
        held: what was chosen of videos before, by path, where that is to stay; the others share what room is left.
    """
    if vision is None:
        return as_text(corpus, wishes, told)
    videos = reels(corpus)
    if not videos:
        return Seen(corpus)
    sight = sight_of(geometry, vision)
    tokens, largest = _still_tokens(corpus, tokenizer, vision)
    largest = max(largest, planner.largest_patch(videos, sight, pixels=wishes.pixels))
    fixed = [held[reel.path] for reel in videos if held and reel.path in held]
    tokens += sum(sampling.tokens for sampling in fixed)
    room = planner.room(geometry, source_tokens=tokens, largest_item=largest, **asked)
    free = tuple(reel for reel in videos if not held or reel.path not in held)
    return filmed(corpus, [Film(free, room)] if free else [], sight, geometry.rope, wishes, lost, fixed)


@dataclass(frozen=True)
class Film:
    """Videos that share a room for their frames."""

    reels: tuple[Reel, ...]
    room: Room


def sight_of(geometry: Geometry, vision: VisionFormat) -> Sight:
    """What frames cost a model, whose vision tower the planner may not know."""
    return replace(geometry.sight or Sight(), temporal=vision.frames)


def filmed(
    corpus: Corpus,
    films: Sequence[Film],
    sight: Sight,
    rope: Rope,
    wishes: Wishes,
    lost: Mapping[str, Collection[float]],
    fixed: Sequence[Sampling] = (),
) -> Seen:
    """The corpus with its videos' frames chosen, as many as there is room for.

    Args:
        corpus: as it was read.
        films: every video of it of which frames are still to be chosen.
        sight: of the model.
        rope: of its geometry.
        wishes: of the user.
        lost: frames that cannot be decoded, by path.
        fixed: what was chosen of the other videos.
    """
    chosen: dict[str, Any] = {"fps": wishes.fps, "frames": wishes.frames, "pixels": wishes.pixels}
    found = [(film, planner.sample(film.reels, room=film.room.tokens, sight=sight, **chosen)) for film in films]
    samplings = [*fixed, *(sampling for _, some in found for sampling in some)]
    shown = {sampling.path: Shown(sampling.frames, sampling.width, sampling.height) for sampling in samplings}
    made = _told(stream.sampled(corpus, shown, group=sight.temporal, lost=lost))
    notes = tuple(_left_out(path, len(places)) for path, places in lost.items())
    remarks: list[str] = []
    warnings: list[str] = []
    for film, some in found:
        said = planner.words(film.reels, some, sight=sight, rope=rope, room=film.room, **chosen)
        pinched = planner.pinched(film.reels, some, sight=sight, room=film.room, **chosen)
        (warnings if pinched else remarks).extend(said)
    return Seen(made, as_shown(made, samplings), notes=notes, remarks=tuple(remarks), warnings=(*warnings, *notes))


def _told(corpus: Corpus) -> Corpus:
    """The corpus with a word in the row of each video of which no frame is shown."""
    blank = {s.path for s in corpus.sources if s.footage is not None and not any(segment.visuals for segment in s.segments)}
    rows = (
        replace(row, reason="; ".join(filter(None, (row.reason, UNSEEN)))) if row.path in blank else row
        for row in corpus.manifest
    )
    return Corpus(corpus.sources, tuple(rows))


def as_shown(corpus: Corpus, samplings: Iterable[Sampling]) -> tuple[Sampling, ...]:
    """What was chosen, with as many frames as are really shown: some may be lost."""
    visuals = {source.path: [v for segment in source.segments for v in segment.visuals] for source in corpus.sources}
    shown = {path: sum(len(visual.places) for visual in found) for path, found in visuals.items()}
    return tuple(
        replace(chosen, frames=shown[chosen.path], fps=chosen.fps * shown[chosen.path] / max(1, chosen.frames))
        for chosen in samplings
    )


def _left_out(path: str, number: int) -> str:
    return f"{path}: {'1 frame' if number == 1 else f'{number:,} frames'} cannot be decoded, left out"


def read_as_text(corpus: Corpus, wishes: Wishes, job: Job[Any] | None = None) -> tuple[Corpus, promises.Told]:
    """The corpus for a model that cannot see. Without a job only what was read before is taken.

    Raises:
        Stopped: the user stopped; what was read is kept for the next time.
    """
    chosen = {source.path: wishes.seconds(source.footage) for source in corpus.sources if source.footage is not None}
    frames = {path: seconds for path, seconds in chosen.items() if seconds is not None}
    return promises.fulfil(corpus, job=job, cache_folder=models.cache_folder(), frames=frames, only_kept=job is None)


def as_text(corpus: Corpus, wishes: Wishes, before: str) -> Seen:
    """What was read as text before; what is still to be read is estimated."""
    read, told = read_as_text(corpus, wishes)
    waiting = [source for source in read.sources if source.footage or any(segment.visuals for segment in source.segments)]
    estimated = {s.path: promises.estimate(s, wishes.seconds(s.footage) if s.footage else None) for s in waiting}
    words = before or told.words()
    notes = (f"{words}, since this model cannot see",) if words else ()
    remarks = ("pictures and video are still to be read as text (OCR), since this model cannot see",) if estimated else ()
    return Seen(read, estimated=estimated, notes=notes, remarks=remarks)


def vision_of(files: ModelFiles, tokenizer: Tokenizer, wishes: Wishes) -> VisionFormat | None:
    """How a model is shown things; None for one that cannot see.

    Raises:
        ModelDamagedError: it can, but what it needs for that is missing in its folder.
    """
    if not files.config.get("vision_config"):
        return None
    if files.config.get("model_type") in stream.MODEL_TYPES:
        return QwenVision.from_config(files.config, files.processor, tokenizer, most_pixels=wishes.picture_pixels)
    from longctx.backends.transformers.processors import ProcessorVision  # imports torch

    most = wishes.picture_pixels or MOST_PIXELS
    return ProcessorVision(files.folder, tokenizer, name=files.name, most_pixels=most)


def reels(corpus: Corpus) -> list[Reel]:
    """The videos of a corpus, in numbers."""
    found = ((source.path, source.footage) for source in corpus.sources)
    return [Reel(path, f.duration, f.width, f.height, len(f.times)) for path, f in found if f is not None]


def _still_tokens(corpus: Corpus, tokenizer: Tokenizer, vision: VisionFormat) -> tuple[int, int]:
    """Tokens of everything but the videos' frames, and the most placeholders that one picture has."""
    made = stream.build(corpus, tokenizer, prompts.Frame(), vision=vision)
    return len(made), made.largest_look
