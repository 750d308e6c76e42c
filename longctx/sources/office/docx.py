"""Word documents: headings, lists, tables, links, notes, comments, text boxes, by paragraph. Runs in the worker process.

Numbers count the paragraphs of the body and the rows of its tables, empty ones too; what hangs on a paragraph (a note, a
comment, a text box) has its number. Text that was deleted with tracking is left out, text that was inserted is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import hexdigits
from typing import Any

from longctx.errors import require
from longctx.sources.office.formats import RefusedError
from longctx.sources.office.made import Findings, Line, Part, described, name, pictured, plain, replies, table
from longctx.sources.office.numbering import Numbering, W
from longctx.sources.office.package import opened
from longctx.sources.parsed import counted

Reply = Mapping[str, Any]

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
#: Elements whose text is none of the document's, and those that were deleted.
_SILENT = frozenset(
    "pPr rPr tblPr trPr tcPr sectPr instrText delText Fallback fldData footnoteRef endnoteRef annotationRef".split()  # noqa: SIM905
)
_DELETED = frozenset({"del", "moveFrom"})
_INSERTED = frozenset({"ins", "moveTo"})
_BREAKS = {"tab": "\t", "br": " ", "cr": " ", "noBreakHyphen": "-", "softHyphen": "", "ptab": "\t"}
#: Parts of a formula, with the sign that tells them from what stands before them.
_RAISED = {"sup": "^", "sub": "_", "den": "/"}
_LOST = {"OLEObject": "embedded object", "relIds": "diagram", "chart": "chart"}


def blocks(file: str) -> Iterator[Reply]:
    """The paragraphs of a document, as :func:`longctx.sources.office.made.replies` hands them over.

    Args:
        file: the absolute path.
    """
    yield from replies(lambda findings: _parts(file, findings), file)


def _parts(file: str, findings: Findings) -> Iterator[Part]:
    docx = require("docx", extra="documents", feature="reading Word documents")
    with opened(file, "docx"):
        pass
    document = docx.Document(file)
    body = document.element.body
    if body is None:
        raise RefusedError("damaged: it has no body")
    reader = _Reader(document.part, findings)
    yield from _sections(reader.body(body))
    reader.tell()


def _sections(lines: Iterator[Line]) -> Iterator[Part]:
    """A part for what stands under each heading; headings that follow each other without text begin one together."""
    held: list[Line] = []
    title, last = "", ""
    for line in lines:
        if line.level and not all(one.level for one in held):
            yield Part(title, "paragraph", held, last)
            held, last = [], title[1:-1]
        if line.level:
            title = f"“{name(line.text.lstrip('# '))}”"
        held.append(line)
    if held:
        yield Part(title, "paragraph", held, last)


@dataclass
class _Reader:
    """The state of reading one document."""

    part: Any
    findings: Findings
    number: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    after: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.styles = _styles(self._element("styles"))
        self.numbering = Numbering(self._element("numbering"))
        self.comments = {child.get(W + "id"): child for child in _children(self._element("comments"))}
        self.notes = {
            f"{kind}{child.get(W + 'id')}": child
            for kind in ("footnote", "endnote")
            for child in _children(self._element(f"{kind}s"))
        }

    def _element(self, kind: str) -> Any:
        """The root of a part that belongs to the document; None where it has none."""
        from docx.oxml.parser import parse_xml

        for relation in self.part.rels.values():
            if relation.reltype.endswith(f"/{kind}") and not relation.is_external:
                target = relation.target_part
                return target.element if hasattr(target, "element") else parse_xml(target.blob)
        return None

    # -- blocks --------------------------------------------------------------------------------------------------------
    def body(self, element: Any) -> Iterator[Line]:
        """The paragraphs and tables inside an element, in order."""
        for child in element:
            kind = _local(child)
            if kind == "p":
                self.number += 1
                yield from self._paragraph(child)
            elif kind == "tbl":
                yield from self._table(child)
            elif kind == "altChunk":
                self.findings.left["embedded document"] += 1
            elif kind not in _SILENT and kind not in _DELETED:
                yield from self.body(child)

    def _paragraph(self, paragraph: Any) -> Iterator[Line]:
        level, list_id, depth = self._look(paragraph)
        mark = self.numbering.mark(list_id, depth) if list_id else ""
        text = plain(self.inline(paragraph))
        if text:
            yield Line(f"{'#' * level} " * bool(level) + mark + text, self.number, self.number, level)
        yield from self._hanging(self.number, self.number)

    def _hanging(self, first: int, last: int) -> Iterator[Line]:
        """Notes, comments, text boxes and pictures that the last paragraphs mention."""
        while self.after:
            yield Line(self.after.pop(0), first, last)
        pictures, self.pictures = self.pictures, []
        for relation in pictures:
            target = self.part.rels.get(relation)
            if target is None or target.is_external:
                self.findings.left["picture that lies elsewhere"] += 1
                continue
            address = {"member": str(target.target_part.partname).lstrip("/")}
            yield from pictured(address, target.target_part.blob, self.findings, first, last)

    def _look(self, paragraph: Any) -> tuple[int, str, int]:
        """Level of a heading (0 for none), and list and its level where it is of one."""
        properties = paragraph.find(W + "pPr")
        style = _value(properties, "pStyle")
        level, list_id, depth = self.styles.get(style, (0, "", 0))
        outline = _value(properties, "outlineLvl")
        level = int(outline) + 1 if outline.isdigit() and int(outline) < 6 else level
        numbered = None if properties is None else properties.find(W + "numPr")
        if numbered is not None:
            list_id, depth = _value(numbered, "numId") or list_id, _depth(numbered)
        return level, "" if list_id == "0" else list_id, depth

    def _table(self, element: Any) -> Iterator[Line]:
        rows = []
        for line in _inner(element, "tr"):
            self.number += 1
            if line.find(f"{W}trPr/{W}del") is not None:
                self.counts["deleted"] += 1
                continue
            rows.append((list(self._cells(line)), self.number, self.number))
        yield from table(rows)
        yield from self._hanging(rows[0][1] if rows else self.number, self.number)

    def _cells(self, line: Any) -> Iterator[str]:
        for cell in _inner(line, "tc"):
            properties = cell.find(W + "tcPr")
            merged = None if properties is None else properties.find(W + "vMerge")
            joins = merged is not None and merged.get(W + "val", "continue") == "continue"
            yield "" if joins else plain(self._inside(cell))
            span = _value(properties, "gridSpan")
            yield from [""] * (min(int(span), 64) - 1 if span.isdigit() else 0)

    def _inside(self, element: Any) -> str:
        """The text of all paragraphs in a cell or a box, tables in it included."""
        return " ".join(
            self.inline(child) if _local(child) == "p" else self._inside(child)
            for child in element
            if _local(child) not in _SILENT
        )

    # -- inside of a paragraph -----------------------------------------------------------------------------------------
    def inline(self, element: Any) -> str:
        """The text of an element, links in Markdown; what hangs on it is put aside."""
        return "".join(self._piece(child, _local(child)) for child in element)

    def _piece(self, child: Any, kind: str) -> str:
        if kind == "t":
            return child.text or ""
        if kind in _BREAKS:
            return _BREAKS[kind]
        if kind in _RAISED:
            return _RAISED[kind] + _grouped(self.inline(child))
        if kind == "rPr":
            self.counts["hidden"] += child.find(W + "vanish") is not None
        if kind in _SILENT:
            return ""
        if kind in _DELETED or kind in _INSERTED:
            self.counts["deleted" if kind in _DELETED else "inserted"] += 1
            return "" if kind in _DELETED else self.inline(child)
        if kind in _SPECIAL:
            return str(_SPECIAL[kind](self, child))
        if kind in _LOST:
            self.findings.left[_LOST[kind]] += 1
        return self.inline(child)

    def _link(self, link: Any) -> str:
        text = self.inline(link)
        relation = self.part.rels.get(link.get(_R + "id", ""))
        target = plain(relation.target_ref)[:300] if relation is not None and relation.is_external else ""
        return f"[{text}]({target})" if target and target != text else text

    def _note(self, reference: Any) -> str:
        kind, identity = _local(reference).removesuffix("Reference"), reference.get(W + "id", "")
        note = self.notes.pop(f"{kind}{identity}", None)
        mark = f"[^{identity}]" if kind == "footnote" else f"[^e{identity}]"
        if note is not None:
            self.after.append(f"{mark}: {plain(self._inside(note))}")
        return mark

    def _comment(self, reference: Any) -> str:
        comment = self.comments.pop(reference.get(W + "id"), None)
        if comment is not None:
            author = name(comment.get(W + "author", ""))
            self.after.append(f"[Comment{f' by {author}' if author else ''}: {plain(self._inside(comment))}]")
        return ""

    def _box(self, box: Any) -> str:
        if text := plain(self._inside(box)):
            self.after.append(f"[Text box: {text}]")
        return ""

    def _picture(self, picture: Any) -> str:
        relation = picture.get(_R + "embed") or picture.get(_R + "id") or picture.get(_R + "link")
        self.pictures += [relation] if relation else []
        return ""

    def _symbol(self, symbol: Any) -> str:
        """A sign by its number; in a font of signs the number says nothing."""
        number = symbol.get(W + "char", "")
        code = int(number, 16) if len(number) == 4 and all(one in hexdigits for one in number) else 0xF000
        if 0xD800 <= code <= 0xF8FF:
            self.findings.left["sign of a font of its own"] += 1
            return ""
        return chr(code)

    def _choice(self, alternatives: Any) -> str:
        """Of several forms of one thing the first; the others say the same for older programs."""
        return "".join(self.inline(child) for child in list(alternatives)[:1])

    def _described(self, properties: Any) -> str:
        """What a picture shows, where its author has said so."""
        text = described(properties.get("descr", ""))
        self.after += [text] if text else []
        return ""

    def tell(self) -> None:
        """What is to be said about the document as a whole."""
        counts, flags = self.counts, self.findings.flags
        if counts["inserted"] or counts["deleted"]:
            inserted, deleted = counted(counts["inserted"], "insertion"), counted(counts["deleted"], "deletion")
            flags.append(f"tracked changes: {inserted} read, {deleted} left out")
        if counts["hidden"]:
            flags.append(f"{counted(counts['hidden'], 'hidden piece')} of text read")
        margins = [
            r.target_part for r in self.part.rels.values() if r.reltype.endswith(("/header", "/footer")) and not r.is_external
        ]
        self.findings.left["header or footer"] += sum(b"<w:t>" in part.blob or b"<w:t " in part.blob for part in margins)


_SPECIAL: Mapping[str, Any] = {
    "hyperlink": _Reader._link,
    "footnoteReference": _Reader._note,
    "endnoteReference": _Reader._note,
    "commentReference": _Reader._comment,
    "txbxContent": _Reader._box,
    "blip": _Reader._picture,
    "imagedata": _Reader._picture,
    "sym": _Reader._symbol,
    "AlternateContent": _Reader._choice,
    "docPr": _Reader._described,
}


def _grouped(formula: str) -> str:
    return formula if len(formula) == 1 or formula.isalnum() else f"({formula})"


def _styles(root: Any) -> dict[str, tuple[int, str, int]]:
    """For each paragraph style the level of a heading, and list and level, its own or those of the style below it."""
    elements = {style.get(W + "styleId", ""): style for style in _children(root) if _local(style) == "style"}
    found: dict[str, tuple[int, str, int]] = {}
    for identity in elements:
        level, list_id, depth = 0, "", 0
        current, met = identity, set[str]()
        while current in elements and current not in met:
            met.add(current)
            style = elements[current]
            level = level or _heading_level(style)
            numbered = style.find(f"{W}pPr/{W}numPr")
            if numbered is not None and not list_id:
                list_id, depth = _value(numbered, "numId"), _depth(numbered)
            current = _value(style, "basedOn")
        found[identity] = (level, list_id, depth)
    return found


def _heading_level(style: Any) -> int:
    """From 1; the names of built-in styles are English in the file, whatever Word shows."""
    title = _value(style, "name").lower()
    outline = _value(style.find(W + "pPr"), "outlineLvl")
    if title == "title":
        return 1
    if title.startswith("heading ") and title[8:].isdigit():
        return max(1, min(6, int(title[8:])))
    return int(outline) + 1 if outline.isdigit() and int(outline) < 6 else 0


def _depth(numbered: Any) -> int:
    depth = _value(numbered, "ilvl")
    return min(int(depth), 8) if depth.isdigit() and len(depth) < 3 else 0


def _inner(element: Any, kind: str) -> Iterator[Any]:
    """Children of a kind, also those that a content control or a tracked change wraps; not those of inner tables."""
    for child in element:
        if _local(child) == kind:
            yield child
        elif _local(child) in ("sdt", "sdtContent", "customXml", "ins"):
            yield from _inner(child, kind)


def _children(element: Any) -> list[Any]:
    return [] if element is None else list(element)


def _value(element: Any, child: str) -> str:
    found = None if element is None else element.find(W + child)
    return "" if found is None else str(found.get(W + "val", ""))


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
