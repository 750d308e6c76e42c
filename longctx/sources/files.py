"""One file becomes one row and, where there is something to read, one source. No error of a file leaves this module."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from io import BufferedReader
from typing import Any

from longctx.corpus import Row, Source
from longctx.sources.archives import is_archive
from longctx.sources.decoding import decode
from longctx.sources.kinds import kind_of, picture_of
from longctx.sources.notebook import parse_notebook
from longctx.sources.obstacles import special
from longctx.sources.parsed import Parsed
from longctx.sources.pdf import parse_pdf
from longctx.sources.pictures.stills import Stills, parse_picture
from longctx.sources.process import ParserProcess
from longctx.sources.signatures import cut_off, is_lfs_pointer, is_recording
from longctx.sources.snapshot import Snapshot
from longctx.sources.text import parse_text
from longctx.sources.video.footage import Beside, parse_video
from longctx.sources.video.subtitles import cues_of, parse_subtitles

#: Bytes. A larger file is not looked at beyond its beginning: hashing and parsing it would take minutes.
LARGEST = 2 * 2**30
#: Bytes of a notebook; its JSON is held in memory as a whole.
LARGEST_NOTEBOOK = 256 * 2**20
#: Bytes of a subtitle file that are read.
LARGEST_SUBTITLES = 16 * 2**20
_HEAD = 1024
#: Bytes that are hashed between two looks at whether to stop.
_CHUNK = 2**22


@dataclass
class FileReader:
    """Reads files one after the other.

    Args:
        max_bytes: of a text file that are read; the rest is cut off at a line end.
        parser: the process that reads PDF, pictures and video.
        check: called often; what it raises ends the work.
        pages_as_pictures: whether pages with text are also to be looked at.
        engine: that decodes video, as :func:`longctx.sources.video.footage.chosen_engine` has it.
    """

    max_bytes: int
    parser: ParserProcess
    check: Callable[[], None]
    pages_as_pictures: bool = False
    engine: str = "av"

    def read(self, path: str, file: str, beside: Beside | None = None) -> tuple[Row, Source | None]:
        """What became of a file.

        Args:
            path: as it is cited.
            file: the absolute path, without links.
            beside: subtitles that lie beside it, should it be a video.
        """
        size, sha256 = 0, ""
        try:
            with _opened(file) as stream:
                status = os.fstat(stream.fileno())
                size = status.st_size
                opened = _File(path, file, stream, status, self.check)
                parsed = self._parsed(opened, beside) if stat.S_ISREG(status.st_mode) else _not_a_file(status.st_mode)
                sha256 = opened.snapshot.sha256 if parsed.found else ""
                now = os.fstat(stream.fileno())
                if parsed.found and (now.st_size, now.st_mtime_ns) != (size, status.st_mtime_ns):
                    parsed = replace(parsed, reason="; ".join(filter(None, (parsed.reason, "it changed while it was read"))))
        except OSError as error:
            parsed = Parsed(kind_of(path), status="failed", reason=f"cannot be read: {error.strerror or error}")
        row = Row(path, parsed.kind, parsed.status, parsed.reason, size)
        source = Source(path, file, parsed.kind, size, sha256, parsed.segments, parsed.medium, parsed.footage)
        return row, source if parsed.found else None

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
        head = stream.read(_HEAD)
        stream.seek(0)
        if picture := picture_of(head):
            return self._picture(opened, picture)
        if kind == "pdf" or head.startswith(b"%PDF-"):
            return self._pdf(opened, head)
        if is_recording(head) or (kind == "video" and not _is_text(head)):
            return self._video(opened, head, beside)
        if kind == "image":
            return _not_a_picture(head)
        if kind == "video":
            return self._named_video(opened, head)
        if is_archive(path) and not _is_text(head):
            return Parsed("archive", status="skipped", reason="an archive: name it itself to read what is in it")
        if b"\x00" in head and kind != "notebook" and not head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
            return Parsed("binary", status="skipped", reason="binary")
        if size > (LARGEST_NOTEBOOK if kind == "notebook" else LARGEST):
            return _too_large(kind, size)
        if kind == "notebook":
            return parse_notebook(path, stream.read())
        if kind == "subtitles" and (parsed := parse_subtitles(path, stream.read(LARGEST_SUBTITLES))):
            return parsed
        kind = "text" if kind == "subtitles" else kind
        stream.seek(0)
        data = stream.read(self.max_bytes)
        return parse_text(path, kind, data, max(size, len(data)))

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
            return Parsed("video", status="skipped", reason="not fetched: it stands for a file in Git LFS (git lfs pull)")
        size = opened.status.st_size
        kind = "code" if opened.path.endswith(".mts") else "text"  # a module of TypeScript, too
        parsed = parse_text(opened.path, kind, opened.stream.read(self.max_bytes), size)
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
        replies = self.parser.ask("pdf", self.check, file=opened.file)
        medium = Stills(opened.snapshot, "page")
        return parse_pdf(opened.path, replies, ends_early=ends_early, medium=medium, pages_as_pictures=self.pages_as_pictures)


@dataclass
class _File:
    """A file that is being read."""

    path: str
    file: str
    stream: BufferedReader
    status: os.stat_result
    check: Callable[[], None]

    @cached_property
    def snapshot(self) -> Snapshot:
        """The file as it is now; takes its hash, and leaves the stream where it was."""
        place = self.stream.tell()
        self.stream.seek(0)
        sha256 = hashlib.sha256()
        while chunk := self.stream.read(_CHUNK):
            self.check()
            sha256.update(chunk)
        self.stream.seek(place)
        return Snapshot(self.path, self.file, self.status.st_size, self.status.st_mtime_ns, sha256.hexdigest())


def _opened(file: str) -> BufferedReader:
    """Open for reading; a pipe that has taken a file's place does not make this wait, and a link is not followed."""
    wanted = ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
    flags = sum(getattr(os, name, 0) for name in wanted)
    return open(os.open(file, os.O_RDONLY | flags), "rb")


def _is_text(head: bytes) -> bool:
    return bool(head) and decode(head, whole=False) is not None


def _not_a_file(mode: int) -> Parsed:
    return special(mode) or Parsed("other", status="skipped", reason="not a file")


def _not_a_picture(head: bytes) -> Parsed:
    if is_lfs_pointer(head):
        return Parsed("image", status="skipped", reason="not fetched: it stands for a file in Git LFS (git lfs pull)")
    reason = f"it begins with {head[:12]!r}" if head else "the file is empty"
    return Parsed("image", status="failed", reason=f"not a picture: {reason}")


def _too_large(kind: str, size: int) -> Parsed:
    return Parsed(kind, status="skipped", reason=f"too large: {size:,} bytes")
