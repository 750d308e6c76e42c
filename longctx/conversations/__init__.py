"""Conversations as plain values, as JSON files, and as Markdown. Knows no session and no model.

A file holds every turn with all that is known of it, and says which model and which sources it was with. It is data only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from longctx.citations import Citation
from longctx.conversations import files, records
from longctx.conversations.records import SourceRead, Turn
from longctx.corpus import Corpus, Page
from longctx.errors import ConversationError
from longctx.views import conversation as view
from longctx.views.answer import AnswerState
from longctx.views.citations import CitationState

__all__ = ["Conversation", "SourceRead", "Turn", "check_free", "citation_state", "export", "read", "sources_of", "write"]

FORMAT, VERSION = "longctx-conversation", 1
#: Sources that a title names.
FEW = 2


@dataclass(frozen=True)
class Conversation:
    """An answer with all the turns before it, and what it was with.

    Args:
        turns: in order.
        model: its name.
        tokenizer: the fingerprint of its tokenizer: token ids of the answers mean something to it alone.
        prompt: version of the prompt.
        sources: what the corpus was made of.
        saved: when, in ISO 8601; empty where it was not.

    >>> from longctx.outcomes import Outcome
    >>> talk = Conversation((Turn("How many?", Outcome("Five.")),), "Qwen/Qwen3.5-4B")
    >>> print(talk.to_markdown().splitlines()[0])
    # A conversation
    """

    turns: tuple[Turn, ...]
    model: str
    tokenizer: str = ""
    prompt: str = ""
    sources: tuple[SourceRead, ...] = ()
    saved: str = ""

    @property
    def title(self) -> str:
        """What it is about, in words."""
        names = [source.path for source in self.sources]
        more = len(names) - FEW
        named = names if more <= 1 else [*names[:FEW], f"{more:,} more sources"]
        about = " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))
        return f"A conversation about {about}" if about else "A conversation"

    def goes_on(self, other: Conversation) -> bool:
        """Whether the other one is the beginning of this one, or all of it."""
        told = [(turn.question, turn.outcome.text) for turn in self.turns]
        return told[: len(other.turns)] == [(turn.question, turn.outcome.text) for turn in other.turns]

    def to_json(self) -> dict[str, Any]:
        """The conversation as its file has it."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "saved": self.saved,
            "model": self.model,
            "tokenizer": self.tokenizer,
            "prompt": self.prompt,
            "sources": [records.source_json(source) for source in self.sources],
            "turns": [records.turn_json(turn) for turn in self.turns],
        }

    def to_markdown(self, *, title: str = "", reasoning: bool = False) -> str:
        """The conversation as a Markdown document.

        Args:
            title: of the document; empty names the sources.
            reasoning: whether what the model thought before each answer is shown too.
        """
        turns = [_answer_state(turn) for turn in self.turns]
        state = view.ConversationState(title.strip() or self.title, self.model, turns, _shown(self.saved))
        return view.markdown(state, reasoning=reasoning)


def sources_of(corpus: Corpus) -> tuple[SourceRead, ...]:
    """What identifies a corpus: its sources, in order, by path and content."""
    return tuple(SourceRead(source.path, source.kind, source.size, source.sha256) for source in corpus.sources)


# -- files -------------------------------------------------------------------------------------------------------------
def read(path: str | os.PathLike[str]) -> Conversation:
    """Read a saved conversation. Needs no model and no sources.

    Args:
        path: a file that :meth:`longctx.Answer.save` wrote.

    Raises:
        ConversationError: it cannot be read, is no conversation, is damaged, or is of a newer longctx.
    """
    data = files.read_json(path, FORMAT)
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ConversationError(
            f"{os.fsdecode(path)!r} is of a newer longctx: version {version} of the format, and this one knows {VERSION}",
            hint="pip install --upgrade longctx-jupyter",
        )
    try:
        if version != VERSION or isinstance(version, bool):
            raise records.MalformedError(f"its version is {version!r}")
        return _from_json(records.Record(data, "the file"))
    except records.MalformedError as error:
        raise ConversationError(
            f"{os.fsdecode(path)!r} is no whole conversation: {error}", hint="take a copy of it that was not changed by hand"
        ) from error


