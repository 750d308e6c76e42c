"""The reading process's side of the worker: starts it, asks it, and outlives it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

#: Seconds without a sign of life after which the reader counts as hanging.
SILENCE = 60.0
#: Seconds that one file may take in all.
TOTAL = 900.0
_LOOK = 0.1
#: ``-P``: a json.py in the current folder must not stand in for the real one.
COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "longctx.sources.worker")


class ParserProcess:
    """A worker process, started when it is first needed, kept for the next file, replaced when it dies or hangs.

    Args:
        command: what to start; None for :data:`COMMAND`.
        silence: seconds without a reply after which it is stopped.
        total: seconds for one file after which it is stopped.
    """

    def __init__(self, command: Sequence[str] | None = None, *, silence: float = SILENCE, total: float = TOTAL) -> None:
        self._command = list(command or COMMAND)
        self._silence = silence
        self._total = total
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> ParserProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._process.pid if self._process else None

    def pages(self, file: str, check: Callable[[], None]) -> Iterator[Mapping[str, Any]]:
        """What the worker says about a PDF; its death and its silence are errors like those that it finds itself.

        Args:
            file: the absolute path.
            check: called often; what it raises ends the work.
        """
        finished = False
        try:
            if not self._ask({"pdf": file, "seconds": self._total + 60}):
                yield {"error": "the PDF reader did not start"}
                return
            until = time.monotonic() + self._total
            while not finished:
                reply = self._next(min(until, time.monotonic() + self._silence), check)
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
        for pipe in (process.stdin, process.stdout):
            _close(pipe)

    def _ask(self, request: Mapping[str, Any]) -> bool:
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
            self._replies = queue.SimpleQueue()
            threading.Thread(
                target=_pump, args=(self._process.stdout, self._replies), daemon=True, name="longctx-parser"
            ).start()
        return self._process

    def _next(self, until: float, check: Callable[[], None]) -> Mapping[str, Any]:
        while True:
            check()
            try:
                line = self._replies.get(timeout=_LOOK)
                break
            except queue.Empty:
                if time.monotonic() > until:
                    self.close()
                    return {"error": f"the PDF reader did not finish in time and was stopped ({self._limits()})"}
        if line:
            reply: Mapping[str, Any] = json.loads(line)
            return reply
        return {"error": self._died()}

    def _limits(self) -> str:
        return f"limits: {self._silence:g} s for a page, {self._total:g} s for a file"

    def _died(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self.close()
        how = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
        return f"the PDF reader crashed ({how})"


def _pump(stdout: IO[bytes], replies: queue.SimpleQueue[bytes]) -> None:
    """Pass on every line, and an empty one at the end."""
    try:
        for line in stdout:
            replies.put(line)
    except (OSError, ValueError):
        return  # closed by the other thread
    replies.put(b"")


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
