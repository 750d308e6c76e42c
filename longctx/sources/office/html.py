"""Pages in HTML: what a reader sees of them, line by line, so that file and line hold. Runs in the worker process.

A page that is source rather than a document (a template, or one whose words a script puts there) is left to be read as it
stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from longctx.sources.office.made import Findings, Line, Part, name, pictured, replies
from longctx.sources.office.markup import Image, Walker, embedded
from longctx.sources.parsed import counted
from longctx.sources.pictures.inside import decoded as from_base64
from longctx.sources.texts.decoding import Decoded, decode

Reply = Mapping[str, Any]

#: Bytes of a page; most of a larger one are pictures or data.
MOST_BYTES = 64 * 2**20
#: Words that a page must show to be a document, and characters of markup for each at most.
_LEAST_CHARS, _MOST_MARKUP = 80, 200
#: What template languages write; in a page for readers it stands in examples only, which are set in code.
_TEMPLATE = re.compile(
    r"<\?(?:php|=)|<%|\{%[-+]? *\w+|\{\{[^}\n]{1,200}\}\}|\{#[^}\n]{0,500}#\}"
    r"|\s(?:v-(?:if|for|model|bind)|ng-\w+|\*ng\w+|x-data|th:\w+|wx:\w+)="
)
_CODE = re.compile(r"<(/?)(pre|code|script|style)\b", re.IGNORECASE)
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_LONE_RETURN = re.compile(r"\r(?!\n)")


def blocks(file: str) -> Iterator[Reply]:
    """What a page says, as :func:`longctx.sources.office.made.replies` hands it over; or ``source``, where it is no document.

    Args:
        file: the absolute path.
    """
    with open(file, "rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    found = decoded(data[:MOST_BYTES])
    if found is None or is_template(found.text):
        yield {"source": True}
        return
    walker = Walker()
    lines = walker.read(_LONE_RETURN.sub("\n", found.text))
    shown = sum(len(line.text) for line in lines)
    plain_markup = len(found.text) - sum(len(address) for _, address in embedded(walker.images))
    if shown < _LEAST_CHARS or shown * _MOST_MARKUP < plain_markup:
        yield {"source": True}
        return
    cut = len(data) > MOST_BYTES
    yield from replies(lambda findings: _parts(walker, lines, data, findings, found.note, cut=cut), file)


def _parts(walker: Walker, lines: Sequence[Line], data: bytes, findings: Findings, note: str, *, cut: bool) -> Iterator[Part]:
    yield Part("", "line", with_pictures(lines, _pictures(walker, data, findings)), name(walker.title))
    findings.left.update(walker.left)
    findings.flags += [note] if note else []
    findings.flags += [f"only its first {MOST_BYTES:,} bytes are read"] if cut else []
    findings.flags += [f"{counted(walker.hidden, 'hidden element')} read"] if walker.hidden else []


def _pictures(walker: Walker, data: bytes, findings: Findings) -> Iterator[tuple[Image, Line]]:
    """Pictures that lie in the page; where they stand in its bytes is found by their base64 itself."""
    at = 0
    for image, written in embedded(walker.images):
        raw = written.encode("utf-8", "replace")
        start = data.find(raw, at)
        if start < 0:
            findings.left["picture that is written with line breaks"] += 1
            continue
        at = start + len(raw)
        try:
            picture = from_base64(raw)
        except ValueError:
            picture = b""
        address = {"start": start, "length": len(raw)}
        yield from ((image, line) for line in pictured(address, picture, findings, image.line, image.line))


def with_pictures(lines: Sequence[Line], pictures: Iterator[tuple[Image, Line]]) -> Iterator[Line]:
    """Lines with the pictures behind the line on which they stand.

    Args:
        lines: of a page.
        pictures: with their places in it, ascending.
    """
    done = 0
    for image, picture in pictures:
        place = min(len(lines), image.place + 1)
        yield from lines[done:place]
        done = max(done, place)
        yield picture
    yield from lines[done:]


def is_template(text: str) -> bool:
    """Whether a page is the source of pages, or of a program.

    >>> is_template("<p>{% block content %}</p>"), is_template("<p>Write <code>{{ name }}</code> there.</p>")
    (True, False)
    """
    return any(_TEMPLATE.search(stretch) for stretch in _besides_code(text))


def _besides_code(text: str) -> Iterator[str]:
    """What of a page is no code; code that never ends is none."""
    at, inside, begun = 0, "", 0
    for tag in _CODE.finditer(text):
        kind = tag[2].lower()
        if not inside and not tag[1]:
            inside, begun = kind, tag.start()
        elif inside == kind and tag[1]:
            yield text[at:begun]
            at, inside = tag.end(), ""
    yield text[at:]


def decoded(data: bytes) -> Decoded | None:
    """The text of a page: as any text, and where that is a guess as the page itself says.

    Args:
        data: its bytes.
    """
    found = decode(data)
    named = _CHARSET.search(data[:4096])
    if named is None or (found is not None and "a guess" not in found.note):
        return found
    encoding = named[1].decode("ascii", "replace")
    try:
        return Decoded(data.decode(encoding), f"decoded as {encoding.lower()}, as it says itself")
    except (LookupError, ValueError, TypeError):
        return found
