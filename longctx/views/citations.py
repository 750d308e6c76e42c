"""One place that an answer cites: its label, whether its quote was found, the lines that stand there, and what it looks like.

Knows no corpus: the lines and the picture come with the state.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from longctx.corpus import Box, Lines, Moment, Origin, Page
from longctx.views import units
from longctx.views.cells import cut, wrap
from longctx.views.safe import escape, oneline, visible
from longctx.views.style import frame, note

#: Lines of one citation, and characters of one line, that a view holds at most.
MOST_LINES = 60
MOST_CHARACTERS = 400
_MOST_TEXT_LINES = 6

CHECK_NOTE = "A checked quote proves that the words stand there, not that they support the claim."

CSS = """
.lcx .cite{margin:2px 0 0}
.lcx .cite>summary{display:flex;flex-wrap:wrap;gap:0 12px;padding:2px 6px;list-style-position:inside}
.lcx .cite>summary .label{font-weight:500}
.lcx .cite>summary::before{content:"▸";width:8px;color:var(--lcx-soft)}
.lcx .cite[open]>summary::before{content:"▾"}
.lcx .cite>summary::-webkit-details-marker{display:none}
.lcx .cite>summary{list-style:none}
.lcx .cite .mark{margin-left:auto;font-size:12px}
.lcx .place{margin:4px 0 8px 26px}
.lcx .place:has(:target){outline:2px solid var(--lcx-accent);outline-offset:3px;border-radius:6px}
.lcx pre.src{margin:0;padding:8px 0;max-height:24em;overflow:auto;border:1px solid var(--lcx-line);border-radius:6px;
background:var(--lcx-panel);color:var(--lcx-fg);line-height:1.55;white-space:pre}
.lcx pre.src.prose{white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;font-family:inherit;
font-size:13px;padding:8px 12px}
.lcx pre.src .ln{display:block;min-width:max-content;padding:0 12px 0 0}
.lcx pre.src.prose .ln{min-width:0;padding:0}
.lcx pre.src .no{display:inline-block;width:4.5em;padding:0 1.2em 0 0;text-align:right;color:var(--lcx-soft);user-select:none}
.lcx pre.src .hit{background:var(--lcx-quote)}
.lcx pre.src mark{padding:0 1px;border-radius:2px;background:var(--lcx-quote);color:inherit;box-shadow:0 1px 0 var(--lcx-warn)}
.lcx a[name]{scroll-margin-top:5em}
.lcx .sight{display:flex;flex-wrap:wrap;gap:10px 14px;align-items:flex-start}
.lcx .sight>.lines{flex:1 1 18rem;min-width:0}
.lcx img.pic{display:block;flex:none;width:auto;height:auto;max-width:100%;margin:0;border:1px solid var(--lcx-line);
border-radius:6px;background:var(--lcx-panel)}
.lcx img.pic+pre.src{margin:10px 0 0}
.lcx .sight>img.pic{max-width:min(100%,360px);max-height:360px}
.lcx .q{margin:6px 0 0;color:var(--lcx-soft);font-size:12px}
"""


class SourceLine(NamedTuple):
    """A line that stands in the source: its number (None on a page), its text, and whether it is part of what is cited."""

    number: int | None
    text: str
    quoted: bool = False


@dataclass(frozen=True)
class CitationState:
    """What a view shows of one citation.

    Args:
        number: by which the answer's text refers to it: ``[1]``.
        label: the place in short: ``"src/retry.py:41-52"``.
        where: the place inside the file, in words: ``"lines 41-52"``.
        quote: the words that the answer quotes; may be empty.
        verified: whether the place exists and the quote, where there is one, stands there.
        basis: ``"cited"`` by the model, or ``"matched"`` by longctx because the model does not cite.
        lines: of the source, to show.
        page: of a document, counted from 1.
        box: on that page, in points from its top left corner.
        note: what the user should know about it, said in place of the usual words.
        picture: what stands there, as a JPEG; empty where there is nothing to be seen, or where it is not shown.
        picture_alt: what is to be seen, in words: ``"Frame of talk.mp4 at 00:00:12"``.
        picture_note: why it is not shown, or where it is.
    """

    number: int
    label: str
    where: str = ""
    quote: str = ""
    verified: bool = False
    basis: Literal["cited", "matched"] = "cited"
    lines: Sequence[SourceLine] = ()
    page: int | None = None
    box: Box | None = None
    note: str = ""
    picture: bytes = b""
    picture_alt: str = ""
    picture_note: str = ""

    @property
    def where_besides(self) -> str:
        """The place inside the file, where the label does not say it already."""
        return "" if self.where in self.label else self.where

    @property
    def check(self) -> tuple[str, str]:
        """What was found out about it, in words, and the colour of that."""
        if self.note:
            return (f"≈ {self.note}", "soft") if self.verified else (f"⚠ {self.note}", "warn")
        if self.basis == "matched":
            return "≈ matched by longctx, not cited by the model", "soft"
        if not self.verified:
            return ("⚠ quote not found there" if self.quote else "⚠ place not found"), "warn"
        return ("✓ quote checked" if self.quote else "✓ place checked"), "good"


def from_json(number: int, citation: Mapping[str, Any]) -> CitationState:
    """A citation in its JSON form, which has no lines of the source."""
    origin = _origin(citation)
    quote, basis = citation.get("quote") or "", citation.get("basis")
    return CitationState(
        number, str(origin), origin.where, quote, bool(citation.get("verified")), "matched" if basis == "matched" else "cited"
    )


def _origin(citation: Mapping[str, Any]) -> Origin:
    path = str(citation.get("path") or "")
    if citation.get("page") is not None:
        return Page(path, citation["page"])
    if citation.get("start") is not None:
        return Moment(path, citation["start"], citation.get("end") or citation["start"])
    first = citation.get("first_line") or 1
    last, part, unit = citation.get("last_line") or first, citation.get("part") or "", citation.get("unit") or "line"
    return Lines(path, first, last, citation.get("cell"), part, unit)


# -- text --------------------------------------------------------------------------------------------------------------
def text(citation: CitationState, *, width: int = 100, most: int | None = None, numbered: bool = False) -> str:
    """The citation in lines of at most ``width`` columns.

    Args:
        citation: to show.
        width: columns.
        most: lines of the source at most; None shows all.
        numbered: whether the answer's number ``[1]`` stands before it.
    """
    words, _ = citation.check
    lead = f"[{citation.number}] " if numbered else ""
    rows = [f"{lead}{oneline(citation.label)}   {words}"]
    rows += [f"    ▣ {oneline(citation.picture_alt)}"] if citation.picture_alt else []
    rows += wrap(oneline(citation.picture_note), width, indent="      ") if citation.picture_note else []
    shown = _nearest(citation, most or MOST_LINES)
    rows += [_text_line(line) for line in shown]
    hidden = len(citation.lines) - len(shown)
    rows += [f"      … {units.plural(hidden, 'more line')}"] if hidden else []
    rows += wrap(f"“{oneline(citation.quote)}”", width, indent="    ") if citation.quote and not citation.verified else []
    return "\n".join(cut(line, width) for line in rows)


def short_text(citation: CitationState, *, width: int = 100) -> str:
    """The citation with the few lines that matter most."""
    return text(citation, width=width, most=_MOST_TEXT_LINES, numbered=True)


def _nearest(citation: CitationState, most: int) -> Sequence[SourceLine]:
    """At most so many lines, from the first that is quoted on where not all fit."""
    if len(citation.lines) <= most:
        return citation.lines
    first = next((place for place, line in enumerate(citation.lines) if line.quoted), 0)
    start = max(0, min(first - 1, len(citation.lines) - most))
    return citation.lines[start : start + most]


def _text_line(line: SourceLine) -> str:
    number = "" if line.number is None else str(line.number)
    return f"  {'>' if line.quoted else ' '} {number:>6} │ {visible(_line_body(line.text)).expandtabs(4)}"


def _line_body(text: str) -> str:
    return text.rstrip("\r\n").replace("\n", " ")


# -- html --------------------------------------------------------------------------------------------------------------
def html(citation: CitationState) -> str:
    """The citation as HTML that stands alone: what ``citation.show()`` shows."""
    words, colour = citation.check
    where = f' <span class="soft">{escape(citation.where_besides)}</span>' if citation.where_besides else ""
    title = f'<span class="title" role="heading" aria-level="3"><bdi>{escape(citation.label)}</bdi>{where}</span>'
    head = f'<div class="head">{title}<span class="{colour}">{escape(words)}</span></div>'
    seen = image(citation.picture, citation.picture_alt)
    body = f"{seen}{_unseen(citation)}{lines(citation)}" if seen else place(citation)
    return frame(head + body, kind="citation", label=f"Source {citation.label}", css=CSS)


def details(citation: CitationState, anchor: str) -> str:
    """The citation as an element that opens; a link to ``anchor``, which lies inside, opens it too. Needs :data:`CSS`.

    The anchor is a name, not an id: JupyterLab looks for ids itself, and scrolls to them without opening what they lie in.
    """
    words, colour = citation.check
    summary = (
        f'<span class="mono soft">[{citation.number}]</span><span class="label"><bdi>{escape(citation.label)}</bdi></span>'
        f'<span class="mark {colour}">{escape(words)}</span>'
    )
    inside = f'<div class="place"><a name="{escape(anchor)}"></a>{place(citation)}</div>'
    return f'<details class="cite"><summary>{summary}</summary>{inside}</details>'


def place(citation: CitationState) -> str:
    """What the cited place looks like, small, and the lines that stand there. Needs :data:`CSS`."""
    seen = image(citation.picture, citation.picture_alt)
    beside = lines(citation)
    beside = f'<div class="lines">{beside}</div>' if seen and beside else beside
    inside = f'<div class="sight">{seen}{beside}</div>' if seen else beside
    inside += _unseen(citation)
    return inside or f'<p class="q">{escape(citation.where or citation.label)}: nothing to show.</p>'


def image(picture: bytes, alt: str) -> str:
    """A JPEG inside the page. Needs :data:`CSS`."""
    if not picture:
        return ""
    data = base64.b64encode(picture).decode("ascii")
    return f'<img class="pic" src="data:image/jpeg;base64,{data}" alt="{escape(alt)}" loading="lazy">'


def _unseen(citation: CitationState) -> str:
    return f'<p class="q" dir="auto">{escape(citation.picture_note)}</p>' if citation.picture_note else ""


def lines(citation: CitationState) -> str:
    """The lines that stand at the cited place, with what is quoted set off; empty where there are none. Needs :data:`CSS`."""
    shown = _nearest(citation, MOST_LINES)
    prose = "" if any(line.number is not None for line in shown) else " prose"
    rows = "".join(_html_line(line, citation.quote) for line in shown)
    label = escape(f"Lines of {citation.label}")
    parts = [f'<pre class="src{prose}" tabindex="0" role="region" aria-label="{label}">{rows}</pre>'] if rows else []
    hidden = len(citation.lines) - len(shown)
    parts += [f'<p class="q">… {units.plural(hidden, "more line")}</p>'] if hidden else []
    if citation.quote and not citation.verified:
        parts.append(note(f"The answer quotes “{escape(oneline(citation.quote))}”, which was not found there.", css="warn"))
    return "".join(parts)


def _html_line(line: SourceLine, quote: str) -> str:
    number = "" if line.number is None else f'<span class="no">{line.number}</span>'
    hit = " hit" if line.quoted else ""
    return f'<span class="ln{hit}">{number}{_marked(_line_body(line.text), quote.strip())}\n</span>'


def _marked(body: str, quote: str) -> str:
    """The line escaped, the quote in it set off; a very long line is cut around the quote."""
    at = body.find(quote) if quote else -1
    start = max(0, at - MOST_CHARACTERS // 4) if len(body) > MOST_CHARACTERS else 0
    end = max(start + MOST_CHARACTERS, at + len(quote) if 0 < len(quote) <= MOST_CHARACTERS else 0)
    before, after = ("…" if start else ""), ("…" if end < len(body) else "")
    if at < 0:
        return f"{before}{escape(body[start:end])}{after}"
    stop = min(at + len(quote), end)
    marked = f"<mark>{escape(body[at:stop])}</mark>"
    return f"{before}{escape(body[start:at])}{marked}{escape(body[stop:end])}{after}"
