"""A video in the reading process: what a worker found in it as a source, and the way back to its frames, for both engines."""

from __future__ import annotations

import importlib.util
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from longctx.corpus import Box, Cue, Footage, Frame, Status
from longctx.errors import FramesLostError, MissingPackageError, SourceChangedError, UsageError
from longctx.sources.parsed import Parsed, counted
from longctx.sources.process import lent
from longctx.sources.snapshot import Snapshot
from longctx.sources.video.subtitles import cue_segments, tidy

ENGINES = ("av", "decord")
#: Seconds between what decord says about a frame's time and the file itself that are its rounding.
ROUNDING = 0.002
#: Times that a worker may die over one request.
DEATHS = 3
#: Containers and codecs in which decord was found to give the frame that it says.
_DECORD_FORMATS = ("mov", "matroska", "flv")
_DECORD_WRONG = ("hevc",)

Reply = Mapping[str, Any]


def chosen_engine(engine: str | None) -> str:
    """The engine that reads video: the one that was asked for, or PyAV, or decord where PyAV is missing.

    Raises:
        UsageError: there is no such engine.
        MissingPackageError: it was asked for and is not installed.
    """
    if engine is None:
        return "decord" if not _is_installed("av") and _is_installed("decord") else "av"
    if engine not in ENGINES:
        raise UsageError(f"engine={engine!r}: no such engine", hint="'av' (PyAV, the default) or 'decord'")
    if not _is_installed(engine):
        package = "av" if engine == "av" else "decord (x86-64 Linux and Windows) or decord2 (elsewhere)"
        raise MissingPackageError(f"engine={engine!r} needs the package {package}", hint=f"pip install {package.split()[0]}")
    return engine


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


