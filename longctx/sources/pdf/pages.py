"""What the worker replies about a document: how many pages it has, then one reply for each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from longctx.corpus import Box
from longctx.sources.page_text import HIDDEN
from longctx.sources.parsed import sound
from longctx.sources.pdf import document as documents
from longctx.sources.pdf.document import opened
from longctx.sources.pdf.drawings import drawings
from longctx.sources.pdf.extras import Extras, extras
from longctx.sources.pdf.figures import figures, together
from longctx.sources.pdf.hidden import Judge
from longctx.sources.pdf.layout import PART, Part, parts_of
from longctx.sources.pdf.lines import (
    Frame,
    Line,
    Paint,
    chars,
    framed,
    images,
    middle_in,
    page_dict,
    paints,
    text_blocks,
    turned,
    union,
    unknown,
)
from longctx.sources.pdf.tables import Word, tables

if TYPE_CHECKING:
    import pymupdf

#: Pixels of the longer side at which a page without text is looked at for anything but its background.
GLANCE = 100
#: Characters below which what stands on the picture of a scan, such as a stamp or a page number, is not what it says.
FEW = 150
#: Names of files and of layers that are told.
MOST_NAMES = 20
#: Share of a page's letters of which the file does not say what they are, from which its text is none; how many are worth a
#: word, and their share.
GARBLED, SOME, SOME_OF_THEM = 0.5, 5, 0.02
_ENCODED = re.compile(r"<((?:[0-9A-Fa-f]{2})+)>")
#: An annotation whose flags hide it.
UNSEEN_NOTE = "an annotation that is not shown"

Reply = Mapping[str, Any]


def pages(file: str, password: str = "", after: int = 0) -> Iterator[Reply]:
    """What the pages of a document say: one reply for each, after one that tells how many there are; or one error.

    Args:
        file: the absolute path.
        password: that opens it, where it needs one.
        after: the number of the page after which to begin.

    Yields:
        ``pages``, ``repaired``, names of files that are ``attached`` and of layers that are switched ``off``; then of every
        page its number ``page``, and either ``error``, or ``label``, its ``size`` as it is seen, ``shown`` (whether there is
        anything to look at), ``scan`` (whether only its picture tells what it says), ``parts`` (box, text, heading) in reading
        order, ``hidden`` (why some text is not seen), ``figures`` (box, keys of its images, whether its words are in the
        parts), ``small`` (images that are no figures), ``lost`` (whether fields, annotations and links cannot be read),
        ``more`` (how many of these were not looked at), and ``unknown`` (letters of which the file does not say what they are).
    """
    with documents.bounded(file):
        yield from _replies(file, password, after)


def _replies(file: str, password: str, after: int) -> Iterator[Reply]:
    first, last = after, after + 1
    heading = ""
    labels = False
    while first < last:
        document = opened(file, password)
        if isinstance(document, str):
            yield {"error": document}
            return
        with document:
            if first == after:
                last = _count(document)
                labels = _has_labels(document)
                yield {"pages": last, "repaired": bool(document.is_repaired), **_besides(document)}
            for number in range(first, min(first + documents.PAGES_PER_OPENING, last)):
                reply, heading = _page(document, number, heading, labels=labels)
                yield reply
        first += documents.PAGES_PER_OPENING


def _count(document: pymupdf.Document) -> int:
    """How many pages a document has; none where it tells nonsense."""
    try:
        return int(document.page_count)
    except _errors():
        return 0


@cache
def _errors() -> tuple[type[Exception], ...]:
    """What PyMuPDF raises over damaged objects; its own code stumbles over them as well."""
    import pymupdf

    own = pymupdf.mupdf.FzErrorBase
    bindings = (TypeError, AttributeError, AssertionError, SystemError)
    return (RuntimeError, ValueError, LookupError, MemoryError, *bindings, own)


def _besides(document: pymupdf.Document) -> dict[str, list[str]]:
    """Names of what belongs to a document and stands on no page: files in it, and layers that are not shown."""
    try:
        attached = document.embfile_names()[:MOST_NAMES] if document.embfile_count() else []
        layers = [str(layer["name"]) for layer in document.get_ocgs().values() if not layer["on"]]
    except _errors():
        return {"attached": [], "off": []}
    return {"attached": [sound(name) for name in attached], "off": [sound(name) for name in layers[:MOST_NAMES]]}


def _has_labels(document: pymupdf.Document) -> bool:
    try:
        return bool(document.get_page_labels())
    except _errors():
        return True  # each page is asked, and fails for itself


def _page(document: pymupdf.Document, number: int, heading: str, *, labels: bool) -> tuple[Reply, str]:
    """One page's reply, and the heading that holds after it."""
    try:
        page = document[number]
        label = _label(page) if labels else ""
        reply, after = page_reply(page, heading)
    except _errors() as error:
        return {"page": number + 1, "error": str(error) or type(error).__name__}, heading
    return {"page": number + 1, "label": label, **reply}, after


def _label(page: pymupdf.Page) -> str:
    try:
        return sound(_ENCODED.sub(_decoded, page.get_label()))
    except _errors():
        return ""


def _decoded(match: re.Match[str]) -> str:
    """A part of a label that PyMuPDF leaves as it stands in the file, in hexadecimal digits."""
    data = bytes.fromhex(match[1])
    if not data.startswith(b"\xfe\xff"):
        return data.decode("latin-1")
    return data[2:].decode("utf-16-be") if len(data) % 2 == 0 else match[0]


