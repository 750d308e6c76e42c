"""Code by its signatures: the lines on which a program says what it defines, and the first line of what each is for.

The segments are lines of the file as they stand in it, so that what is cited from them stands where it is said to stand. None
reaches over the end of a segment of the whole source: a source may be read whole to the end of a segment and by its signatures
from there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longctx.corpus import Lines, Segment, Source
from longctx.sources.programs.looks import LONGEST, MOST_LINES
from longctx.sources.programs.shapes import Shape, shapes, stretches
from longctx.sources.texts.text import MAX_LINES

#: Lines between two signatures that are kept, rather than a mark for a segment of its own: a mark costs about as much.
GAP = 1
#: Signatures that a segment of the whole source may hold, each a line at least.
MOST = 1 + MAX_LINES // (GAP + 2)


def outline(source: Source, shape: Shape | None = None) -> tuple[Segment, ...]:
    r"""The signatures of a source of code, as segments; empty where it has none or is no code.

    Args:
        source: whole.
        shape: from :func:`longctx.sources.programs.shapes.shapes`; None finds it.

    >>> text = "@cache\ndef f(x,\n      y):\n    z = x + y\n    return z\n\nclass A:\n    def g(self): ...\n"
    >>> shown = outline(Source("a.py", "/a.py", "code", 9, "", (Segment(text, Lines("a.py", 1, 8)),)))
    >>> [(str(segment.origin), segment.heading) for segment in shown]
    [('a.py:1-3', 'f'), ('a.py:7-8', 'A')]
    """
    shape = shape or shapes([source]).get(source.path)
    if shape is None:
        return ()
    paper = _Paper(shape, [segment.origin.last for segment in source.segments if isinstance(segment.origin, Lines)])
    return tuple(
        Segment("".join(shape.lines[first:stop]), Lines(source.path, shape.numbers[first], shape.numbers[stop - 1]), name)
        for first, stop, name in paper.joined()
    )


@dataclass(frozen=True)
class _Paper:
    """Where a text may be cut.

    Args:
        shape: of the text.
        ends: the last line of each segment of it, ascending.
    """

    shape: Shape
    ends: Sequence[int]

    def holds(self, first: int, stop: int) -> bool:
        """Whether lines follow each other in one segment, none of them too long."""
        numbers = self.shape.numbers
        return (
            numbers[stop - 1] - numbers[first] == stop - 1 - first
            and bisect_left(self.ends, numbers[first]) == bisect_left(self.ends, numbers[stop - 1])
            and all(len(self.shape.lines[line]) <= LONGEST for line in range(first, stop))
        )

    def cut(self) -> Iterator[tuple[int, int, str]]:
        """Stretches that are worth reading alone, each in one segment."""
        for first, stop, name in stretches(self.shape):
            begin = first
            for line in range(first, stop):
                if not self.holds(begin, line + 1):
                    yield from [(begin, line, name)] if begin < line else ()
                    begin = line if self.holds(line, line + 1) else line + 1
            yield from [(begin, stop, name)] if begin < stop else ()

    def joined(self) -> Iterator[tuple[int, int, str]]:
        """Those that nearly touch are one, up to a size that can still be told apart."""
        held: tuple[int, int, str] | None = None
        for first, stop, name in self.cut():
            if held and first - held[1] <= GAP and stop - held[0] <= 2 * MOST_LINES and self.holds(held[0], stop):
                held = (held[0], max(stop, held[1]), held[2])
                continue
            if held:
                yield held
            held = (first, stop, name)
        if held:
            yield held
