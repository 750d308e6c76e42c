"""The other engine: frames of a video by decord, or decord2 under the same name. Runs in the worker process.

decord counts frames and does not look at what it decoded: it is silently wrong on HEVC, and in containers where frames cannot
be found by their number. So it is given only what it was found right in, and what it says about times is compared.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from longctx.sources.video.decode import THREADS, Answer, as_jpeg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: First bytes by which HEVC is told where PyAV cannot be asked, and how much of a file's two ends is looked at.
_HEVC = (b"hvc1", b"hev1", b"V_MPEGH/ISO/HEVC")
_ENDS = 2**20


def probe(file: str, until: int | None = None) -> Iterator[Answer]:
    """When decord thinks that frames are shown (raw float64 seconds from the first), and how large they are; or one error.

    Args:
        file: the absolute path.
        until: means nothing here; decord gives up what is cut off.
    """
    reader = _opened(file)
    if isinstance(reader, str):
        yield {"error": reader}
        return
    try:
        times = [float(start) for start, _ in reader.get_frame_timestamp(range(len(reader)))]
        height, width, _ = reader[0].shape
    except Exception as error:
        yield {"error": _why(error)}
        return
    step = times[-1] - times[-2] if len(times) > 1 else 0.0
    yield {"of": "times"}, memoryview(array("d", [time - times[0] for time in times]).tobytes())
    yield {
        "width": width,
        "height": height,
        "duration": times[-1] - times[0] + step,
        "codec": "hevc" if _is_hevc(file) else "",
        "decoder": decoder_name(),
    }


def frames(file: str, wanted: Sequence[int], width: int, height: int, until: int | None = None) -> Iterator[Answer]:
    """The pixels of frames, each with its place in ``wanted``; those that cannot be decoded are left out.

    Args:
        file: the absolute path.
        wanted: numbers of frames, counted from 0 in the order in which they are shown.
        width: pixels, upright.
        height: pixels, upright.
        until: as in :func:`probe`.
    """
    reader = _opened(file, width, height)
    if isinstance(reader, str):
        yield {"error": reader}
        return
    for number, index in enumerate(wanted):
        try:
            pixels = _pixels(reader, index, width, height)
        except Exception:
            yield {"alive": True}
            continue
        yield {"number": number}, pixels.data.cast("B")


def look(width: int, height: int, **request: Any) -> Iterator[Answer]:
    """The same as JPEG for people."""
    return as_jpeg(frames(width=width, height=height, **request), width, height)


def decoder_name() -> str:
    """decord with its version."""
    import decord

    return f"decord {decord.__version__}"


_readers: dict[tuple[str, int, int, int, int], Any] = {}


def _opened(file: str, width: int = -1, height: int = -1) -> Any:
    """A reader, most likely the one of the request before; or why there is none."""
    try:
        import decord
    except (ImportError, OSError) as error:
        return f"decord cannot be imported: {error}"
    try:
        status = os.stat(file)
        name = (file, status.st_size, status.st_mtime_ns, width, height)
        if name not in _readers:
            _readers.clear()
            _readers[name] = decord.VideoReader(file, ctx=decord.cpu(0), width=width, height=height, num_threads=THREADS)
        return _readers[name]
    except Exception as error:
        return _why(error)


def _pixels(reader: Any, number: int, width: int, height: int) -> NDArray[np.uint8]:
    import numpy as np

    # Lines end in padding, which decord takes for more channels where it divides evenly.
    lines = reader[number].asnumpy().reshape(height, -1)
    return np.ascontiguousarray(lines[:, : 3 * width].reshape(height, width, 3))


def _is_hevc(file: str) -> bool:
    with open(file, "rb") as stream:
        head = stream.read(_ENDS)
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _ENDS))
        return any(mark in end for mark in _HEVC for end in (head, stream.read()))


def _why(error: Exception) -> str:
    """decord's own message without its stack trace."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"decord cannot read it: {said[:200]}"
