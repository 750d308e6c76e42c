"""A view that changes until it is finished, and who shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable


class Live(Protocol):
    """A picture of running work. ``html`` and ``text`` are complete at any time; the last ones are the final state."""

    title: str

    def html(self) -> str:
        """The present state as HTML that stands alone: inline style, no script, nothing from outside."""

    def text(self) -> str:
        """The present state as plain text."""

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""

    def stop(self) -> None:
        """Ask the work to stop; returns at once."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called when there is something new; returns a function that ends this."""


@runtime_checkable
class Parted(Protocol):
    """What a live view has besides, where it can be redrawn in parts, so that what did not change is left alone."""

    def parts(self) -> list[str]:
        """The present state: the style, which never changes, then one below the other what ``html`` has first in its frame.

        What a reader may open keeps its place and its HTML while the work runs; what moves stands below. Called often, so what
        takes long, a picture, is left out or made once.
        """


#: Shows a live view and returns at once; updates come from a thread of its own. What it returns is the presenter's own matter.
Presenter = Callable[[Live], object]
