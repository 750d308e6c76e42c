"""Live views in a terminal or a log, and answers that grow there.

On a terminal the views that run stand below everything else and are rewritten in place; a view that has ended is printed once
and stays. A stream that is no terminal gets a line every few seconds and the final state. Everything is written by threads of
this module, never by the thread that works. Several views on one stream share one thread; other output to a terminal has to
wait until :meth:`Shown.wait` returns.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from longctx.views.cells import PLAIN, cut
from longctx.views.live import Live
from longctx.views.safe import visible

#: Seconds between two pictures on a terminal, and between two lines in a log.
TERMINAL_STEP = 1 / 8
LOG_STEP = 5.0


class Shown:
    """A view that is being shown; tells when its final state was printed."""

    def __init__(self) -> None:
        self._printed = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the final state was printed, in short steps that an interrupt ends; gives whether it was.

        Args:
            timeout: seconds; None waits for ever.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._printed.wait(0.05):
            if until is not None and time.monotonic() >= until:
                return False
        return True

    def end(self) -> None:
        """Nothing more will be printed; for who shows it."""
        self._printed.set()


class Spoken(Protocol):
    """An answer that grows: what :func:`stream_text` prints."""

    def partial(self) -> str:
        """The text so far; later texts begin with it."""

    @property
    def finished(self) -> bool:
        """Whether nothing will be added any more."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called when there is something new; returns a function that ends this."""


def present(live: Live, stream: TextIO | None = None) -> Shown:
    """Show a live view; returns at once.

    Args:
        live: to show.
        stream: where; None is standard error as it is now.
    """
    with _lock:
        return _board(sys.stderr if stream is None else stream).add(live)


def stream_text(answer: Spoken, stream: TextIO | None = None, *, status: Callable[[], str] | None = None) -> Shown:
    """Print an answer as it grows, and a newline at its end; returns at once.

    Args:
        answer: to print; only ever added to.
        stream: where; None is standard output as it is now.
        status: lines shown on a terminal until the first word comes.
    """
    shown = Shown()
    canvas = Canvas(sys.stdout if stream is None else stream)
    _thread(lambda: _speak(answer, canvas, status, shown), "answer")
    return shown


# -- drawing -----------------------------------------------------------------------------------------------------------
class Canvas:
    """A stream with a few lines at its end that can be replaced. Writing to one that is closed does nothing.

    Args:
        stream: to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self.live = is_terminal(stream)
        self._stream = stream
        self._height = 0
        self._last: Sequence[str] = ()

    def paint(self, lines: Sequence[str]) -> None:
        """Replace the lines at the end. Does nothing where they are the same already."""
        lines = self._fit(lines)
        if lines != self._last:
            self._write(self._erase() + "".join(f"{line}\n" for line in lines))
            self._height, self._last = len(lines), lines

    def write(self, text: str) -> None:
        """Add text that stays; the lines that can be replaced are gone after it."""
        self._write(self._erase() + text)
        self._height, self._last = 0, ()

    def _fit(self, lines: Sequence[str]) -> list[str]:
        width, height = _size(self._stream)
        return [cut(visible(line).expandtabs(4), width - 1) for line in lines[: max(1, height - 1)]]

    def _erase(self) -> str:
        return f"\x1b[{self._height}F\x1b[0J" if self._height else ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(encodable(text, self._stream))
            self._stream.flush()
        except (OSError, ValueError):
            pass  # closed, or nobody reads any more: the work goes on unseen


def is_terminal(stream: TextIO) -> bool:
    """Whether lines can be rewritten on a stream."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def _size(stream: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return shutil.get_terminal_size()


def encodable(text: str, stream: TextIO) -> str:
    """The text in characters that the stream can take."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    except LookupError:
        pass
    return text


# -- live views --------------------------------------------------------------------------------------------------------
class _View:
    """A live view on a board."""

    def __init__(self, live: Live, changed: Callable[[], None]) -> None:
        self.live = live
        self.shown = Shown()
        self._unwatch = live.watch(changed)

    def end(self) -> None:
        self._unwatch()
        self.shown.end()


class _Board:
    """The views that are shown on one stream; its thread lives as long as there are some."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.views: list[_View] = []
        self._canvas = Canvas(stream)
        self._changed = threading.Event()

    def add(self, live: Live) -> Shown:
        """Show one more; the caller holds the lock."""
        self.views.append(_View(live, self._changed.set))
        if len(self.views) == 1:
            _thread(self._run, "views")
        return self.views[-1].shown

    def _run(self) -> None:
        try:
            self._show_all()
        finally:  # views are left only where one of them failed: nobody shall wait for what will not come
            with _lock:
                if self in _boards:
                    _boards.remove(self)
            for view in self.views:
                view.end()

    def _show_all(self) -> None:
        step = TERMINAL_STEP if self._canvas.live else LOG_STEP
        drawn, last = (0.0 if self._canvas.live else time.monotonic()), ""
        while self._print_finished():
            if time.monotonic() - drawn >= step:
                drawn, last = time.monotonic(), self._draw(last)
            self._changed.wait(TERMINAL_STEP)
            self._changed.clear()
            time.sleep(TERMINAL_STEP / 4)

    def _draw(self, last: str) -> str:
        """Draw what runs; in a log one line, where it is new. Gives that line."""
        if self._canvas.live:
            self._canvas.paint([line for view in tuple(self.views) for line in view.live.text().splitlines()])
            return ""
        line = self.views[0].live.text().partition("\n")[0]
        if line and line != last:
            self._canvas.write(f"{visible(line)}\n")
        return line

    def _print_finished(self) -> bool:
        """Print what has finished; gives whether anything is left. A board with nothing left is used no more."""
        for view in [view for view in tuple(self.views) if view.live.finished]:
            self._canvas.write(f"{visible(view.live.text())}\n")
            self.views.remove(view)
            view.end()
        with _lock:
            if not self.views:
                _boards.remove(self)
            return bool(self.views)


_boards: list[_Board] = []
_lock = threading.RLock()


def _board(stream: TextIO) -> _Board:
    for board in _boards:
        if board.stream is stream:
            return board
    _boards.append(_Board(stream))
    return _boards[-1]


@atexit.register
def _flush() -> None:
    """A script that ends right after its work still gets the final state."""
    for board in tuple(_boards):
        for view in tuple(board.views):
            if view.live.finished:
                view.shown.wait(1.0)


# -- answers -----------------------------------------------------------------------------------------------------------
def _speak(answer: Spoken, canvas: Canvas, status: Callable[[], str] | None, shown: Shown) -> None:
    changed = threading.Event()
    unwatch = answer.watch(changed.set)
    said = ""
    try:
        while not (ended := answer.finished) or answer.partial() != said:
            said = _say(answer.partial(), said, canvas)
            if not said and status is not None and canvas.live and not ended:
                canvas.paint(status().splitlines())
            changed.wait(TERMINAL_STEP)
            changed.clear()
            time.sleep(0 if ended else TERMINAL_STEP / 4)
        canvas.write("" if said.endswith("\n") or not said else "\n")
    finally:
        unwatch()
        shown.end()


def _say(text: str, said: str, canvas: Canvas) -> str:
    """Print what is new. A text that was changed after it was printed is printed again as a whole."""
    fresh = text.removeprefix(said) if text.startswith(said) else f"\n\n{text}"
    if fresh:
        canvas.write(visible(fresh))
    return text


def _thread(run: Callable[[], None], name: str) -> None:
    threading.Thread(target=run, name=f"longctx-{name}", daemon=True).start()
