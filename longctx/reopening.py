"""A saved conversation beside the corpus and the model with which it goes on: what still holds, and what is another one now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from longctx.backends.base import Sampling
from longctx.citations import Citation, again, referring, unmarked
from longctx.conversations import Conversation, SourceRead, Turn, sources_of
from longctx.corpus import Corpus
from longctx.errors import ConversationError, UsageError
from longctx.outcomes import Outcome
from longctx.stream import Tokenizer

#: Sources that a note names.
FEW = 5


@dataclass(frozen=True)
class Changes:
    """What became of the sources.

    Args:
        unchanged: paths, as they are now, of sources with the same content.
        renamed: new paths of sources with the same content, by the old ones.
        changed: paths of sources with another content.
        gone: paths that are there no longer.
        new: paths that were not there.
    """

    unchanged: frozenset[str]
    renamed: dict[str, str]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        renamed = [f"{old} is {new} now" for old, new in self.renamed.items()]
        kinds = {"changed": self.changed, "gone": self.gone, "new": self.new, "renamed": renamed}
        return "; ".join(f"{kind}: {_few(paths)}" for kind, paths in kinds.items() if paths)


def compare(before: Sequence[SourceRead], now: Sequence[SourceRead]) -> Changes:
    """What became of the sources of a conversation.

    >>> old = [SourceRead("a.py", "code", 3, "aa"), SourceRead("b.py", "code", 3, "bb")]
    >>> print(compare(old, [SourceRead("c.py", "code", 3, "aa"), SourceRead("b.py", "code", 4, "xx")]))
    changed: b.py; renamed: a.py is c.py now
    """
    old, new = {source.path: source for source in before}, {source.path: source for source in now}
    renamed = _renamed([s for s in before if s.path not in new], [s for s in now if s.path not in old])
    changed = tuple(path for path, s in old.items() if path in new and _content(new[path]) != _content(s))
    return Changes(
        unchanged=frozenset(path for path in new if path in old and path not in changed) | frozenset(renamed.values()),
        renamed=renamed,
        changed=changed,
        gone=tuple(path for path in old if path not in new and path not in renamed),
        new=tuple(path for path in new if path not in old and path not in renamed.values()),
    )


def _renamed(gone: Sequence[SourceRead], fresh: Sequence[SourceRead]) -> dict[str, str]:
    """New paths by old ones; of several sources with the same content, in their order."""
    paths: dict[str, list[str]] = {}
    for source in reversed(fresh):
        paths.setdefault(source.sha256, []).append(source.path)
    return {source.path: paths[source.sha256].pop() for source in gone if source.sha256 and paths.get(source.sha256)}


def _content(source: SourceRead) -> tuple[int, str]:
    return source.size, source.sha256


def _few(paths: Sequence[str]) -> str:
    more = len(paths) - FEW
    return ", ".join(paths[:FEW]) + (f" and {more:,} more" if more > 0 else "")


def outcome(saved: Conversation, number: int, corpus: Corpus, model: str, tokenizer: Tokenizer) -> Outcome:
    """What is known of a turn now: its citations checked again, its answer in token ids of the model with which it goes on.

    Args:
        saved: the conversation.
        number: of the turn, from 0; the last one says what is another one now.
        corpus: as it is now.
        model: its name.
        tokenizer: of the model.
    """
    turn = saved.turns[number]
    changes = compare(saved.sources, sources_of(corpus))
    cited = tuple(
        again(place, corpus.segments, unchanged=changes.unchanged, renamed=changes.renamed) for place in turn.outcome.citations
    )
    notes = _differences(saved, changes, model, tokenizer) if number == len(saved.turns) - 1 else []
    if lost := sum(bool(place.lost) for place in cited):
        notes.append(f"{lost:,} of {len(cited):,} citations no longer hold")
    ids = _ids(turn, cited, tokenizer, tokenizer.fingerprint == saved.tokenizer)
    return replace(turn.outcome, citations=cited, ids=ids, differences=tuple(notes))


def sampling(turn: Turn) -> Sampling:
    """How a saved turn was asked, for the turns that follow it.

    Raises:
        ConversationError: its options are out of range.
    """
    asked = Sampling(**{key: value for key, value in turn.options.items() if key != "thinking"})
    try:
        asked.check()
    except UsageError as error:
        raise ConversationError(f"the turn {turn.question!r} cannot be gone on with: {error.message}") from error
    return asked


def _differences(saved: Conversation, changes: Changes, model: str, tokenizer: Tokenizer) -> list[str]:
    notes = [f"the sources are not those of the saved conversation: {changes}"] if str(changes) else []
    if model != saved.model:
        notes.append(f"the conversation was with {saved.model}; it goes on with {model}")
    if tokenizer.fingerprint != saved.tokenizer:
        notes.append("the model's tokenizer is another one, so the earlier answers were encoded anew")
    return notes


def _ids(turn: Turn, cited: Sequence[Citation], tokenizer: Tokenizer, same: bool) -> tuple[int, ...]:
    """The answer's own token ids, so that nothing is read again; where they would mislead, its text encoded anew.

    They name segments by number, which a changed corpus gives to others. And they come out of a file: they count only where
    they are data, and say what the user is shown.
    """
    before = turn.outcome
    pairs = zip(before.citations, cited, strict=True)
    if same and all(old.segment == new.segment for old, new in pairs if old.basis == "cited") and _true(before, tokenizer):
        return before.ids
    segments = {place.number: place.segment if place.basis == "cited" and place.origin else 0 for place in cited}
    return tuple(tokenizer.encode_data(referring(before.text, segments)))


def _true(before: Outcome, tokenizer: Tokenizer) -> bool:
    control = set(tokenizer.added.values())
    if any(number in control or number >= tokenizer.vocab_size for number in before.ids):
        return False
    return unmarked(tokenizer.decode(before.ids)) == unmarked(before.text)