def _from_json(record: records.Record) -> Conversation:
    turns = tuple(records.turn(turn) for turn in record.records("turns"))
    if not turns:
        raise records.MalformedError("it has no turns")
    return Conversation(
        turns=turns,
        model=record.text("model"),
        tokenizer=record.text("tokenizer"),
        prompt=record.text("prompt"),
        sources=tuple(records.source(source) for source in record.records("sources")),
        saved=record.text("saved"),
    )


def write(path: str | os.PathLike[str], conversation: Conversation, *, overwrite: bool = False) -> Path:
    """Save a conversation: whole or not at all, and only for this user to read.

    A file that holds the beginning of this very conversation is replaced; no other one, unless ``overwrite``.

    Args:
        path: of the file.
        conversation: to save; gets the time of now.
        overwrite: replace whatever file is there.

    Returns:
        the absolute path of the file.

    Raises:
        ConversationError: another file is there, or the disk does not take it.
    """
    place = files.target(path)
    if place.exists() and not overwrite and not conversation.goes_on(_existing(place)):
        raise files.taken(place, "holds another conversation")
    dated = replace(conversation, saved=datetime.now(UTC).isoformat(timespec="seconds"))
    files.write_whole(place, records.encoded(dated.to_json()), private=True)
    return place


def _existing(place: Path) -> Conversation:
    try:
        return read(place)
    except ConversationError as error:
        raise files.taken(place, "is no conversation that this longctx can go on with") from error


def export(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> Path:
    """Write a document; a file that holds the very same text stays, any other one is replaced only where ``overwrite``.

    Raises:
        ConversationError: another file is there, or the disk does not take it.
    """
    place, data = files.target(path), text.encode("utf-8", "backslashreplace")
    if place.exists() and not overwrite:
        if files.same(place, data):
            return place
        raise files.taken(place, "is there already")
    files.write_whole(place, data, private=False)
    return place


def check_free(path: str | os.PathLike[str], *, going_on: bool = False) -> None:
    """Refuse a file in which a conversation could not be saved, before anything is asked.

    Args:
        path: of the file.
        going_on: whether the conversation is the one that the file holds.

    Raises:
        ConversationError: a file is there already, or none can be made there.
    """
    place = files.target(path)
    if place.exists() and not going_on:
        raise ConversationError(f"{str(place)!r} is there already", hint="--reopen goes on with it; or give another name")
    files.check_folder(place)


# -- views -------------------------------------------------------------------------------------------------------------
def _shown(saved: str) -> str:
    """A time as people read it; as it stands where it is none."""
    try:
        return datetime.fromisoformat(saved).astimezone(UTC).strftime("%Y-%m-%d at %H:%M UTC") if saved else ""
    except (ValueError, OverflowError):
        return saved


def _answer_state(turn: Turn) -> AnswerState:
    outcome = turn.outcome
    return AnswerState(
        question=turn.question,
        text=outcome.text,
        reasoning=outcome.reasoning,
        state="stopped" if outcome.stopped else "done",
        citations=[citation_state(citation) for citation in outcome.citations],
        unsupported=outcome.unsupported,
        left_out=outcome.left_out,
        notes=[*outcome.differences, *outcome.notes],
    )


def citation_state(citation: Citation) -> CitationState:
    """A citation as views show it, without its sources."""
    return CitationState(
        number=citation.number,
        label=citation.label,
        where=citation.where,
        quote=citation.quote,
        verified=citation.verified,
        basis=citation.basis,
        note=citation.remark,
        page=citation.origin.number if isinstance(citation.origin, Page) else None,
    )
