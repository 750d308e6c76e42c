"""Text in pictures, pages and frames, read by RapidOCR. Runs in the worker process; what is looked at does not leave it.

Text may run in any of the four directions and a few degrees askew. The models lie in the package; nothing is fetched.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from longctx.corpus import Box
from longctx.errors import MissingPackageError, require
from longctx.sources.ocr.boxes import Line, blocks_in_order, union
from longctx.sources.worker import TABLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Pixels of the longer side at which text is looked for; it is then read from the picture as it came.
SEARCHED = 1536
#: Pixels of a side below which there is no text.
LEAST = 8
THREADS = min(4, os.cpu_count() or 1)
#: How sure the recogniser must be of a line; and of a picture as a whole, or it is tried upside down.
SURE, UPRIGHT = 0.5, 0.85
#: By how much a picture that was turned may be less certain: lines that stand are laid down one by one before they are read.
_DOUBT = 0.1
#: Rows and columns of blocks into which two frames are cut to be compared; pixels of a block's side.
_GRID, _BLOCK = (9, 16), 10
#: Mean difference of brightness (of 255) in one block from which two frames are not the same.
_DIFFERENCE = 2.5

Reply = Mapping[str, Any]


def texts(of: Mapping[str, Any], unlike: bool = False) -> Iterator[Reply]:
    """Read what another request would show.

    Args:
        of: that request: ``do``, and its arguments, ``width`` and ``height`` among them.
        unlike: whether only frames are read that differ from the one that was read last.

    Yields:
        for each frame the other reply's keys, and either ``blocks`` in reading order, each a list of lines [box, text] with
        boxes in pixels, or ``same``. Other replies, such as errors, as they are. ``missing`` where a package is.
    """
    import numpy as np

    try:
        reader = _reader()
    except MissingPackageError as error:
        yield {"missing": error.message, "hint": error.hint}
        return
    arguments = dict(of)
    module, _, function = TABLE[arguments.pop("do")].partition(":")
    last = None
    for answer in getattr(import_module(module), function)(**arguments):
        if not isinstance(answer, tuple):
            yield answer
            continue
        reply, data = answer
        pixels = np.frombuffer(data, np.uint8).reshape(arguments["height"], arguments["width"], 3)
        small = thumbnail(pixels) if unlike else None
        if small is not None and last is not None and alike(small, last):
            yield {**reply, "same": True}
            continue
        last = small
        yield {**reply, "blocks": reader.read(pixels)}


# -- telling frames apart --------------------------------------------------------------------------------------------
def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A small grey copy by which frames are compared; shape [90, 160]."""
    import numpy as np
    from PIL import Image

    size = (_GRID[1] * _BLOCK, _GRID[0] * _BLOCK)
    return np.asarray(Image.fromarray(pixels).convert("L").resize(size, Image.Resampling.BOX), np.float32)


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether no block of two thumbnails differs by more than an encoder's noise."""
    import numpy as np

    blocks = np.abs(one - other).reshape(_GRID[0], _BLOCK, _GRID[1], _BLOCK).mean(axis=(1, 3))
    return bool(np.max(blocks) < _DIFFERENCE)


# -- reading ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read in a picture after so many quarter turns counterclockwise: corners, words and certainty of each line."""

    turns: int
    corners: NDArray[np.float32]
    words: Sequence[str]
    scores: Sequence[float]

    @property
    def certainty(self) -> float:
        """Of the whole, by the length of the lines."""
        return sum(map(lambda score, words: score * len(words), self.scores, self.words)) / max(1, sum(map(len, self.words)))

    @property
    def stands(self) -> bool:
        """Whether most text runs upwards or downwards."""
        upright, all_ = 0.0, 0.0
        for corners in self.corners:
            wide, high = math.dist(corners[0], corners[1]), math.dist(corners[1], corners[2])
            all_ += max(wide, high)
            upright += max(wide, high) if high >= 1.5 * wide else 0.0
        return upright > 0.6 * all_

    def lines(self) -> list[Line]:
        """The lines of which the recogniser is sure, as they stand in the turned picture."""
        angle = median([_slope(corners) for corners in self.corners]) if len(self.corners) else 0.0
        return [
            Line(_around(_rotated(corners, -angle)), _around(corners), words)
            for corners, words, score in zip(self.corners.tolist(), self.words, self.scores, strict=True)
            if score >= SURE
        ]


