"""Excel workbooks: sheet by sheet, each row a line, with the values that formulas had when it was saved. In the worker process.

Rows keep their numbers, empty ones are passed over. Macros are never run, formulas never computed: one without a kept value
is shown itself. Held in memory is one row at a time.
"""

from __future__ import annotations

import datetime
import os
import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any
from xml.etree import ElementTree

from longctx.errors import require
from longctx.sources.office.made import Findings, Line, Part, described, name, pictured, plain, replies, row
from longctx.sources.office.package import opened, read_member
from longctx.sources.parsed import counted
from longctx.sources.pictures.inside import MOST_BYTES

Reply = Mapping[str, Any]

#: Cells of one row that are read, at most; rows of a sheet, as Excel has them; bytes of one that are searched at once.
MOST_CELLS, MOST_ROWS, _CHUNK = 1000, 2**20, 2**20
#: What is said in the XML of a sheet about how it looks; one tag is never longer than a few hundred bytes.
_TAG = re.compile(rb"<(?:\w+:)?(mergeCell|row|col|f)(?:\s([^>]*))?>")
_HIDDEN = re.compile(rb"""\bhidden=["'](?:1|true)["']""")
_LONGEST_TAG = 2000
_COLUMN = re.compile(r"([A-Z]+)(\d+)")


def blocks(file: str) -> Iterator[Reply]:
    """The rows of a workbook, as :func:`longctx.sources.office.made.replies` hands them over.

    Args:
        file: the absolute path.
    """
    yield from replies(lambda findings: _parts(file, findings), file)


def _parts(file: str, findings: Findings) -> Iterator[Part]:
    # Entities have been refused; the parser in C, which openpyxl else leaves aside, is several times as fast.
    os.environ.setdefault("OPENPYXL_DEFUSEDXML", "False")
    openpyxl = require("openpyxl", extra="documents", feature="reading Excel workbooks")
    with opened(file, "xlsx") as archive:
        options = {"read_only": True, "keep_links": False}
        values = openpyxl.load_workbook(file, data_only=True, **options)
        looks = [_Look(archive, sheet._worksheet_path) for sheet in values.worksheets]
        twins = [None for _ in looks]
        if any(look.computed for look in looks):
            twins = openpyxl.load_workbook(file, data_only=False, **options).worksheets
        hidden = [name(sheet.title) for sheet in values.worksheets if sheet.sheet_state != "visible"]
        if hidden:
            findings.flags.append(f"hidden: sheet{'s' * (len(hidden) > 1)} {', '.join(map(repr, hidden[:20]))}")
        unknown = [0]
        for sheet, twin, look in zip(values.worksheets, twins, looks, strict=True):
            title = f"sheet {name(sheet.title)!r}{' (hidden)' * (sheet.sheet_state != 'visible')}"
            lines = _with_pictures(_lines(sheet, twin if look.computed else None, look, unknown), look, archive, findings)
            yield Part(title, "row", lines, name(sheet.title))
            findings.flags += look.words(title)
        if unknown[0]:
            findings.flags.append(f"{counted(unknown[0], 'formula')} without a kept value: shown itself")
        findings.left["chart"] += _members(archive, "xl/charts/chart")
        findings.left["picture"] += _members(archive, "xl/media/") - len(_placed(looks))
        findings.left["macro project, never run"] += _members(archive, "xl/vbaProject")


def _lines(sheet: Any, twin: Any, look: _Look, unknown: list[int]) -> Iterator[Line]:
    """A line for each row that holds something, comments on its cells below it.

    Args:
        sheet: with the values of its formulas.
        twin: the same sheet with the formulas themselves; None where it has none.
        look: of the sheet.
        unknown: gets the number of formulas whose value is not known added.
    """
    for one in filter(None, (sheet, twin)):
        one.reset_dimensions()  # what a file says about its own extent is often wrong
    rows = zip_longest(sheet.iter_rows(), twin.iter_rows() if twin else (), fillvalue=())
    for number, (cells, written) in enumerate(rows, start=1):
        if number > MOST_ROWS:
            break
        texts = [_shown(cell, written[index : index + 1], unknown) for index, cell in enumerate(cells[:MOST_CELLS])]
        while texts and not texts[-1]:
            texts.pop()
        beyond = sum(cell.value is not None for cell in cells[MOST_CELLS:])
        if texts or beyond:
            yield Line(row(texts) + f" [{counted(beyond, 'more cell')} left out]" * bool(beyond), number, number)
        for comment in look.comments.get(number, ()):
            yield Line(comment, number, number)


def _with_pictures(lines: Iterator[Line], look: _Look, archive: zipfile.ZipFile, findings: Findings) -> Iterator[Line]:
    """Lines of a sheet, with the pictures that lie on it behind the rows at which they begin."""
    waiting = sorted(look.pictures)
    for line in lines:
        while waiting and waiting[0][0] < line.first:
            yield from _picture(*waiting.pop(0), archive, findings)
        yield line
    for one in waiting:
        yield from _picture(*one, archive, findings)


def _picture(number: int, member: str, told: str, archive: zipfile.ZipFile, findings: Findings) -> Iterator[Line]:
    if text := described(told):
        yield Line(text, number, number)
    yield from pictured({"member": member}, read_member(archive, member, MOST_BYTES), findings, number, number)


def _placed(looks: Sequence[_Look]) -> set[str]:
    return {member for look in looks for _, member, _ in look.pictures}


def _shown(cell: Any, written: Sequence[Any], unknown: list[int]) -> str:
    value = cell.value
    if value is None:
        formula = written[0].value if written else None
        if not isinstance(formula, str) or not formula.startswith("="):
            return ""
        unknown[0] += 1
        return formula
    return plain(value) if isinstance(value, str) else shown(value, cell.number_format or "")


