"""What is learnt from in a step: conversations, what each of their tokens weighs, and on which segments they rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from tests.reference_model import language, samples
from tests.reference_model.language import Vocabulary
from tests.reference_model.samples import Format, Sample

#: What a wrong token of the sources costs, where a wrong token of an answer costs 1.
REST = 0.02
#: What the tokens cost that are learnt last: the one that says whether there is an answer; the segment's number.
DECIDING, NUMBER = 3.0, 3.0
#: Tokens of a segment's number and its bracket, nearly always.
NUMBER_TOKENS = 3
#: Tokens that must be the same for what follows to be said again: a name and "is".
SAME = 5
#: Digits of a segment's number that are asked for, the last one last; a shorter number is blank before it.
DIGITS, BLANK, NO_NUMBER = 3, 10, -100
#: YaRN's factor of the long batches.
FACTOR = 4
#: Share of the samples in which the last answer is thought about.
THINKING = 0.05


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Args:
        steps: batches.
        length: tokens of the longest conversation.
        tokens: of a batch.
        rate: learning rate at its beginning, in parts of the full one.
        final: learning rate at its end.
        skills: weights of the skills that are asked for.
        repeats: share of the questions that were asked before in the same conversation.
        task: the system text; the library's own is left for the end, since it takes a fifth of the window.
        syllables: different ones in names. With 8, copying is learnt in 300 steps; with 32 not in 1,000; it then holds for all.
        turns: questions of a conversation, at most.
        echo: share of the files that say everything again and again, so that looking up is learnt from the sources too.
        listing: share of the conversations that ask for everything, each statement with its segment.
        far: share of the batches that are four times as long, read with YaRN's factor 4, as its authors tune a model to it.
        citing: weight of the segments that layers are asked for; where it is not 0 the last layer learns.
        unknown: weight of the token after "not stated", where no segment is to be named even if other things are said there.
        changing: share of prose facts whose subject has several of them, which are told apart by their order.
    """

    steps: int
    length: int
    tokens: int
    rate: float = 1.0
    final: float = 1.0
    skills: Mapping[str, float] = field(default_factory=lambda: {"recall": 0.4, "order": 0.3, "absent": 0.3})
    task: str = "Answer."
    repeats: float = 0.0
    syllables: int = len(language.SYLLABLES)
    turns: int = 11
    echo: float = 0.0
    listing: float = 0.0
    far: float = 0.0
    citing: float = 0.0
    unknown: float = 1.0
    changing: float = 0.3

    def at(self, seed: int, step: int) -> tuple[int, float]:
        """The tokens of the longest conversation of a batch, and YaRN's factor."""
        far = samples.seeded(seed, step).rng.random() < self.far
        return (FACTOR * self.length, FACTOR) if far else (self.length, 1)


class Batch(NamedTuple):
    """Conversations side by side.

    Args:
        ids: tokens [samples, tokens].
        weights: of each token as a target [samples, tokens].
        own: digits of the segment in which a token of the sources stands [samples, tokens, DIGITS].
        cited: digits of the segment on which a token of an answer rests [samples, tokens, DIGITS].
    """

    ids: torch.Tensor
    weights: torch.Tensor
    own: torch.Tensor
    cited: torch.Tensor


