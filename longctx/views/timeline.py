"""A summary and its parts, each with its own citations, as HTML and as text. For a recording the parts carry their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longctx.jobs import State
from longctx.views import answer, progress
from longctx.views import citations as cited
from longctx.views.answer import AnswerState
from longctx.views.cells import cut, wrap
from longctx.views.citations import CitationState
from longctx.views.progress import ProgressState
from longctx.views.safe import escape, oneline, visible
from longctx.views.style import error_note, frame, heading, note, sheet

_STOPPED = "■ Stopped on request; the parts that were finished are kept."


@dataclass(frozen=True)
class PartState:
    """One part of a summary.

    Args:
        title: of the part: a file, a chapter, a scene.
        text: with marks ``[1]`` that refer to ``citations``.
        citations: numbered within the part.
        when: its time in a recording, in words; empty elsewhere.
        picture: what is to be seen then, as a small JPEG; may be empty.
        picture_alt: what that is, in words.
        picture_note: why it is not shown.
    """

    title: str
    text: str
    citations: Sequence[CitationState] = ()
    when: str = ""
    picture: bytes = b""
    picture_alt: str = ""
    picture_note: str = ""


@dataclass(frozen=True)
class SummaryState:
    """What the summary view shows.

    Args:
        title: what is summarised.
        summary: of the whole; empty until it is written.
        parts: in their order.
        state: of the job.
        usage: as in :class:`~longctx.views.answer.AnswerState`.
        notes: further remarks, one sentence each.
        progress: shown while more parts come.
        error: what went wrong, where the state is ``"failed"``.
    """

    title: str
    summary: str = ""
    parts: Sequence[PartState] = ()
    state: State = "queued"
    usage: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    progress: ProgressState | None = None
    error: str = ""

    @property
    def failure(self) -> str:
        """What went wrong; a stop on request is no failure."""
        return self.error if self.state == "failed" else ""

    @property
    def running(self) -> bool:
        """Whether more may come."""
        return self.state in ("queued", "running")


def from_json(summary: Mapping[str, Any], title: str = "Summary") -> SummaryState:
    """The state of a finished summary in its JSON form, which has no lines of the sources."""
    parts = [
        PartState(part["title"], part["text"], [cited.from_json(n, c) for n, c in enumerate(part.get("citations") or (), 1)])
        for part in summary.get("parts") or ()
    ]
    return SummaryState(title, summary.get("summary") or "", parts, "done", summary.get("usage") or {})


CSS = """
.lcx .part{margin:0 0 0 6px;padding:0 0 12px 16px;border-left:2px solid var(--lcx-line);position:relative}
.lcx .part.first{margin-top:12px}
.lcx .part::before{content:"";position:absolute;left:-6px;top:5px;width:10px;height:10px;border-radius:50%;
background:var(--lcx-accent)}
.lcx .part-title{font-weight:600}
.lcx .part .when{margin-right:6px;font-weight:400}
.lcx .part .answer-text{font-size:13.5px;margin:2px 0 0}
.lcx .part .cites{margin:4px 0 0}
.lcx .part>.sight{margin:4px 0 0}
.lcx .part>.sight>img.pic{max-width:min(100%,240px);max-height:180px}
"""


# -- html --------------------------------------------------------------------------------------------------------------
def html(state: SummaryState | Mapping[str, Any]) -> str:
    """The summary, or its JSON form, as HTML that stands alone."""
    state = from_json(state) if isinstance(state, Mapping) else state
    body = "".join([heading(state.title, state.state), *_body(state)])
    return frame(body, kind="summary", label=f"Summary of {state.title}", css=_SHEET)


def parts(state: SummaryState) -> list[str]:
    """The summary in parts, as :class:`~longctx.views.live.Parted` has them: each part of it is one."""
    return [sheet(_SHEET), heading(state.title, state.state, spoken=True), *_body(state)]


_SHEET = answer.CSS + cited.CSS + progress.CSS + CSS


def _body(state: SummaryState) -> list[str]:
    said = answer.prose(AnswerState(state.title, state.summary, state=state.state)) if state.summary else ""
    body = [f'<div class="answer-text">{said}</div>' if said else ""]
    body += [_part(part, "part" if place else "part first") for place, part in enumerate(state.parts)]
    body += [progress.inside(state.progress)] if state.running and state.progress is not None else []
    body += [note(_STOPPED, css="warn")] if state.state == "stopped" else []
    body += [error_note(state.failure)] if state.failure else []
    body += [note(escape(remark)) for remark in state.notes]
    words = " · ".join(answer.usage_words(state.usage))
    return body + ([f'<div class="foot">{escape(words)}</div>'] if words else [])


def _part(part: PartState, css: str) -> str:
    key = f"{part.when} {part.title} {part.text}"
    inner = AnswerState(part.title, part.text, state="done", citations=part.citations, key=key)
    when = f'<span class="when soft mono">{escape(part.when)}</span>' if part.when else ""
    head = f'<div class="part-title" role="heading" aria-level="4" dir="auto">{when}{escape(part.title)}</div>'
    said = f'<div class="answer-text">{answer.prose(inner)}</div>{answer.sources(inner)}'
    said += f'<p class="q" dir="auto">{escape(part.picture_note)}</p>' if part.picture_note else ""
    seen = cited.image(part.picture, part.picture_alt)
    return f'<div class="{css}">{head}{_beside(seen, said)}</div>'


def _beside(seen: str, said: str) -> str:
    return f'<div class="sight">{seen}<div class="lines">{said}</div></div>' if seen else said


# -- text --------------------------------------------------------------------------------------------------------------
def text(state: SummaryState | Mapping[str, Any], *, width: int = 100) -> str:
    """The summary, or its JSON form, for a terminal or a log."""
    state = from_json(state) if isinstance(state, Mapping) else state
    blocks = [wrap(oneline(state.title), width), _paragraphs(state.summary, width, "")]
    blocks += [_part_text(part, width) for part in state.parts]
    blocks += [[progress.text(state.progress, width=width)]] if state.running and state.progress is not None else []
    blocks += [[_STOPPED]] if state.state == "stopped" else []
    blocks += [_paragraphs(f"✗ {state.failure}", width, "")] if state.failure else []
    blocks += [[line for remark in state.notes for line in wrap(visible(remark), width)]]
    blocks += [[" · ".join(answer.usage_words(state.usage))]] if state.usage else []
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _part_text(part: PartState, width: int) -> list[str]:
    head = " ".join(word for word in (oneline(part.when), oneline(part.title)) if word)
    places = [f"  [{c.number}] {oneline(c.label)}   {c.check[0]}" for c in part.citations]
    seen = [cut(f"  ▣ {oneline(part.picture_alt)}", width)] if part.picture_alt else []
    seen += wrap(oneline(part.picture_note), width, indent="    ") if part.picture_note else []
    return [cut(f"▸ {head}", width), *seen, *_paragraphs(part.text, width, "  "), *(cut(line, width) for line in places)]


def _paragraphs(text: str, width: int, indent: str) -> list[str]:
    return [line for part in visible(text).split("\n") if part.strip() for line in wrap(part, width, indent=indent)]
