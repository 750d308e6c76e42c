"""One file becomes one row and, where there is something to read, one source. No error of a file leaves this module."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader

from longctx.corpus import Row, Source
from longctx.sources.kinds import kind_of
from longctx.sources.notebook import parse_notebook
from longctx.sources.obstacles import special
from longctx.sources.parsed import Parsed
from longctx.sources.pdf import parse_pdf
from longctx.sources.process import ParserProcess
from longctx.sources.text import parse_text

#: Bytes. A larger file is not looked at beyond its beginning: hashing and parsing it would take minutes.
LARGEST = 2 * 2**30
#: Bytes of a notebook; its JSON is held in memory as a whole.
LARGEST_NOTEBOOK = 256 * 2**20
_HEAD = 1024


@dataclass
class FileReader:
    """Reads files one after the other.

    Args:
        max_bytes: of a text file that are read; the rest is cut off at a line end.
        parser: the process that reads PDF.
        check: called often; what it raises ends the work.
    """

    max_bytes: int
    parser: ParserProcess
    check: Callable[[], None]

    def read(self, path: str, file: str) -> tuple[Row, Source | None]:
        """What became of a file.

        Args:
            path: as it is cited.
            file: the absolute path, without links.
        """
        size = 0
        try:
            with _opened(file) as stream:
                status = os.fstat(stream.fileno())
                size = status.st_size
                parsed = self._parsed(path, file, stream, size) if stat.S_ISREG(status.st_mode) else _not_a_file(status.st_mode)
                sha256 = _sha256(stream) if parsed.segments else ""
        except OSError as error:
            parsed = Parsed(kind_of(path), status="failed", reason=f"cannot be read: {error.strerror or error}")
        row = Row(path, parsed.kind, parsed.status, parsed.reason, size)
        return row, Source(path, file, parsed.kind, size, sha256, parsed.segments) if parsed.segments else None

    def _parsed(self, path: str, file: str, stream: BufferedReader, size: int) -> Parsed:
        kind = kind_of(path)
        head = stream.read(_HEAD)
        stream.seek(0)
        if kind == "pdf" or head.startswith(b"%PDF-"):
            return self._pdf(path, file, stream, head, size)
        if b"\x00" in head and kind != "notebook" and not head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
            return Parsed("binary", status="skipped", reason="binary")
        if size > (LARGEST_NOTEBOOK if kind == "notebook" else LARGEST):
            return _too_large(kind, size)
        if kind == "notebook":
            return parse_notebook(path, stream.read())
        data = stream.read(self.max_bytes)
        return parse_text(path, kind, data, max(size, len(data)))

    def _pdf(self, path: str, file: str, stream: BufferedReader, head: bytes, size: int) -> Parsed:
        if not size:
            return Parsed("pdf", status="failed", reason="not a PDF: the file is empty")
        if b"%PDF-" not in head:
            return Parsed("pdf", status="failed", reason=f"not a PDF: it begins with {head[:12]!r}")
        if size > LARGEST:
            return _too_large("pdf", size)
        stream.seek(max(0, size - 2 * _HEAD))
        ends_early = b"%%EOF" not in stream.read()
        return parse_pdf(path, self.parser.pages(file, self.check), ends_early=ends_early)


def _opened(file: str) -> BufferedReader:
    """Open for reading; a pipe that has taken a file's place does not make this wait, and a link is not followed."""
    wanted = ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
    flags = sum(getattr(os, name, 0) for name in wanted)
    return open(os.open(file, os.O_RDONLY | flags), "rb")


def _not_a_file(mode: int) -> Parsed:
    return special(mode) or Parsed("other", status="skipped", reason="not a file")


def _too_large(kind: str, size: int) -> Parsed:
    return Parsed(kind, status="skipped", reason=f"too large: {size:,} bytes")


def _sha256(stream: BufferedReader) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()
