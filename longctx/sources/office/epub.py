"""EPUB books: chapters in the order of their spine, with their titles and pictures. Runs in the worker process.

Numbers count the paragraphs of one chapter as they are read, rows of tables included.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from longctx.sources.office.formats import RefusedError
from longctx.sources.office.html import decoded, with_pictures
from longctx.sources.office.made import Findings, Line, Part, name, pictured, replies
from longctx.sources.office.markup import Image, Walker
from longctx.sources.office.package import opened, read_member

Reply = Mapping[str, Any]

#: Chapters of one book.
MOST_CHAPTERS = 5000
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def blocks(file: str) -> Iterator[Reply]:
    """The chapters of a book, as :func:`longctx.sources.office.made.replies` hands them over.

    Args:
        file: the absolute path.
    """
    yield from replies(lambda findings: _parts(file, findings), file)


def _parts(file: str, findings: Findings) -> Iterator[Part]:
    with opened(file, "epub") as archive:
        _refuse_protected(archive)
        root = _package(archive)
        folder, package = posixpath.dirname(root), _tree(archive, root)
        chapters = _spine(package, folder)[:MOST_CHAPTERS]
        titles = _titles(archive, package, folder)
        names = set(archive.namelist())
        for number, chapter in enumerate(chapters, start=1):
            if chapter not in names:
                findings.left["chapter that is missing in the file"] += 1
                continue
            yield _chapter(archive, chapter, number, titles.get(chapter, ""), findings)


def _chapter(archive: zipfile.ZipFile, path: str, number: int, title: str, findings: Findings) -> Part:
    found = decoded(read_member(archive, path))
    walker = Walker(whole=True)
    lines = [replace(line, first=place, last=place) for place, line in _numbered(walker.read(found.text if found else ""))]
    heading = next((line.text.lstrip("# ") for line in lines if line.level), "")
    shown = name(title or heading or walker.title)
    part = f"chapter {number}{f' ({shown})' if shown else ''}"
    return Part(part, "paragraph", list(with_pictures(lines, _pictures(archive, path, walker, lines, findings))), shown)


def _numbered(lines: Sequence[Line]) -> Iterator[tuple[int, Line]]:
    """Lines with the number of their paragraph; the rule of a table belongs to the row above it."""
    number = 0
    for line in lines:
        number += not line.text.startswith("| --- |") and line.text != "```"
        yield max(1, number), line


def _pictures(
    archive: zipfile.ZipFile, path: str, walker: Walker, lines: Sequence[Line], findings: Findings
) -> Iterator[tuple[Image, Line]]:
    names = set(archive.namelist())
    for image in walker.images:
        member = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(image.address)))
        if member not in names:
            findings.left["picture that lies elsewhere"] += 1
            continue
        place = lines[min(image.place, len(lines) - 1)].first if lines else 1
        data = read_member(archive, member)
        yield from ((image, line) for line in pictured({"member": member}, data, findings, place, place))


# -- the book's own lists ----------------------------------------------------------------------------------------------
def _refuse_protected(archive: zipfile.ZipFile) -> None:
    """Fonts may be disguised; chapters that are cannot be read."""
    if "META-INF/encryption.xml" in archive.namelist():
        methods = [
            one.get("Algorithm", "")
            for one in _tree(archive, "META-INF/encryption.xml").iter()
            if _local(one) == "EncryptionMethod"
        ]
        if any(method not in _FONTS for method in methods):
            raise RefusedError("encrypted: the book is protected (DRM)")


def _package(archive: zipfile.ZipFile) -> str:
    for one in _tree(archive, "META-INF/container.xml").iter():
        if _local(one) == "rootfile" and (path := one.get("full-path")):
            return path
    raise RefusedError("damaged: it does not say where the book begins")


def _items(package: ElementTree.Element, folder: str) -> dict[str, tuple[str, ElementTree.Element]]:
    """Path and entry of every file of the book, by its id."""
    return {one.get("id", ""): (_inside(folder, one.get("href", "")), one) for one in package.iter() if _local(one) == "item"}


def _spine(package: ElementTree.Element, folder: str) -> list[str]:
    items = _items(package, folder)
    wanted = [one.get("idref", "") for one in package.iter() if _local(one) == "itemref"]
    chapters = [items[one][0] for one in dict.fromkeys(wanted) if one in items]
    if not chapters:
        raise RefusedError("damaged: it lists no chapters")
    return chapters


def _titles(archive: zipfile.ZipFile, package: ElementTree.Element, folder: str) -> dict[str, str]:
    """Titles of chapters by their paths, out of the table of contents, new or old."""
    names = set(archive.namelist())
    found: dict[str, str] = {}
    for path, item in _items(package, folder).values():
        is_new = "nav" in (item.get("properties") or "").split()
        if path in names and (is_new or item.get("media-type") == "application/x-dtbncx+xml"):
            for target, title in _contents(_tree(archive, path), is_new=is_new):
                found.setdefault(_inside(posixpath.dirname(path), target), title)
    return found


def _contents(tree: ElementTree.Element, *, is_new: bool) -> Iterator[tuple[str, str]]:
    for one in tree.iter():
        if is_new and _local(one) == "a":
            yield one.get("href", ""), "".join(one.itertext())
        elif not is_new and _local(one) == "navPoint":
            label = next((node.text or "" for node in one.iter() if _local(node) == "text"), "")
            yield next((node.get("src", "") for node in one.iter() if _local(node) == "content"), ""), label


def _inside(folder: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(target.partition("#")[0])))


def _tree(archive: zipfile.ZipFile, path: str) -> ElementTree.Element:
    data = read_member(archive, path)
    if b"<!ENTITY" in data.replace(b"\x00", b""):
        raise RefusedError("refused: it declares entities, which a sound book never does")
    return ElementTree.fromstring(data)  # noqa: S314 (it declares no entities)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
