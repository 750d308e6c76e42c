"""The entries of a ZIP or tar archive, written below a folder: only plain files, never outside, never more than is allowed.

Nothing that an archive says of itself is believed: what counts is what comes out. Links, devices and pipes are never made, so
that no name can lead out of the folder; memory does not grow with the archive.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO, cast

from longctx.sources.kinds import kind_of
from longctx.sources.parsed import Parsed
from longctx.sources.tree import zips
from longctx.sources.tree.members import DAMAGED, XZ_MEMORY, Member, link_to

#: Entries of one archive that are looked at.
MOST_ENTRIES = 200_000
_CHUNK = 2**20
#: Bytes that tarfile may ask for at once: a header that claims more is no header of a file's name.
_MOST_AT_ONCE = 2**20
_BLOCK = 512
#: What ``git archive`` leaves in a header: the commit.
_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")


class FullError(Exception):
    """More came out than is allowed. Stays in this room."""


class ArchiveError(Exception):
    """A file is no archive, or one of which nothing can be read; the text says why. Stays in this room."""


@dataclass
class Unpacker:
    """Writes entries below a folder.

    Args:
        folder: empty, and nobody else's.
        most: bytes that may come out in all.
        check: called often; what it raises ends the work.

    In the end it has the entries that were not unpacked, and why; those that were, with their sizes; and whether git made the
    archive, so that all of it is tracked.
    """

    folder: str
    most: int
    check: Callable[[], None]
    rows: list[tuple[str, Parsed]] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    entries: int = 0
    out: int = 0
    full: bool = False
    trouble: str = ""
    by_git: bool = False

    def unpack(self, file: str) -> None:
        """Unpack an archive as far as it can be; ``trouble`` says why not all of it was.

        Raises:
            ArchiveError: nothing at all can be read.
        """
        with open(file, "rb") as raw:
            take = self._zip if _is_zip(raw) else self._tar
            try:
                take(raw)
            except FullError:
                self.trouble = self._too_much()
            except DAMAGED as error:
                self.trouble = f"damaged or cut off: {_said(error)}"
        if self.trouble and not self.entries:
            raise ArchiveError(self.trouble)

    # -- kinds of archives -------------------------------------------------------------------------------------------
    def _zip(self, raw: IO[bytes]) -> None:
        zips.check_directory(raw)
        with zipfile.ZipFile(raw) as archive:
            self.by_git = zips.made_by_git(archive)
            for member in zips.members(archive):
                if self._is_last():
                    break
                self._take(member)

    def _tar(self, raw: IO[bytes]) -> None:
        with _unpacked(raw) as plain:
            stream = _Forward(plain, self.most + _CHUNK, self.check)
            with tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:  # type: ignore[arg-type]
                while (info := archive.next()) is not None and not self._is_last():
                    archive.members.clear()  # type: ignore[attr-defined]  # kept by tarfile for random access, which nobody wants here
                    if not info.isdir():
                        self._take(Member(info.name, _tar_obstacle(info), partial(_content, archive, info), info.size))
                    if self.full:
                        raise FullError
                self.by_git = _COMMIT.fullmatch(archive.pax_headers.get("comment", "")) is not None
                self.trouble = self.trouble or stream.ending()

    def _is_last(self) -> bool:
        """Count an entry; whether it is one too many."""
        self.check()
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            self.trouble = f"only its first {MOST_ENTRIES:,} entries were looked at"
        return self.entries > MOST_ENTRIES

    # -- one entry ---------------------------------------------------------------------------------------------------
    def _take(self, member: Member) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".git" in parts:  # as a walk passes over it
            return
        name = "/".join(parts) or "(no name)"
        obstacle = _misnamed(member.name, parts) or member.obstacle
        if obstacle is None and (self.full or member.size > self.most - self.out):
            obstacle = Parsed(kind_of(name), status="skipped", reason=f"not unpacked: {self._too_much()}")
        if obstacle is not None:
            self.rows.append((member.name if ".." in parts or member.name.startswith("/") else name, obstacle))
            return
        self._write(name, os.path.join(self.folder, *parts), member)

    def _write(self, name: str, file: str, member: Member) -> None:
        """Write a file; of several entries of one name the last one is what an archiver would leave, too."""
        try:
            if name in self.written:
                os.unlink(file)
                again = "an earlier entry of the same name: the last one is read"
                self.rows.append((name, Parsed(kind_of(name), status="skipped", reason=again)))
                del self.written[name]
            os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
            with member.opened() as source, open(file, "xb", opener=_private) as target:
                self.written[name] = 0
                self._copy(name, source, target)
        except FullError:
            self.full = True
            self._drop(name, file, Parsed(kind_of(name), status="skipped", reason=f"not unpacked: {self._too_much()}"))
        except DAMAGED as error:
            self._drop(name, file, Parsed(kind_of(name), status="failed", reason=f"cannot be unpacked: {_said(error)}"))

    def _copy(self, name: str, source: IO[bytes], target: IO[bytes]) -> None:
        while chunk := source.read(_CHUNK):
            self.check()
            self.out += len(chunk)
            target.write(chunk)
            self.written[name] += len(chunk)

    def _drop(self, name: str, file: str, became: Parsed) -> None:
        if self.written.pop(name, None) is not None:
            os.unlink(file)
        self.rows.append((name, became))

    def _too_much(self) -> str:
        return f"more than {self.most:,} bytes come out of this archive"


def check_head(file: str) -> None:
    """Refuse what is no archive by its first bytes, however large it is.

    Raises:
        ArchiveError: it is none.
    """
    with open(file, "rb") as raw:
        head = raw.read(_BLOCK)
        if not (head.startswith((*zips.HEADS, *_PACKED)) or _is_tar(head) or zips.has_directory(raw)):
            raise ArchiveError(f"not an archive: it begins with {head[:12]!r}")


def _is_zip(raw: IO[bytes]) -> bool:
    """Whether a file is read as a ZIP file; left at its beginning."""
    head = raw.read(_BLOCK)
    raw.seek(0)
    return head.startswith(zips.HEADS) or not (head.startswith(tuple(_PACKED)) or _is_tar(head))


# -- tar -------------------------------------------------------------------------------------------------------------
def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


_PACKED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}


@contextmanager
def _unpacked(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """A tar archive without its compression."""
    head = raw.read(8)
    raw.seek(0)
    how = next((how for begin, how in _PACKED.items() if head.startswith(begin)), "")
    if how == "gz":
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast(IO[bytes], stream)
    elif how == "bz2":
        with bz2.BZ2File(raw) as stream:
            yield stream
    else:
        yield io.BufferedReader(_Xz(raw), _CHUNK) if how == "xz" else raw


class _Xz(io.RawIOBase):
    """A .xz file in bounded memory, which the standard library's own reader does not promise."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data.lstrip(b"\x00") or self._raw.read(_BLOCK).lstrip(b"\x00")
                if not rest:
                    return 0
                self._decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
            else:
                rest = self._raw.read(_CHUNK) if self._decoder.needs_input else b""
                if not rest and self._decoder.needs_input:
                    raise EOFError("the .xz file ends before its end mark")
            data = self._decoder.decompress(rest, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


class _Forward:
    """A stream of which so much may be read in all, and only so much at once; seeks forwards, by reading.

    tarfile believes every header: one that claims a name of a gigabyte would be read into memory.
    """

    def __init__(self, stream: IO[bytes], most: int, check: Callable[[], None]) -> None:
        self._stream, self._most, self._check = stream, most, check
        self._at = 0
        self._last = b""

    def tell(self) -> int:
        return self._at

    def seek(self, position: int, whence: int = 0) -> int:
        if position < self._at:
            raise tarfile.ReadError(f"a header points back, to byte {position:,}")
        while self._at < position and self.read(min(_MOST_AT_ONCE, position - self._at)):
            self._check()
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise tarfile.ReadError(f"a header of {size:,} bytes at byte {self._at:,}")
        pieces, wanted = [], size
        while wanted and (piece := self._stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        self._last = b"".join(pieces)
        self._at += len(self._last)
        if self._at > self._most:
            raise FullError
        return self._last

    def ending(self) -> str:
        """What is odd about where the archive ends; empty where its end mark stands there. tarfile ends at any header that is
        none, without a word."""
        if self._last == bytes(_BLOCK):
            return ""
        if not self._last:
            return "cut off: its end mark is missing"
        return f"damaged: no header stands at byte {self._at - len(self._last):,}, and what follows was not read"


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None, "only files are opened"
    return stream


def _tar_obstacle(info: tarfile.TarInfo) -> Parsed | None:
    if info.issym():
        return link_to(info.linkname)
    if info.islnk():
        return Parsed("link", status="skipped", reason=f"a hard link, duplicate of {info.linkname}")
    words = "a named pipe" if info.isfifo() else "a device" if info.isdev() else ""
    if words or not info.isfile():
        return Parsed("other", status="skipped", reason=f"{words or 'not a file'}: never unpacked")
    return None


# -- both ------------------------------------------------------------------------------------------------------------
def _misnamed(name: str, parts: list[str]) -> Parsed | None:
    """Why a name is not one below the folder."""
    words = "its name is absolute" if name.startswith("/") or os.path.splitdrive(name)[0] else ""
    words = words or ("its name leads out of the archive" if ".." in parts else "")
    words = words or ("" if parts and not any("\0" in part for part in parts) else "it has no name")
    return Parsed(kind_of(name), status="skipped", reason=f"not unpacked: {words}") if words else None


def _private(file: str, flags: int) -> int:
    return os.open(file, flags | getattr(os, "O_NOFOLLOW", 0), 0o400)


def _said(error: BaseException) -> str:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words or type(error).__name__


def entries(number: int) -> str:
    """A number of entries.

    >>> entries(1), entries(2000)
    ('1 entry', '2,000 entries')
    """
    return f"{number:,} {'entry' if number == 1 else 'entries'}"
