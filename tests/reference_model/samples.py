"""Conversations about made-up files, as token ids in the very format in which a session puts them to a model.

Files become segments, segments a stream, stream and questions a prompt, all by the library itself.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longctx import prompts
from longctx.corpus import Corpus, Lines, Segment, Source
from longctx.models import ModelFiles
from longctx.sources.texts.text import parse_text
from longctx.stream import Tokenizer, TokenStream, build
from tests.reference_model import language
from tests.reference_model.language import Fact, File, Vocabulary
from tests.reference_model.questions import Question, absent, ask, claim

#: Characters of files for each token of a window, rather too many: what does not fit is left out.
CHARACTERS_PER_TOKEN = 4.2
#: Tokens of the template around a conversation, and of a question with its answer.
FRAME, TURN = 24, 42
#: Share of a conversation that files take where everything is asked for.
SHORT_FILES = 0.6
#: Questions that are made for each that is asked; a skill of which the files state nothing gives none.
TRIES = 4
KINDS = {"py": "code", "md": "markdown"}


@dataclass(frozen=True)
class Placed:
    """A stated fact and the segment in which it stands."""

    fact: Fact
    segment: int


@dataclass(frozen=True)
class Context:
    """What a model reads before it is asked: the stream of some files, and what they state in reading order."""

    stream: TokenStream
    placed: Sequence[Placed]
    files: Sequence[File]

    @property
    def facts(self) -> list[Fact]:
        """What is stated, in reading order."""
        return [placed.fact for placed in self.placed]

    def answer(self, question: Question) -> str:
        """The right answer, with the id of the segment."""
        if question.listed:
            told = [self.placed[index] for index in question.listed]
            return " ".join(f"{claim(p.fact.kind, p.fact.subject, p.fact.value)} [{p.segment}]." for p in told)
        return question.answer(None if question.fact is None else self.placed[question.fact].segment)


@dataclass(frozen=True)
class Sample:
    """Token ids of a whole conversation, which of them the model says itself, and whether it tells everything in any order."""

    ids: list[int]
    spoken: list[bool]
    listing: bool = False


@dataclass(frozen=True)
class Format:
    """What a prompt is made with.

    Args:
        tokenizer: of the model.
        template: its chat template.
        special: its control strings by role.
        end: the token that ends a turn.
    """

    tokenizer: Tokenizer
    template: str
    special: Mapping[str, str]
    end: int

    @classmethod
    def of(cls, model: Path) -> Format:
        """That of a model's folder."""
        files = ModelFiles.read(model, name=str(model))
        tokenizer = Tokenizer.from_folder(model)
        return cls(tokenizer, files.template or "", files.special, tokenizer.added[files.special["eos_token"]])


def corpus_of(files: Sequence[File], before: int = 0) -> Corpus:
    """Files as the library reads them.

    Args:
        files: in reading order.
        before: so many segments stand before them, so that ids do not always begin at 1.
    """
    first = (Source("0", "0", "text", 0, "", (Segment("", Lines("0", 1, 1)),) * before),) if before else ()
    return Corpus((*first, *map(_source, files)), ())


def _source(file: File) -> Source:
    data = file.text.encode()
    kind = KINDS.get(file.path.rpartition(".")[2], "text")
    return Source(file.path, file.path, kind, len(data), "", tuple(parse_text(file.path, kind, data, len(data)).segments))


def make_context(words: Vocabulary, form: Format, tokens: int, *, from_one: bool = False, **made: Any) -> Context:
    """Files of at most so many tokens, framed as sources.

    Args:
        words: names and values.
        form: of the prompt.
        tokens: of the sources.
        from_one: whether ids of segments begin at 1, as where a whole corpus is read; else it varies.
        made: how files are made; see ``make_files``.
    """
    before = 0 if from_one else _segments_before(words.rng)
    files = language.make_files(words, round(tokens * CHARACTERS_PER_TOKEN), **made)
    corpus = corpus_of(files, before)
    stream = build(corpus, form.tokenizer, prompts.Frame())
    stream = stream.select(_fitting(stream, before, tokens))
    kept = [file for file in files if file.path in stream.tokens_per_source]
    return Context(stream, place(kept, corpus, stream), kept)


def _segments_before(rng: random.Random) -> int:
    """So that ids are not always small, as where segments are chosen out of a large corpus."""
    few, other, many = rng.randrange(1, 60), rng.randrange(1, 60), rng.randrange(1, 400)
    return rng.choice((0, 0, 0, few, other, many))


