"""The small made-up English of the reference model: names, facts, distractors, and the files in which they stand.

Knows text alone: no tokenizer, no prompt. Everything is a function of a ``random.Random``. Names, values and layouts come in
two sets that never meet: one to train on, one held out.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Names are three of these, a token each: few enough that a small model learns to copy every one, and names too many to be
#: learnt by heart (of two syllables there are a thousand: it knew them all, and failed on any other).
SYLLABLES = [consonant + vowel for consonant in "bdfklmtz" for vowel in "aiou"]
NAME = 3
#: Every so many names and values one is held out.
HELD_OUT_SHARE = 3

#: What is said of somebody or something, and how a value looks.
ATTRIBUTES = ("code", "weight", "keeper")
#: Said several times, so that only the order tells which is asked for.
CHANGING = "price"

COLOURS = ("red", "green", "blue", "white", "black", "grey", "brown", "yellow")
PLACES = ("harbour", "mill", "garden", "market", "bridge", "tower", "school", "station", "river", "field")
STATES = ("quiet", "open", "closed", "old", "new", "cold", "warm", "empty", "full", "dry")
MORNINGS = ("In the morning", "At night", "In winter", "On some days", "After the rain", "Before noon")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a file states.

    Args:
        kind: one of ATTRIBUTES, CHANGING or ``"calls"``.
        subject: whom it is said of.
        value: what is said.
        text: the sentence, or the lines of code, word for word.
    """

    kind: str
    subject: str
    value: str
    text: str


@dataclass(frozen=True)
class File:
    """A file of the made-up tree: its path, its text and what it states, in reading order."""

    path: str
    text: str
    facts: tuple[Fact, ...]


