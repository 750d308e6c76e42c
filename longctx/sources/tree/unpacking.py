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
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, cast

from longctx.sources.kinds import kind_of
from longctx.sources.parsed import Parsed

#: Entries of one archive that are looked at.
MOST_ENTRIES = 200_000
#: Bytes of a ZIP file's own directory, which is held in memory several times over.
MOST_DIRECTORY = 64 * 2**20
#: Bytes that an unpacker of .xz may take.
XZ_MEMORY = 256 * 2**20
_CHUNK = 2**20
#: Bytes that tarfile may ask for at once: a header that claims more is no header of a file's name.
_MOST_AT_ONCE = 2**20
_BLOCK = 512
#: Of the others the standard library reads some, but not in bounded memory.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_OTHER_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}
_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)


class FullError(Exception):
    """More came out than is allowed. Stays in this room."""


class ArchiveError(Exception):
    """A file is no archive, or one of which nothing can be read; the text says why. Stays in this room."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One entry.

    Args:
        name: as the archive has it, ``/`` between its parts.
        obstacle: why it is not unpacked; None for a plain file.
        opened: opens its content.
    """

    name: str
    obstacle: Parsed | None
    opened: Callable[[], IO[bytes]]


@dataclass
class Unpacker:
    """Writes entries below a folder.

    Args:
        folder: empty, and nobody else's.
        most: bytes that may come out in all.
        check: called often; what it raises ends the work.
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

    def unpack(self, file: str) -> None:
        """Unpack an archive as far as it can be; ``trouble`` says why not all of it was.

        Raises:
            ArchiveError: nothing at all can be read.
        """
        with open(file, "rb") as raw:
            take = self._zip if raw.read(2) == b"PK" else self._tar
            raw.seek(0)
            try:
                take(raw)
            except FullError:
                self.trouble = self._too_much()
            except _DAMAGED as error:
                self.trouble = f"damaged or cut off: {_said(error)}"
        if self.trouble and not self.entries:
            raise ArchiveError(self.trouble)

    # -- kinds of archives -------------------------------------------------------------------------------------------
    def _zip(self, raw: IO[bytes]) -> None:
        _check_directory(raw)
        with zipfile.ZipFile(raw) as archive:
            for info in archive.infolist():
                if self._is_last():
                    break
                if not (name := _zip_name(info)).endswith("/"):
                    self._take(_Member(name, _zip_obstacle(archive, info), lambda info=info: archive.open(info)))  # type: ignore[misc]

    def _tar(self, raw: IO[bytes]) -> None:
        with _unpacked(raw) as plain:
            stream = _Forward(plain, self.most + _CHUNK, self.check)
            with tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:  # type: ignore[arg-type]
                while (info := archive.next()) is not None and not self._is_last():
                    archive.members.clear()  # type: ignore[attr-defined]  # kept by tarfile for random access, which nobody wants here
                    if not info.isdir():
                        self._take(_Member(info.name, _tar_obstacle(info), lambda info=info: _content(archive, info)))  # type: ignore[misc]
                    if self.full:
                        raise FullError
                self.trouble = self.trouble or stream.ending()

    def _is_last(self) -> bool:
        """Count an entry; whether it is one too many."""
        self.check()
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            self.trouble = f"only its first {MOST_ENTRIES:,} entries were looked at"
        return self.entries > MOST_ENTRIES

    # -- one entry ---------------------------------------------------------------------------------------------------
    def _take(self, member: _Member) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".git" in parts:  # as a walk passes over it
            return
        name = "/".join(parts) or "(no name)"
        obstacle = _misnamed(member.name, parts) or member.obstacle
        if obstacle is None and self.full:
            obstacle = Parsed(kind_of(name), status="skipped", reason=f"not unpacked: {self._too_much()}")
        if obstacle is not None:
            self.rows.append((member.name if ".." in parts or member.name.startswith("/") else name, obstacle))
            return
        self._write(name, os.path.join(self.folder, *parts), member)

    def _write(self, name: str, file: str, member: _Member) -> None:
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
        except _DAMAGED as error:
            self._drop(name, file, Parsed(kind_of(name), status="failed", reason=f"cannot be unpacked: {_said(error)}"))

    def _copy(self, name: str, source: IO[bytes], target: IO[bytes]) -> None:
        while chunk := source.read(_CHUNK):
            self.check()
            self.out += len(chunk)
            if self.out > self.most:
                raise FullError
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
    if not head.startswith((b"PK", *_PACKED)):
        try:
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            raise ArchiveError(f"not an archive: it begins with {head[:12]!r}") from error


# -- ZIP -------------------------------------------------------------------------------------------------------------
def _check_directory(raw: IO[bytes]) -> None:
    """Refuse a directory that would fill the memory; it stands behind the entries, before a record that says how long it is."""
    size = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, size - 2**16 - 22))
    tail = raw.read()
    raw.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise zipfile.BadZipFile("it has no directory at its end")
    told = int.from_bytes(tail[at + 12 : at + 16], "little")
    if told == 0xFFFFFFFF and (large := tail.rfind(b"PK\x06\x06", 0, at)) >= 0:
        told = int.from_bytes(tail[large + 40 : large + 48], "little")
    if MOST_DIRECTORY < told < size or told == 0xFFFFFFFF:
        raise zipfile.BadZipFile(f"its directory has {told:,} bytes")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of an entry. Where it is not marked as UTF-8 it often is all the same; tools of Windows write ``\\``."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = info.filename
    return name.replace("\\", "/") if info.create_system == 0 else name


def _zip_obstacle(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Parsed | None:
    mode = info.external_attr >> 16
    kind = kind_of(_zip_name(info))
    if info.flag_bits & 1:
        return Parsed(kind, status="skipped", reason="encrypted: unpack the archive with its password, and read the folder")
    if info.compress_type not in _METHODS:
        method = _OTHER_METHODS.get(info.compress_type, f"number {info.compress_type}")
        return Parsed(kind, status="skipped", reason=f"packed by a method that is not read: {method}")
    if info.create_system == 3 and stat.S_ISLNK(mode):
        try:
            with archive.open(info) as stream:
                target = os.fsdecode(stream.read(4096))
        except _DAMAGED:
            target = "?"
        return _link(target)
    if info.create_system == 3 and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Parsed("other", status="skipped", reason="not a file: never unpacked")
    return None


# -- tar -------------------------------------------------------------------------------------------------------------
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
        return _link(info.linkname)
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


def _link(target: str) -> Parsed:
    return Parsed("link", status="skipped", reason=f"a link to {target}: links of an archive are not followed")


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
