"""Frames of a video by their exact pts, decoded by PyAV and resized at once. Runs in the worker process.

Between the keyframe and a wanted frame, frames to which no other refers are passed over. A frame is given only where it is
known to be whole: what is decoded from damaged data, and what refers to it, is left out up to the next keyframe.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longctx.sources.video.probe import PULSE, exact, opened, packets, stamp, unordered

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

#: Decoding threads; more of them keep more pictures in flight.
THREADS = min(4, os.cpu_count() or 1)
#: Frames beyond a wanted one after which it counts as lost.
PATIENCE = 24
#: Seconds before a keyframe at which reading begins, one after the other, where a seek lands behind it.
_BACK = (0, 1, 5, 30, 120)

_NEVER = -(2**63)
_END: Any = object()

Answer = dict[str, Any] | tuple[dict[str, Any], memoryview]


@dataclass(frozen=True)
class View:
    """How frames are to look.

    Args:
        width: pixels, upright.
        height: pixels, upright.
        turn: quarter turns counterclockwise that make a decoded frame upright.
    """

    width: int
    height: int
    turn: int

    def of(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """A frame as RGB, shape [height, width, 3]."""
        import numpy as np
        from av.video.reformatter import Interpolation

        width, height = (self.height, self.width) if self.turn % 2 else (self.width, self.height)
        # What does not name its colours is by custom BT.709 from HD upwards.
        colours = "ITU709" if frame.colorspace == 2 and frame.height >= 720 else None
        small = frame.reformat(width, height, "rgb24", src_colorspace=colours, interpolation=Interpolation.BICUBIC, threads=1)
        return np.ascontiguousarray(np.rot90(small.to_ndarray(), self.turn))


# -- what is asked for -----------------------------------------------------------------------------------------------
def frames(
    file: str,
    stream: int,
    wanted: Sequence[tuple[int, int]],
    width: int,
    height: int,
    turn: int,
    skip: bool = True,
    until: int | None = None,
) -> Iterator[Answer]:
    """The pixels of frames, each with its place in ``wanted``; those that cannot be decoded are left out. Signs of life go out.

    Args:
        file: the absolute path.
        stream: index of the video in the file.
        wanted: pts of each frame and of the keyframe before it, in ticks of the stream, no frame twice.
        width: pixels, upright.
        height: pixels, upright.
        turn: quarter turns counterclockwise that make a frame upright.
        skip: whether frames that nobody refers to are passed over.
        until: bytes of the file that are looked at; None for all.
    """
    decoder = _kept(file, until, stream)
    if isinstance(decoder, str):
        yield {"error": decoder}
        return
    view = View(width, height, turn)
    decoder.begin({pts for pts, _ in wanted}, view, skip)
    for number, (pts, key) in enumerate(wanted):
        leaves = number + 1 < len(wanted) and wanted[number + 1][1] > key
        for pixels in decoder.get(pts, key, leaves=leaves):
            yield {"alive": True} if pixels is None else ({"number": number}, pixels.data.cast("B"))


def look(width: int, height: int, **request: Any) -> Iterator[Answer]:
    """The same as JPEG for people."""
    return as_jpeg(frames(width=width, height=height, **request), width, height)


def as_jpeg(answers: Iterator[Answer], width: int, height: int) -> Iterator[Answer]:
    """Answers whose pixels are made a JPEG."""
    import numpy as np
    from PIL import Image

    from longctx.sources.pictures.pixels import jpeg

    for answer in answers:
        if isinstance(answer, tuple):
            pixels = np.frombuffer(answer[1], np.uint8).reshape(height, width, 3)
            yield answer[0], memoryview(jpeg(Image.fromarray(pixels)))
        else:
            yield answer


_decoders: dict[tuple[str, int, int, int], Decoder] = {}


def _kept(file: str, until: int | None, stream: int) -> Decoder | str:
    """The decoder that answered the request before, where that was about the same file; or why there is none."""
    import av

    try:
        status = os.stat(file)
        name = (file, stream, status.st_size, status.st_mtime_ns)
        if name not in _decoders:
            _decoders.clear()
            _decoders[name] = Decoder(file, until, stream)
    except (OSError, av.FFmpegError) as error:
        return f"it cannot be opened: {error.strerror}"
    except IndexError:
        return "the video in it is gone"
    return _decoders[name]


# -- the decoder -----------------------------------------------------------------------------------------------------
class Decoder:
    """One video, opened once, read forward as far as possible.

    Args:
        file: the absolute path.
        until: bytes of it that are looked at; None for all.
        stream: index of the video in the file.
    """

    def __init__(self, file: str, until: int | None, stream: int) -> None:
        self._file = file
        self._until = until
        self._index = stream
        self._wanted: set[int] = set()
        self._view = View(1, 1, 0)
        self._skip = True
        self._open()

    def begin(self, wanted: set[int], view: View, skip: bool) -> None:
        """Set what is wanted from now on, and how it is to look."""
        self._wanted, self._view, self._skip = wanted, view, skip and not self._unordered
        self._ready.clear()
        self._passed.clear()

    def get(self, pts: int, key: int, *, leaves: bool) -> Iterator[NDArray[np.uint8] | None]:
        """The pixels of a frame, after None for every few seconds that it takes; nothing where it cannot be decoded.

        Args:
            pts: ticks.
            key: pts of the keyframe before it.
            leaves: whether the next frame that will be asked for lies behind another keyframe.
        """
        if self._must_seek(pts, key):
            yield from self._seek(key)
        pulse = time.monotonic() + PULSE
        while not self._settled(pts):
            if not self._feed() or (leaves and not self._unordered and pts in self._passed):
                self._drain()
            if time.monotonic() > pulse:
                pulse = time.monotonic() + PULSE
                yield None
        self._wanted.discard(pts)
        self._passed.pop(pts, None)
        pixels = self._ready.pop(pts, None)
        if pixels is not None and pts not in self._suspect:
            yield pixels

    # -- where it stands ---------------------------------------------------------------------------------------------
    def _open(self) -> None:
        self._container: InputContainer = opened(self._file, self._until)
        self._stream: VideoStream = next(one for one in self._container.streams.video if one.index == self._index)
        self._codec = self._stream.codec_context
        self._codec.thread_type = "AUTO"
        self._codec.thread_count = THREADS
        self._unordered = unordered(self._container, self._stream)
        self._reset()

    def _reset(self) -> None:
        """Nothing was read yet from where the file stands now."""
        self._packets = packets(self._container, self._stream)
        self._first: av.Packet | None = None
        self._fed: deque[tuple[int, bool]] = deque(maxlen=256)
        self._labels: list[int] = []
        self._key = self._top = self._out = _NEVER
        self._ready: dict[int, NDArray[np.uint8]] = {}
        self._passed: dict[int, _Passed] = {}
        self._suspect: set[int] = set()
        # Whether what is fed now refers to something damaged, and the pts from which on nothing does any more.
        self._broken, self._whole = False, _NEVER
        self._drained = False

    def _must_seek(self, pts: int, key: int) -> bool:
        if pts in self._ready or pts in self._passed:
            return False
        return self._drained or key > self._key or pts <= self._out or any(pts == fed for fed, _ in self._fed)

    def _settled(self, pts: int) -> bool:
        """Whether it is known what there is of a frame."""
        passed = self._passed.get(pts)
        if self._drained or passed is None:
            return self._drained
        return self._out >= passed.until if pts in self._ready else passed.later >= PATIENCE

    # -- reading -----------------------------------------------------------------------------------------------------
    def _seek(self, key: int) -> Iterator[None]:
        """Go to a keyframe; a place from which it is not found in reading on is too late, or there is no such place."""
        import av

        second = round(1 / exact(self._stream.time_base or 1))
        for back in (*_BACK, None):
            try:
                if back is None:
                    self._container.close()
                    self._open()
                else:
                    self._container.seek(key - back * second, stream=self._stream)
                    self._reset()
            except av.FFmpegError:
                continue
            yield from self._scan(key)
            if self._first is not None:
                return
        self._drained = True

    def _scan(self, key: int) -> Iterator[None]:
        """Read on to a keyframe, and keep it to be fed next."""
        pulse = time.monotonic() + PULSE
        for packet in self._packets:
            pts = stamp(packet, by_dts=self._unordered) if packet is not None and packet.is_keyframe else None
            if pts is not None and pts >= key:
                self._first = packet if pts == key else None
                return
            if time.monotonic() > pulse:
                pulse = time.monotonic() + PULSE
                yield None

    def _feed(self) -> bool:
        """Decode one packet more; whether there was one."""
        packet, self._first = self._first, None
        if packet is None:
            packet = next(self._packets, _END)
        if packet is _END:
            return False
        if packet is None:
            self._doubt()
        pts = stamp(packet, by_dts=self._unordered) if packet is not None else None
        if pts is not None:
            assert packet is not None
            self._note(pts, packet.is_keyframe)
            self._decode(packet)
        return True

    def _note(self, pts: int, is_key: bool) -> None:
        """What is about to be decoded."""
        if is_key:
            if self._unordered or self._broken:
                self._flush()
            self._whole = pts if self._broken else self._whole
            self._key, self._top, self._broken = pts, _NEVER, False
        elif self._broken or pts < self._whole:
            self._suspect.add(pts)
        self._fed.append((pts, is_key))
        self._top = max(self._top, pts)
        if pts in self._wanted:
            self._passed[pts] = _Passed(self._top)
        self._codec.skip_frame = "NONREF" if self._skip and pts not in self._wanted else "DEFAULT"
        if self._unordered:
            heapq.heappush(self._labels, pts)

    def _decode(self, packet: av.Packet | None) -> None:
        import av

        try:
            found = self._codec.decode(packet)
        except EOFError:
            return
        except av.FFmpegError:
            self._doubt()
            return
        for frame in found:
            self._take(frame)

    def _flush(self) -> None:
        """Have the decoder give what it holds; it can then begin again at a keyframe."""
        self._decode(None)
        self._codec.flush_buffers()
        self._labels.clear()

    def _drain(self) -> None:
        self._flush()
        self._drained = True

    # -- what comes out ----------------------------------------------------------------------------------------------
    def _take(self, frame: VideoFrame) -> None:
        """Keep a frame if it is wanted, and doubt what refers to it if it is damaged."""
        pts = heapq.heappop(self._labels) if self._unordered and self._labels else frame.pts
        if pts is None:
            return
        self._out = max(self._out, pts)
        for other, passed in self._passed.items():
            passed.later += other < pts
        if frame.is_corrupt:
            self._doubt(pts)
        if pts in self._wanted and pts in self._passed and pts not in self._suspect and pts not in self._ready:
            self._ready[pts] = self._view.of(frame)

    def _doubt(self, pts: int | None = None) -> None:
        """A frame is damaged; of one that cannot even be told, only that it was among the last to be fed."""
        fed = [one for one, _ in self._fed]
        start = fed.index(pts) if pts in fed else max(0, len(fed) - THREADS - 1)
        key = None
        for number, (one, is_key) in enumerate(list(self._fed)[start:]):
            if is_key and number and pts is not None:
                key = one
            if key is None or one < key:  # what is shown before a keyframe may refer to what lies before that
                self._suspect.add(one)
        self._broken = self._broken or key is None
        self._whole = self._whole if key is None else max(self._whole, key)


@dataclass
class _Passed:
    """A wanted frame that was fed.

    Args:
        until: pts that must have come out before it is known whether all that it refers to is whole.
        later: frames that came out and are shown after it.
    """

    until: int
    later: int = 0
