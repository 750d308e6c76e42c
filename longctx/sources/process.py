"""The reading process's side of the worker: starts it, asks it, outlives it, and keeps it for the next request."""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

#: Seconds without a sign of life after which the reader counts as hanging.
SILENCE = 60.0
#: Seconds that one request may take in all; what passes while nobody waits for a reply does not count.
TOTAL = 900.0
#: Seconds that a lent worker is kept for the next request.
IDLE = 5.0
#: Replies that lie ready; with one in the pipe, all that is held of what the worker makes faster than it is taken.
READY = 2
_LOOK = 0.1
#: ``-P``: a json.py in the current folder must not stand in for the real one.
COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "longctx.sources.worker")
#: How readers are called in messages, by the first word of what is asked for.
_READERS = {"pdf": "the PDF reader", "page": "the PDF reader", "ocr": "the text recogniser", "inside": "the picture reader"}
_READERS |= {"code": "the parser of code"}
_READERS |= {"docx": "the Word reader", "pptx": "the PowerPoint reader", "xlsx": "the Excel reader", "epub": "the EPUB reader"}
_READERS |= {"html": "the HTML reader"}

Reply = Mapping[str, Any]


class ParserProcess:
    """A worker process, started when it is first needed, kept for the next file, replaced when it dies or hangs.

    Args:
        command: what to start; None for :data:`COMMAND`.
        silence: seconds without a reply after which it is stopped.
        total: seconds for one request after which it is stopped.
    """

    def __init__(self, command: Sequence[str] | None = None, *, silence: float = SILENCE, total: float = TOTAL) -> None:
        self._command = list(command or COMMAND)
        self._silence = silence
        self._total = total
        self._process: subprocess.Popen[bytes] | None = None
        self._replies = _Replies()

    def __enter__(self) -> ParserProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._process.pid if self._process else None

    def ask(self, do: str, check: Callable[[], None], **arguments: Any) -> Iterator[Reply]:
        """What the worker replies; its death and its silence are errors like those that it finds itself.

        Args:
            do: a name in the worker's table.
            check: called often; what it raises ends the work.
            arguments: of the function in the table; plain values.

        Yields:
            replies; raw bytes stand under ``"data"``, a bytearray. One with the key ``"error"`` may be the last.
        """
        finished = False
        waited = 0.0
        try:
            if not self._send({"do": do, "seconds": self._silence + 60, **arguments}):
                yield {"error": f"{_reader(do)} did not start"}
                return
            while not finished:
                began = time.monotonic()
                reply = self._next(do, began + min(self._silence, self._total - waited), check)
                waited += time.monotonic() - began
                finished = "end" in reply
                if not finished:
                    yield reply
                    if self._process is None:
                        return
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """End the worker. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        self._replies.close()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)

    def _send(self, request: Mapping[str, Any]) -> bool:
        """Send a request; whether there is a worker to answer it."""
        try:
            stdin = self._started().stdin
            assert stdin is not None
            stdin.write(json.dumps(request).encode("ascii") + b"\n")
            stdin.flush()
        except OSError:
            return False
        return True

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            # A session of its own: an interrupt at the keyboard is heard by the reading process, which then ends this one.
            self._process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=nowhere, env=_environment(), start_new_session=True
            )
            assert self._process.stdout is not None
            self._replies = _Replies()
            self._replies.pump(self._process.stdout)
        return self._process

    def _next(self, do: str, until: float, check: Callable[[], None]) -> Reply:
        while True:
            check()
            try:
                reply = self._replies.get(_LOOK)
                break
            except queue.Empty:
                if time.monotonic() > until:
                    self.close()
                    return {"error": f"{_reader(do)} did not finish in time and was stopped ({self._limits()})"}
        if reply is None:
            return {"error": f"{_reader(do)} crashed ({self._death()})"}
        if "failed" in reply:
            self.close()
            return {"error": f"{_reader(do)} failed: {reply['failed']}"}
        return reply

    def _limits(self) -> str:
        return f"limits: {self._silence:g} s for a reply, {self._total:g} s for a file"

    def _death(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self.close()
        return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"


class _Replies:
    """Replies on their way from a worker's output to whoever waits for them; only so many lie ready at a time."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Reply | None] = queue.Queue(READY)
        self._closed = False

    def pump(self, stdout: IO[bytes]) -> None:
        """Begin to pass on every reply, and None at the end."""
        threading.Thread(target=self._pump, args=(stdout,), daemon=True, name="longctx-parser").start()

    def get(self, timeout: float) -> Reply | None:
        """The next reply; None where the worker has ended; :class:`queue.Empty` after ``timeout`` seconds."""
        return self._queue.get(timeout=timeout)

    def close(self) -> None:
        """Let the thread end that passes replies on; nobody waits for them any more."""
        self._closed = True
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

    def _pump(self, stdout: IO[bytes]) -> None:
        reply: Reply | None = {}
        while reply is not None and not self._closed:
            reply = _read(stdout)
            self._queue.put(reply)


def _read(stdout: IO[bytes]) -> Reply | None:
    """One reply with its raw bytes; None at the end, also where that is in the middle of a reply."""
    try:
        line = stdout.readline()
        reply: dict[str, Any] = json.loads(line)
        if "bytes" in reply:
            reply["data"] = data = bytearray(reply["bytes"])
            rest = memoryview(data)
            while rest:
                if not (count := stdout.readinto(rest)):  # type: ignore[attr-defined]
                    return None
                rest = rest[count:]
    except (OSError, ValueError):
        return None  # nothing more, or closed by the other thread
    return reply


# -- lending ---------------------------------------------------------------------------------------------------------
_idle: dict[str, list[ParserProcess]] = {}
_lock = threading.Lock()


@contextmanager
def lent(key: str, *, silence: float = SILENCE, total: float = float("inf")) -> Iterator[ParserProcess]:
    """A worker for one request, most likely the one that answered the request before about the same thing.

    It is kept :data:`IDLE` seconds for the next request, unless it ended or was left in the middle of a reply.

    Args:
        key: what the request is about, such as a file; a worker may keep it open between two requests.
        silence: as in :class:`ParserProcess`.
        total: as there.
    """
    with _lock:
        waiting = _idle.get(key)
        parser = waiting.pop() if waiting else ParserProcess(silence=silence, total=total)
    try:
        yield parser
    except BaseException:
        parser.close()
        raise
    if parser.pid is not None:
        with _lock:
            _idle.setdefault(key, []).append(parser)
        timer = threading.Timer(IDLE, _end, (key, parser))
        timer.daemon = True
        timer.start()


def end_idle() -> None:
    """End every worker that only waits for a next request."""
    with _lock:
        waiting = [parser for parsers in _idle.values() for parser in parsers]
        _idle.clear()
    for parser in waiting:
        parser.close()


atexit.register(end_idle)


def _end(key: str, parser: ParserProcess) -> None:
    """End a worker if it still waits."""
    with _lock:
        waiting = _idle.get(key, [])
        if parser not in waiting:
            return
        waiting.remove(parser)
        if not waiting:
            _idle.pop(key, None)
    parser.close()


def _reader(do: str) -> str:
    name = do.partition("_")[0]
    return _READERS.get(name, f"the {name} reader")


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        return  # a request that the dead worker never took


def _environment() -> dict[str, str]:
    """The worker imports the same longctx, from wherever it came."""
    home = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))}
