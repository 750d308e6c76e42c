"""One place that an answer cites: its label, whether its quote was found, and the lines that stand there. As HTML and as text.

Knows no corpus: the lines come with the state.
"""

from __future__ import annotations

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
.lcx .place:target{outline:2px solid var(--lcx-accent);outline-offset:3px;border-radius:6px}
.lcx pre.src{margin:0;padding:8px 0;max-height:24em;overflow:auto;border:1px solid var(--lcx-line);border-radius:6px;
background:var(--lcx-panel);color:var(--lcx-fg);line-height:1.55;white-space:pre}
.lcx pre.src.prose{white-space:pre-wrap;font-family:inherit;font-size:13px;padding:8px 12px}
.lcx pre.src .ln{display:block;min-width:max-content;padding:0 12px 0 0}
.lcx pre.src.prose .ln{min-width:0;padding:0}
.lcx pre.src .no{display:inline-block;width:4.5em;padding:0 1.2em 0 0;text-align:right;color:var(--lcx-soft);user-select:none}
.lcx pre.src .hit{background:var(--lcx-quote)}
.lcx pre.src mark{padding:0 1px;border-radius:2px;background:var(--lcx-quote);color:inherit;box-shadow:0 1px 0 var(--lcx-warn)}
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
    return Lines(path, first, citation.get("last_line") or first, citation.get("cell"))


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
    lines = [f"{lead}{oneline(citation.label)}   {words}"]
    shown = _nearest(citation, most or MOST_LINES)
    lines += [_text_line(line) for line in shown]
    hidden = len(citation.lines) - len(shown)
    lines += [f"      … {units.plural(hidden, 'more line')}"] if hidden else []
    lines += wrap(f"“{oneline(citation.quote)}”", width, indent="    ") if citation.quote and not citation.verified else []
    return "\n".join(cut(line, width) for line in lines)


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
    where = f' <span class="soft">{escape(citation.where)}</span>' if citation.where else ""
    title = f'<span class="title"><bdi>{escape(citation.label)}</bdi>{where}</span>'
    head = f'<div class="head">{title}<span class="{colour}">{escape(words)}</span></div>'
    return frame(head + place(citation), kind="citation", label=f"Source {citation.label}", css=CSS)


def details(citation: CitationState, anchor: str) -> str:
    """The citation as an element that opens; a link to ``anchor``, which lies inside, opens it too. Needs :data:`CSS`."""
    words, colour = citation.check
    summary = (
        f'<span class="mono soft">[{citation.number}]</span><span class="label"><bdi>{escape(citation.label)}</bdi></span>'
        f'<span class="mark {colour}">{escape(words)}</span>'
    )
    inside = f'<div class="place" id="{escape(anchor)}">{place(citation)}</div>'
    return f'<details class="cite"><summary>{summary}</summary>{inside}</details>'


def place(citation: CitationState) -> str:
    """The lines that stand at the cited place, with what is quoted set off. Needs :data:`CSS`."""
    shown = _nearest(citation, MOST_LINES)
    prose = "" if any(line.number is not None for line in shown) else " prose"
    rows = "".join(_html_line(line, citation.quote) for line in shown)
    label = escape(f"Lines of {citation.label}")
    parts = [f'<pre class="src{prose}" tabindex="0" role="region" aria-label="{label}">{rows}</pre>'] if rows else []
    hidden = len(citation.lines) - len(shown)
    parts += [f'<p class="q">… {units.plural(hidden, "more line")}</p>'] if hidden else []
    if citation.quote and not citation.verified:
        parts.append(note(f"The answer quotes “{escape(oneline(citation.quote))}”, which was not found there.", css="warn"))
    if not parts:
        parts.append(f'<p class="q">{escape(citation.where or citation.label)}: nothing to show.</p>')
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
