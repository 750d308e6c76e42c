"""An answer with everything that belongs to it: citations and their lines, what no source supports, reuse, reasoning.

As HTML and as text, while it is still coming and when it has ended. Knows no session and no corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longctx.jobs import State
from longctx.views import citations as cited
from longctx.views import progress as progress_view
from longctx.views import units
from longctx.views.budget import left_out_lines
from longctx.views.cells import cells, cut, wrap
from longctx.views.citations import CitationState
from longctx.views.markup import blocks, markdown
from longctx.views.progress import ProgressState
from longctx.views.safe import escape, oneline, visible
from longctx.views.style import error_note, frame, heading, note, sheet

MOST_LEFT_OUT = 8
_LIVE_REASONING = 600
_STYLES = {"bold": "1", "dim": "2", "good": "32", "warn": "33", "bad": "31", "ref": "36"}

CSS = """
.lcx .answer-text{margin:8px 0 0;font-size:14px;line-height:1.6}
.lcx .answer-text>*+*,.lcx .answer-text blockquote>*+*{margin:8px 0 0}
.lcx .answer-text ul,.lcx .answer-text ol{padding:0 0 0 24px}
.lcx .answer-text li{margin:2px 0}
.lcx .answer-text p,.lcx .answer-text li{white-space:pre-line}
.lcx .answer-text h4{margin:14px 0 0;font-size:14.5px}
.lcx .answer-text blockquote{margin-left:0;padding:0 0 0 12px;border-left:3px solid var(--lcx-line);color:var(--lcx-soft)}
.lcx .answer-text code{padding:1px 5px;border-radius:4px;background:var(--lcx-panel);color:inherit;font-size:12.5px}
.lcx .answer-text pre.code{padding:10px 12px;overflow:auto;border:1px solid var(--lcx-line);border-radius:6px;
background:var(--lcx-panel);white-space:pre}
.lcx .answer-text pre.code code{padding:0;background:none}
.lcx .answer-text table{border-collapse:collapse;margin-left:0;font-size:13px}
.lcx .answer-text th,.lcx .answer-text td{padding:3px 12px;border:1px solid var(--lcx-line);text-align:left}
.lcx .answer-text hr{border:0;border-top:1px solid var(--lcx-line)}
.lcx a.ref{padding:0 1px;border-radius:4px;color:var(--lcx-accent);font-size:12px;
text-decoration:none;white-space:nowrap}
.lcx a.ref:hover{text-decoration:underline}
.lcx u.unsupported{text-decoration:underline dashed var(--lcx-warn) 1px;text-underline-offset:4px}
.lcx .think{margin:2px 0 6px;font-size:12.5px;color:var(--lcx-soft)}
.lcx .think>div{margin:4px 0 0 4px;padding:0 0 0 12px;border-left:2px solid var(--lcx-line);white-space:pre-wrap}
.lcx .cites{margin:14px 0 0}
.lcx .foot p+p{margin:2px 0 0}
"""


@dataclass(frozen=True)
class AnswerState:
    """What the answer view shows.

    Args:
        question: as the user asked it.
        text: the answer so far, with marks ``[1]`` that refer to ``citations``.
        reasoning: what the model thought before; may be empty.
        state: of the job.
        citations: by number.
        unsupported: sentences of ``text``, as they stand there, that no source supports.
        usage: ``prompt_tokens``, ``reused_tokens``, ``reused_from``, ``miss_reason``, ``new_tokens``,
            ``seconds_to_first_token``, ``decode_tokens_per_s``, ``guessed_tokens``, ``accepted_tokens``; those that are known.
        left_out: what the model could not see: paths, or objects with ``path``, ``tokens``, ``reason``.
        notes: further remarks, one sentence each.
        progress: shown in the place of the text until there is some.
        error: what went wrong, where the state is ``"failed"``.
        key: told apart from every other answer on the page by this; a digest of the content where it is empty.
    """

    question: str
    text: str = ""
    reasoning: str = ""
    state: State = "queued"
    citations: Sequence[CitationState] = ()
    unsupported: Sequence[str] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[Mapping[str, Any] | str] = ()
    notes: Sequence[str] = ()
    progress: ProgressState | None = None
    error: str = ""
    key: str = ""

    @property
    def failure(self) -> str:
        """What went wrong; a stop on request is no failure."""
        return self.error if self.state == "failed" else ""

    @property
    def running(self) -> bool:
        """Whether more may come."""
        return self.state in ("queued", "running")

    @property
    def word(self) -> str:
        """What is going on, in a word."""
        if self.progress is not None and self.progress.word == "stopping":
            return "stopping"
        if self.state == "running":
            return "answering" if self.text else "thinking" if self.reasoning else "reading"
        return {"done": "answered"}.get(self.state, self.state)

    @property
    def anchor(self) -> str:
        """The beginning of every name that the view gives."""
        digest = hashlib.sha256(f"{self.key or self.question + self.text}".encode("utf-8", "surrogatepass")).hexdigest()
        return f"lcx-{digest[:10]}"


def usage_words(usage: Mapping[str, Any]) -> list[str]:
    """What was reused and how fast it went, in words.

    >>> usage_words({"prompt_tokens": 3051, "reused_tokens": 3012, "reused_from": "memory", "seconds_to_first_token": 0.31})
    ['3,012 of 3,051 tokens reused from memory', 'first token after 0.3 s']
    """
    words = []
    if prompt := usage.get("prompt_tokens"):
        reused = usage.get("reused_tokens") or 0
        source = oneline(str(usage.get("reused_from") or "none"))
        where = f" from {source}" if reused and source != "none" else ""
        words.append(f"{units.count(reused)} of {units.plural(prompt, 'token')} reused{where}")
    if (first := usage.get("seconds_to_first_token")) is not None:
        words.append(f"first token after {units.seconds(first)}")
    if speed := usage.get("decode_tokens_per_s"):
        words.append(units.rate(speed))
    if guessed := usage.get("guessed_tokens"):
        words.append(f"{units.count(usage.get('accepted_tokens') or 0)} of {units.plural(guessed, 'guessed token')} held")
    return words


def _remarks(state: AnswerState) -> list[tuple[str, str]]:
    """What to say about the answer, each with its colour: how it ended, and what to be careful about."""
    remarks: list[tuple[str, str]] = []
    if state.state == "stopped":
        kept = "the answer is as far as it came" if state.text else "before the first word"
        remarks.append((f"■ Stopped on request; {kept}.", "warn"))
    if number := len(state.unsupported):
        remarks.append((f"⚠ {units.plural(number, 'sentence')} {'has' if number == 1 else 'have'} no source", "warn"))
    return remarks + [(remark, "") for remark in state.notes]


def _footer(state: AnswerState) -> list[str]:
    lines = [" · ".join(usage_words(state.usage))]
    lines += [f"Not reused: {oneline(str(state.usage['miss_reason']))}"] if state.usage.get("miss_reason") else []
    if state.left_out:
        lines.append(f"Left out: {'; '.join(left_out_lines(state.left_out, MOST_LEFT_OUT))}")
    checked = any(citation.quote and citation.verified and citation.basis == "cited" for citation in state.citations)
    lines += [cited.CHECK_NOTE] if checked and not state.running else []
    return [line for line in lines if line]


# -- html --------------------------------------------------------------------------------------------------------------
def html(state: AnswerState) -> str:
    """The answer as HTML that stands alone."""
    css = CSS + cited.CSS + (progress_view.CSS if state.progress else "")
    body = heading(state.question, state.state, state.word) + "".join([*_said(state), _rest(state)])
    return frame(body, kind="answer", label=f"Answer to: {state.question}", css=css)


def parts(state: AnswerState) -> list[str]:
    """The answer in parts, as :class:`~longctx.views.live.Parted` has them: what was said comes block by block.

    What stands below once it has ended, the sources above all, is left to :func:`html`: there is nothing to open that would
    be replaced a moment later, when its pictures are there.
    """
    head = heading(state.question, state.state, state.word, spoken=True)
    return [sheet(CSS + cited.CSS + progress_view.CSS), head, *_said(state)]


def _said(state: AnswerState) -> list[str]:
    if not state.text and state.running and state.progress is not None:
        return [_reasoning(state), progress_view.inside(state.progress)]
    said = blocks(_growing(state), reference=_reference(state), marked=state.unsupported) if state.text else []
    return [_reasoning(state), *(f'<div class="answer-text">{block}</div>' for block in said)]


def _rest(state: AnswerState) -> str:
    """What stands below the text: how it ended, what to be careful about, the sources, the cost."""
    parts = [error_note(state.failure)] if state.failure else []
    parts += [note(escape(words), css=css) for words, css in _remarks(state)]
    parts += [note(f"⚠ no source: “{escape(oneline(lost))}”", css="warn") for lost in _not_marked(state)]
    parts += [sources(state)]
    lines = "".join(f'<p dir="auto">{escape(line)}</p>' for line in _footer(state))
    return "".join(parts) + (f'<div class="foot">{lines}</div>' if lines else "")


def _not_marked(state: AnswerState) -> list[str]:
    """Sentences without a source that do not stand in the text as they were given, so that nothing marks them there."""
    return [sentence for sentence in state.unsupported if sentence.strip() not in state.text]


def prose(state: AnswerState) -> str:
    """The answer's text alone, with its citation marks. Needs :data:`CSS`."""
    return markdown(_growing(state), reference=_reference(state), marked=state.unsupported)


