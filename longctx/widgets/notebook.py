"""Live views as ipywidgets, with HTML and text beside them, which is all that stays when they have ended.

A thread of each view redraws it; the thread that works and the kernel's own are never kept waiting. Of a view that comes in
parts only those that changed are sent, so that what the reader opened stays open, what is selected stays selected, and a
screen reader is not sent back to the beginning. The Stop button only sets a flag: its callback may run on any thread. When the
work ends, the widget is replaced by the final HTML and text and closed, so that a saved notebook shows the final state and
nothing is left behind. Where no front end listens, the same happens unseen.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from longctx.jobs import in_kernel
from longctx.views.live import Live, Parted, Presenter
from longctx.views.safe import oneline

#: Seconds between two pictures; and between two looks while nothing is reported, so that clocks run.
STEP = 1 / 8
TICK = 0.5
#: Seconds that the end of a cell waits for the final state of what has finished.
LINGER = 2.0
_WIDGET = "application/vnd.jupyter.widget-view+json"
#: A frame whose parts are widgets looks like one whose parts are elements; the button belongs to the view that it ends.
_STYLE = """<style>
.lcx.jupyter-widgets{display:block;overflow:visible;margin:2px 20px 6px 0}
.lcx.jupyter-widgets .widget-html{display:block;width:auto;height:auto;min-height:0;margin:0;overflow:visible;
color:inherit;font:inherit}
.lcx.jupyter-widgets .widget-html-content{line-height:inherit;font-size:inherit;overflow:visible}
.lcx-stop.jupyter-button:focus-visible{outline:2px solid var(--jp-brand-color1,#2f6fb3);outline-offset:2px}
</style>"""

_open: set[_Hosted] = set()
_lock = threading.Lock()


def install(register: Callable[[Presenter], object]) -> bool:
    """Hand :func:`present` to ``register`` where this process is a Jupyter kernel; gives whether it is."""
    if in_kernel():
        register(present)
        return True
    return False


def present(live: Live) -> None:
    """Show a live view below the running cell, with a Stop button; returns at once."""
    if live.finished:
        _show_final(live)
        return
    hosted = _Hosted(live)
    with _lock:
        if not _open:
            _events().register("post_run_cell", _settle)
        _open.add(hosted)
    hosted.start()


def show_html(html: str, text: str) -> None:
    """Show something that does not change.

    Args:
        html: stands alone.
        text: the same for those who cannot show it.
    """
    _display(_bundle(html, text))


def _show_final(live: Live) -> None:
    """Show what will not change. A thread makes it, for there may be pictures to find; meanwhile its text stands there."""
    ready: list[dict[str, Any]] = []
    handles: list[Any] = []
    lock = threading.Lock()

    def make() -> None:
        bundle = _bundle(live.html(), live.text())
        with lock:
            ready.append(bundle)
            for handle in handles:
                handle.update(bundle, raw=True)

    thread = _thread(make)
    thread.start()
    thread.join(LINGER)
    with lock:
        handles.append(_display(ready[0] if ready else {"text/plain": live.text()}, display_id=True))


def _thread(run: Callable[[], None]) -> threading.Thread:
    """A thread in an empty context: its outputs belong to no cell; the display's id says where they go."""
    return threading.Thread(target=contextvars.Context().run, args=(run,), name="longctx-widget", daemon=True)


class _Picture:
    """What a live view looks like: a widget for each of its parts, of which those that changed are updated."""

    def __init__(self, live: Live) -> None:
        import ipywidgets

        self.live = live
        self._first = ipywidgets.HTML(layout={"width": "auto"})
        self.box = ipywidgets.VBox([self._first])
        for name in ("lcx", "mathjax_ignore") if isinstance(live, Parted) else ():
            self.box.add_class(name)
        self.draw()

    def draw(self) -> None:
        """Show the present state."""
        import ipywidgets

        parts, shown = self._parts(), self.box.children
        for place, widget in enumerate(shown):
            widget.value = parts[place] if place < len(parts) else ""
        if more := parts[len(shown) :]:
            made = (ipywidgets.HTML(part, layout=self._first.layout, style=self._first.style) for part in more)
            self.box.children = (*shown, *made)

    def html(self) -> str:
        """The first state as HTML that stands alone."""
        style, *parts = (widget.value for widget in self.box.children)
        return f'{style}<section class="lcx mathjax_ignore">{"".join(parts)}</section>' if parts else style

    def _parts(self) -> list[str]:
        if not isinstance(self.live, Parted):
            return [self.live.html()]
        style, *parts = self.live.parts()
        return [style + _STYLE, *parts]


class _Hosted:
    """One live view in the notebook."""

    def __init__(self, live: Live) -> None:
        import ipywidgets

        self.live = live
        self._changed = threading.Event()
        self._asked = threading.Event()
        self._picture = _Picture(live)
        layout = {"width": "auto", "margin": "0 0 8px 2px", "align_self": "flex-start"}
        tooltip = f"Stop: {oneline(live.title)}"
        self._button = ipywidgets.Button(description="Stop", icon="stop", tooltip=tooltip, layout=layout)
        self._button.add_class("lcx-stop")
        self._button.on_click(self._stop)
        self._box = ipywidgets.VBox([self._picture.box, self._button], layout={"width": "100%"})
        self._thread = _thread(self._run)
        self._unwatch = live.watch(self._changed.set)

    def start(self) -> None:
        """Display the widget and begin to redraw it."""
        shown = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        self._handle = _display({_WIDGET: shown, **_bundle(self._picture.html(), self.live.text())}, display_id=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait a moment for the final state, where the work has finished."""
        if self.live.finished:
            self._thread.join(LINGER)

    def _stop(self, button: object) -> None:
        self._asked.set()
        self.live.stop()
        self._changed.set()

    def _run(self) -> None:
        try:
            while not self.live.finished:
                self._redraw()
                self._changed.wait(TICK)
                self._changed.clear()
                self._pause()
            self._picture.draw()  # what follows may take a moment, where there are pictures to find
            self._handle.update(_bundle(self.live.html(), self.live.text()), raw=True)
        finally:
            self._close()

    def _redraw(self) -> None:
        self._picture.draw()
        if self._asked.is_set() and not self._button.disabled:
            self._button.disabled = True
            self._button.description = "Stopping …"

    def _pause(self) -> None:
        """Let some time pass before the next picture, unless that is the last."""
        for _ in range(4):
            if not self.live.finished:
                time.sleep(STEP / 4)

    def _close(self) -> None:
        self._unwatch()
        self._button.on_click(self._stop, remove=True)
        for widget in tuple(_family(self._box)):
            widget.close()
        with _lock:
            _open.discard(self)
            if not _open:
                _events().unregister("post_run_cell", _settle)


def _settle(result: object) -> None:
    """At the end of a cell: what has finished shows its final state before the front end is told that the cell is done."""
    for hosted in tuple(_open):
        hosted.settle()


def _bundle(html: str, text: str) -> dict[str, Any]:
    return {"text/html": html, "text/plain": text}


def _display(bundle: dict[str, Any], *, display_id: bool | None = None) -> Any:
    from IPython.display import display

    return display(bundle, raw=True, display_id=display_id)


def _events() -> Any:
    from IPython import get_ipython

    return get_ipython().events


def _family(widget: Any) -> Iterator[Any]:
    """A widget and every widget that it made: children, layouts, styles."""
    import ipywidgets

    yield widget
    for value in widget.trait_values().values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, ipywidgets.Widget):
                yield from _family(part)
