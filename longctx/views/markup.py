"""The little Markdown that models write, as HTML in which nothing foreign can act.

Paragraphs, headings, lists, quotes, tables, fenced code; bold, italic and ``code`` inside them. Everything else, HTML, links
and pictures above all, shows as the text that it is. An unfinished text, an answer that still comes, renders as far as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from longctx.views.safe import escape

#: Stand around stretches that are marked; private-use characters of the text itself are shown as code points first.
_ON, _OFF = "\ue000", "\ue001"
_PRIVATE = re.compile(f"[{_ON}{_OFF}]")

_FENCE = re.compile(r" {0,3}(```+|~~~+)[ \t]*([^`\n]*)$")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_ITEM = re.compile(r"([ \t]*)(?:[-*+•]|(\d{1,9})[.)])[ \t]+(.*)$")
_QUOTE = re.compile(r" {0,3}> ?(.*)$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_DIVIDER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_INLINE = re.compile(
    r"(?P<ticks>`+)(?P<code>(?:(?!`).|(?<!`)(?!(?P=ticks)(?!`))`+)+?)(?P=ticks)(?!`)"
    r"|\*\*(?P<bold>(?=\S)(?:(?!\*\*).)+?(?<=\S))\*\*"
    r"|(?<![\w*])\*(?P<italic>(?=[^\s*])[^*]*?(?<=[^\s*]))\*(?![\w*])"
    r"|\[(?P<refs>\d{1,4}(?:\s*,\s*\d{1,4})*)\](?!\()",
    re.DOTALL,
)

_DEEPEST = 8
#: After a marked stretch; seen only by those who see no underline.
_UNSUPPORTED = '<span class="hid"> (no source)</span>'


def markdown(text: str, *, reference: Callable[[int], str | None] = lambda number: None, marked: Iterable[str] = ()) -> str:
    """Markdown as safe HTML.

    Args:
        text: what a model wrote, finished or not.
        reference: gives the HTML for the mark ``[n]``, or None where that is no citation and stays text.
        marked: stretches of the text to set apart, as they stand in it.

    >>> markdown("It is **here** [1], not <b>there</b>.", reference=lambda n: f"<sup>{n}</sup>")
    '<p dir="auto">It is <strong>here</strong> <sup>1</sup>, not &lt;b&gt;there&lt;/b&gt;.</p>'
    """
    return "".join(blocks(text, reference=reference, marked=marked))


def blocks(text: str, *, reference: Callable[[int], str | None] = lambda number: None, marked: Iterable[str] = ()) -> list[str]:
    """The same block by block: a paragraph, a list, a table each. While a text grows, its last block alone changes.

    >>> blocks("One.\\n\\n- two\\n- thr")
    ['<p dir="auto">One.</p>', '<ul><li dir="auto">two</li><li dir="auto">thr</li></ul>']
    """
    clean = _PRIVATE.sub(lambda found: f"‹U+{ord(found[0]):04X}›", text.replace("\r\n", "\n"))
    return [html for html in _Renderer(reference).pieces(_mark(clean, marked).split("\n")) if html.strip()]


def _mark(text: str, marked: Iterable[str]) -> str:
    for stretch in sorted({part.strip() for part in marked} - {""}, key=len, reverse=True):
        place = text.find(stretch)
        if place >= 0 and text.count(_ON, 0, place) == text.count(_OFF, 0, place):
            text = f"{text[:place]}{_ON}{stretch}{_OFF}{text[place + len(stretch) :]}"
    return text


class _Renderer:
    """Carries across the whole text whether a marked stretch is open, so that each leaf closes what it opens."""

    def __init__(self, reference: Callable[[int], str | None]) -> None:
        self._reference = reference
        self._open = False

    # -- blocks --------------------------------------------------------------------------------------------------------
    def blocks(self, lines: Sequence[str], depth: int = 0) -> str:
        return "".join(self.pieces(lines, depth))

    def pieces(self, lines: Sequence[str], depth: int = 0) -> Iterator[str]:
        place = 0
        while place < len(lines):
            html, place = self._block(lines, place, depth)
            yield html

    def _block(self, lines: Sequence[str], place: int, depth: int) -> tuple[str, int]:
        line = _bare(lines[place])
        if not line.strip():
            return self._leaf(lines[place]), place + 1
        if fence := _FENCE.match(line):
            return self._fenced(lines, place + 1, fence)
        if heading := _HEADING.match(line):
            return f'<h4 dir="auto">{self.inline(_sub(lines[place], heading.start(2), heading.end(2)))}</h4>', place + 1
        if _RULE.match(line):
            return self._leaf(lines[place], only_marks=True) + "<hr>", place + 1
        if depth < _DEEPEST and _QUOTE.match(line):
            return self._quote(lines, place, depth)
        if depth < _DEEPEST and _ITEM.match(line):
            return self._list(lines, place, depth)
        if "|" in line and place + 1 < len(lines) and "|" in lines[place + 1] and _DIVIDER.match(_bare(lines[place + 1])):
            return self._table(lines, place)
        return self._paragraph(lines, place, depth)

    def _fenced(self, lines: Sequence[str], place: int, fence: re.Match[str]) -> tuple[str, int]:
        end = place
        while end < len(lines) and not re.fullmatch(rf" {{0,3}}{fence[1][0]}{{{len(fence[1])},}}[ \t]*", _bare(lines[end])):
            end += 1
        lead = self._leaf(lines[place - 1], only_marks=True)
        body = self._leaf("\n".join(lines[place:end]))
        tail = self._leaf(lines[end], only_marks=True) if end < len(lines) else ""
        return f'{lead}<pre class="code" tabindex="0"><code>{body}</code></pre>{tail}', end + 1

    def _quote(self, lines: Sequence[str], place: int, depth: int) -> tuple[str, int]:
        inner: list[str] = []
        while place < len(lines) and (found := _QUOTE.match(_bare(lines[place]))):
            inner.append(_sub(lines[place], found.start(1)))
            place += 1
        return f"<blockquote>{self.blocks(inner, depth + 1)}</blockquote>", place

    def _list(self, lines: Sequence[str], place: int, depth: int) -> tuple[str, int]:
        first = _ITEM.match(_bare(lines[place]))
        assert first is not None
        tag = "ol" if first[2] else "ul"
        start = f' start="{int(first[2])}"' if first[2] and int(first[2]) != 1 else ""
        items: list[str] = []
        while place < len(lines) and (found := _sibling(lines[place], first)):
            inner = [_sub(lines[place], found.start(3))]
            place += 1
            while place < len(lines) and _belongs(lines, place, first):
                inner.append(_dedent(lines[place], found.start(3)))
                place += 1
            items.append(f'<li dir="auto">{self._item(inner, depth + 1)}</li>')
        return f"<{tag}{start}>{''.join(items)}</{tag}>", place

    def _item(self, lines: list[str], depth: int) -> str:
        head = next((place for place, line in enumerate(lines) if place and _starts_block(_bare(line), depth)), len(lines))
        return self.inline("\n".join(lines[:head])) + self.blocks(lines[head:], depth)

    def _table(self, lines: Sequence[str], place: int) -> tuple[str, int]:
        head = "".join(f"<th>{self.inline(cell)}</th>" for cell in _cells(lines[place]))
        head += self._leaf(lines[place + 1], only_marks=True)
        rows: list[str] = []
        place += 2
        while place < len(lines) and "|" in lines[place]:
            rows.append("<tr>" + "".join(f"<td>{self.inline(cell)}</td>" for cell in _cells(lines[place])) + "</tr>")
            place += 1
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>", place

    def _paragraph(self, lines: Sequence[str], place: int, depth: int) -> tuple[str, int]:
        end = place + 1
        while end < len(lines) and not _starts_block(_bare(lines[end]), depth):
            end += 1
        return f'<p dir="auto">{self.inline(chr(10).join(lines[place:end]))}</p>', end

    # -- inside a block ------------------------------------------------------------------------------------------------
    def inline(self, text: str) -> str:
        """Bold, italic, code and citation marks of one block."""
        parts: list[str] = []
        place = 0
        for found in _INLINE.finditer(text):
            parts += [self._leaf(text[place : found.start()], breaks=True), self._span(found)]
            place = found.end()
        return "".join([*parts, self._leaf(text[place:], breaks=True)])

    def _span(self, found: re.Match[str]) -> str:
        if found["code"] is not None:
            return f"<code>{self._leaf(found['code'])}</code>"
        if found["bold"] is not None:
            return f"<strong>{self.inline(found['bold'])}</strong>"
        if found["italic"] is not None:
            return f"<em>{self.inline(found['italic'])}</em>"
        links = [self._reference(int(number)) for number in found["refs"].split(",")]
        return "".join(link for link in links if link) if all(links) else self._leaf(found[0])

    def _leaf(self, text: str, *, breaks: bool = False, only_marks: bool = False) -> str:
        """Escaped text; stretches that are marked stand in an element of their own."""
        parts: list[str] = []
        for piece in re.split(f"([{_ON}{_OFF}])", text):
            if piece in (_ON, _OFF):
                self._open = piece == _ON
                parts.append(_UNSUPPORTED if piece == _OFF and not only_marks else "")
            elif piece.strip() and not only_marks:
                html = escape(piece)
                html = html.replace("  \n", "<br>") if breaks else html
                parts.append(f'<u class="unsupported">{html}</u>' if self._open else html)
            elif not only_marks:
                parts.append(piece)
        return "".join(parts)


def _bare(line: str) -> str:
    return _PRIVATE.sub("", line)


def _sub(line: str, start: int, end: int | None = None) -> str:
    """The part of the line from ``start`` to ``end`` of its bare form; marks that stood outside it are kept."""
    kept: list[str] = []
    seen = 0
    for character in line:
        mark = character in (_ON, _OFF)
        if mark or (seen >= start and (end is None or seen < end)):
            kept.append(character)
        seen += not mark
    return "".join(kept)


def _indent(line: str) -> int:
    bare = _bare(line).expandtabs(4)
    return len(bare) - len(bare.lstrip(" "))


def _dedent(line: str, width: int) -> str:
    return _sub(line, min(width, len(_bare(line)) - len(_bare(line).lstrip(" \t"))))


def _sibling(line: str, first: re.Match[str]) -> re.Match[str] | None:
    """The match of a line that is the next item of the list that ``first`` began."""
    found = _ITEM.match(_bare(line))
    same = found is not None and bool(found[2]) == bool(first[2]) and _indent(found[1] + "x") <= _indent(first[1] + "x") + 1
    return found if same else None


def _belongs(lines: Sequence[str], place: int, first: re.Match[str]) -> bool:
    """Whether a line continues the present item: indented deeper, or plain text right below it."""
    line = lines[place]
    if not line.strip():
        following = next((x for x in lines[place:] if x.strip()), "")
        return bool(following) and (_indent(following) > _indent(first[1] + "x") + 1 and not _sibling(following, first))
    if _sibling(line, first) or _indent(line) > _indent(first[1] + "x") + 1:
        return not _sibling(line, first)
    return bool(lines[place - 1].strip()) and not _starts_block(_bare(line), 0)


def _starts_block(line: str, depth: int) -> bool:
    if not line.strip() or _FENCE.match(line) or _HEADING.match(line) or _RULE.match(line):
        return True
    return depth < _DEEPEST and bool(_QUOTE.match(line) or _ITEM.match(line))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
