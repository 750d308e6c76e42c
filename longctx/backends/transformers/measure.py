"""What the process and the device hold.

Anonymous memory on Linux, so that mapped weight pages do not count; the allocator's figures on CUDA.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch

SAMPLE_SECONDS = 0.02
STATUS = Path("/proc/self/status")
#: Of mallopt(3), glibc. Setting a threshold stops its growth, so what it grows to by itself is set again afterwards.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
SMALL, GROWN = 1 << 20, 32 << 20
#: What may lie free at the end of the heap while a prompt is read.
LOOSE = 512 << 20


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


@contextmanager
def given_back() -> Iterator[None]:
    """Have what is freed inside given back to the system at once, and at the end all that is free.

    glibc keeps freed blocks of less than 32 MiB for the next, in holes: of quantising a model as much as the whole of it was
    kept. Giving them back costs time, a quarter in a prefill, so this is for loading only. Elsewhere it does nothing.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(MMAP_THRESHOLD, SMALL)
    try:
        yield
    finally:
        gc.collect()
        libc.mallopt(MMAP_THRESHOLD, GROWN)
        libc.mallopt(TRIM_THRESHOLD, 2 * GROWN)
        libc.malloc_trim(0)


@contextmanager
def used_again() -> Iterator[None]:
    """Have what is freed inside kept for what is needed next.

    Each layer's temporaries are freed and needed again by the next layer; given back to the system in between, every page of
    them is filled with noughts anew, which took a seventh of a prefill. Elsewhere than with glibc it does nothing.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(MMAP_THRESHOLD, GROWN)
        libc.mallopt(TRIM_THRESHOLD, LOOSE)
    try:
        yield
    finally:
        if libc is not None:
            libc.mallopt(TRIM_THRESHOLD, 2 * GROWN)


def _glibc() -> Any:
    """The C library, where it is glibc."""
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


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
