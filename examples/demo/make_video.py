"""Makes project/tour.mp4: half a minute of slides about the invented station, with subtitles in a track of their own.

python examples/demo/make_video.py [FILE]
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pymupdf

WIDTH, HEIGHT, FPS = 640, 360, 10
#: Seconds that each slide is shown.
SECONDS = 5
#: Title, lines below it, and what is said meanwhile.
Slide = tuple[str, tuple[str, ...], str]
SLIDES: tuple[Slide, ...] = (
    ("A tour of the Northquay station", ("Half a minute, six slides",), "This is the station at Northquay."),
    (
        "Where it stands",
        ("Mast 3 on the east pier", "Ladder on the north side"),
        "The gauge hangs from mast three of the east pier.",
    ),
    (
        "Every spring",
        ("Replace the battery pack BP-7", "The key hangs in the harbour office"),
        "A new battery goes in every April.",
    ),
    (
        "In a storm",
        ("Stay off the pier above 4.60 m", "Duty phone: extension 417"),
        "In a storm nobody goes out to the mast.",
    ),
    (
        "After the storm",
        ("Rinse the radar window", "Look for weed on the ladder"),
        "Salt on the window weakens the echoes.",
    ),
    (
        "Where the data go",
        ("One CSV file a day", "Copied to the town archive on Mondays"),
        "On Mondays the files go to the archive.",
    ),
)


def slide(title: str, lines: tuple[str, ...]) -> av.VideoFrame:
    """One slide as a frame."""
    with pymupdf.open() as document:
        page = document.new_page(width=WIDTH, height=HEIGHT)
        page.draw_rect(page.rect, color=None, fill=(0.96, 0.97, 0.98))
        page.draw_rect(pymupdf.Rect(0, 0, WIDTH, 76), color=None, fill=(0.09, 0.29, 0.45))
        page.insert_text((36, 50), title, fontname="hebo", fontsize=30, color=(1, 1, 1))
        for number, line in enumerate(lines):
            page.insert_text((36, 150 + 60 * number), line, fontname="helv", fontsize=28)
        pixels = page.get_pixmap()
        array = np.frombuffer(pixels.samples, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
        return av.VideoFrame.from_ndarray(array, format="rgb24")


def tour(target: Path) -> None:
    """Write the video."""
    with av.open(str(target), "w") as output:
        stream: Any = output.add_stream("libx264", rate=FPS, options={"preset": "veryslow", "crf": "23", "tune": "stillimage"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = FPS * SECONDS
        words = output.add_stream("mov_text")
        words.codec_context.subtitle_header = HEADER
        for number, (title, lines, _) in enumerate(SLIDES):
            frame = slide(title, lines)
            for step in range(FPS * SECONDS):
                frame.pts, frame.time_base = number * FPS * SECONDS + step, Fraction(1, FPS)
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for number, (_, _, said) in enumerate(SLIDES):
            output.mux(subtitle(words, number * SECONDS + 1, SECONDS - 2, said))


def subtitle(stream: Any, start: int, seconds: int, text: str) -> av.Packet:
    """One subtitle as mov_text has it: its length in bytes, then the text."""
    data = text.encode()
    packet = av.Packet(len(data).to_bytes(2, "big") + data)
    packet.stream = stream
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = start * 1000
    packet.duration = seconds * 1000
    return packet


#: The encoder's settings, without which the track is not opened.
HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,16\n"


if __name__ == "__main__":
    tour(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "project" / "tour.mp4")
