"""What stands on a page besides its text: fields of a form, notes and highlights, where links lead.

Each is told in a line or two of its own with its box. What a field or a note shows as text is not told twice: the boxes whose
text is told here are handed back with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longctx.corpus import Box
from longctx.sources.parsed import sound
from longctx.sources.pdf.lines import middle_in, turn, union
from longctx.sources.pdf.tables import Word

if TYPE_CHECKING:
    import pymupdf

FIELDS, NOTES, LINKS = "fields of the form", "annotation", "links"
#: Kinds of annotations as PDF numbers them: those that are no annotation of a reader's, those that mark words.
_LINK, _POPUP, _WIDGET, _FREE_TEXT = 1, 16, 21, 2
_MARKS = {8: "Highlighted", 9: "Underlined", 10: "Underlined", 11: "Struck out"}
_OTHERS = {0: "Note", 2: "Text", 12: "Marked for removal", 13: "Stamp", 17: "Attached file"}
#: Flags of an annotation that nobody sees.
_UNSEEN = 2 | 32
#: Characters of fields or links that are told in one part; annotations and links of a page that are looked at.
_PART, _MOST = 500, 2000

#: Box on the page as a reader sees it, text, heading.
Extra = tuple[Box, str, str]


@dataclass
class Extras:
    """What was found besides the text.

    Args:
        parts: box in the page's own frame, text, heading.
        told: boxes, in the page's own frame, of what is drawn as text on the page and is told in the parts.
        unseen: whether there is an annotation that nobody sees.
        lost: whether they are damaged and cannot be read.
        more: how many there are that were not looked at.
    """

    parts: list[Extra] = field(default_factory=list)
    told: list[Box] = field(default_factory=list)
    unseen: bool = False
    lost: bool = False
    more: int = 0


def extras(page: pymupdf.Page, words: Callable[[], Sequence[Word]]) -> Extras:
    """Fields, annotations and links of a page.

    Args:
        page: of an open document.
        words: gives the words of the page with their boxes in its own frame.
    """
    kinds = Counter(kind for _, kind, _ in page.annot_xrefs() if kind != _POPUP)
    notes = kinds.total() - kinds[_WIDGET] - kinds[_LINK]
    found = Extras(more=sum(max(0, number - _MOST) for number in (kinds[_WIDGET], kinds[_LINK], notes)))
    if kinds[_WIDGET]:
        _add_fields(page, found)
    if notes:
        _add_notes(page, words, found)
    if kinds[_LINK]:
        found.parts += _gathered(_links(page, words), LINKS)
    return found


# -- forms -----------------------------------------------------------------------------------------------------------
def _add_fields(page: pymupdf.Page, found: Extras) -> None:
    told: list[tuple[Box, str]] = []
    for _, widget in zip(range(_MOST), page.widgets(), strict=False):
        text = _field(widget)
        if text:
            told.append((tuple(widget.rect), text))
    found.told += [box for box, _ in told]
    found.parts += _gathered(told, FIELDS)


def _field(widget: pymupdf.Widget) -> str:
    """A field as ``name: value``, a box to tick as ``[x] name``; empty for a button that only does something."""
    import pymupdf

    name = _name(widget)
    value = sound(_value(widget.field_value)).strip()
    kind = widget.field_type
    if kind == pymupdf.PDF_WIDGET_TYPE_BUTTON:
        return ""
    if kind in (pymupdf.PDF_WIDGET_TYPE_CHECKBOX, pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON):
        state = widget.on_state()
        ticked = value not in ("", "Off", "False") and (value == "True" or value == str(state) or not state)
        is_choice = kind == pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON and state not in (None, "", "Yes", "On")
        return f"[{'x' if ticked else ' '}] {name}{f': {sound(str(state))}' if is_choice else ''}"
    if kind == pymupdf.PDF_WIDGET_TYPE_SIGNATURE:
        return f"{name}: {'signed' if widget.is_signed else 'not signed'}"
    if kind == pymupdf.PDF_WIDGET_TYPE_TEXT and (widget.field_flags or 0) & pymupdf.PDF_TX_FIELD_IS_PASSWORD:
        return f"{name}: (a password)" if value else f"{name}: (empty)"
    return f"{name}: {value or '(empty)'}"


def _name(widget: pymupdf.Widget) -> str:
    name, label = (sound(text or "").strip() for text in (widget.field_name, widget.field_label))
    return f"{label} ({name})" if label and name and label != name else label or name or "field without a name"


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return "" if value is None else str(value)


# -- annotations -----------------------------------------------------------------------------------------------------
def _add_notes(page: pymupdf.Page, words: Callable[[], Sequence[Word]], found: Extras) -> None:
    import pymupdf

    for _, annotation in zip(range(_MOST), page.annots(), strict=False):
        areas = _areas(annotation)
        place = union(areas) if areas else tuple(annotation.rect)
        text = _note(annotation, areas, words)
        if not text:
            continue
        unseen = bool(annotation.flags & _UNSEEN)
        found.unseen |= unseen
        found.parts.append((place, text, f"hidden {NOTES}" if unseen else NOTES))
        if annotation.type[0] == pymupdf.PDF_ANNOT_FREE_TEXT:
            found.told.append(place)


def _note(annotation: pymupdf.Annot, areas: Sequence[Box], words: Callable[[], Sequence[Word]]) -> str:
    """An annotation in words, with its author and the words that it marks; empty where it says nothing."""
    kind = annotation.type[0]
    info = annotation.info
    author, comment = (sound(info.get(key) or "").strip() for key in ("title", "content"))
    by = f" by {author}" if author else ""
    if kind in _MARKS:
        marked = " ".join([text for place, text in words() if any(middle_in(place, box) for box in areas)])
        said = f": {comment}" if comment and comment != marked else ""
        return f"{_MARKS[kind]}{by}: “{marked}”{said}" if marked or comment else ""
    if kind == 17:
        comment = " ".join(filter(None, (sound(annotation.file_info.get("filename") or ""), comment)))
    return f"{_OTHERS.get(kind, 'Comment')}{by}: {comment}" if comment else ""


def _areas(annotation: pymupdf.Annot) -> list[Box]:
    """The four-cornered areas of words that an annotation marks."""
    if annotation.type[0] not in _MARKS:
        return []
    corners = [(float(x), float(y)) for x, y in annotation.vertices or ()]
    return [union([(x, y, x, y) for x, y in corners[at : at + 4]]) for at in range(0, len(corners) - 3, 4)]


# -- links -----------------------------------------------------------------------------------------------------------
def _links(page: pymupdf.Page, words: Callable[[], Sequence[Word]]) -> list[tuple[Box, str]]:
    """Links that lead out of the document, as Markdown; not those whose words are the address itself."""
    import pymupdf

    own = ~pymupdf.Matrix(*turn(page)) if page.rotation else None  # other than annotations, links come as they are seen
    boxes: dict[str, list[Box]] = {}
    link = page.first_link
    for _ in range(_MOST):
        if link is None:
            break
        if link.is_external and (target := sound(link.uri or "").strip()):
            box = link.rect if own is None else (link.rect * own).normalize()
            boxes.setdefault(target, []).append(tuple(box))
        link = link.next
    told = []
    for target, places in boxes.items():
        text = " ".join(dict.fromkeys(" ".join(t for b, t in words() if middle_in(b, place)) for place in places)).strip()
        if not _says(text, target):
            told.append((union(places), f"[{text.replace('[', '(').replace(']', ')')}](<{target}>)" if text else f"<{target}>"))
    return told


def _says(text: str, target: str) -> bool:
    """Whether the words of a link are its address, so that nothing is lost."""
    said = "".join(text.split()).casefold().strip(".,;:()<>")
    plain = target.casefold().removeprefix("mailto:").rstrip("/")
    return bool(said) and (plain in said or plain.partition("://")[2].removeprefix("www.") == said.removeprefix("www."))


# -- parts -----------------------------------------------------------------------------------------------------------
def _gathered(told: Sequence[tuple[Box, str]], heading: str) -> Iterator[Extra]:
    """Lines that follow each other as parts."""
    some: list[tuple[Box, str]] = []
    for box, text in told:
        if some and sum(len(one) + 1 for _, one in some) + len(text) > _PART:
            yield union([place for place, _ in some]), "\n".join(one for _, one in some), heading
            some = []
        some.append((box, text))
    if some:
        yield union([place for place, _ in some]), "\n".join(one for _, one in some), heading
