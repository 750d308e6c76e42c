"""What can be asked about files of the made-up English, and what the answer is, word for word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx.citations import NOT_STATED
from tests.reference_model.language import ATTRIBUTES, CHANGING, Fact, Vocabulary

#: What the claim says instead of a value where nothing is stated.
UNKNOWN = "not stated"
#: Facts in the answer to a question for everything, at most.
MOST_LISTED = 9
#: The table's rows. ``order`` depends on positions: which of several statements is the first or the latest.
SKILLS = ("recall", "order", "absent")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer without the segment's id, and the fact that it rests on.

    Args:
        skill: one of SKILLS.
        text: the question.
        claim: the answer's words before the id; for ``"absent"`` what is not stated.
        value: what must stand there.
        fact: index in the list of stated facts; None where nothing is stated.
        listed: of a question for everything: the indices of the facts that the answer tells, in its order.
    """

    skill: str
    text: str
    claim: str
    value: str
    fact: int | None
    listed: tuple[int, ...] = ()

    def answer(self, segment: int | None) -> str:
        """The answer, with the segment that it rests on."""
        return f"{self.claim}. {NOT_STATED}" if segment is None else f"{self.claim} [{segment}]."

    def thought(self, segment: int | None) -> str:
        """What may be thought before the answer."""
        return "Nothing is said of it." if segment is None else f"It stands in [{segment}]."


def ask(words: Vocabulary, facts: Sequence[Fact], skill: str) -> Question | None:
    """A question of a skill about the stated facts, in reading order; None where there is none."""
    if skill == "all":
        return _all(words, facts)
    if skill == "recall":
        return _recall(words, facts)
    return _order(words, facts) if skill == "order" else absent(words, facts)


def _recall(words: Vocabulary, facts: Sequence[Fact]) -> Question | None:
    chosen = [index for index, fact in enumerate(facts) if fact.kind != CHANGING]
    if not chosen:
        return None
    index = words.rng.choice(chosen)
    fact = facts[index]
    return Question("recall", wording(fact.kind, fact.subject), claim(fact.kind, fact.subject, fact.value), fact.value, index)


def _all(words: Vocabulary, facts: Sequence[Fact]) -> Question | None:
    """For training alone: in no order, so that each segment must be looked up."""
    stated = [index for index, fact in enumerate(facts) if fact.kind != CHANGING]
    listed = tuple(words.rng.sample(stated, min(len(stated), MOST_LISTED)))
    return Question("all", "What do the sources state?", "", "", None, listed) if listed else None


def _order(words: Vocabulary, facts: Sequence[Fact]) -> Question | None:
    places: dict[str, list[int]] = {}
    for index, fact in enumerate(facts):
        if fact.kind == CHANGING:
            places.setdefault(fact.subject, []).append(index)
    several = [subject for subject, found in places.items() if len({facts[i].value for i in found}) > 1]
    if not several:
        return None
    subject = words.rng.choice(several)
    which, at = words.rng.choice((("first", 0), ("latest", -1)))
    index = places[subject][at]
    kind, value = f"{which} {CHANGING}", facts[index].value
    return Question("order", wording(kind, subject), claim(kind, subject, value), value, index)


def absent(words: Vocabulary, facts: Sequence[Fact]) -> Question:
    """Of somebody who is not there at all, or of whom something else is said."""
    kind = words.rng.choice((*ATTRIBUTES, f"first {CHANGING}", f"latest {CHANGING}", "calls"))
    plain = kind.rpartition(" ")[2]
    subject = words.name()
    others = sorted({fact.subject for fact in facts if fact.kind not in (plain, "calls")})
    if others and kind != "calls" and words.rng.random() < 0.5:
        subject = words.rng.choice(others)
    return Question("absent", wording(kind, subject), claim(kind, subject, UNKNOWN), UNKNOWN, None)


def wording(kind: str, subject: str) -> str:
    """How it is asked."""
    return f"What does {subject} call?" if kind == "calls" else f"What is the {kind} of {subject}?"


def claim(kind: str, subject: str, value: str) -> str:
    """How it is answered: in the words of the source up to the value, so that a match there decides whether there is one.

    A number stands in quotes, as the system text asks; a name does not, so that its tokens are the source's.
    """
    told = f'"{value}"' if value.isdigit() else value
    return f"What {subject} calls is {told}" if kind == "calls" else f"The {kind} of {subject} is {told}"
