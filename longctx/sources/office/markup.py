"""HTML as lines of Markdown that know on which lines of the file they stand. Nothing is fetched, no script is run.

The parser is the standard library's: it takes whatever comes, knows its line, and expands no entities of a document's own.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from longctx.sources.office.made import Line, row

Attributes = list[tuple[str, str | None]]

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    """address article aside blockquote body button caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form header hgroup hr html legend li main menu nav ol optgroup option p section select summary tbody textarea tfoot
    thead title ul""".split()  # noqa: SIM905
) | frozenset(_HEADINGS)
#: What is left out with all that is in it, and how it is counted.
_SILENT = {
    "script": "script",
    "style": "style sheet",
    "svg": "drawing",
    "template": "template",
    "iframe": "frame of another page",
    "object": "embedded object",
    "canvas": "drawing",
    "video": "recording",
    "audio": "recording",
}
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())  # noqa: SIM905
_SPACE = re.compile(r"\s+")
_UNSHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
#: Characters of an address that are told; columns that one cell may span; how deep lists are shown; tables in each other, at
#: most: what is deeper belongs to the cell around it.
_LINK, _SPAN, _DEPTH, _NESTED = 300, 64, 8, 20
_DATA = re.compile(r"data:[\w/+.-]*;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture on a page.

    Args:
        address: as it is written, ``src``.
        place: how many lines were made before it.
        line: on which it stands.
    """

    address: str
    place: int
    line: int


@dataclass
class _Table:
    """A table that is open."""

    rows: int = 0
    cells: list[list[tuple[int, str]]] | None = None
    spans: list[int] = field(default_factory=list)
    first: int = 0
    last: int = 0