class Reader:
    """RapidOCR with the models of its own package, a bounded number of threads and a closed mouth."""

    def __init__(self) -> None:
        feature = "reading pictures as text"
        rapidocr = require("rapidocr", extra="ocr", feature=feature)
        onnxruntime = require("onnxruntime", extra="ocr", feature=feature)
        require("cv2", extra="ocr", feature=feature).setNumThreads(THREADS)
        onnxruntime.disable_telemetry_events()
        models = Path(str(rapidocr.__file__)).parent / "models"
        self._engine = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.text_score": 0.0,
                "Global.max_side_len": 2**14,
                "Det.model_path": _model(models, "det"),
                "Det.limit_type": "max",
                "Det.limit_side_len": SEARCHED,
                "Rec.model_path": _model(models, "rec"),
                "EngineConfig.onnxruntime.intra_op_num_threads": THREADS,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, pixels: NDArray[np.uint8]) -> list[list[tuple[Box, str]]]:
        """The blocks of text in a picture, in reading order; each a list of lines with their boxes in pixels.

        Args:
            pixels: RGB, shape [height, width, 3].
        """
        if min(pixels.shape[:2]) < LEAST:
            return []
        best = self._upright(pixels)
        blocks = blocks_in_order(best.lines())
        height, width = pixels.shape[:2]
        return [[(_turned_back(line.box, best.turns, width, height), line.text) for line in block] for block in blocks]

    def _upright(self, pixels: NDArray[np.uint8]) -> _Reading:
        """The reading of the picture turned so that its text runs to the right."""
        first = self._turned(pixels, 0)
        best, other = first, 2
        if first.stands:
            best, other = self._turned(pixels, 1), 3
        if best.words and best.certainty < UPRIGHT:
            best = max(best, self._turned(pixels, other), key=lambda reading: reading.certainty)
        return best if best.certainty > first.certainty - _DOUBT else first  # columns of Chinese stand and are upright

    def _turned(self, pixels: NDArray[np.uint8], turns: int) -> _Reading:
        import numpy as np

        shown = np.ascontiguousarray(np.rot90(pixels, turns)[:, :, ::-1])
        found = self._engine(shown, use_det=True, use_cls=False, use_rec=True)
        if found.txts is None or found.boxes is None:
            return _Reading(turns, np.zeros((0, 4, 2), np.float32), (), ())
        return _Reading(turns, found.boxes, found.txts, found.scores)


@cache
def _reader() -> Reader:
    return Reader()


def _model(folder: Path, task: str) -> str:
    """The package's own model for a task. Naming it keeps RapidOCR from fetching one."""
    found = sorted(folder.glob(f"*_{task}_*.onnx"))
    if not found:
        raise MissingPackageError(
            f"reading pictures as text needs a model that lies in no folder: {folder}/*_{task}_*.onnx",
            hint="install rapidocr again: its wheel holds it",
        )
    return str(found[0])


# -- where it stands -------------------------------------------------------------------------------------------------
def _slope(corners: NDArray[np.float32]) -> float:
    """The angle of a line's upper edge, in radians; 0 where the line is too short to tell."""
    (x0, y0), (x1, y1) = corners[0], corners[1]
    return math.atan2(y1 - y0, x1 - x0) if x1 - x0 > 3 * abs(y1 - y0) else 0.0


def _rotated(corners: Sequence[Sequence[float]], angle: float) -> list[tuple[float, float]]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return [(x * cosine - y * sine, x * sine + y * cosine) for x, y in corners]


def _around(corners: Sequence[Sequence[float]]) -> Box:
    return union([(float(x), float(y), float(x), float(y)) for x, y in corners])


def _turned_back(box: Box, turns: int, width: int, height: int) -> Box:
    """A box of a picture that was turned counterclockwise, in the picture as it came."""
    x0, y0, x1, y1 = box
    match turns:
        case 1:
            return (width - y1, x0, width - y0, x1)
        case 2:
            return (width - x1, height - y1, width - x0, height - y0)
        case 3:
            return (y0, height - x1, y1, height - x0)
    return box
