"""Small videos made on the spot, whose every frame carries its number, so that a test can prove which frame it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

#: Blocks across and down: sixteen bits, and below them the same bits turned over.
ACROSS, DOWN = 8, 4
#: Ticks of a second in which times are written.
TICKS = 1000


def draw_index(index: int, size: tuple[int, int] = (128, 96)) -> NDArray[np.uint8]:
    """A picture that carries a number below 65,536; shape [height, width, 3].

    >>> read_index(draw_index(40_000))
    40000
    """
    width, height = size
    bits = np.array([index >> bit & 1 for bit in range(16)], dtype=np.uint8).reshape(2, ACROSS)
    blocks = np.concatenate([bits, 1 - bits]) * 200 + 28
    down = np.arange(height) * DOWN // height
    across = np.arange(width) * ACROSS // width
    return np.repeat(blocks[down][:, across, None], 3, axis=2)


def read_index(pixels: NDArray[np.uint8]) -> int | None:
    """The number that a picture carries; None where it is damaged, gray, turned or mirrored."""
    height, width = pixels.shape[:2]
    rows = [slice(int((y + 0.3) * height / DOWN), int((y + 0.7) * height / DOWN) + 1) for y in range(DOWN)]
    columns = [slice(int((x + 0.3) * width / ACROSS), int((x + 0.7) * width / ACROSS) + 1) for x in range(ACROSS)]
    blocks = np.array([[pixels[row, column].mean() for column in columns] for row in rows])
    bits, turned = blocks[:2].ravel() > 128, blocks[2:].ravel() > 128
    if (bits == turned).any() or abs(blocks - 128).min() < 40:
        return None
    return sum(int(bit) << place for place, bit in enumerate(bits))


def make_video(
    path: str | Path,
    times: Sequence[float],
    size: tuple[int, int] = (128, 96),
    codec: str = "libx264",
    subtitles: Sequence[tuple[float, float, str]] = (),
    *,
    gop: int = 12,
    rotation: int = 0,
    sound: tuple[float, float] | None = None,
    pictures: Sequence[NDArray[np.uint8]] | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Write a video with one frame at each time.

    Args:
        path: its suffix names the container, unless ``format`` does.
        times: seconds, ascending, in whole milliseconds.
        size: width and height as stored; even numbers for most codecs.
        codec: ``"libx264"``, ``"libx265"``, ``"mpeg4"``, ``"libvpx-vp9"``, ...
        subtitles: (start, end, text), as an embedded track of mp4, mov or mkv.
        gop: frames from one keyframe to the next.
        rotation: degrees counterclockwise by which a player turns the picture; it then stands upright.
        sound: seconds at which a tone begins and ends.
        pictures: as stored, instead of numbered frames, RGB of shape [height, width, 3].
        options: of the codec.
        container_options: of the container.
        format: of the container, where the suffix does not tell.
    """
    import av

    with av.open(str(path), "w", format=format, container_options=dict(container_options or {})) as output:
        stream: Any = output.add_stream(codec, rate=25, options=dict(options or _OPTIONS.get(codec, {})))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if not size[0] % 2 and not size[1] % 2 else "yuv444p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.gop_size = gop
        if rotation:
            stream.set_display_rotation(rotation)
        text = _text_stream(output) if subtitles else None
        tone = output.add_stream("aac", rate=_RATE) if sound else None
        for index, time in enumerate(times):
            picture = _numbered(index, size, rotation) if pictures is None else pictures[index]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if tone and sound:
            _sing(output, tone, *sound)
        for start, end, words in subtitles:
            output.mux(_text_packet(text, start, end, words))
    return Path(path)


def _numbered(index: int, size: tuple[int, int], rotation: int) -> NDArray[np.uint8]:
    turns = rotation // 90
    return np.ascontiguousarray(np.rot90(draw_index(index, size[::-1] if turns % 2 else size), -turns))


_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libx265": {"preset": "ultrafast", "crf": "20", "x265-params": "log-level=none:pools=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


_RATE = 16_000


def _sing(output: Any, stream: Any, start: float, end: float) -> None:
    import av

    for first in range(round(start * _RATE), round(end * _RATE), 1024):
        wave = np.sin(np.arange(first, first + 1024) / 10).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _RATE, first, Fraction(1, _RATE)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _text_stream(output: Any) -> Any:
    stream = output.add_stream("mov_text" if output.format.name in ("mp4", "mov") else "subrip")
    stream.codec_context.subtitle_header = _ASS
    return stream


#: The encoders take nothing without it.
_STYLES = "Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline"
_ASS = f"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: {_STYLES}
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
""".encode()


def _text_packet(stream: Any, start: float, end: float, words: str) -> Any:
    import av

    data = words.encode()
    packet = av.Packet(len(data).to_bytes(2, "big") + data if stream.codec_context.name == "mov_text" else data)
    packet.stream, packet.time_base = stream, Fraction(1, TICKS)
    packet.pts = packet.dts = round(start * TICKS)
    packet.duration = round((end - start) * TICKS)
    return packet


def workers() -> list[psutil.Process]:
    """Child processes of this one, without the one that Python starts to count what its own process pools hold."""
    return [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())]