def _fitting(stream: TokenStream, before: int, tokens: int) -> list[int]:
    """Segments of the first sources that fit together."""
    chosen: list[int] = []
    total = 0
    for source, numbered in stream.corpus.numbered():
        if before and source.path == "0":
            continue
        total += stream.tokens_per_source[source.path]
        if total > tokens and chosen:
            break
        chosen += [number for number, _ in numbered]
    return chosen


def place(files: Sequence[File], corpus: Corpus, stream: TokenStream) -> list[Placed]:
    """Facts of the segments that are in the stream, in reading order."""
    facts = {file.path: file.facts for file in files}
    kept = {span.segment for span in stream.spans}
    placed: list[Placed] = []
    for source, numbered in corpus.numbered():
        for number, segment in numbered:
            found = [fact for fact in facts.get(source.path, ()) if number in kept and fact.text in segment.text]
            placed += (Placed(fact, number) for fact in sorted(found, key=lambda fact: segment.text.index(fact.text)))
    return placed


def make_sample(
    words: Vocabulary,
    form: Format,
    tokens: int,
    *,
    skills: Mapping[str, float],
    turns: int,
    repeats: float,
    task: str,
    thinking: bool,
    **made: float,
) -> Sample:
    """A conversation over made-up files.

    Args:
        words: names and values.
        form: of the prompt.
        tokens: of the whole conversation, about.
        skills: weights of the skills that are asked for.
        turns: questions.
        repeats: share of the questions that were asked before.
        task: the system text.
        thinking: whether the last answer is thought about.
        made: how files are made; see ``make_files``.
    """
    frame = FRAME + len(form.tokenizer.encode_data(task))
    if "all" in skills:  # for short files, and for an answer that cites each
        context = make_context(words, form, round(SHORT_FILES * tokens), single=True, changing=0.0)
    else:
        context = make_context(words, form, max(48, tokens - frame - TURN * turns), **made)
    asked: list[Question] = []
    for skill in words.rng.choices(list(skills), list(skills.values()), k=TRIES * turns):
        question = ask(words, context.facts, skill)
        if asked and words.rng.random() < repeats:
            question = words.rng.choice(asked)
        elif question is None or question in asked:
            continue
        asked.append(question)
    asked = asked or [absent(words, context.facts)]
    return conversation(context, form, asked[:turns], task=task, thinking=thinking)


def conversation(
    context: Context, form: Format, asked: Sequence[Question], *, task: str = prompts.SYSTEM, thinking: bool = False
) -> Sample:
    """The tokens of a conversation in which every question was answered."""
    *told, last = asked
    turns = [*(prompts.Turn(question.text, context.answer(question)) for question in told), prompts.Turn(last.text)]
    pieces = [
        (_encode(context, form, piece), piece.role == "answer")
        for piece in prompts.render(form.template, form.special, turns, thinking=thinking, task=task)
    ]
    pieces.append((_last_words(context, form, last, thinking), True))
    ids = [token for part, _ in pieces for token in part]
    spoken = [own for part, own in pieces for _ in part]
    ended = (before and token == form.end for before, token in zip(spoken, ids[1:], strict=False))
    listing = any(question.listed for question in asked)
    return Sample(ids, [spoken[0], *(own or end for own, end in zip(spoken[1:], ended, strict=True))], listing)


def _last_words(context: Context, form: Format, question: Question, thinking: bool) -> list[int]:
    """What the model says last, to the end of its turn."""
    data, answer = form.tokenizer.encode_data, context.answer(question)
    if not thinking:
        return [*data(answer), form.end]
    thought = question.thought(None if question.fact is None else context.placed[question.fact].segment)
    return [*data(f"{thought}\n"), form.tokenizer.added["</think>"], *data(f"\n\n{answer}"), form.end]


def _encode(context: Context, form: Format, piece: prompts.Piece) -> list[int]:
    if piece.role == "corpus":
        return list(context.stream.ids.tolist())
    encode = form.tokenizer.encode_template if piece.control else form.tokenizer.encode_data
    return encode(piece.text)


def seeded(*numbers: int, held_out: bool = False, syllables: int = len(language.SYLLABLES)) -> Vocabulary:
    """Names and values that follow from some numbers alone."""
    return Vocabulary(random.Random(repr(numbers)), held_out=held_out, syllables=syllables)
