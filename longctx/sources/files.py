"""One file becomes one row and, where there is something to read, one source. No error of a file leaves this module."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BufferedReader
from typing import TYPE_CHECKING

from longctx.corpus import Row, Source
from longctx.sources import known
from longctx.sources.kinds import is_archive, kind_of, picture_of
from longctx.sources.office.formats import NAMES, unread_format
from longctx.sources.opened import LARGEST, OpenedFile, open_file
from longctx.sources.parsed import Parsed
from longctx.sources.signatures import NOT_FETCHED, is_lfs_pointer, is_recording, packed_by
from longctx.sources.texts.decoding import decode, is_binary
from longctx.sources.texts.redaction import without_secrets
from longctx.sources.texts.text import parse_text
from longctx.sources.tree.obstacles import special

if TYPE_CHECKING:
    from longctx.sources.parsers import Parsers
    from longctx.sources.video.footage import Beside

#: Kinds that are archives, each with a reader of its own in the worker.
DOCUMENTS = frozenset(NAMES)
_HEAD = 1024


@dataclass
class FileReader:
    """Reads files one after the other.

    Args:
        max_bytes: of a text file that are read; the rest is cut off at a line end.
        check: called often; what it raises ends the work.
        pages_as_pictures: whether pages with text are also to be looked at.
        figures_as_pictures: whether the figures on them are.
        engine: that decodes video, as :func:`longctx.sources.video.footage.chosen_engine` takes it.
        junk: whether junk, too, is read whole; a file that is named itself always is.
        redact: whether secrets are taken out of what is read.
        password: tried on documents that are encrypted.
    """

    max_bytes: int
    check: Callable[[], None]
    pages_as_pictures: bool = False
    figures_as_pictures: bool = True
    engine: str | None = None
    junk: bool = False
    redact: bool = True
    password: str = field(default="", repr=False)

    def read(self, path: str, file: str, beside: Beside | None = None, *, named: bool = False) -> tuple[Row, Source | None]:
        """What became of a file.

        Args:
            path: as it is cited.
            file: the absolute path, without links.
            beside: subtitles that lie beside it, should it be a video.
            named: whether the user named this very file.
        """
        size, sha256 = 0, ""
        try:
            with open_file(file) as stream:
                status = os.fstat(stream.fileno())
                size = status.st_size
                opened = OpenedFile(path, file, stream, status, self.check, named)
                key, state = (path, file, beside, named, *self._options), (status.st_ino, size, status.st_mtime_ns)
                if before := known.again(key, state, lambda: opened.snapshot.sha256):
                    return before
                parsed = self._parsed(opened, beside) if stat.S_ISREG(status.st_mode) else _not_a_file(status.st_mode)
                sha256 = opened.snapshot.sha256 if parsed.found else ""
                now = os.fstat(stream.fileno())
                if parsed.found and (now.st_size, now.st_mtime_ns) != (size, status.st_mtime_ns):
                    parsed = replace(parsed, reason="; ".join(filter(None, (parsed.reason, "it changed while it was read"))))
        except OSError as error:
            parsed = Parsed(kind_of(path), status="failed", reason=f"cannot be read: {error.strerror or error}")
        parsed = without_secrets(parsed) if self.redact else parsed
        row = Row(path, parsed.kind, parsed.status, parsed.reason, size)
        if not parsed.found:
            return row, None
        seen = (parsed.medium, parsed.footage, parsed.note, self.redact)
        source = Source(path, file, parsed.kind, size, sha256, parsed.segments, *seen)
        known.keep(key, state, row, source)
        return row, source

    @cached_property
    def parsers(self) -> Parsers:
        """The parsers of what is no plain text. Imported here, since a tree of source code needs none of them."""
        from longctx.sources.parsers import Parsers

        return Parsers(self.max_bytes, self.check, *self._looks, self.engine, self.password)

    @property
    def _looks(self) -> tuple[bool, bool]:
        return self.pages_as_pictures, self.figures_as_pictures

    def close(self) -> None:
        """End what was started for the parsers."""
        if "parsers" in vars(self):
            self.parsers.close()

    @cached_property
    def _options(self) -> tuple[Hashable, ...]:
        """What decides how a file is read."""
        return (self.max_bytes, *self._looks, self.engine, self.junk, self.redact, hash(self.password))

    def _parsed(self, opened: OpenedFile, beside: Beside | None = None) -> Parsed:
        path, stream = opened.path, opened.stream
        kind = kind_of(path)
        head = _beginning(stream)
        if picture := picture_of(head):
            return self.parsers.picture(opened, picture)
        if kind == "pdf" or head.startswith(b"%PDF-"):
            return self.parsers.pdf(opened, head)
        if advice := unread_format(path, head):
            return Parsed("document", status="skipped", reason=advice)
        if kind in DOCUMENTS:
            return self.parsers.document(opened, kind, head)
        if is_recording(head) or (kind == "video" and not _is_text(head)):
            return self.parsers.video(opened, head, beside)
        if kind == "image":
            return _not_a_picture(head)
        if kind == "video":
            return self._named_video(opened, head)
        if is_archive(path) and not _is_text(head):
            return Parsed("archive", status="skipped", reason="an archive: name it itself to read what is in it")
        if packer := packed_by(head):
            return Parsed("archive", status="skipped", reason=f"packed with {packer}: unpack it, and read what was in it")
        if kind != "notebook" and is_binary(head):
            return Parsed("binary", status="skipped", reason="binary")
        if opened.status.st_size > LARGEST:
            return opened.too_large(kind)
        if kind == "notebook":
            return self.parsers.notebook(opened, head)
        if kind == "html":
            return self.parsers.page(opened)
        if kind == "subtitles" and (parsed := self.parsers.subtitles(opened)):
            return parsed
        return self._text(opened, "text" if kind == "subtitles" else kind)

    def _text(self, opened: OpenedFile, kind: str) -> Parsed:
        data = opened.beginning(self.max_bytes)
        opened.whole = data if len(data) >= opened.status.st_size else None
        cut_junk = not (self.junk or opened.named)
        size = max(opened.status.st_size, len(data))
        return parse_text(opened.path, kind, data, size, cut_junk=cut_junk, rest=opened.chunks())

    def _named_video(self, opened: OpenedFile, head: bytes) -> Parsed:
        """A text that is called like a video."""
        if is_lfs_pointer(head):
            return Parsed("video", status="skipped", reason=NOT_FETCHED)
        kind = "code" if opened.path.endswith(".mts") else "text"  # a module of TypeScript, too
        parsed = self._text(opened, kind)
        note = "" if kind == "code" else "not a video: a text"
        return replace(parsed, reason="; ".join(filter(None, (note, parsed.reason))))


def _beginning(stream: BufferedReader) -> bytes:
    """The first bytes; the stream is left at its beginning.

    Raises:
        BlockingIOError: there is nothing to read yet, as in a log of the kernel that calls itself a file.
    """
    head: bytes | None = stream.read(_HEAD)
    if head is None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    stream.seek(0)
    return head


def _is_text(head: bytes) -> bool:
    return bool(head) and decode(head, whole=False) is not None


def _not_a_file(mode: int) -> Parsed:
    return special(mode) or Parsed("other", status="skipped", reason="not a file")


def _not_a_picture(head: bytes) -> Parsed:
    if is_lfs_pointer(head):
        return Parsed("image", status="skipped", reason=NOT_FETCHED)
    reason = f"it begins with {head[:12]!r}" if head else "the file is empty"
    return Parsed("image", status="failed", reason=f"not a picture: {reason}")