def _growing(state: AnswerState) -> str:
    return state.text + (" ▍" if state.running else "")


def _reference(state: AnswerState) -> Callable[[int], str | None]:
    known = {citation.number: citation for citation in state.citations}

    def link(number: int) -> str | None:
        if (citation := known.get(number)) is None:
            return None
        label = escape(oneline(citation.label))
        href = f"#{state.anchor}-{number}"
        return f'<a class="ref" href="{href}" title="{label}" aria-label="Source {number}: {label}">[{number}]</a>'

    return link


def _reasoning(state: AnswerState) -> str:
    if not state.reasoning.strip():
        return ""
    if state.running and not state.text:
        tail = state.reasoning[-_LIVE_REASONING:]
        lead = "… " if len(tail) < len(state.reasoning) else ""
        return f'<div class="think"><div dir="auto">{lead}{escape(tail)}</div></div>'
    summary = f"<summary>Reasoning · {units.plural(len(state.reasoning.split()), 'word')}</summary>"
    return f'<details class="think">{summary}<div dir="auto">{escape(state.reasoning.strip())}</div></details>'


def sources(state: AnswerState) -> str:
    """The citations as elements that open. Needs the CSS of ``citations``."""
    if not state.citations:
        return ""
    rows = "".join(cited.details(citation, f"{state.anchor}-{citation.number}") for citation in state.citations)
    return f'<div class="cites">{rows}</div>'


