r"""Long runs of base64 put aside while a text is read, so that pictures inside of it never are in memory.

In the stead of each run stands a mark; whoever meets one gets the run's place in the file, or the run itself if it is short and
was no base64 after all. Knows bytes and JSON's line ends inside of strings (``\n``); no format.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

#: Characters from which on a run is put aside, and of its first line; up to which it is put back where it is wanted as text.
LEAST, LEAST_LINE, SHORT = 80, 40, 2000
#: Bytes that are read at once; of a run that is held before its end is known.
CHUNK, HELD = 2**20, 2**19

_REST = re.compile(rb"[A-Za-z0-9+/]*(?:\\n[A-Za-z0-9+/]+)*")
_RUN = re.compile(rb"(?<![\\A-Za-z0-9+/])[A-Za-z0-9+/]{%d,}(?:\\n[A-Za-z0-9+/]+)*" % LEAST_LINE)
#: What may be the beginning of a run that goes on in what is read next.
_OPEN = re.compile(rb"(?<![\\A-Za-z0-9+/])[A-Za-z0-9+/]+(?:\\n[A-Za-z0-9+/]+)*(?:\\n?)?\Z")


class TooLongError(ValueError):
    """What is left without its base64 is still too long."""


@dataclass
class Aside:
    """What was put aside of one file.

    Args:
        stream: of the file, at its beginning; read again for what is put back.
        check: called for each piece; what it raises ends the work.
        token: that nothing in the file can guess.
        runs: start and length in the file, by number.
    """

    stream: BinaryIO
    check: Callable[[], None] = lambda: None
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    runs: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._mark = re.compile(rf"@{self.token}:(\d+)@(={{0,2}})")

    def rest(self, most: int) -> bytes:
        """The file with marks in the stead of its runs.

        Args:
            most: bytes.

        Raises:
            TooLongError: it is longer.
        """
        out: list[bytes] = []
        total = 0
        place, before, held = 0, b"", b""  # where in the file ``held`` begins, and the byte before it
        while chunk := self.stream.read(CHUNK):
            self.check()
            text = before + held + chunk
            begun = len(before)
            open_ = _OPEN.search(text, max(begun, text.rfind(b'"')))
            end = open_.start() if open_ else len(text)
            done = self._marked(text, begun, end, place - begun)
            place, before, held = place + end - begun, text[end - 1 : end] or before, text[end:]
            if len(held) > HELD:
                mark, place, held = self._skipped(place, held)
                done, before = done + mark, b"A"
            out.append(done)
            total += len(done)
            if total > most:
                raise TooLongError(f"more than {most:,} bytes without base64")
        text = before + held
        return b"".join((*out, self._marked(text, len(before), len(text), place - len(before))))

    def _marked(self, text: bytes, first: int, last: int, offset: int) -> bytes:
        """A stretch of a text with marks; ``offset`` is where in the file the text begins."""
        out, at = [], first
        for found in _RUN.finditer(text, first, last):
            if len(found[0]) >= LEAST:
                out += [text[at : found.start()], self._put(offset + found.start(), len(found[0]))]
                at = found.end()
        return b"".join((*out, text[at:last]))

    def _put(self, start: int, length: int) -> bytes:
        self.runs.append((start, length))
        return b"@%b:%d@" % (self.token.encode(), len(self.runs) - 1)

    def _skipped(self, start: int, held: bytes) -> tuple[bytes, int, bytes]:
        """The mark of a long run that has begun, where the text goes on after it, and what has been read of that."""
        rest = (
            held[-2:] if held.endswith(b"\\n") else held[-1:] if held.endswith(b"\\") else b""
        )  # may be of the run or after it
        length = len(held) - len(rest)
        while True:
            chunk = self.stream.read(CHUNK)
            self.check()
            text = rest + chunk
            found = _REST.match(text)
            end = found.end() if found else 0
            if not chunk or text[end:] not in (b"", b"\\", b"\\n"):
                return self._put(start, length + end), start + length + end, text[end:]
            length, rest = length + end, text[end:]

    # -- marks in a text -----------------------------------------------------------------------------------------------
    def run(self, text: str) -> tuple[int, int] | None:
        """Start and length of the run for which a text stands; None where it is anything else."""
        found = self._mark.fullmatch(text.strip())
        return self.runs[int(found[1])] if found and int(found[1]) < len(self.runs) else None

    def restored(self, text: str, met: Callable[[str, tuple[int, int]], None] | None = None) -> str:
        """A text as it was, but for long runs, which are told with their size.

        Args:
            text: with marks.
            met: told about each run that was left out: what stands before it, start and length.
        """
        return self._mark.sub(lambda found: self._one(found, text, met), text)

    def _one(self, found: re.Match[str], text: str, met: Callable[[str, tuple[int, int]], None] | None) -> str:
        number = int(found[1])
        if number >= len(self.runs):
            return found[0]
        start, length = self.runs[number]
        if length <= SHORT:
            self.stream.seek(start)
            return self.stream.read(length).decode("ascii", "replace").replace("\\n", "\n") + found[2]
        if met is not None:
            met(text[max(0, found.start() - 40) : found.start()], (start, length))
        return f"[base64, {length:,} characters left out]"