class Vocabulary:
    """Names and values of one of the two sets.

    Args:
        rng: what decides.
        held_out: whether from the set that no training saw.
        syllables: how many different ones there are in names.
    """

    def __init__(self, rng: random.Random, *, held_out: bool, syllables: int = len(SYLLABLES)) -> None:
        self.rng = rng
        self.held_out = held_out
        self.syllables = SYLLABLES[:: len(SYLLABLES) // syllables]
        self._used: set[str] = set()

    def name(self) -> str:
        """A name that was not given yet; lower case everywhere, so that it is the same tokens everywhere."""
        return self._fresh(lambda: "".join(self.rng.choices(self.syllables, k=NAME)))

    def number(self, digits: int) -> str:
        """A number of so many digits; may come twice."""
        while True:
            value = str(self.rng.randrange(10 ** (digits - 1), 10**digits))
            if digits < 3 or is_held_out(value) == self.held_out:  # there are too few short ones to keep any back
                return value

    def _fresh(self, make: Callable[[], str]) -> str:
        while True:
            value = make()
            if value not in self._used and is_held_out(value) == self.held_out:
                self._used.add(value)
                return value


def is_held_out(word: str) -> bool:
    """Whether a name or a number is kept from training."""
    return zlib.crc32(word.lower().encode()) % HELD_OUT_SHARE == 0


def statement(kind: str, subject: str, value: str) -> str:
    """The sentence of a fact in prose."""
    unit = " stones" if kind == "weight" else ""
    return f"The {kind} of {subject} is {value}{unit}."


def make_fact(words: Vocabulary, kind: str, subject: str) -> Fact:
    """A fact with a new value."""
    match kind:
        case "keeper":
            value = words.name()
        case "calls":
            value = words.name()
            return Fact(kind, subject, value, _function(words.rng, subject, value))
        case _:
            value = words.number(3 if kind == "code" else 2)
    return Fact(kind, subject, value, statement(kind, subject, value))


def _function(rng: random.Random, name: str, called: str) -> str:
    argument, plus = rng.choice(("x", "n", "items", "text")), rng.randrange(1, 10)
    return rng.choice(
        (
            f"def {name}({argument}):\n    return {called}({argument})\n",
            f"def {name}({argument}):\n    return {called}({argument}) + {plus}\n",
            f"def {name}({argument}):\n    total = {called}({argument})\n    return total\n",
        )
    )


def distractor(words: Vocabulary) -> str:
    """A sentence that answers nothing."""
    rng = words.rng
    place, other = rng.sample(PLACES, 2)
    name = words.name()
    return rng.choice(
        (
            f"{rng.choice(MORNINGS)} the {place} is {rng.choice(STATES)}.",
            f"The {place} of {name} is {rng.choice(COLOURS)}.",
            f"{name} lives near the {place}.",
            f"The {place} is {words.number(2)} steps from the {other}.",
            f"{name} has {words.number(2)} boxes and a {rng.choice(COLOURS)} door.",
            f"Nobody knows the {rng.choice((*ATTRIBUTES, CHANGING))} of the {place}.",
        )
    )


# How sentences stand in a file. Each takes the generator's choice and gives path and text.
Layout = Callable[[random.Random, str, Sequence[str]], tuple[str, str]]


def _paragraph(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"{name}.txt", " ".join(sentences) + "\n"


def _page(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"pages/{name}.txt", "\n".join(sentences) + "\n"


def _bullets(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"docs/{name}.md", "".join(f"- {sentence}\n" for sentence in sentences)


def _section(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"docs/{name}.md", f"# The {rng.choice(PLACES)}\n\n" + "\n".join(sentences) + "\n"


def _comments(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"src/{name}.py", "".join(f"# {sentence}\n" for sentence in sentences)


def _log(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    hour = rng.randrange(24)
    return f"logs/{name}.log", "".join(f"{hour:02d}:{rng.randrange(60):02d} {sentence}\n" for sentence in sentences)


def _numbered(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"lists/{name}.txt", "".join(f"{n}. {sentence}\n" for n, sentence in enumerate(sentences, start=1))


def _letter(rng: random.Random, name: str, sentences: Sequence[str]) -> tuple[str, str]:
    return f"mail/{name}.txt", "".join(f"> {sentence}\n" for sentence in sentences)


LAYOUTS: dict[bool, tuple[Layout, ...]] = {
    False: (_paragraph, _page, _bullets, _section, _comments, _log),
    True: (_numbered, _letter),
}


def prose_file(words: Vocabulary, facts: Sequence[Fact], distractors: int) -> File:
    """A file that states facts among sentences that answer nothing."""
    rng = words.rng
    sentences: list[str | Fact] = list(facts)
    for _ in range(distractors):  # facts keep their order
        sentences.insert(rng.randrange(len(sentences) + 1), distractor(words))
    layout = rng.choice(LAYOUTS[words.held_out])
    path, text = layout(rng, words.name(), [s if isinstance(s, str) else s.text for s in sentences])
    return File(path, text, tuple(facts))


def code_file(words: Vocabulary, facts: Sequence[Fact]) -> File:
    """A file of functions that call functions."""
    gap = words.rng.choice(("\n", "\n\n"))
    return File(f"src/{words.name()}.py", gap.join(fact.text for fact in facts), tuple(facts))


def real_file(words: Vocabulary) -> File:
    """A few lines of real code or prose."""
    rng = words.rng
    lines = _real_lines(words.held_out)
    first = rng.randrange(len(lines) - 6)
    return File(f"real/{words.name()}.txt", "".join(lines[first : first + rng.randrange(1, 4)]), ())


@cache
def _real_lines(held_out: bool) -> list[str]:
    """Of the README and a loader as they were one day, to train on: data must not change; of the licence, to ask about."""
    file = ROOT / "LICENSE" if held_out else Path(__file__).with_name("real.txt")
    return [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.strip()]


def echo_file(words: Vocabulary, characters: int) -> File:
    """A file that states facts of one kind again and again, in other orders: to learn looking up by the name."""
    kind = words.rng.choice((*ATTRIBUTES, "calls"))
    times = words.rng.randrange(2, 5)
    count = max(2, min(words.rng.randrange(3, 9), characters // (times * (55 if kind == "calls" else 34))))
    facts = [make_fact(words, kind, words.name()) for _ in range(count)]
    again = [fact for _ in range(times - 1) for fact in words.rng.sample(facts, count)]
    file = code_file(words, [*facts, *again]) if kind == "calls" else prose_file(words, [*facts, *again], 0)
    return replace(file, facts=tuple(facts))


def make_files(
    words: Vocabulary, characters: int, *, changing: float = 0.3, single: bool = False, echo: float = 0.0
) -> list[File]:
    """Files of about so many characters in all.

    Args:
        words: the names.
        characters: at least so many.
        changing: share of prose facts whose subject has several of them.
        single: whether each file states one fact only.
        echo: share of the files that say everything twice.
    """
    rng = words.rng
    files: list[File] = []
    changed: list[str] = [words.name() for _ in range(max(1, round(characters * changing / 300)))]
    size = 0
    while size < characters:
        kind = rng.random()
        count = 1 if single else rng.randrange(1, 5)
        if echo and rng.random() < echo:
            file = echo_file(words, characters - size)
        elif kind < 0.1:
            file = real_file(words)
        elif kind < 0.3:
            file = code_file(words, [make_fact(words, "calls", words.name()) for _ in range(count)])
        else:
            facts = [_prose_fact(words, changed, changing) for _ in range(count)]
            file = prose_file(words, facts, rng.choice((0, 0, 1, 2, 3)))
        files.append(file)
        size += len(file.text) + 60  # with its frame
    return files


def _prose_fact(words: Vocabulary, changed: Sequence[str], changing: float) -> Fact:
    if words.rng.random() < changing:
        return make_fact(words, CHANGING, words.rng.choice(changed))
    return make_fact(words, words.rng.choice(ATTRIBUTES), words.name())
