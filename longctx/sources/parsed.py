"""What a parser hands back, and the words in which sizes are told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longctx.corpus import Footage, Medium, Segment, Status

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file after its parser.

    Args:
        kind: as in :class:`longctx.corpus.Row`.
        segments: in reading order; empty where there is nothing to read.
        status: as in :class:`longctx.corpus.Row`.
        reason: what there is to say about it; empty for a plain read.
        medium: what the file looks like, where it looks like something.
        footage: of a video; a file that has footage was read even if it has no segments.
        note: what the model is told of a file of which not all is read.
    """

    kind: str
    segments: tuple[Segment, ...] = ()
    status: Status = "read"
    reason: str = ""
    medium: Medium | None = None
    footage: Footage | None = None
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.segments) or self.footage is not None


def sound(text: str) -> str:
    r"""The text with lone surrogates and NULs replaced by U+FFFD, one for one, so that no place in it moves.

    >>> sound("a\ud800b\x00")
    'a�b�'
    """
    return _SURROGATE.sub("\ufffd", text).replace("\x00", "\ufffd")


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "page"), counted(1200, "line")
    ('1 page', '1,200 lines')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ranges(numbers: list[int]) -> str:
    """Ascending numbers, runs drawn together.

    >>> ranges([1, 3, 4, 5, 9])
    '1, 3-5, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
