"""One file becomes one row and, where there is something to read, one source. No error of a file leaves this module."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BufferedReader
from typing import Any

from longctx.corpus import Row, Source
from longctx.sources import known, passwords
from longctx.sources.kinds import kind_of, picture_of
from longctx.sources.office.document import MOST_CHARS, parse_document
from longctx.sources.office.formats import ENCRYPTED, NAMES, OLE, unread_format, wrong_beginning
from longctx.sources.parsed import Parsed
from longctx.sources.pdf.parse import parse_pdf
from longctx.sources.pictures.stills import Stills, parse_picture
from longctx.sources.process import ParserProcess
from longctx.sources.signatures import cut_off, is_lfs_pointer, is_recording, packed_by
from longctx.sources.snapshot import Snapshot
from longctx.sources.texts.decoding import decode, is_binary
from longctx.sources.texts.notebook import parse_notebook
from longctx.sources.texts.redaction import without_secrets
from longctx.sources.texts.text import parse_text
from longctx.sources.tree.archives import is_archive
from longctx.sources.tree.obstacles import special
from longctx.sources.video.footage import Beside, parse_video
from longctx.sources.video.subtitles import cues_of, parse_subtitles

#: Bytes. A larger file is not looked at beyond its beginning: hashing and parsing it would take minutes.
LARGEST = 2 * 2**30
#: Bytes of a subtitle file that are read.
LARGEST_SUBTITLES = 16 * 2**20
#: Kinds that are archives, each with a reader of its own in the worker.
DOCUMENTS = frozenset(NAMES)
NOT_FETCHED = "not fetched: it stands for a file in Git LFS (git lfs pull)"
_HEAD = 1024
#: Bytes that are hashed between two looks at whether to stop.
_CHUNK = 2**22


@dataclass
class FileReader:
    """Reads files one after the other.

    Args:
        max_bytes: of a text file that are read; the rest is cut off at a line end.
        parser: the process that reads documents, pictures and video.
        check: called often; what it raises ends the work.
        pages_as_pictures: whether pages with text are also to be looked at.
        engine: that decodes video, as :func:`longctx.sources.video.footage.chosen_engine` has it.
        junk: whether junk, too, is read whole; a file that is named itself always is.
        redact: whether secrets are taken out of what is read.
        password: tried on documents that are encrypted.
    """

    max_bytes: int
    parser: ParserProcess
    check: Callable[[], None]
    pages_as_pictures: bool = False
    engine: str = "av"
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
            with _opened(file) as stream:
                status = os.fstat(stream.fileno())
                size = status.st_size
                opened = _File(path, file, stream, status, self.check, named)
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
        source = Source(path, file, parsed.kind, size, sha256, parsed.segments, parsed.medium, parsed.footage, parsed.note)
        known.keep(key, state, row, source)
        return row, source

    @property
    def _options(self) -> tuple[Hashable, ...]:
        """What decides how a file is read."""
        return (self.max_bytes, self.pages_as_pictures, self.engine, self.junk, self.redact, hash(self.password))

    def subtitles(self, path: str, file: str) -> Beside | None:
        """The cues of a file that lies beside a video; None where there are none."""
        try:
            with _opened(file) as stream:
                decoded = decode(stream.read(LARGEST_SUBTITLES))
        except OSError:
            return None
        cues = cues_of(decoded.text) if decoded else ()
        return Beside(path, cues) if cues else None

    def _parsed(self, opened: _File, beside: Beside | None = None) -> Parsed:
        path, stream, size = opened.path, opened.stream, opened.status.st_size
        kind = kind_of(path)
        head = _beginning(stream)
        if picture := picture_of(head):
            return self._picture(opened, picture)
        if kind == "pdf" or head.startswith(b"%PDF-"):
            return self._pdf(opened, head)
        if advice := unread_format(path, head):
            return Parsed("document", status="skipped", reason=advice)
        if kind in DOCUMENTS:
            return self._document(opened, kind, head)
        if is_recording(head) or (kind == "video" and not _is_text(head)):
            return self._video(opened, head, beside)
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
        if size > LARGEST:
            return _too_large(kind, size)
        if kind == "notebook":
            return self._notebook(opened, head)
        if kind == "html":
            return self._page(opened)
        if kind == "subtitles" and (parsed := parse_subtitles(path, stream.read(LARGEST_SUBTITLES))):
            return parsed
        return self._text(opened, "text" if kind == "subtitles" else kind)

    def _text(self, opened: _File, kind: str) -> Parsed:
        opened.stream.seek(0)
        data = opened.stream.read(self.max_bytes)
        opened.whole = data if len(data) >= opened.status.st_size else None
        cut_junk = not (self.junk or opened.named)
        size = max(opened.status.st_size, len(data))
        return parse_text(opened.path, kind, data, size, cut_junk=cut_junk, rest=opened.chunks())

    def _document(self, opened: _File, kind: str, head: bytes) -> Parsed:
        size = opened.status.st_size
        encrypted = head.startswith(OLE) and size <= LARGEST and _holds(opened, ENCRYPTED)
        if is_lfs_pointer(head):
            return Parsed(kind, status="skipped", reason=NOT_FETCHED)
        if wrong := wrong_beginning(kind, head, size, encrypted=encrypted):
            return Parsed(kind, status="failed", reason=wrong)
        if size > LARGEST:
            return _too_large(kind, size)
        replies = self.parser.ask(kind, self.check, file=opened.file)
        parsed = parse_document(kind, opened.snapshot, replies, self.max_bytes if kind == "xlsx" else MOST_CHARS)
        assert parsed is not None  # only a page may be read as it stands
        return parsed

    def _notebook(self, opened: _File, head: bytes) -> Parsed:
        if is_lfs_pointer(head):
            return Parsed("notebook", status="skipped", reason=NOT_FETCHED)

        def ask(do: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
            return self.parser.ask(do, self.check, file=opened.file, **arguments)

        return parse_notebook(opened.path, opened.stream, self.check, lambda: opened.snapshot, ask)

    def _page(self, opened: _File) -> Parsed:
        """A page in HTML; one that is source, or that its reader has failed at, is read as it stands."""
        size, why = opened.status.st_size, ""
        if size:
            replies = self.parser.ask("html", self.check, file=opened.file)
            page = parse_document("html", opened.snapshot, replies, self.max_bytes)
            if page is not None and page.found:
                return page
            why = "" if page is None else f"read as it stands: {page.reason}"
        opened.stream.seek(0)
        data = opened.stream.read(self.max_bytes)
        parsed = parse_text(opened.path, "text", data, max(size, len(data)))
        return replace(parsed, reason="; ".join(filter(None, (why, parsed.reason))))

    def _picture(self, opened: _File, picture: str) -> Parsed:
        if picture == "HEIC":
            return Parsed("image", status="skipped", reason="HEIC is not read: convert the picture to JPEG or PNG")
        if opened.status.st_size > LARGEST:
            return _too_large("image", opened.status.st_size)
        replies = self.parser.ask("picture_probe", self.check, file=opened.file)
        return parse_picture(opened.path, replies, Stills(opened.snapshot, "picture"))

    def _video(self, opened: _File, head: bytes, beside: Beside | None) -> Parsed:
        if not head:
            return Parsed("video", status="failed", reason="not a video: the file is empty")
        size = opened.status.st_size
        if size > LARGEST and not is_recording(head):
            return _too_large("video", size)
        usable = cut_off(opened.stream, size)
        until = usable if usable is not None and usable < size else None

        def ask(do: str) -> Iterator[Mapping[str, Any]]:
            return self.parser.ask(do, self.check, file=opened.file, until=until)

        return parse_video(opened.snapshot, self.engine, ask, is_cut_off=usable is not None, until=until, beside=beside)

    def _named_video(self, opened: _File, head: bytes) -> Parsed:
        """A text that is called like a video."""
        if is_lfs_pointer(head):
            return Parsed("video", status="skipped", reason=NOT_FETCHED)
        kind = "code" if opened.path.endswith(".mts") else "text"  # a module of TypeScript, too
        parsed = self._text(opened, kind)
        note = "" if kind == "code" else "not a video: a text"
        return replace(parsed, reason="; ".join(filter(None, (note, parsed.reason))))

    def _pdf(self, opened: _File, head: bytes) -> Parsed:
        stream, size = opened.stream, opened.status.st_size
        if not size:
            return Parsed("pdf", status="failed", reason="not a PDF: the file is empty")
        if b"%PDF-" not in head:
            return Parsed("pdf", status="failed", reason=f"not a PDF: it begins with {head[:12]!r}")
        if size > LARGEST:
            return _too_large("pdf", size)
        stream.seek(max(0, size - 2 * _HEAD))
        ends_early = b"%%EOF" not in stream.read()
        replies = self.parser.ask("pdf", self.check, file=opened.file, password=self.password)
        medium = Stills(opened.snapshot, "page")
        passwords.keep(medium.snapshot.sha256, self.password)
        return parse_pdf(opened.path, replies, ends_early=ends_early, medium=medium, pages_as_pictures=self.pages_as_pictures)


@dataclass
class _File:
    """A file that is being read."""

    path: str
    file: str
    stream: BufferedReader
    status: os.stat_result
    check: Callable[[], None]
    named: bool = False
    whole: bytes | None = None  # its bytes, where a parser has taken all of them

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


def _opened(file: str) -> BufferedReader:
    """Open for reading; a pipe that has taken a file's place does not make this wait, and a link is not followed."""
    wanted = ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
    flags = sum(getattr(os, name, 0) for name in wanted)
    return open(os.open(file, os.O_RDONLY | flags), "rb")


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


def _holds(opened: _File, words: bytes) -> bool:
    """Whether some bytes stand in a file; leaves the stream at its beginning."""
    opened.stream.seek(0)
    rest, found = b"", False
    while not found and (chunk := opened.stream.read(_CHUNK)):
        opened.check()
        found = words in rest + chunk
        rest = chunk[-len(words) :]
    opened.stream.seek(0)
    return found


def _is_text(head: bytes) -> bool:
    return bool(head) and decode(head, whole=False) is not None


def _not_a_file(mode: int) -> Parsed:
    return special(mode) or Parsed("other", status="skipped", reason="not a file")


def _not_a_picture(head: bytes) -> Parsed:
    if is_lfs_pointer(head):
        return Parsed("image", status="skipped", reason=NOT_FETCHED)
    reason = f"it begins with {head[:12]!r}" if head else "the file is empty"
    return Parsed("image", status="failed", reason=f"not a picture: {reason}")


def _too_large(kind: str, size: int) -> Parsed:
    return Parsed(kind, status="skipped", reason=f"too large: {size:,} bytes")