# -- frames ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Video:
    """The frames of a video, decoded by a worker; a :class:`longctx.corpus.Medium`.

    Args:
        snapshot: of the file.
        engine: ``"av"`` or ``"decord"``.
        decoder: the engine with its version.
        width: upright, pixels.
        height: pixels.
        times: of every frame, seconds.
        stream: index of the video in the file.
        zero: the pts at which the clock starts, in ticks.
        tick: seconds, as numerator and denominator.
        keys: pts of keyframes, ascending.
        turn: quarter turns counterclockwise that make a frame upright.
        until: bytes of the file that are looked at, where it is not all of them.
    """

    snapshot: Snapshot
    engine: str
    decoder: str
    width: int
    height: int
    times: Sequence[float] = field(repr=False, compare=False)
    stream: int = 0
    zero: int = 0
    tick: tuple[int, int] = (0, 1)
    keys: Sequence[int] = field(default=(), repr=False, compare=False)
    turn: int = 0
    until: int | None = None

    @property
    def identity(self) -> str:
        """The file's hash and the decoder with its version."""
        return f"{self.snapshot.sha256} {self.decoder}"

    def frames(self, places: Sequence[float], width: int, height: int, check: Callable[[], None]) -> Iterator[Frame]:
        """As :class:`longctx.corpus.Medium` has it: what cannot be decoded, or is no frame's time, is left out.

        Raises:
            SourceChangedError: the file is not the one that was read, or is gone.
            FramesLostError: the decoder died over them again and again.
        """
        self.snapshot.check()
        numbered = ((self._number(place), place) for place in places)
        grouped = groupby(numbered, key=lambda one: one[0])
        left = [(number, [place for _, place in same]) for number, same in grouped if number is not None]
        for _ in range(DEATHS):
            left = yield from self._decoded(left, width, height, check)
            if not left:
                return
        raise FramesLostError(self.snapshot.file, tuple(place for _, same in left for place in same))

    def _decoded(
        self, wanted: list[tuple[int, list[float]]], width: int, height: int, check: Callable[[], None]
    ) -> Generator[Frame, None, list[tuple[int, list[float]]]]:
        """The frames; what is left to ask for where the worker died, without the frame over which it did."""
        import numpy as np

        done = 0
        for reply in self._ask("frames", [number for number, _ in wanted], width, height, check):
            self.snapshot.check()
            if "error" in reply:
                return wanted[done + 1 :]
            if "data" in reply:
                pixels = np.frombuffer(reply["data"], np.uint8).reshape(height, width, 3)
                done = reply["number"] + 1
                for place in wanted[done - 1][1]:
                    yield Frame(place, pixels)
        return []

    def look(self, place: float, side: int, box: Box | None = None) -> bytes:
        """As :class:`longctx.corpus.Medium` has it; a box means nothing in a video."""
        self.snapshot.check()
        number = max(0, bisect_right(self.times, place + self._slack) - 1)
        scale = min(1.0, side / max(self.width, self.height))
        width, height = (max(1, round(scale * pixels)) for pixels in (self.width, self.height))
        for reply in self._ask("look", [number], width, height, _go_on):
            if "data" in reply:
                return bytes(reply["data"])
        raise FramesLostError(self.snapshot.file, (self.times[number],))

    def _ask(self, what: str, numbers: Sequence[int], width: int, height: int, check: Callable[[], None]) -> Iterator[Reply]:
        """What a worker replies; an error is its death."""
        if not numbers:
            return
        with lent(self.snapshot.file) as parser:
            for reply in parser.ask(check=check, **self._request(what, numbers, width, height)):
                if "error" in reply and parser.pid is not None:
                    raise SourceChangedError(f"{self.snapshot.path}: {reply['error']}", hint="read the sources again")
                yield reply

    def request(self, places: Sequence[float], width: int, height: int) -> dict[str, Any]:
        """What a worker is asked for frames at these very times: ``do`` and its arguments; its replies tell the ``number``."""
        numbers = [number for place in places if (number := self._number(place)) is not None]
        return self._request("frames", numbers, width, height)

    def _request(self, what: str, numbers: Sequence[int], width: int, height: int) -> dict[str, Any]:
        request: dict[str, Any] = {"file": self.snapshot.file, "until": self.until, "width": width, "height": height}
        if self.engine == "av":
            wanted = [self._ticks(number) for number in numbers]
            return request | {"do": f"video_{what}", "wanted": wanted, "stream": self.stream, "turn": self.turn}
        return request | {"do": f"video_{what}_decord", "wanted": list(numbers)}

    @property
    def _slack(self) -> float:
        """Seconds by which a place may differ from a frame's time: half a tick."""
        numerator, denominator = self.tick
        return numerator / denominator / 2 or ROUNDING

    def _number(self, place: float) -> int | None:
        """Which frame has this very time."""
        at = bisect_left(self.times, place - self._slack)
        return at if at < len(self.times) and self.times[at] <= place + self._slack else None

    def _ticks(self, number: int) -> tuple[int, int]:
        """A frame's pts and that of the keyframe before it."""
        numerator, denominator = self.tick
        pts = self.zero + round(self.times[number] * denominator / numerator)
        return pts, self.keys[max(0, bisect_right(self.keys, pts) - 1)]


# -- reading ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Beside:
    """Subtitles that lie beside a video, and the name of their file."""

    name: str
    cues: tuple[Cue, ...]


