"""Documents that are zip archives: opened only where nothing in them is a bomb. Runs in the worker process.

What the directory of an archive says about sizes is binding, because nothing beyond it is ever unpacked.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from longctx.sources.office.formats import NAMES, RefusedError

#: Bytes that all members come to when they are unpacked, at most; of one that is held as a tree; how many there may be.
MOST_BYTES, MOST_TREE, MOST_MEMBERS = 2**30, 128 * 2**20, 50_000
#: Bytes at the beginning of a member in which entities would be declared.
_PROLOGUE = 2**16
#: How an archive says in its list of types what it is.
_TYPES = {
    b"wordprocessingml.document.main": "docx",
    b"presentationml.presentation.main": "pptx",
    b"ms-powerpoint.presentation.macroEnabled.main": "pptx",
    b"spreadsheetml.sheet.main": "xlsx",
    b"ms-excel.sheet.macroEnabled.main": "xlsx",
    b"spreadsheetml.template.main": "xlsx",
}
_REMARK = re.compile(rb"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_ELEMENT = re.compile(rb"\A[^<]*<[^!?]")
#: What the names of elements begin with in the strict form of the formats, and the members that are looked at for it.
_STRICT, _MAIN = b"http://purl.oclc.org/ooxml/", frozenset({"word/document.xml", "ppt/presentation.xml", "xl/workbook.xml"})
_STREAMED = ("xl/worksheets/", "xl/sharedStrings")


@contextmanager
def opened(file: str, kind: str) -> Iterator[zipfile.ZipFile]:
    """The archive of a document.

    Args:
        file: the absolute path.
        kind: one of :data:`longctx.sources.office.formats.NAMES`.

    Raises:
        RefusedError: it is damaged, encrypted, another document, or a bomb.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise RefusedError("damaged or cut off: its directory cannot be read") from error
    with archive:
        _check_members(archive, kind)
        if kind != "epub":
            _check_type(archive, kind)
            _check_entities(archive)
        yield archive


def read_member(archive: zipfile.ZipFile, name: str, most: int = MOST_TREE) -> bytes:
    """A member, unpacked.

    Raises:
        RefusedError: it is missing, damaged or too large.
    """
    try:
        info = archive.getinfo(name)
        if info.file_size > most:
            raise RefusedError(f"too large: {name} holds {info.file_size:,} bytes")
        return archive.read(info)
    except KeyError as error:
        raise RefusedError(f"damaged: {name} is missing") from error
    except RefusedError:
        raise
    except Exception as error:  # zlib, lzma, bz2 and zipfile have an error each
        raise RefusedError(f"damaged: {name} cannot be unpacked") from error


def _check_members(archive: zipfile.ZipFile, kind: str) -> None:
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise RefusedError("encrypted: it opens with a password only")
    if len(members) > MOST_MEMBERS:
        raise RefusedError(f"too large: {len(members):,} files inside")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise RefusedError(f"too large: {total:,} bytes when it is unpacked")
    for member in members:
        tree = member.filename.endswith((".xml", ".rels")) and not member.filename.startswith(_STREAMED)
        if tree and member.file_size > MOST_TREE:
            raise RefusedError(f"too large: {member.filename} holds {member.file_size:,} bytes, as a {NAMES[kind]} may not")


def _check_type(archive: zipfile.ZipFile, kind: str) -> None:
    types = read_member(archive, "[Content_Types].xml") if "[Content_Types].xml" in archive.namelist() else b""
    found = {known for name, known in _TYPES.items() if name in types}
    if kind not in found:
        what = f"a {NAMES[found.pop()]} under this name" if found else "a zip archive of something else"
        raise RefusedError(f"not a {NAMES[kind]}: {what}")


def _check_entities(archive: zipfile.ZipFile) -> None:
    """No office file declares entities; one that does wants to be expanded, or to have something fetched."""
    for member in archive.infolist():
        if member.filename.endswith((".xml", ".rels", ".vml")):
            try:
                with archive.open(member) as stream:
                    prologue = stream.read(_PROLOGUE).replace(b"\x00", b"")
            except Exception as error:
                raise RefusedError(f"damaged: {member.filename} cannot be unpacked") from error
            if _STRICT in prologue and member.filename in _MAIN:
                raise RefusedError("saved as Strict Open XML, which is not read: save it as a usual document")
            if b"<!DOCTYPE" in prologue or b"<!ENTITY" in prologue:
                raise RefusedError("refused: it declares entities, which a sound document never does")
            # Nothing can be declared any more once the first element has begun.
            if not _ELEMENT.search(_REMARK.sub(b"", prologue)):
                raise RefusedError(f"damaged: {member.filename} holds no XML")