class Walker(HTMLParser):
    """Walks through a page once.

    Args:
        whole: whether a paragraph becomes one line, whatever lines of the file it is spread over, as in a book's chapters.
            Else every line of the file stays a line.
    """

    def __init__(self, *, whole: bool = False) -> None:
        super().__init__(convert_charrefs=False)
        self.lines: list[Line] = []
        self.images: list[Image] = []
        self.left: Counter[str] = Counter()
        self.title = ""
        self._titles: list[str] = []
        self.hidden = 0
        self._whole = whole
        self._pieces: list[tuple[int, str]] = []
        self._silent = ""
        self._silent_depth = 0
        self._level = 0
        self._mark = ""
        self._lists: list[int] = []
        self._quotes = 0
        self._pre = 0
        self._links: list[tuple[str, list[tuple[int, str]], int]] = []
        self._tables: list[_Table] = []
        self._deeper = 0
        self._in_title = False
        self._unended = False

    def read(self, text: str) -> list[Line]:
        r"""The lines of a page.

        Args:
            text: of the page; lines end at ``\n`` or ``\r\n``.

        >>> [(line.text, line.first) for line in Walker().read("<h1>Tides</h1>\n<p>Twice a\nday<ul><li>ebb</ul>")]
        [('# Tides', 1), ('Twice a', 2), ('day', 3), ('- ebb', 3)]
        """
        self.feed(text)
        self._end_of_file()
        self.close()
        while self._tables:
            self._end_table()
        self._flush()
        self.left["rest of the page, in an element that never ends"] += bool(self._silent) or self._unended
        return self.lines

    def _end_of_file(self) -> None:
        """What the parser holds back is a tag or a remark that never ends; it would try it again at each sign of it."""
        if not self.rawdata.startswith("<"):
            return
        rest, self.rawdata = self.rawdata, ""
        if rest.startswith(("<!", "<?")):
            self._unended = True
        else:
            self.handle_data(rest)

    # -- what the parser meets -----------------------------------------------------------------------------------------
    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """A tag opens."""
        if self._silent:
            self._silent_depth += tag == self._silent
            return
        known = {key: value or "" for key, value in attrs}
        self.hidden += tag not in _SILENT and ("hidden" in known or bool(_UNSHOWN.search(known.get("style", ""))))
        if tag in _SILENT:
            self.left[_SILENT[tag]] += 1
            self._silent, self._silent_depth = tag, 1
        elif tag in _BLOCKS:
            self._begin(tag, known)
        elif tag in ("table", "tr", "td", "th"):
            self._begin_cell(tag, known)
        elif tag == "pre":
            self._flush()
            self._pre += 1
            self._fence()
        elif tag == "br":
            self._flush() if not self._tables else self._add(" ")
        else:
            self._inline(tag, known)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """A tag that closes itself; of an element that cannot, HTML takes it for an opening one, XHTML does not."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag closes."""
        if self._silent:
            self._silent_depth -= tag == self._silent
            self._silent = self._silent if self._silent_depth else ""
        elif tag in _BLOCKS:
            self._end(tag)
        elif tag in ("td", "th"):
            return
        elif tag == "tr":
            self._end_row()
        elif tag == "table":
            self._end_table()
        elif tag == "pre" and self._pre:
            self._flush()
            self._pre -= 1
            self._fence()
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())

    def handle_data(self, data: str) -> None:
        """Text."""
        if self._silent:
            return
        number = self.getpos()[0]
        for offset, piece in enumerate(data.split("\n")):
            self._add(("\n" if offset else "") + piece, number + offset)

    def handle_entityref(self, name: str) -> None:
        """A named character."""
        self._add("" if self._silent else html.unescape(f"&{name};"))

    def handle_charref(self, name: str) -> None:
        """A numbered character."""
        self._add("" if self._silent else html.unescape(f"&#{name};").replace("\n", " "))

    def handle_comment(self, data: str) -> None:
        """A remark of the author, which no reader of the page sees."""
        self.left["remark"] += not self._silent

    def unknown_decl(self, data: str) -> None:
        """CDATA, in XHTML."""
        if data.startswith("CDATA["):
            self.handle_data(data[6:])

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """A section that HTML does not know counts as a remark; the parser itself would give up."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i)

    # -- inside of a paragraph -----------------------------------------------------------------------------------------
    def _inline(self, tag: str, known: dict[str, str]) -> None:
        if tag == "a":
            target = _SPACE.sub("", known.get("href", ""))
            shown = target and not target.lower().startswith(("#", "javascript:", "data:"))
            gathered = self._gathered
            self._links.append((target[:_LINK] if shown else "", gathered, len(gathered)))
        elif tag in ("img", "image"):
            self._image(known)
        elif tag == "input":
            self._add(f" {known.get('value') or known.get('placeholder', '')} " * (known.get("type") != "hidden"))

    def _image(self, known: dict[str, str]) -> None:
        source = known.get("src") or known.get("xlink:href") or known.get("href", "")
        embedded = _DATA.match(source)
        if source:
            self.images.append(Image(source, len(self.lines), self.getpos()[0]))
        told = _SPACE.sub(" ", known.get("alt", ""))
        address = "" if embedded else source[:_LINK]
        self._add(f"![{told}]({address})" if told or address else "")

    def _end_link(self, target: str, gathered: list[tuple[int, str]], start: int) -> None:
        """Brackets around the words of a link; nothing where there are none; its address behind words that are paragraphs."""
        if gathered is not self._gathered:
            self._add(f"({target})" if target else "")
            return
        while start < len(gathered) and not gathered[start][1].strip():
            start += 1
        if target and start < len(gathered):
            line, text = gathered[start]
            gathered[start] = (line, text[: len(text) - len(text.lstrip())] + "[" + text.lstrip())
            self._add(f"]({target})")

    @property
    def _gathered(self) -> list[tuple[int, str]]:
        """Where words go now: their lines, and themselves."""
        return self._tables[-1].cells[-1] if self._tables and self._tables[-1].cells else self._pieces

    def _add(self, text: str, line: int = 0) -> None:
        if not text:
            return
        if self._tables and self._tables[-1].cells:
            self._tables[-1].last = line or self.getpos()[0]
        if self._in_title:
            self._titles.append(text)
        else:
            self._gathered.append((line or self.getpos()[0], text))

    # -- blocks --------------------------------------------------------------------------------------------------------
    def _begin(self, tag: str, known: dict[str, str]) -> None:
        self._break()
        if tag == "title":
            self._in_title = True
        elif tag in _HEADINGS:
            self._level = _HEADINGS[tag]
        elif tag in ("ul", "ol", "menu", "dir"):
            start = known.get("start", "1")
            self._lists.append((int(start) if start.isdigit() and len(start) < 7 else 1) if tag == "ol" else 0)
        elif tag == "li":
            self._mark = "  " * min(_DEPTH, len(self._lists) - 1) + self._bullet()
        elif tag == "dd":
            self._mark = ": "
        elif tag == "blockquote":
            self._quotes += 1

    def _bullet(self) -> str:
        if not self._lists or not self._lists[-1]:
            return "- "
        self._lists[-1] += 1
        return f"{self._lists[-1] - 1}. "

    def _end(self, tag: str) -> None:
        self._break()
        if tag == "title":
            self._in_title = False
            self.title = _SPACE.sub(" ", "".join(self._titles)).strip()
            if self.title and not self._whole:
                number = self.getpos()[0]
                self.lines.append(Line(self.title, number, number))
        elif tag in _HEADINGS:
            self._level = 0
        elif tag in ("ul", "ol", "menu", "dir") and self._lists:
            self._lists.pop()
        elif tag == "blockquote":
            self._quotes = max(0, self._quotes - 1)

    def _break(self) -> None:
        """The end of a paragraph; in a table that of a word."""
        if self._tables and self._tables[-1].cells:
            self._add(" ")
        else:
            self._flush()

    def _flush(self) -> None:
        """What has been gathered as lines: one for each line of the file, or one in all."""
        pieces: dict[int, list[str]] = {}
        for line, text in self._pieces:
            pieces.setdefault(line, []).append(text.lstrip("\n"))
        gathered = {line: "".join(texts) for line, texts in pieces.items()}
        self._pieces = []
        if self._pre:
            texts = [(line, line, text.rstrip()) for line, text in gathered.items()]
        elif self._whole:
            joined = _SPACE.sub(" ", " ".join(gathered.values())).strip()
            texts = [(min(gathered, default=1), max(gathered, default=1), joined)]
        else:
            texts = [(line, line, _SPACE.sub(" ", text).strip()) for line, text in gathered.items()]
        for first, last, text in texts:
            if text:
                prefix = "> " * min(self._quotes, _DEPTH) + ("#" * self._level + " " * bool(self._level)) + self._mark
                self.lines.append(Line(prefix + text, first, last, self._level))
                self._mark = " " * len(self._mark) if not self._level else ""
        if any(text for _, _, text in texts):
            self._mark = ""

    def _fence(self) -> None:
        number = self.getpos()[0]
        if self._pre <= 1 and not self._tables:
            self.lines.append(Line("```", number, number))

    # -- tables --------------------------------------------------------------------------------------------------------
    def _begin_cell(self, tag: str, known: dict[str, str]) -> None:
        if len(self._tables) + self._deeper >= _NESTED and tag == "table":
            self._deeper += 1
        if self._deeper:
            self._add(" ")
            return
        if tag == "table":
            if not self._tables or not self._tables[-1].cells:
                self._flush()
            self._tables.append(_Table())
            return
        if not self._tables:
            self._break()  # a cell outside of a table
            return
        table = self._tables[-1]
        if tag == "tr" or table.cells is None:
            self._end_row()
            self._flush()
            table.cells, table.spans, table.first = [], [], self.getpos()[0]
        if tag != "tr":
            span = known.get("colspan", "1")
            assert table.cells is not None
            table.cells.append([])
            table.spans.append(min(int(span), _SPAN) if span.isdigit() and len(span) < 4 else 1)

    def _end_row(self) -> None:
        if not self._tables or self._deeper:
            return
        table = self._tables[-1]
        cells, table.cells = table.cells, None
        if not cells:
            return
        texts = []
        for pieces, span in zip(cells, table.spans, strict=True):
            texts += ["".join(text for _, text in pieces), *[""] * (span - 1)]
        self._place_row(table, texts)

    def _place_row(self, table: _Table, texts: list[str]) -> None:
        """A row as a line; that of a table in a cell as words of the cell."""
        outer = self._tables[-2] if len(self._tables) > 1 else None
        if outer is not None and outer.cells:
            words = "; ".join(filter(None, (_SPACE.sub(" ", text).strip() for text in texts)))
            outer.cells[-1].append((table.first, f" {words} "))
            outer.last = max(outer.last, table.last)
        elif any(map(str.strip, texts)):
            last = max(table.first, table.last)
            self.lines.append(Line(row(texts), table.first, last))
            if not table.rows:
                self.lines.append(Line("|" + " --- |" * len(texts), table.first, last))
            table.rows += 1

    def _end_table(self) -> None:
        if self._deeper:
            self._deeper -= 1
        elif self._tables:
            self._end_row()
            self._tables.pop()


def embedded(images: list[Image]) -> Iterator[tuple[Image, str]]:
    """Pictures that lie in the page itself, with their base64."""
    for image in images:
        if found := _DATA.match(image.address):
            yield image, image.address[found.end() :]