def make_batch(seed: int, step: int, stage: Stage, form: Format) -> Batch:
    """What is learnt from in a step; a function of its arguments alone."""
    length, _ = stage.at(seed, step)
    long = replace(stage, length=length)
    made = [
        _sample(samples.seeded(seed, step, index, syllables=stage.syllables), long, form)
        for index in range(stage.tokens // length)
    ]
    width = max(len(sample.ids) for sample in made)
    ids = torch.full((len(made), width), form.tokenizer.added["<|endoftext|>"])
    weights = torch.zeros((len(made), width))
    own, cited = (torch.full((len(made), width, DIGITS), NO_NUMBER) for _ in range(2))
    for row, sample in enumerate(made):
        until = len(sample.ids)
        ids[row, :until] = torch.tensor(sample.ids)
        weights[row, :until] = _weights(sample, stage, form)
        own[row, :until] = _own(sample.ids, form)
        cited[row, :until] = _cited(sample, form)
    return Batch(ids, weights, own, cited)


def _sample(words: Vocabulary, stage: Stage, form: Format) -> Sample:
    """One that is not longer than the stage; shorter ones too, so that every place of the window is met."""
    frame = len(form.tokenizer.encode_data(stage.task))
    listing = words.rng.random() < stage.listing
    turns = 1 if listing else words.rng.randrange(1, 2 + min(stage.turns - 1, (stage.length - frame) // 80))
    least = (stage.length + frame) // 2
    length = words.rng.randrange(least, stage.length) if words.rng.random() < 0.3 else stage.length
    thinking = not listing and words.rng.random() < THINKING
    skills = {"all": 1.0} if listing else stage.skills
    while True:
        asked = {"skills": skills, "turns": turns, "repeats": stage.repeats}
        made = {"echo": stage.echo, "changing": stage.changing}
        sample = samples.make_sample(words, form, length, **asked, **made, task=stage.task, thinking=thinking)
        if len(sample.ids) <= stage.length:
            return sample
        turns = max(1, turns - 1)
        length -= 16


def _weights(sample: Sample, stage: Stage, form: Format) -> torch.Tensor:
    """What a wrong token costs."""
    ids, spoken = torch.tensor(sample.ids), torch.tensor(sample.spoken)
    be, bracket, end = (_token(form, word) for word in (" is", " [", "]."))
    weights = torch.where(spoken, 1.0, REST)
    weights[_after(spoken & (ids == be))] = DECIDING
    weights[_after(spoken & (ids == _token(form, " stated")))] *= stage.unknown
    number = spoken & (ids == bracket)
    for _ in range(NUMBER_TOKENS):
        number = _after(number)
        weights[number & spoken] = NUMBER
    if sample.listing:  # which fact is told next cannot be known
        weights[spoken & ~_between(spoken & (ids == be), spoken & (ids == end))] = REST
    if stage.echo:
        weights[~spoken & _said_before(sample.ids)] = 1.0
    return weights


def _between(begins: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """The places after a beginning, up to the next end."""
    return (begins.cumsum(0) - begins.long()) > (ends.cumsum(0) - ends.long())


def _after(mask: torch.Tensor) -> torch.Tensor:
    """The places after those of a mask."""
    return torch.nn.functional.pad(mask, (1, 0))[:-1]


def _said_before(ids: Sequence[int]) -> torch.Tensor:
    """The tokens that followed the same few tokens before: who looks there knows them."""
    seen: dict[tuple[int, ...], int] = {}
    found = torch.zeros(len(ids), dtype=torch.bool)
    for at in range(SAME, len(ids)):
        before = tuple(ids[at - SAME : at])
        found[at] = seen.get(before) == ids[at]
        seen[before] = ids[at]
    return found


def _own(ids: Sequence[int], form: Format) -> torch.Tensor:
    """The number of each token's segment, from its mark, two tokens and the number itself, to its end."""
    mark, close = _token(form, "<seg "), _token(form, "</")
    until = 0
    found = torch.full((len(ids), DIGITS), NO_NUMBER)
    now = torch.full((DIGITS,), NO_NUMBER)
    for at, token in enumerate(ids):
        if token in (mark, close):
            now = torch.full((DIGITS,), NO_NUMBER)
        if token == mark:
            digits = _digits(ids, at + 2, form)
            until = at + 2 + len(digits)
            now = _padded(digits)
        elif now[-1] != NO_NUMBER and at >= until:
            found[at] = now
    return found


def _cited(sample: Sample, form: Format) -> torch.Tensor:
    """The number that an answer's tokens from "is" to its last digit rest on."""
    be, bracket = _token(form, " is"), _token(form, " [")
    found = torch.full((len(sample.ids), DIGITS), NO_NUMBER)
    begin: int | None = None
    for at, (token, spoken) in enumerate(zip(sample.ids, sample.spoken, strict=True)):
        if not spoken or token == be:
            begin = at if spoken else None
        elif token == bracket and begin is not None:
            digits = _digits(sample.ids, at + 1, form)
            found[begin : at + 1 + len(digits)] = _padded(digits)
            begin = None
    return found


def _digits(ids: Sequence[int], at: int, form: Format) -> list[int]:
    """Those that stand from a place on."""
    known = {_token(form, str(digit)): digit for digit in range(10)}
    found = []
    while at < len(ids) and ids[at] in known:
        found.append(known[ids[at]])
        at += 1
    return found


def _padded(digits: Sequence[int]) -> torch.Tensor:
    return torch.tensor([BLANK] * (DIGITS - len(digits)) + list(digits)[-DIGITS:])


def _token(form: Format, word: str) -> int:
    """The token that a word begins with."""
    return form.tokenizer.encode_data(word)[0]
