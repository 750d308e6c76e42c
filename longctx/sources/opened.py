"""A file that is open for reading: its bytes, what it was when it was opened, and its hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader

from longctx.sources.parsed import Parsed
from longctx.sources.snapshot import Snapshot

#: Bytes. A larger file is not looked at beyond its beginning: hashing and parsing it would take minutes.
LARGEST = 2 * 2**30
#: Bytes that are read between two looks at whether to stop.
_CHUNK = 2**22
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))


@dataclass
class OpenedFile:
    """A file that is being read.

    Args:
        path: as it is cited.
        file: the absolute path.
        stream: of its bytes.
        status: when it was opened.
        check: called often; what it raises ends the work.
        named: whether the user named this very file.
        whole: its bytes, where a parser has taken all of them.
    """

    path: str
    file: str
    stream: BufferedReader
    status: os.stat_result
    check: Callable[[], None]
    named: bool = False
    whole: bytes | None = None

    def beginning(self, most: int) -> bytes:
        """Its first bytes; what follows is read next. Room is made for as many as it has, since making it takes time."""
        self.stream.seek(0)
        data = self.stream.read(min(most, self.status.st_size + 1))
        return data if len(data) <= self.status.st_size else data + self.stream.read(most - len(data))

    def chunks(self) -> Iterator[bytes]:
        """The bytes that follow, to the end of the file."""
        while chunk := self.stream.read(_CHUNK):
            self.check()
            yield chunk

    @cached_property
    def snapshot(self) -> Snapshot:
        """The file as it was read; takes its hash, and leaves the stream where it was."""
        if self.whole is not None:
            return self._snapshot(hashlib.sha256(self.whole))
        place = self.stream.tell()
        self.stream.seek(0)
        sha256 = hashlib.sha256()
        for chunk in self.chunks():
            sha256.update(chunk)
        self.stream.seek(place)
        return self._snapshot(sha256)

    def _snapshot(self, sha256: hashlib._Hash) -> Snapshot:
        return Snapshot(self.path, self.file, self.status.st_size, self.status.st_mtime_ns, sha256.hexdigest())

    def holds(self, words: bytes) -> bool:
        """Whether some bytes stand in it; leaves the stream at its beginning."""
        self.stream.seek(0)
        rest, found = b"", False
        while not found and (chunk := self.stream.read(_CHUNK)):
            self.check()
            found = words in rest + chunk
            rest = chunk[-len(words) :]
        self.stream.seek(0)
        return found

    def too_large(self, kind: str) -> Parsed:
        """What becomes of it where it is larger than :data:`LARGEST`."""
        return Parsed(kind, status="skipped", reason=f"too large: {self.status.st_size:,} bytes")


def open_file(file: str) -> BufferedReader:
    """Open for reading; a pipe that has taken a file's place does not make this wait, and a link is not followed."""
    return open(os.open(file, _FLAGS), "rb")
