"""What the process and the device hold.

Anonymous memory on Linux, so that mapped weight pages do not count; the allocator's figures on CUDA.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil
import torch

SAMPLE_SECONDS = 0.02
STATUS = Path("/proc/self/status")


def process_memory() -> int:
    """Bytes of memory that only this process holds: RssAnon on Linux, else the resident set."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


def held(device: str) -> int:
    """Bytes held now on the device where the model runs."""
    if device == "cuda":  # not run on a GPU yet
        return sum(torch.cuda.memory_allocated(i) for i in range(torch.cuda.device_count()))
    return process_memory()


class PeakMeter:
    """The highest memory above a baseline, sampled by a thread of its own.

    Args:
        device: ``"cpu"``, ``"mps"`` or ``"cuda"``.
        interval: seconds between samples.
    """

    def __init__(self, device: str, interval: float = SAMPLE_SECONDS) -> None:
        self.device = device
        self.interval = interval
        self.baseline = held(device)
        self.peak = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def now(self) -> int:
        """Bytes above the baseline."""
        value = max(0, held(self.device) - self.baseline)
        self.peak = max(self.peak, value)
        return value

    def __enter__(self) -> PeakMeter:
        self._stop.clear()
        self._thread = threading.Thread(target=self._sample, name="longctx-memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        _ = self.now

    def _sample(self) -> None:
        while not self._stop.wait(self.interval):
            _ = self.now
