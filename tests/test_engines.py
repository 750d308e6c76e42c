"""Engines are shared, ended by their last user, and never lock a thread against itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from longctx import engines
from longctx.backends.base import LoadSpec
from longctx.backends.scripted import ScriptedBackend

SPEC = LoadSpec(name="m", folder=Path("/m"), bits=16, device="cpu", chunk=64, cache_folder=Path("/c"))


def make(spec: Any) -> ScriptedBackend:
    return ScriptedBackend([[1]])


def test_the_last_user_ends_the_engine() -> None:
    one, two = engines.acquire(SPEC, make), engines.acquire(SPEC, make)
    assert one is two
    engines.release(one)
    assert not one.ended
    engines.release(two)
    assert one.ended
    assert engines.acquire(SPEC, make) is not one


def test_a_release_by_the_garbage_collector_inside_the_lock_does_not_wait_for_itself() -> None:
    engine = engines.acquire(SPEC, make)
    done = threading.Event()

    def collect() -> None:
        with engines._lock:  # where the collector may run the finaliser of a session
            engines.release(engine)
        done.set()

    threading.Thread(target=collect, daemon=True).start()
    assert done.wait(10)
    engines.release(engines.acquire(SPEC, make))
    assert engine.ended


def test_free_ends_engines_that_are_in_use() -> None:
    engine = engines.acquire(SPEC, make)
    engines.free()
    assert engine.ended
    engines.release(engine)
    assert engines.acquire(SPEC, make) is not engine
