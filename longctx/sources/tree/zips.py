"""What a ZIP file holds: entries by their names, and their contents in bounded memory.

The standard library's own reader asks bzip2 and LZMA for all that comes out of a piece at once, which may be any number of
bytes; here they are asked for no more than is wanted.
"""

from __future__ import annotations

import bz2
import copy
import io
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, cast

from longctx.sources.kinds import kind_of
from longctx.sources.parsed import Parsed
from longctx.sources.tree.members import DAMAGED, XZ_MEMORY, Member, link_to

#: Bytes of a ZIP file's own directory, which is held in memory several times over.
MOST_DIRECTORY = 64 * 2**20
#: How an entry, an empty file, and a file of several parts begin.
HEADS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_CHUNK = 2**16
_BY_LIBRARY = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_OTHER_METHODS = {9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd"}
_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def has_directory(raw: IO[bytes]) -> bool:
    """Whether a file ends as a ZIP file does, whatever it begins with: a program that unpacks itself is one, too."""
    return _directory_end(raw)[0] >= 0


def check_directory(raw: IO[bytes]) -> None:
    """Refuse a directory that would fill the memory; it stands behind the entries, before a record that says how long it is.

    Args:
        raw: of the file; left at its beginning.

    Raises:
        zipfile.BadZipFile: it is too large, or missing.
    """
    at, tail, size = _directory_end(raw)
    if at < 0:
        raise zipfile.BadZipFile("it has no directory at its end")
    told = int.from_bytes(tail[at + 12 : at + 16], "little")
    if told == 0xFFFFFFFF and (large := tail.rfind(b"PK\x06\x06", 0, at)) >= 0:
        told = int.from_bytes(tail[large + 40 : large + 48], "little")
    if MOST_DIRECTORY < told < size or told == 0xFFFFFFFF:
        raise zipfile.BadZipFile(f"its directory has {told:,} bytes")


def members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """The entries that are no folders."""
    for info in archive.infolist():
        name = _name(info)
        if not name.endswith("/"):
            yield Member(name, _obstacle(archive, info), partial(_content, archive, info), info.file_size)


def made_by_git(archive: zipfile.ZipFile) -> bool:
    """Whether ``git archive`` made it, which leaves the name of the commit."""
    return _COMMIT.fullmatch(archive.comment) is not None


def _directory_end(raw: IO[bytes]) -> tuple[int, bytes, int]:
    """Where in the last bytes of a file the record stands that ends it (-1: nowhere), these bytes, and the file's size."""
    size = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, size - 2**16 - 22))
    tail = raw.read()
    raw.seek(0)
    return tail.rfind(b"PK\x05\x06"), tail, size


def _name(info: zipfile.ZipInfo) -> str:
    """The name of an entry. Where it is not marked as UTF-8 it often is all the same; tools of Windows write ``\\``."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = info.filename
    return name.replace("\\", "/") if info.create_system == 0 else name


def _obstacle(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Parsed | None:
    mode = info.external_attr >> 16
    kind = kind_of(_name(info))
    if info.flag_bits & 1:
        return Parsed(kind, status="skipped", reason="encrypted: unpack the archive with its password, and read the folder")
    if info.compress_type not in _BY_LIBRARY and info.compress_type not in _DECODERS:
        method = _OTHER_METHODS.get(info.compress_type, f"number {info.compress_type}")
        return Parsed(kind, status="skipped", reason=f"packed by a method that is not read: {method}")
    if info.create_system == 3 and stat.S_ISLNK(mode):
        try:
            with _content(archive, info) as stream:
                target = os.fsdecode(stream.read(4096))
        except DAMAGED:
            target = "?"
        return link_to(target)
    if info.create_system == 3 and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Parsed("other", status="skipped", reason="not a file: never unpacked")
    return None


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.compress_type in _BY_LIBRARY:
        return archive.open(info)
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC  # of what comes out
    return cast(IO[bytes], _Decoded(archive.open(packed), info))


class _Decoded(io.RawIOBase):
    """An entry that is packed with bzip2 or LZMA."""

    def __init__(self, packed: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._packed = packed
        self._decoder = _DECODERS[info.compress_type](packed)
        self._left, self._expected, self._sum = info.file_size, info.CRC, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._next(min(len(buffer), self._left))
        self._left -= len(data)
        self._sum = zlib.crc32(data, self._sum)
        if not data and (self._left or self._sum != self._expected):
            raise zipfile.BadZipFile("bad CRC-32" if not self._left else "it ends too early")
        buffer[: len(data)] = data
        return len(data)

    def _next(self, most: int) -> bytes:
        data = b""
        while most and not data and not self._decoder.eof:
            more = self._packed.read(_CHUNK) if self._decoder.needs_input else b""
            if not more and self._decoder.needs_input:
                break
            data = self._decoder.decompress(more, most)
        return data


def _lzma(packed: IO[bytes]) -> lzma.LZMADecompressor:
    """A decoder by the properties before the data: a version, their length, and those of LZMA itself (APPNOTE.TXT, 5.8.8)."""
    head = packed.read(9)
    if len(head) < 9 or head[2:4] != b"\x05\x00":
        raise lzma.LZMAError("unknown properties")
    dictionary = int.from_bytes(head[5:9], "little")
    if dictionary > XZ_MEMORY:
        raise lzma.LZMAError(f"it looks back {dictionary:,} bytes")
    rest, lc = divmod(head[4], 9)
    pb, lp = divmod(rest, 5)
    return lzma.LZMADecompressor(
        lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
    )


_DECODERS: dict[int, Callable[[IO[bytes]], bz2.BZ2Decompressor | lzma.LZMADecompressor]] = {
    zipfile.ZIP_BZIP2: lambda _packed: bz2.BZ2Decompressor(),
    zipfile.ZIP_LZMA: _lzma,
}
