"""Footage: how many frames of each video a model sees, and how large, as many as there is room for; and what that is in words.

Numbers in, numbers out: knows no video, no tokenizer and no model but the sizes of its vision tower.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from longctx.errors import UsageError
from longctx.planner.limits import Room
from longctx.planner.towers import Sight
from longctx.planner.yarn import Rope

#: Frames a second: at most, and as few as are taken before frames get smaller.
MOST_FPS, SPARSE_FPS = 2.0, 0.1
#: Pixels of a frame: what is taken where there is room, and as few as are taken before frames get rarer still.
USUAL_PIXELS, LEAST_PIXELS = 448 * 256, 224 * 128
#: Tokens that stand around the placeholders of a temporal patch: "<", ".", a digit, " seconds", ">", start and end of vision.
#: The whole seconds take one for each of their digits.
STAMP = 7
#: Tokens of the mark before a segment whose id has four digits, and the seconds of footage that one segment has.
MARK, SEGMENT_SECONDS = 28, 10.0
#: Where rates and sizes are tried, neighbours differ by half a percent, two percent and two and a half percent.
_RATES = tuple(MOST_FPS * (SPARSE_FPS / MOST_FPS) ** (i / 600) for i in range(601))
_SIZES = tuple(round(USUAL_PIXELS * (LEAST_PIXELS / USUAL_PIXELS) ** (i / 64)) for i in range(65))
_RARE = (*(SPARSE_FPS * 10 ** (-i / 100) for i in range(1, 500)), 0.0)
#: Seconds may be summed up from pts; a frame is not lost for a rounding error.
_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Reel:
    """One video in numbers.

    Args:
        path: of the source.
        duration: seconds.
        width: of its frames as a reader sees them, pixels.
        height: pixels.
        frames: that exist.
    """

    path: str
    duration: float
    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a model sees of one video.

    Args:
        path: of the source.
        frames: how many, 0 for none.
        fps: frames of a second, as it comes out.
        width: of each, pixels; 0 where there are none.
        height: pixels.
        tokens: of all of them, an estimate from above: placeholders, times and the marks of segments.
    """

    path: str
    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Setting:
    """What holds for every video: frames of a second or of each, and pixels of a frame."""

    fps: float
    frames: int | None
    pixels: int


def sample(
    reels: Sequence[Reel],
    *,
    room: int,
    sight: Sight,
    fps: float | None = None,
    frames: int | None = None,
    pixels: int | None = None,
) -> tuple[Sampling, ...]:
    """Choose how many frames of each video are looked at, and how large.

    Two a second at about 448 x 256 where there is room. Where there is not, frames get rarer (down to one every 10 s), then
    smaller (down to about 224 x 128), then rarer still, alike in all videos, so that each has its room by its duration; in the
    end one temporal patch of each, or of as many as there is room for. What is asked for is obeyed, whatever the room.

    Args:
        reels: the videos.
        room: tokens for all of them.
        sight: of the model.
        fps: frames of a second; 0 for none.
        frames: of each video; 0 for none.
        pixels: of each frame, width x height.

    Returns:
        a row for each video, in order. Sizes are multiples of ``sight.step`` and never larger than the video, counts multiples
        of ``sight.temporal`` where that many frames exist.

    Raises:
        UsageError: a value is out of range, or both ``fps`` and ``frames`` are given.

    >>> lecture = Reel("lecture.mp4", 3600.0, 1280, 720, 90_000)
    >>> [(s.frames, s.width, s.height, s.tokens) for s in sample([lecture], room=250_000, sight=Sight())]
    [(3896, 448, 256, 249712)]
    """
    _check(fps, frames, pixels)
    if fps == 0 or frames == 0:
        return tuple(Sampling(reel.path) for reel in reels)
    ladder = _ladder(fps, frames, pixels)
    step = bisect_left(ladder, True, key=lambda setting: _cost(reels, setting, sight) <= room)
    explicit = fps is not None or frames is not None
    if step < len(ladder) or explicit:
        return _sampled(reels, ladder[min(step, len(ladder) - 1)], sight)
    return _some(reels, _sampled(reels, ladder[-1], sight), room)


def largest_patch(reels: Sequence[Reel], sight: Sight, *, pixels: int | None = None) -> int:
    """Tokens of the largest temporal patch that :func:`sample` may choose; 0 without videos.

    >>> largest_patch([Reel("a.mp4", 9.0, 1280, 720, 270), Reel("b.mp4", 9.0, 720, 720, 270)], Sight())
    121
    """
    _check(None, None, pixels)
    sizes = (size(reel.width, reel.height, pixels or USUAL_PIXELS, sight.step) for reel in reels if reel.frames)
    return max((sight.tokens(*found) for found in sizes), default=0)


