"""What is in a video: when each of its frames is shown, and subtitles. PyAV, in the worker; decodes no more than one picture.

Seconds are those that a player shows. Its clock begins with the first picture, or with the sound where that begins earlier by
more than an encoder's run-up; so the start time of a transport stream and the offsets of an edit list are taken off.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from longctx.sources.video.subtitles import plain

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.subtitles.stream import SubtitleStream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: The containers that are opened; lists of other files and addresses, such as HLS, are not among them.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mp3,live_flv"
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file,subfile"}
#: Seconds by which sound may begin before the picture as an encoder's run-up, which is not heard.
RUN_UP = 0.1
#: Seconds between two signs of life.
PULSE = 5.0
#: Reading errors in a row after which the rest of a file counts as lost.
ERRORS = 100
#: Packets in which a first picture is looked for.
TRIES = 2000
_TEXT = ("mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text")

Reply = dict[str, Any]
Answer = Reply | tuple[Reply, bytes]


@dataclass
class _Found:
    """What the packets of a video say."""

    pts: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    cues: list[tuple[float, float, str]] = field(default_factory=list)
    last_duration: int = 0
    damaged: int = 0
    first: VideoFrame | None = None


def probe(file: str, until: int | None = None) -> Iterator[Answer]:
    """Tell about a video: its times (float64) and keyframes (int64 ticks) as raw bytes, its cues, then the rest; or one error.

    Args:
        file: the absolute path.
        until: bytes of it that are looked at; None for all.
    """
    try:
        import av
    except ImportError as error:
        yield {"error": f"PyAV cannot be imported: {error}"}
        return
    try:
        with opened(file, until) as container:
            yield from _probed(container)
    except av.FFmpegError as error:
        yield {"error": f"it cannot be opened as a video: {error.strerror}"}


def _probed(container: InputContainer) -> Iterator[Answer]:
    stream = real_stream(container)
    if stream is None:
        yield {"absent": _instead(container)}
        return
    found = _Found()
    yield from _gather(container, stream, found)
    if found.first is None or not found.pts or stream.time_base is None:
        yield {"error": _nothing(found, stream)}
        return
    tick = exact(stream.time_base)
    first, last = min(found.pts), max(found.pts)
    zero = first - round(_sound_before(container, first * tick) / tick)
    shown = sorted(set(found.pts))
    width, height, turn = upright(found.first, stream)
    yield {"of": "times"}, _packed("d", ((pts - zero) * tick.numerator / tick.denominator for pts in shown))
    yield {"of": "keys"}, _packed("q", sorted(set(found.keys)))
    yield {"cues": _cues(found.cues, float(zero * tick), float(last * tick))}
    yield {
        "stream": stream.index,
        "zero": zero,
        "tick": [tick.numerator, tick.denominator],
        "duration": float((last - zero + (found.last_duration or _step(shown))) * tick),
        "width": width,
        "height": height,
        "turn": turn,
        "format": container.format.name,
        "codec": stream.codec_context.name,
        "damaged": found.damaged,
        "decoder": decoder_name(),
    }


def opened(file: str, until: int | None) -> InputContainer:
    """A file, or its beginning, as one of the containers that are looked into."""
    import av

    name = file if until is None else f"subfile,,start,0,end,{until},,:{file}"
    # Without it a title that is no UTF-8 is an error; from 19 on PyAV reads it so by itself and no longer knows the argument.
    lenient = {"metadata_errors": "surrogateescape"} if int(av.__version__.partition(".")[0]) < 19 else {}
    container: InputContainer = av.open(name, options=OPTIONS, **lenient)
    return container


def exact(base: Any) -> Fraction:
    """A time base, which is a number of PyAV's own from 19 on."""
    return Fraction(base.numerator, base.denominator)


def decoder_name() -> str:
    """PyAV and the decoders in it, with their versions."""
    import av

    return f"av {av.__version__} " + ".".join(map(str, av.library_versions["libavcodec"]))


def real_stream(container: InputContainer) -> VideoStream | None:
    """The video that a player would show: no cover art; the default one, then the largest."""
    import av

    art = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    real = [stream for stream in container.streams.video if stream.codec_context and not stream.disposition & art]
    default = av.stream.Disposition.default
    return max(real, key=lambda one: (bool(one.disposition & default), one.width * one.height, -one.index), default=None)


def upright(frame: VideoFrame, stream: VideoStream) -> tuple[int, int, int]:
    """Width and height as a reader sees them, and the quarter turns counterclockwise that bring a frame there."""
    width, height = frame.width, frame.height
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if ratio and ratio > 0:
        width, height = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
    turn = round(frame.rotation / 90) % 4
    return (height, width, turn) if turn % 2 else (width, height, turn)