def parse_video(
    snapshot: Snapshot,
    engine: str,
    ask: Callable[[str], Iterator[Reply]],
    *,
    is_cut_off: bool = False,
    until: int | None = None,
    beside: Beside | None = None,
) -> Parsed:
    """A video with its footage, and segments of its subtitles.

    Args:
        snapshot: of the file.
        engine: as :func:`chosen_engine` has it.
        ask: asks the worker, by the name of what is to be done, about this file.
        is_cut_off: whether the file ends before it should.
        until: bytes of the file that are looked at, where it is not all of them.
        beside: subtitles that lie beside the file; those inside it are then not taken.
    """
    alone = engine == "decord" and not _is_installed("av")
    told = _gathered(ask("video_probe_decord" if alone else "video_probe"))
    if told.get("absent") == "no video stream" and is_cut_off:
        told = {"error": told["absent"]}
    if "absent" in told:
        return Parsed("audio" if "only" in told["absent"] else "video", status="skipped", reason=told["absent"])
    refusal = _refusal(told, is_cut_off) or (_decord_refusal(told, ask, alone=alone) if engine == "decord" else "")
    if refusal:
        return Parsed("video", status="failed", reason=refusal)
    clock: dict[str, Any] = {"until": until}
    if not alone:
        clock |= {"stream": told["stream"], "zero": told["zero"], "tick": tuple(told["tick"]), "turn": told["turn"]}
    decoder = told["decord"] if engine == "decord" else told["decoder"]
    times, size = told["times"], (told["width"], told["height"])
    medium = Video(snapshot, engine, decoder, *size, times, keys=told.get("keys", ()), **clock)
    cues = beside.cues if beside else tidy(Cue(*cue) for cue in told.get("cues", ()))
    footage = Footage(medium, *size, told["duration"], times, cues)
    reason = _words(footage, told.get("damaged", 0), is_cut_off=is_cut_off, beside=beside)
    status: Status = "truncated" if is_cut_off else "read"
    return Parsed("video", cue_segments(snapshot.path, cues), status, reason, medium, footage)


def _gathered(replies: Iterator[Reply]) -> dict[str, Any]:
    """All that a worker told about a file, together."""
    told: dict[str, Any] = {}
    for reply in replies:
        if "data" in reply:
            told[reply["of"]] = array("q" if reply["of"] == "keys" else "d", bytes(reply["data"]))
        elif "error" not in told:
            told |= reply
    return told


def _refusal(told: Reply, is_cut_off: bool) -> str:
    """Why nothing of a video can be read; empty where something can."""
    if "error" in told:
        return f"{'cut off, and nothing of it can be read' if is_cut_off else 'not a readable video'}: {told['error']}"
    return "" if told.get("times") else "not a readable video: no frames"


def _decord_refusal(told: dict[str, Any], ask: Callable[[str], Iterator[Reply]], *, alone: bool) -> str:
    """Why decord is not to be trusted with a file. Tells how it calls itself, too."""
    other = "read it with engine='av'" + ("" if not alone else ", which needs the package av")
    form = told.get("format", "").split(",")[0]
    if told["codec"] in _DECORD_WRONG or (form and form not in _DECORD_FORMATS):
        what = told["codec"] if told["codec"] in _DECORD_WRONG else form
        return f"decord gives wrong frames of {what} without saying so: {other}"
    said = told if alone else _gathered(ask("video_probe_decord"))
    if "error" in said:
        return f"{said['error']}; {other}"
    times, seen = told["times"], said["times"]
    first = times[0]
    if len(times) != len(seen) or any(abs(a - first - b) > ROUNDING for a, b in zip(times, seen, strict=True)):
        return f"decord's times of the frames are not those of the file: {other}"
    if any(later <= earlier for earlier, later in pairwise(seen)):
        return f"decord tells no time of every frame: {other}"
    told["decord"] = said["decoder"]
    return ""


def _words(footage: Footage, damaged: int, *, is_cut_off: bool, beside: Beside | None) -> str:
    """A video in words: ``27 s, 1280x720, 675 frames, subtitles``."""
    said = [_lasting(footage.duration), f"{footage.width}x{footage.height}", counted(len(footage.times), "frame")]
    if footage.cues:
        said.append(f"subtitles from {beside.name}" if beside else "subtitles")
    if is_cut_off:
        said[0] = f"cut off: the first {said[0]}"
    if damaged:
        said.append("damaged: frames may be missing")
    return ", ".join(said)


def _lasting(seconds: float) -> str:
    """A duration as people say it.

    >>> [_lasting(seconds) for seconds in (0.04, 27.3, 754.0, 3725.0)]
    ['0.04 s', '27 s', '12 min 34 s', '1 h 2 min']
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _go_on() -> None:
    """A look is quick; nobody stops it."""
