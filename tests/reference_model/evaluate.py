"""What the reference model can do, asked through the library itself: read, plan, load, ask.

``python -m tests.reference_model.evaluate`` prints the table of the model card and fails below a threshold; ``--questions 80``
asks fewer of each kind. Names, three-digit values and layouts of prose are of the set that no training saw.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import longctx as lc
from longctx import prompts
from longctx.answers import Answer
from tests.reference_model import samples
from tests.reference_model.folder import SHIPPED, WINDOW
from tests.reference_model.language import Vocabulary
from tests.reference_model.questions import SKILLS, Question, ask
from tests.reference_model.samples import Context, Format

#: Tokens kept for the answer; little, so that the window is full of sources.
RESERVE = 32
#: Of an answer; the longest right one has 20.
MOST_TOKENS = 30
#: Questions of one context. A longer one states more.
PER_CONTEXT = {WINDOW: 5, 4 * WINDOW: 10}
SEED = 4
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers of so many."""

    right: int
    asked: int

    @property
    def value(self) -> float:
        """The share that is right."""
        return self.right / self.asked if self.asked else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by Wilson (1927), "Probable inference, the law of succession, and statistical inference"."""
        n, p, z = self.asked, self.value, 1.96
        if not n:
            return 0.0, 1.0
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@dataclass(frozen=True, slots=True)
class Gain:
    """What the same questions gain from one setting to another."""

    differences: tuple[int, ...]

    @property
    def value(self) -> float:
        """The mean difference."""
        return sum(self.differences) / len(self.differences) if self.differences else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, from the paired differences."""
        n = len(self.differences)
        if n < 2:
            return -1.0, 1.0
        variance = sum((d - self.value) ** 2 for d in self.differences) / (n - 1)
        half = 1.96 * math.sqrt(variance / n)
        return self.value - half, self.value + half


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Args:
        name: of the skill.
        tokens: that the prompt may fill.
        factor: of YaRN.
        measured: a score or a gain.
        least: below it the model is not what it should be.
        bound: whether ``least`` is meant of the lower end of the interval.
    """

    name: str
    tokens: int
    factor: float
    measured: Score | Gain
    least: float
    bound: bool = False

    @property
    def holds(self) -> bool:
        """Whether the measured value, or the interval, is above the threshold."""
        return (self.measured.interval[0] if self.bound else self.measured.value) >= self.least

    def __str__(self) -> str:
        count = self.measured.asked if isinstance(self.measured, Score) else len(self.measured.differences)
        low, high = self.measured.interval
        sign = "≥" if self.holds else "BELOW"
        of = "lower end " if self.bound else ""
        return (
            f"{self.name:32} {self.tokens:6,} {self.factor:6g} {count:5} {self.measured.value:6.3f} "
            f"[{low:6.3f}, {high:6.3f}]  {of}{sign} {self.least}"
        )


HEADING = f"{'skill':32} {'tokens':>6} {'factor':>6} {'n':>5} {'score':>6} {'95 % interval':16}  threshold"


@dataclass(frozen=True, slots=True)
class Mark:
    """One answer, judged."""

    skill: str
    right: bool
    cited: bool


def judge(context: Context, question: Question, answer: Answer) -> Mark:
    """Whether an answer says what it should, and whether the model itself names the right segment."""
    if question.fact is None:
        return Mark(question.skill, answer.text == question.answer(None), True)
    cited = [citation.segment for citation in answer.citations if citation.basis == "cited"]
    return Mark(question.skill, question.claim in answer.text, cited == [context.placed[question.fact].segment])


@contextmanager
def session_over(model: Path, tokens: int, index: int, **options: Any) -> Iterator[tuple[lc.Session, Context, Vocabulary]]:
    """A session that has read made-up files, which fill a window, from a folder on disk.

    Args:
        model: its folder.
        tokens: of the window.
        index: which files.
        options: of the plan, besides what makes it exact and small.
    """
    words = samples.seeded(SEED, tokens, index, held_out=True)
    form = _format(model)
    files = samples.make_context(words, form, tokens - _overhead(form) - RESERVE, from_one=True).files
    exact = {"reserve": RESERVE, "dtype": "float32", "device": "cpu", "store": False}
    with tempfile.TemporaryDirectory() as place:
        for file in files:
            path = Path(place, file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8", newline="")
        plan = lc.plan(lc.read(place), model, **{**exact, **options})
        with lc.load(plan, show=False) as session:
            stream = session.plan.stream
            yield session, Context(stream, samples.place(files, session.corpus, stream), files), words


@cache
def _format(model: Path) -> Format:
    return Format.of(model)


def _overhead(form: Format) -> int:
    """Tokens of a prompt besides its sources, as a plan counts them."""
    return samples.FRAME + len(form.tokenizer.encode_data(prompts.SYSTEM)) + WINDOW // 16


def questions(context: Context, words: Vocabulary, skills: Mapping[str, int]) -> list[Question]:
    """Questions about a context, none twice; fewer of a skill where it states too little."""
    asked: dict[str, Question] = {}
    for skill, count in skills.items():
        for _ in range(count):
            question = ask(words, context.facts, skill)
            if question is not None:
                asked.setdefault(question.text, question)
    return list(asked.values())


def ask_all(session: lc.Session, context: Context, asked: Iterable[Question]) -> list[Mark]:
    """Put questions to a session, and judge the answers."""
    answers = [(question, session.ask(question.text, max_tokens=MOST_TOKENS, show=False)) for question in asked]
    return [judge(context, question, answer) for question, answer in answers]


def examine(model: Path, tokens: int, skills: Mapping[str, int], put: Sequence[str] = SKILLS) -> tuple[list[Mark], float]:
    """Ask so many questions of each skill over contexts that fill a window.

    Args:
        model: its folder.
        tokens: of the window.
        skills: how many questions of each.
        put: skills whose questions are really put to the model; those of the others only take their places.

    Returns:
        the marks, the same questions in the same order for every model; and the factor that was planned.
    """
    marks: list[Mark] = []
    left, index, factor = dict(skills), 0, 0.0
    while any(count > 0 for count in left.values()):
        with session_over(model, tokens, index) as (session, context, words):
            wanted = {skill: min(count, PER_CONTEXT[tokens]) for skill, count in left.items() if count > 0}
            made = questions(context, words, wanted)
            marks += ask_all(session, context, [question for question in made if question.skill in put])
            for question in made:
                left[question.skill] -= 1
            factor = session.plan.figures.yarn_factor
            index += 1
    return marks, factor


def unscaled(model: Path, target: Path) -> Path:
    """A copy that claims four times the native window, so that nothing is scaled: what YaRN has to be better than."""
    copy = Path(shutil.copytree(model, target))
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["max_position_embeddings"] = 4 * WINDOW
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return copy


def side_by_side(settings: Sequence[tuple[Path, int, Mapping[str, int], Sequence[str]]]) -> list[tuple[list[Mark], float]]:
    """Several examinations, two at a time: so small a model gains nothing from a second thread.

    Args:
        settings: the arguments of :func:`examine`.
    """
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), _begin) as pool:
        return list(pool.map(examine, *zip(*settings, strict=True)))


def _begin() -> None:
    """In each process. What was imported stays: it is not looked through again whenever a session is closed."""
    importlib.import_module("longctx.backends.transformers.engine")
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def table(model: Path, count: int) -> list[Row]:
    """Every skill, with its threshold.

    Args:
        model: its folder.
        count: questions of each.
    """
    far = 4 * WINDOW
    few, more = {"recall": count, "order": count}, {"recall": count, "order": count, "absent": count}
    with tempfile.TemporaryDirectory() as place:
        plainly = unscaled(model, Path(place, "plain"))
        settings = ((model, WINDOW, more, SKILLS), (model, far, few, SKILLS), (plainly, far, few, ["order"]))
        (near, one), (scaled, factor), (plain, _) = side_by_side(settings)
    stated = [mark for mark in near if mark.skill != "absent"]
    pairs = zip((mark for mark in scaled if mark.skill == "order"), plain, strict=True)
    gain = Gain(tuple(with_it.right - without.right for with_it, without in pairs))
    return [
        Row("exact recall", WINDOW, one, _score(near, "recall"), 0.95),
        Row("first and latest", WINDOW, one, _score(near, "order"), 0.9),
        Row("the right segment cited", WINDOW, one, Score(sum(m.cited for m in stated), len(stated)), 0.95),
        Row("not stated, and said so", WINDOW, one, _score(near, "absent"), 0.9),
        Row("exact recall", far, factor, _score(scaled, "recall"), 0.9),
        Row("first and latest", far, factor, _score(scaled, "order"), 0.0),
        Row("first and latest, no YaRN", far, 1, _score(plain, "order"), 0.0),
        Row("gain of YaRN in the same", far, factor, gain, 0.2),
        Row("gain of YaRN in the same", far, factor, gain, 0.1, bound=True),
    ]


def _score(marks: Iterable[Mark], skill: str) -> Score:
    found = [mark.right for mark in marks if mark.skill == skill]
    return Score(sum(found), len(found))


def write_card(card: Path, rows: Sequence[Row]) -> None:
    """Put the table into the model card."""
    before, _, rest = card.read_text(encoding="utf-8").partition("<!-- scores -->\n")
    _, _, after = rest.partition("<!-- /scores -->")
    lines = "\n".join((HEADING, *map(str, rows)))
    card.write_text(f"{before}<!-- scores -->\n```\n{lines}\n```\n<!-- /scores -->{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.reference_model.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=SHIPPED, help="a folder; default: the one that is shipped")
    parser.add_argument("--questions", type=int, default=400, help="of each skill")
    parser.add_argument("--card", action="store_true", help="write the table into the model card")
    options = parser.parse_args(arguments)
    rows = table(options.model, options.questions)
    print(HEADING, *rows, sep="\n")
    if options.card:
        write_card(options.model / "README.md", rows)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