def packets(container: InputContainer, *streams: VideoStream | SubtitleStream) -> Iterator[av.Packet | None]:
    """Packets to the end of a file, beyond stretches that cannot be read; None for each of these."""
    import av

    errors = 0
    while errors < ERRORS:
        try:
            for packet in container.demux(*streams):
                if packet.size:
                    errors = 0
                    yield packet
            return
        except av.FFmpegError:
            errors += 1
            yield None


def unordered(container: InputContainer, stream: VideoStream) -> bool:
    """Whether packets do not tell in which order their pictures are shown: AVI knows none, and guesses are wrong for these."""
    return container.format.name == "avi" and stream.codec_context.name in ("h264", "hevc")


def stamp(packet: av.Packet, *, by_dts: bool) -> int | None:
    """The time of a packet; where the order is not told, times are given out again as pictures come."""
    time: int | None = packet.dts if by_dts else packet.pts
    return time


def _gather(container: InputContainer, stream: VideoStream, found: _Found) -> Iterator[Reply]:
    """Read all packets; signs of life go out."""
    text = _text_stream(container)
    by_dts = unordered(container, stream)
    pulse = time.monotonic() + PULSE
    tries = 0
    for packet in packets(container, stream, *([text] if text else [])):
        if packet is None:
            found.damaged += 1
        elif packet.stream_index == stream.index:
            _note(packet, stamp(packet, by_dts=by_dts), found)
            if found.first is None and tries < TRIES:
                tries += 1
                found.first = _first_frame(stream, packet)
        elif text is not None:
            _note_text(packet, text, found)
        if time.monotonic() > pulse:
            pulse = time.monotonic() + PULSE
            yield {"alive": True}
    if found.first is None:
        found.first = _first_frame(stream, None)


def _note(packet: av.Packet, pts: int | None, found: _Found) -> None:
    """A packet of the video: what is shown, if it is. Before the first keyframe nothing can be."""
    if pts is None:
        return
    if packet.is_keyframe:
        found.keys.append(pts)
    if packet.is_corrupt:
        found.damaged += 1
    elif not packet.is_discard and found.keys and pts >= found.keys[0]:
        if not found.pts or pts >= found.pts[-1]:
            found.last_duration = packet.duration or 0
        found.pts.append(pts)


def _first_frame(stream: VideoStream, packet: av.Packet | None) -> VideoFrame | None:
    import av

    try:
        return next(iter(stream.codec_context.decode(packet)), None)
    except (av.FFmpegError, EOFError):
        return None


def _step(shown: list[int]) -> int:
    """Ticks for which a last frame stands that does not tell."""
    return shown[-1] - shown[-2] if len(shown) > 1 else 0


def _sound_before(container: InputContainer, first: Fraction) -> Fraction:
    """Seconds by which sound begins before the picture."""
    starts = [
        stream.start_time * exact(stream.time_base)
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]
    before = first - min(starts, default=first)
    return before if before > RUN_UP else Fraction(0)


def _instead(container: InputContainer) -> str:
    """What there is where there is no video."""
    import av

    if any(not stream.disposition & av.stream.Disposition.attached_pic for stream in container.streams.video):
        return "no video stream that can be decoded"
    if container.streams.video:
        return "no video stream, only cover art"
    return "no video stream, only sound" if container.streams.audio else "no video stream"


def _nothing(found: _Found, stream: VideoStream) -> str:
    if found.first is None:
        return f"no frame of it can be decoded ({stream.codec_context.name})"
    return "it does not say when its frames are shown: no time stamps"


def _packed(kind: str, values: Any) -> bytes:
    return array(kind, values).tobytes()


# -- subtitles -------------------------------------------------------------------------------------------------------
def _text_stream(container: InputContainer) -> SubtitleStream | None:
    """The track of text that a player would show first."""
    import av

    default = av.stream.Disposition.default
    tracks = [stream for stream in container.streams.subtitles if stream.codec_context.name in _TEXT]
    return max(tracks, key=lambda one: (bool(one.disposition & default), -one.index), default=None)


def _note_text(packet: av.Packet, text: SubtitleStream, found: _Found) -> None:
    words = _words(bytes(packet), text.codec_context.name)
    if words and packet.pts is not None and packet.time_base is not None:
        start = float(packet.pts * packet.time_base)
        found.cues.append((start, start + float((packet.duration or 0) * packet.time_base), words))


def _words(data: bytes, codec: str) -> str:
    """The words of one packet of a subtitle track."""
    if codec == "mov_text":
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = text.split(",", 8)[-1].replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return plain(text)


def _cues(cues: list[tuple[float, float, str]], zero: float, last: float) -> list[tuple[float, float, str]]:
    """Cues by the clock of the video; one that does not tell its length ends where the next begins."""
    cues = sorted(cues)
    starts = [*(start for start, _, _ in cues), last]
    return [
        (start - zero, (end if end > start else after) - zero, text)
        for (start, end, text), after in zip(cues, starts[1:], strict=True)
    ]