# -- text --------------------------------------------------------------------------------------------------------------
def text(state: AnswerState, *, width: int = 100, color: bool = False) -> str:
    """The answer for a terminal or a log.

    Args:
        state: to show.
        width: columns.
        color: whether ANSI colours may be used.
    """
    paint = _painter(color)
    blocks = [[paint("bold", line) for line in wrap(oneline(state.question), width, indent="   ", first="Q  ")]]
    blocks += [_prose_text(state, width, paint)]
    blocks += [[paint("bad", line) for line in _wrapped(f"✗ {state.failure}", width)]] if state.failure else []
    blocks += [[paint(css or "dim", line) for words, css in _remarks(state) for line in _wrapped(words, width)]]
    blocks += [[line for sentence in state.unsupported for line in _unsupported(sentence, width)]]
    blocks += [[_painted(cited.short_text(citation, width=width), citation, paint) for citation in state.citations]]
    blocks += [[paint("dim", line) for words in _footer(state) for line in wrap(words, width)]]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _painter(color: bool) -> Callable[[str, str], str]:
    def paint(style: str, words: str) -> str:
        return f"\x1b[{_STYLES[style]}m{words}\x1b[0m" if color and style in _STYLES and words else words

    return paint


def _prose_text(state: AnswerState, width: int, paint: Callable[[str, str], str]) -> list[str]:
    if state.text:
        return [line for part in visible(state.text).split("\n") for line in _prose_line(part, width)]
    if state.running and state.progress is not None:
        return [paint("dim", progress_view.text(state.progress, width=width))]
    return [paint("dim", f"({state.word})")] if state.running else []


def _prose_line(line: str, width: int) -> Iterable[str]:
    """One line of the answer; what is indented like code is cut, prose is wrapped under its own indent."""
    indent = line[: len(line) - len(line.lstrip())]
    if cells(line) <= width:
        return [line]
    return [cut(line, width)] if len(indent) >= 4 else wrap(line, width, indent=indent)


def _wrapped(words: str, width: int) -> list[str]:
    return [line for part in visible(words).split("\n") for line in wrap(part, width)]


def _unsupported(sentence: str, width: int) -> list[str]:
    return wrap(f"“{oneline(sentence)}”", width, indent="    ", first="  ⚠ ")


def _painted(block: str, citation: CitationState, paint: Callable[[str, str], str]) -> str:
    first, newline, rest = block.partition("\n")
    words, colour = citation.check
    return first.replace(words, paint("dim" if colour == "soft" else colour, words)) + newline + paint("dim", rest)