def page_reply(page: pymupdf.Page, heading: str = "") -> tuple[dict[str, Any], str]:
    """What a page says and shows, without its number, and the heading that holds at its end.

    Args:
        page: of an open document.
        heading: that holds at its beginning.
    """
    painted = page_dict(page)
    areas, pictures = paints(painted), images(page)
    judge = Judge(page, areas, pictures)
    words = cache(lambda: _words(page))
    found = _extras(page, words)
    blocks = text_blocks(painted, None if judge.sees_all(painted) else judge)
    seen, hidden = _told_apart(blocks, found.told)
    frame = framed(page, seen)
    plain = frame if frame.direction == (1, 0) else replace(frame, direction=(1, 0))
    odd, letters = unknown(painted)
    if odd > GARBLED * letters:
        seen, hidden = [], []  # its picture tells what it says
    parts, heading, taken = _text(frame, seen, hidden, areas, words, heading)
    written = sum(len(text) for _, text, _ in parts)
    parts += [(plain.seen(box), text, about) for box, text, about in (*found.parts, *_hidden_parts(hidden))]
    shown, small = figures(pictures, judge.size) if written and not judge.layered else ([], 0)
    if written and areas and not judge.layered:
        shown = together(shown, drawings(areas, seen, [*taken, *found.told], judge.size), judge.size)
    reply = {
        "size": [round(value, 1) for value in frame.size],
        "shown": bool(written) or _shows_something(page),
        "scan": not written or (judge.scan and written < FEW),
        "parts": parts,
        "hidden": sorted({line.hidden for line in hidden} | ({UNSEEN_NOTE} if found.unseen else set())),
        "figures": [(plain.seen(figure.box), figure.keys, figure.written) for figure in shown],
        "small": small,
        "lost": found.lost,
        "more": found.more,
        "unknown": odd if odd >= SOME and odd > letters * SOME_OF_THEM else 0,
    }
    return reply, heading


def _text(
    frame: Frame,
    seen: Sequence[Sequence[Line]],
    hidden: Sequence[Line],
    areas: Sequence[Paint],
    words: Callable[[], list[Word]],
    heading: str,
) -> tuple[list[Part], str, list[Box]]:
    """The text of a page in reading order, its tables as Markdown; the heading after it, and the boxes of the tables."""
    blocks = turned(frame, seen)
    unseen = [line.box for line in hidden]
    upright = areas if frame.direction == (1, 0) else [replace(area, box=frame.upright(area.box)) for area in areas]

    def shown() -> list[Word]:
        return [(frame.upright(box), text) for box, text in words() if not any(middle_in(box, one) for one in unseen)]

    ruled = tables(blocks, upright, shown)
    return *parts_of(frame, blocks, ruled, heading), [frame.own(table.box) for table in ruled]


def page_parts(page: pymupdf.Page, heading: str = "") -> tuple[list[Part], str]:
    """The parts of a page in reading order, (box, text, heading), and the heading that holds at its end.

    Args:
        page: of an open document.
        heading: that holds at its beginning.
    """
    reply, after = page_reply(page, heading)
    return reply["parts"], after


def _extras(page: pymupdf.Page, words: Callable[[], list[Word]]) -> Extras:
    """What stands on a page besides its text; where that is damaged, the text can be read all the same."""
    try:
        return extras(page, words)
    except _errors():
        return Extras(lost=True)


def _words(page: pymupdf.Page) -> list[Word]:
    import pymupdf

    flags = pymupdf.TEXTFLAGS_WORDS & ~pymupdf.TEXT_PRESERVE_LIGATURES
    return [((x0, y0, x1, y1), sound(text)) for x0, y0, x1, y1, text, *_ in page.get_text("words", flags=flags)]


def _told_apart(blocks: Sequence[Sequence[Line]], told: Sequence[Box]) -> tuple[list[list[Line]], list[Line]]:
    """Blocks of what is seen, without what is told elsewhere; and the lines that are not seen."""
    hidden = [line for block in blocks for line in block if line.hidden]
    if not hidden and not told:
        return [list(block) for block in blocks], []
    left = [
        [line for line in block if not line.hidden and not any(middle_in(line.box, box) for box in told)] for block in blocks
    ]
    return [block for block in left if block], hidden


def _hidden_parts(hidden: Sequence[Line]) -> Iterator[Part]:
    """Lines that are not seen; those that are hidden in the same way and stand below each other together."""
    some: list[Line] = []
    for line in hidden:
        if some and not (_goes_on(some[-1], line) and chars(some) + len(line.text) <= PART):
            yield _hidden_part(some)
            some = []
        some.append(line)
    if some:
        yield _hidden_part(some)


def _goes_on(before: Line, line: Line) -> bool:
    (x0, y0, x1, y1), (u0, v0, u1, v1) = before.box, line.box
    height = max(y1 - y0, v1 - v0)
    return before.hidden == line.hidden and u0 < x1 and x0 < u1 and v0 < y1 + height and y0 < v1 + height


def _hidden_part(lines: Sequence[Line]) -> Part:
    text = "\n".join([line.text for line in lines])
    return union([line.box for line in lines]), text, f"{HIDDEN}: {lines[0].hidden}"


def _shows_something(page: pymupdf.Page) -> bool:
    """Whether a page holds an image, or drawings that are seen; a sheet of one colour shows nothing."""
    import pymupdf

    painted = [what for what, _ in page.get_bboxlog()]
    if any("im" in what for what in painted):
        return True
    width, height = page.rect.width, page.rect.height
    scale = GLANCE / max(width, height)
    matrix = pymupdf.Matrix(max(1, round(scale * width)) / width, max(1, round(scale * height)) / height)
    return bool(painted) and not page.get_pixmap(matrix=matrix).is_unicolor