def size(width: int, height: int, pixels: int, step: int) -> tuple[int, int]:
    """The size of a frame: multiples of ``step`` of about so many pixels, no larger than the video, as nearly of its shape.

    Args:
        width: of the video, pixels.
        height: pixels.
        pixels: of the frame, width x height.
        step: pixels of a token's side.

    >>> [size(*video, 114_688, 32) for video in ((1280, 720), (720, 1280), (640, 480), (320, 180), (20, 20))]
    [(448, 256), (256, 448), (384, 288), (288, 160), (32, 32)]
    """
    most_across, most_down = max(1, width // step), max(1, height // step)
    shape = max(1, width) / max(1, height)
    area = pixels / step**2
    across, down = math.sqrt(area * shape), math.sqrt(area / shape)
    shrink = min(1.0, most_across / across, most_down / down)
    across, down = _whole(across * shrink), _whole(down * shrink)
    if min(across, down) == 1:  # a side of less than a step is drawn out to one; the other gives it back
        across, down = (min(side, max(1, int(area))) for side in (across, down))
    return across * step, down * step


def _whole(side: float) -> int:
    return max(1, math.floor(side + 0.5))


# -- settings, the richest first ---------------------------------------------------------------------------------------
def _ladder(fps: float | None, frames: int | None, pixels: int | None) -> list[_Setting]:
    """What is tried, the richest first; no step costs more than the one before it."""
    sizes = _SIZES if pixels is None else (pixels,)
    if fps is not None or frames is not None:
        return [_Setting(fps or 0.0, frames, area) for area in sizes]
    rarer = [_Setting(rate, None, sizes[0]) for rate in _RATES]
    smaller = [_Setting(SPARSE_FPS, None, area) for area in sizes[1:]]
    return rarer + smaller + [_Setting(rate, None, sizes[-1]) for rate in _RARE]


def _sampled(reels: Sequence[Reel], setting: _Setting, sight: Sight) -> tuple[Sampling, ...]:
    return tuple(_one(reel, setting, sight) for reel in reels)


def _one(reel: Reel, setting: _Setting, sight: Sight) -> Sampling:
    count = _count(reel, setting, sight.temporal)
    if not count:
        return Sampling(reel.path)
    width, height = size(reel.width, reel.height, setting.pixels, sight.step)
    patches = -(-count // sight.temporal)
    stamp = STAMP + len(str(int(reel.duration)))
    segments = min(patches, 1 + int(reel.duration / SEGMENT_SECONDS))
    tokens = patches * (sight.tokens(width, height) + stamp) + segments * MARK
    return Sampling(reel.path, count, count / reel.duration if reel.duration > 0 else 0.0, width, height, tokens)


def _count(reel: Reel, setting: _Setting, temporal: int) -> int:
    """Frames of a video: whole temporal patches, at least one, no more than there are."""
    if setting.frames is not None:
        patches = -(-setting.frames // temporal)
    else:
        patches = int(min(reel.frames, setting.fps * reel.duration) / temporal + _EPSILON)
    there = reel.frames - reel.frames % temporal if reel.frames >= temporal else reel.frames
    return min(max(1, patches) * temporal, there)


def _cost(reels: Sequence[Reel], setting: _Setting, sight: Sight) -> int:
    return sum(sampling.tokens for sampling in _sampled(reels, setting, sight))


def _some(reels: Sequence[Reel], least: Sequence[Sampling], room: int) -> tuple[Sampling, ...]:
    """One temporal patch of as many videos as there is room for; of equals, the longest."""
    kept: set[int] = set()
    for number in sorted(range(len(reels)), key=lambda number: (least[number].tokens, -reels[number].duration)):
        room -= least[number].tokens
        if room < 0:
            break
        kept.add(number)
    return tuple(chosen if number in kept else Sampling(chosen.path) for number, chosen in enumerate(least))


def _check(fps: float | None, frames: int | None, pixels: int | None) -> None:
    if fps is not None and frames is not None:
        raise UsageError(f"fps={fps!r} and frames={frames!r} say the same twice", hint="give one of them")
    if fps is not None and not (_number(fps) and 0 <= fps < math.inf):
        raise UsageError(f"fps={fps!r} is no number of frames a second", hint="give 0.5 for a frame every 2 s, 0 for no frames")
    if frames is not None and not (_number(frames) and isinstance(frames, int) and frames >= 0):
        raise UsageError(f"frames={frames!r} is no number of frames", hint="give a whole number; 0 leaves subtitles only")
    if pixels is not None and not (_number(pixels) and 0 < pixels < math.inf):
        raise UsageError(f"pixels={pixels!r} is no size of a frame", hint="give width x height, such as 448 * 256")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# -- words -------------------------------------------------------------------------------------------------------------
def words(
    reels: Sequence[Reel],
    samplings: Sequence[Sampling],
    *,
    sight: Sight,
    rope: Rope,
    room: Room,
    fps: float | None = None,
    frames: int | None = None,
    pixels: int | None = None,
) -> tuple[str, ...]:
    """What is looked at of each video, why not more, and what more would need.

    Args:
        reels: the videos.
        samplings: what :func:`sample` chose.
        sight: of the model, as for :func:`sample`.
        rope: of the model's geometry.
        room: that there was.
        fps: as it was given to :func:`sample`.
        frames: likewise.
        pixels: likewise.
    """
    asked = fps is not None or frames is not None
    wanted = sample(reels, room=_ENDLESS, sight=sight, fps=fps, frames=frames, pixels=pixels)
    limit = {"memory": "the memory", "budget": "its budget"}.get(room.limit, f"the window of {room.window:,}")
    over = _overfull(samplings, room)
    notes = [
        f"{reel.path} ({_lasting(reel.duration)}): {_shown(got)}{_why(got != most, asked, over, limit)}"
        for reel, got, most in zip(reels, samplings, wanted, strict=True)
        if reel.frames
    ]
    if tuple(samplings) == wanted and not over:
        return tuple(notes)
    usual = f"{frames:,} frames" if frames is not None else f"{MOST_FPS if fps is None else fps:g} a second"
    more = _more(usual, wanted, rope, room)
    return (f"{notes[0]}; {more}",) if len(notes) == 1 else (*notes, f"videos: {more}")


_ENDLESS = 10**15


def pinched(
    reels: Sequence[Reel],
    samplings: Sequence[Sampling],
    *,
    sight: Sight,
    room: Room,
    fps: float | None = None,
    frames: int | None = None,
    pixels: int | None = None,
) -> bool:
    """Whether less is looked at than was wanted, or more than there is room for.

    Args:
        reels: the videos.
        samplings: what :func:`sample` chose.
        sight: of the model, as for :func:`sample`.
        room: that there was.
        fps: as it was given to :func:`sample`.
        frames: likewise.
        pixels: likewise.
    """
    wanted = sample(reels, room=_ENDLESS, sight=sight, fps=fps, frames=frames, pixels=pixels)
    return tuple(samplings) != wanted or _overfull(samplings, room)


def _overfull(samplings: Sequence[Sampling], room: Room) -> bool:
    return sum(got.tokens for got in samplings) > room.tokens


def _shown(got: Sampling) -> str:
    if not got.frames:
        return "no frame of it is looked at"
    count = "1 frame" if got.frames == 1 else f"{got.frames:,} frames"
    return f"{count} at {got.width}x{got.height}{_rate(got)}"


def _why(less: bool, asked: bool, over: bool, limit: str) -> str:
    """Why it is so many frames of this size; empty where that is the usual."""
    if over:
        return f", as asked, which is more than {limit} allows"
    if less:
        return f", as asked, of the size that {limit} allows" if asked else f", which is what {limit} allows"
    return ", as asked" if asked else ""


def _more(usual: str, wanted: Sequence[Sampling], rope: Rope, room: Room) -> str:
    """What as many frames as are wanted, of the size that is wanted, would need."""
    sizes = {(most.width, most.height) for most in wanted if most.frames}
    at = " at {}x{}".format(*next(iter(sizes))) if len(sizes) == 1 else ""
    tokens = sum(most.tokens for most in wanted)
    need, head = room.taken + tokens, f"{usual}{at} would need {_about(tokens)} tokens"
    if room.limit == "budget":
        return head
    if need > rope.maximum_window:
        return f"{head}, more than fit into the {rope.maximum_window:,} that this model reaches"
    factor = rope.choose(need)
    scaled = f", YaRN factor {factor:g}" if factor > 1 else ""
    memory = " and more memory" if room.limit == "memory" else ""
    return f"{head} (a window of {rope.window(factor):,}{scaled}){memory}"


def _rate(got: Sampling) -> str:
    """Frames of a second; where they are rare, seconds of a frame."""
    if got.frames == 1 or got.fps <= 0:
        return ""
    return (
        f", {got.fps:.2f}".rstrip("0").rstrip(".") + " a second"
        if got.fps >= SPARSE_FPS
        else f", one every {1 / got.fps:,.0f} s"
    )


def _lasting(seconds: float) -> str:
    """A duration.

    >>> _lasting(3600.0), _lasting(125.4), _lasting(31.2)
    ('1 h 00 min', '2 min 05 s', '31.2 s')
    """
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600:,} h {whole // 60 % 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{seconds:.1f} s"


def _about(tokens: int) -> str:
    """An estimate, in thousands where it is large."""
    return f"about {round(tokens, -3):,}" if tokens >= 10_000 else f"about {tokens:,}"
