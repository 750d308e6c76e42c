"""The highest memory of processes while something runs, sampled from the side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def peak(held: Callable[[], int], every: float = 0.02) -> Iterator[list[int]]:
    """The highest of what is held while the block runs.

    Args:
        held: bytes that are held now.
        every: seconds between two samples.

    Returns:
        a list of one number, in bytes, that grows as the block runs.
    """
    result, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.wait(every):
            result[0] = max(result[0], held())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield result
    finally:
        ended.set()
        thread.join()


def below(pid: int | None = None) -> list[psutil.Process]:
    """The children of a process and theirs; None takes this one. Of one that has ended, none."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def resident(process: psutil.Process) -> int:
    """Bytes of memory in which a process stands, shared ones counted whole; 0 once it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def proportional(process: psutil.Process) -> int:
    """Bytes of memory in which a process stands, shared ones by its share, where the system tells it; 0 once it has ended."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.rss))
