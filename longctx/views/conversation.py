"""A conversation as a Markdown document: every question with its answer and what it rests on. Knows no session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.views import citations as cited
from longctx.views.answer import AnswerState
from longctx.views.budget import left_out_lines
from longctx.views.citations import CitationState
from longctx.views.markdown import code, fenced, inline, quoted, tamed
from longctx.views.safe import oneline

#: Characters of a question that a heading holds; a longer one follows as a whole.
MOST_OF_HEADING = 120
#: Rows of what was left out.
MOST_LEFT_OUT = 20


@dataclass(frozen=True)
class ConversationState:
    """What the view shows of a conversation.

    Args:
        title: of the document.
        model: its name.
        turns: in order.
        saved: when it was saved; empty where it was not.
    """

    title: str
    model: str
    turns: Sequence[AnswerState]
    saved: str = ""


def markdown(state: ConversationState, *, reasoning: bool = False) -> str:
    """The conversation as a Markdown document.

    Args:
        state: to show.
        reasoning: whether what the model thought before each answer is shown too.
    """
    told = f"Answered by {code(state.model)} with longctx" if state.model.strip() else "Answered with longctx"
    saved = f", saved on {inline(state.saved)}" if state.saved else ""
    blocks = [f"# {inline(state.title)}", f"{told}{saved}."]
    for number, turn in enumerate(state.turns, start=1):
        blocks += _turn(number, turn, reasoning)
    checked = any(place.verified and place.quote for turn in state.turns for place in turn.citations)
    blocks += ["***", f"*{cited.CHECK_NOTE}*"] if checked else []
    return "\n\n".join(filter(None, blocks)) + "\n"


def _turn(number: int, turn: AnswerState, reasoning: bool) -> Iterator[str]:
    question = oneline(turn.question)
    short = question if len(question) <= MOST_OF_HEADING else question[:MOST_OF_HEADING].rstrip() + "…"
    yield f"## {number}. {inline(short)}"
    if short != turn.question.strip():
        yield "\n".join(quoted(turn.question.strip()))
    if reasoning and turn.reasoning.strip():
        yield "**Reasoning**"
        yield "\n".join(quoted(turn.reasoning.strip()))
    yield tamed(turn.text)
    if turn.state == "stopped":
        yield "*Stopped on request: " + ("the answer is as far as it came.*" if turn.text.strip() else "nothing was said.*")
    yield from _listed("Sources", [_source(citation) for citation in turn.citations])
    yield from _listed("Without a source", [f"- ⚠ “{inline(sentence)}”" for sentence in turn.unsupported])
    yield from _listed("Left out", _left_out(turn.left_out))
    yield from _listed("Notes", [f"- {inline(note)}" for note in turn.notes])


def _listed(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield f"**{title}**"
        yield "\n".join(items)


def _source(citation: CitationState) -> str:
    """One citation: its mark, its place, what was found out about it, and the words that it rests on."""
    words, _ = citation.check
    line = f"- [{citation.number}] {code(citation.label)} {inline(words)}"
    quote = citation.quote.strip("\r\n")
    if not quote.strip():
        return line
    if len(quote.splitlines()) == 1:
        return f"{line}: {code(quote)}"
    return "\n".join([f"{line}:", "", *fenced(quote, indent="  "), ""])


def _left_out(rows: Sequence[Mapping[str, Any] | str]) -> list[str]:
    return [f"- {inline(line)}" for line in left_out_lines(rows, MOST_LEFT_OUT)]
