"""Loaded engines, shared by the sessions that ask for the same weights, so that running a cell again loads nothing twice."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from longctx.backends.base import Backend, LoadSpec
from longctx.jobs import Worker

Make = Callable[[LoadSpec], Backend]


class Engine:
    """One backend with the one thread that may call it, and the number of its users."""

    def __init__(self, backend: Backend, spec: LoadSpec) -> None:
        self.backend = backend
        self.spec = spec
        self.worker = Worker(spec.name)
        self.users = 0
        self.loaded = False
        self.ended = False

    def end(self) -> None:
        """Stop what runs and give the memory back."""
        self.ended = True
        self.worker.close()
        self.backend.close()


_engines: dict[tuple[str, Make | None], Engine] = {}
_lock = threading.Lock()
#: Releases that wait for whoever holds the lock. A release may come from the garbage collector, on any thread and at any line,
#: also inside the lock, so it never waits for it.
_released: deque[Engine] = deque()


def acquire(spec: LoadSpec, make: Make | None = None) -> Engine:
    """The engine for a spec: the one that is loaded already, or a new one whose weights are still to be loaded.

    Args:
        spec: what to load; two that differ only in their name share an engine.
        make: builds the backend; None takes transformers. Engines of different makers are not shared.
    """
    key = _key(spec, make)
    with _lock:
        engine = _engines.get(key) or Engine((make or _transformers)(spec), spec)
        _engines[key] = engine
        engine.users += 1
    _settle()
    return engine


def change(engine: Engine, spec: LoadSpec, make: Make | None = None, *, again: bool = False) -> bool:
    """Have an engine load something else; whether it will, or has loaded just that.

    Args:
        engine: from :func:`acquire`; called from its own thread.
        spec: what to load instead.
        make: as for :func:`acquire`.
        again: also where it has loaded something, which is given back then; else only before :meth:`Backend.load`.
    """
    key = _key(spec, make)
    with _lock:
        if _engines.get(key) is engine:
            return True
        if engine.users > 1 or (engine.loaded and not again) or key in _engines:
            return False
        for old in [old for old, value in _engines.items() if value is engine]:
            del _engines[old]
        _engines[key] = engine
        if engine.loaded:
            engine.backend.close()
        engine.backend, engine.spec, engine.loaded = (make or _transformers)(spec), spec, False
    return True


def held(folder: Path, bits: int | None) -> int:
    """Bytes that engines hold now for the weights of one model.

    Args:
        folder: of the model.
        bits: per weight; None takes all.
    """
    with _lock:
        same = [e for e in _engines.values() if e.spec.folder == folder and bits in (None, e.spec.bits)]
    return sum(engine.backend.memory().now for engine in same)


def release(engine: Engine) -> None:
    """One user less; the last one ends the engine. Never blocks on another thread's work with engines."""
    _released.append(engine)
    _settle()


def free() -> None:
    """End every engine, whoever uses it, and give the memory back."""
    with _lock:
        engines = list(_engines.values())
        _engines.clear()
    for engine in engines:
        engine.end()
    _settle()


def _settle() -> None:
    """Carry out releases, unless somebody who will do so holds the lock."""
    while _released and _lock.acquire(blocking=False):
        try:
            unused = _unused()
        finally:
            _lock.release()
        for engine in unused:
            engine.end()


def _unused() -> list[Engine]:
    """Take the waiting releases, and the engines out that nobody uses any more."""
    unused = []
    while _released:
        engine = _released.popleft()
        engine.users -= 1
        keys = [key for key, value in _engines.items() if value is engine]
        if engine.users <= 0 and keys:
            unused.append(engine)
            for key in keys:
                del _engines[key]
    return unused


def _key(spec: LoadSpec, make: Make | None) -> tuple[str, Make | None]:
    rope = sorted((spec.rope_parameters or {}).items())
    return repr(replace(spec, name="", rope_parameters=dict(rope))), make


def _transformers(spec: LoadSpec) -> Backend:
    from longctx.backends.transformers.engine import TransformersBackend

    return TransformersBackend(spec)