def shown(value: Any, number_format: str) -> str:
    """A cell's value as a reader of the sheet would write it.

    Args:
        value: as openpyxl has it.
        number_format: of the cell.

    >>> shown(datetime.datetime(2024, 3, 1), "yyyy-mm-dd"), shown(0.125, "0.0%"), shown(True, ""), shown(3.0, "0")
    ('2024-03-01', '12.5%', 'TRUE', '3')
    """
    match value:
        case bool():
            return str(value).upper()
        case datetime.datetime():
            without_time = value.time() == datetime.time() and "h" not in number_format.lower()
            return value.date().isoformat() if without_time else value.isoformat(" ", "seconds")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case float() | int() if number_format.rstrip(";@ ").endswith("%"):
            return f"{value * 100:.10g}%"
        case float():
            return f"{value:.15g}"
    return plain(str(value))


class _Look:
    """What a sheet's XML says besides the values of its cells.

    Args:
        archive: of the workbook.
        path: of the sheet in it.
    """

    def __init__(self, archive: zipfile.ZipFile, path: str) -> None:
        self.merged: list[str] = []
        self.rows = self.columns = 0
        self.computed = False
        for kind, attributes in _tags(archive, path):
            if kind == b"mergeCell" and (found := re.search(rb"""ref=["']([A-Z0-9:]+)""", attributes)):
                self.merged.append(found[1].decode())
            elif kind == b"f":
                self.computed = True
            elif kind in (b"row", b"col") and _HIDDEN.search(attributes):
                self.rows += kind == b"row"
                self.columns += _breadth(attributes) if kind == b"col" else 0
        self.comments = _comments(archive, path)
        self.pictures = list(_pictures(archive, path))

    def words(self, title: str) -> list[str]:
        """For the row of the workbook.

        Args:
            title: of the sheet, in words.
        """
        told = []
        if self.merged:
            shown = ", ".join(self.merged[:5]) + ("…" if len(self.merged) > 5 else "")
            told.append(f"{title}: merged cells {shown}, their value stands in the first")
        hidden = [
            counted(number, f"hidden {noun}") for number, noun in ((self.rows, "row"), (self.columns, "column")) if number
        ]
        return [*told, *([f"{title}: {' and '.join(hidden)} read"] if hidden else [])]


def _tags(archive: zipfile.ZipFile, path: str) -> Iterator[tuple[bytes, bytes]]:
    """The tags that tell how a sheet looks, a piece of the file at a time."""
    rest = b""
    with archive.open(path) as stream:
        while chunk := stream.read(_CHUNK):
            text, end = rest + chunk, 0
            for found in _TAG.finditer(text):
                end = found.end()
                yield found[1], found[2] or b""
            rest = text[max(end, len(text) - _LONGEST_TAG) :]


def _breadth(attributes: bytes) -> int:
    first, last = (re.search(rb"""\b%s=["'](\d{1,5})""" % which, attributes) for which in (b"min", b"max"))
    return int(last[1]) - int(first[1]) + 1 if first and last else 1


def _comments(archive: zipfile.ZipFile, path: str) -> dict[int, list[str]]:
    """Comments on the cells of a sheet, by the number of their row."""
    found: dict[int, list[str]] = {}
    for target in _related(archive, path, "/comments"):
        for comment in _tree(archive, target).iter():
            place = _COLUMN.fullmatch(comment.get("ref", "")) if comment.tag.endswith("}comment") else None
            text = plain("".join(node.text or "" for node in comment.iter() if node.tag.endswith("}t")))
            if place and text:
                found.setdefault(int(place[2]), []).append(f"[Comment on {place[0]}: {text}]")
    return found


def _pictures(archive: zipfile.ZipFile, path: str) -> Iterator[tuple[int, str, str]]:
    """Pictures that lie on a sheet: the row at which each begins, the member that holds it, what its author says of it."""
    for drawing in _related(archive, path, "/drawing"):
        members = _relations(archive, drawing, "/image")
        for anchor in _tree(archive, drawing):
            row_of = next((one.text or "" for one in anchor.iter() if one.tag.endswith("}row")), "")
            number = int(row_of) + 1 if row_of.isdigit() and len(row_of) < 8 else 1
            told = next((one.get("descr", "") for one in anchor.iter() if one.tag.endswith("}cNvPr")), "")
            for blip in (one for one in anchor.iter() if one.tag.endswith("}blip")):
                names = (value for key, value in blip.attrib.items() if key.endswith("}embed"))
                yield from ((number, members[one], told) for one in names if one in members)


def _related(archive: zipfile.ZipFile, path: str, kind: str) -> Sequence[str]:
    return list(_relations(archive, path, kind).values())


def _relations(archive: zipfile.ZipFile, path: str, kind: str) -> dict[str, str]:
    """The members of a kind to which another one refers, by the names that it has for them."""
    folder, file = posixpath.split(path)
    relations = f"{folder}/_rels/{file}.rels"
    names = set(archive.namelist())
    if relations not in names:
        return {}
    targets = {
        one.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, one.get("Target", ""))).lstrip("/")
        for one in _tree(archive, relations)
        if one.get("Type", "").endswith(kind) and one.get("TargetMode") != "External"
    }
    return {name: target for name, target in targets.items() if target in names}


def _tree(archive: zipfile.ZipFile, path: str) -> ElementTree.Element:
    return ElementTree.fromstring(read_member(archive, path))  # noqa: S314 (members that declare entities were refused)


def _members(archive: zipfile.ZipFile, beginning: str) -> int:
    return sum(one.startswith(beginning) for one in archive.namelist())
