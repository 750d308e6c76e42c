"""Long work in the background: progress, Stop, and waiting that an interrupt can end.

A :class:`Job` is one piece of work; a :class:`Worker` is the one thread of a session on which its jobs queue. Neither knows
what the work is. Watchers are called on the worker's thread and must be quick: set an event, no more.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from longctx.errors import ClosedError, Stopped

T = TypeVar("T")
State = Literal["queued", "running", "done", "failed", "stopped"]

#: Seconds between two looks at the interrupt while waiting; short enough that Stop feels immediate.
WAIT_STEP = 0.05


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Args:
        stage: what is being done now, in the user's words: ``"prefill"``.
        done: units finished.
        total: units in all; 0 where that is not known.
        unit: what is counted: ``"tokens"``, ``"bytes"``, ``"files"``.
        seconds: time since the stage began.
        figures: further numbers to show, by name: memory in bytes, tokens per second.
    """

    stage: str = "queued"
    done: int = 0
    total: int = 0
    unit: str = "tokens"
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def rate(self) -> float:
        """Units per second, 0 at the start."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left at the present rate, or None where it cannot be told."""
        return (self.total - self.done) / self.rate if self.rate and self.total else None


class Job(Generic[T]):
    """One piece of work that runs on a :class:`Worker`.

    Args:
        work: called with the job; reports with :meth:`report`, and calls :meth:`check` where it can stop.
        title: what it is, in the user's words.

    >>> worker = Worker("example")
    >>> worker.submit(Job(lambda job: 6 * 7, title="multiply")).result()
    42
    >>> worker.close()
    """

    def __init__(self, work: Callable[[Job[T]], T], *, title: str) -> None:
        self.title = title
        self.state: State = "queued"
        self.progress = Progress()
        self.error: BaseException | None = None
        self._work = work
        self._value: T | None = None
        self._cancel = threading.Event()
        self._finished = threading.Event()
        self._watchers: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._stage_began = time.monotonic()

    # -- called by the work ------------------------------------------------------------------------------------------
    def report(self, stage: str, done: int = 0, total: int = 0, unit: str = "tokens", **figures: Any) -> None:
        """Say how far the work is, and tell the watchers."""
        now = time.monotonic()
        if stage != self.progress.stage:
            self._stage_began = now
        kept = {**self.progress.figures, **figures}
        self.progress = Progress(stage, done, total, unit, now - self._stage_began, MappingProxyType(kept))
        self.changed()

    def check(self) -> None:
        """Raise :class:`Stopped` where the user asked to stop."""
        if self._cancel.is_set():
            raise Stopped(f"{self.title}: stopped")

    def changed(self) -> None:
        """Tell the watchers that there is something new to show."""
        for watcher in tuple(self._watchers):
            watcher()

    # -- called by the user ------------------------------------------------------------------------------------------
    def cancel(self) -> None:
        """Ask the work to stop at the next place where it can. Returns at once."""
        self._cancel.set()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._cancel.is_set()

    @property
    def finished(self) -> bool:
        """Whether the work has ended, in whatever way."""
        return self._finished.is_set()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called at every report and at the end; returns a function that ends this."""
        with self._lock:
            self._watchers.append(changed)

        def unwatch() -> None:
            with self._lock:
                if changed in self._watchers:
                    self._watchers.remove(changed)

        return unwatch

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end in short steps, so that an interrupt is heard. An interrupt also stops the work.

        Args:
            timeout: seconds; None waits for ever.

        Returns:
            whether the work has ended.
        """
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._finished.wait(WAIT_STEP):
                if until is not None and time.monotonic() >= until:
                    return False
        except KeyboardInterrupt:
            self.cancel()
            raise
        return True

    def result(self, timeout: float | None = None) -> T:
        """Wait, and give what the work returned or raise what it raised.

        Raises:
            TimeoutError: ``timeout`` seconds passed first.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self.title}: not finished after {timeout} s")
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio  # 50 ms that only a notebook that awaits has to pay

        while not self._finished.is_set():
            yield from asyncio.sleep(WAIT_STEP).__await__()
        return self.result()

    # -- called by the worker ----------------------------------------------------------------------------------------
    def run(self) -> None:
        """Do the work on the calling thread. Errors are kept for :meth:`result`."""
        try:
            self.check()
            self.state = "running"
            self.changed()
            self._value = self._work(self)
            self._end("done")
        except Stopped as error:
            self.fail(error, "stopped")
        except BaseException as error:  # kept, and raised where the user waits
            self.fail(error, "failed")

    def fail(self, error: BaseException, state: State) -> None:
        """End the job with an error."""
        self.error = error
        self._end(state)

    def _end(self, state: State) -> None:
        self.state = state
        self._finished.set()
        self.changed()


class Worker:
    """One background thread on which jobs run in the order in which they came.

    Args:
        name: the thread's name, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._pending: list[Job[Any]] = []
        self._lock = threading.RLock()  # the garbage collector may close a worker from inside its own lock
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"longctx-{name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> Job[T]:
        """Queue a job.

        Raises:
            ClosedError: the worker was closed.
        """
        with self._lock:
            if self._closed:
                raise ClosedError(f"{job.title}: the session is closed", hint="load the plan again")
            self._pending.append(job)
            self._queue.put(job)
        return job

    def close(self, timeout: float = 30.0) -> None:
        """Stop what runs, drop what waits, end the thread. Safe to call twice and from the worker itself."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for job in self._pending:
                    job.cancel()
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _loop(self) -> None:
        while (job := self._queue.get()) is not None:
            job.run()
            with self._lock:
                self._pending.remove(job)
            del job  # a finished job must not keep its answer's model alive while the thread waits


def in_kernel() -> bool:
    """Whether this process is a Jupyter kernel, where cells must end for Stop to work."""
    shell = sys.modules.get("IPython")
    instance = shell.get_ipython() if shell is not None else None
    return instance is not None and hasattr(instance, "kernel")
