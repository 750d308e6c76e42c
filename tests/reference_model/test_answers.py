"""What the library does with positions, chunks, prefixes, YaRN, retrieval and citations, judged by a model's right answers.

Each check is a function of a model's folder. It passes as the library is, and fails with the fault that it is there for.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import longctx as lc
from longctx import engines, prompts, retrieval
from longctx.backends.transformers import chunks, engine, stored, weights
from longctx.corpus import Lines
from longctx.stream import Tokenizer
from tests.reference_model import folder
from tests.reference_model.evaluate import Mark, ask_all, questions, session_over
from tests.reference_model.folder import WINDOW

FAR = 4 * WINDOW
Patch = pytest.MonkeyPatch


def right(marks: Sequence[Mark]) -> float:
    return sum(mark.right for mark in marks) / len(marks)


def cited(marks: Sequence[Mark]) -> float:
    return sum(mark.cited for mark in marks) / len(marks)


def answers(model: Path, tokens: int, contexts: int, skills: dict[str, int], **options: Any) -> list[Mark]:
    """The marks of some sessions, one after another."""
    marks: list[Mark] = []
    for index in range(contexts):
        with session_over(model, tokens, index, **options) as (session, context, words):
            marks += ask_all(session, context, questions(context, words, skills))
    return marks


def backend_of(session: lc.Session) -> Any:
    return session._engine.backend


# -- the checks ----------------------------------------------------------------------------------------------------------
def check_positions(model: Path, cache: Path) -> None:
    """Whoever else used the same weights for a picture leaves an offset in them, which must not move our questions."""
    import torch
    from PIL import Image
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(model)
    shown = "<|vision_start|><|image_pad|><|vision_end|>" * 3
    inputs = processor(text=shown, images=[Image.new("RGB", (256, 256))] * 3, return_tensors="pt")
    with session_over(model, WINDOW, 0, chunk=FAR) as (session, context, words):
        logits = after_a_question(session)
    engines.free()
    with session_over(model, WINDOW, 0, chunk=64) as (session, context, words):
        loaded = backend_of(session)._model
        with torch.inference_mode():
            loaded.generate(**inputs, max_new_tokens=1, do_sample=False)
        assert int(loaded.model.rope_deltas) < -100
        torch.testing.assert_close(after_a_question(session), logits, rtol=0, atol=1e-4)
        assert right(ask_all(session, context, questions(context, words, STATED))) > 0.8


def after_a_question(session: lc.Session) -> Any:
    """The logits after a question that rests on the order of statements."""
    assert session.ask("What is the latest price of litoba?", max_tokens=1, show=False).text  # waits
    return backend_of(session).logits.clone()


def check_chunks(model: Path, cache: Path) -> None:
    """Read in pieces of 64 tokens, the corpus leaves the logits of one reading, and the answers are right."""
    import torch

    logits: list[torch.Tensor] = []
    for chunk in (64, FAR):
        with session_over(model, WINDOW, 1, chunk=chunk) as (session, context, words):
            logits.append(backend_of(session).logits.clone())
            assert right(ask_all(session, context, questions(context, words, STATED))) > 0.8
        engines.free()
    torch.testing.assert_close(*logits, rtol=0, atol=1e-4)


def check_prefix(model: Path, cache: Path) -> None:
    """What another model of the same shape has read is no prefix of ours; what ours has read is, after a restart."""
    other = cache / "other"
    shutil.copytree(model, other)
    folder.make_model(7, Tokenizer.from_folder(model)).bfloat16().save_pretrained(other)
    reused: list[str] = []
    for who in (other, model, model):
        with session_over(who, WINDOW, 2, store=True) as (session, context, words):
            answer = session.ask("What is the code of litoba?", max_tokens=1, show=False)
            reused.append(answer.usage.reused_from)
            marks = ask_all(session, context, questions(context, words, STATED))
        engines.free()
        assert who == other or right(marks) > 0.8
    assert reused == ["none", "none", "disk"]


def check_yarn(model: Path, cache: Path) -> None:
    """Four times past the window, first and latest are told apart as well as YaRN makes it possible."""
    assert right(answers(model, FAR, 6, {"order": 10})) >= LEAST_WITH_YARN


def check_citations(model: Path, cache: Path) -> None:
    """The segment that the model names is the one in which the fact stands, to the line."""
    assert cited(answers(model, WINDOW, 5, STATED)) > 0.9
    with session_over(model, WINDOW, 0) as (session, context, words):
        for question in questions(context, words, {"order": 4}):
            (citation,) = session.ask(question.text, max_tokens=30, show=False).citations
            assert citation.verified
            assert citation.quote == question.value
            origin = citation.origin
            assert isinstance(origin, Lines)
            lines = Path(session.corpus.files[origin.path]).read_text(encoding="utf-8").splitlines()
            assert question.value in "\n".join(lines[origin.first - 1 : origin.last])


def check_retrieval(model: Path, cache: Path) -> None:
    """Of files that no window holds, those are read in which the answer stands."""
    with session_over(model, 3 * FAR, 0) as (session, context, words):
        assert not session.plan.whole
        marks = ask_all(session, context, questions(context, words, {"recall": 20}))
        assert right(marks) > 0.85


#: Half of the way between what was measured with YaRN and without; see the model card.
LEAST_WITH_YARN = 0.52
#: Questions of each context.
STATED = {"recall": 8, "order": 8}

CHECKS: dict[str, Callable[[Path, Path], None]] = {
    "positions": check_positions,
    "chunks": check_chunks,
    "prefix": check_prefix,
    "yarn": check_yarn,
    "citations": check_citations,
    "retrieval": check_retrieval,
}


# -- the faults ----------------------------------------------------------------------------------------------------------
def positions_not_passed(patch: Patch) -> None:
    from transformers import Qwen3_5ForConditionalGeneration as Model

    real = Model.forward

    @functools.wraps(real)
    def forward(self: Any, *args: Any, position_ids: Any = None, **rest: Any) -> Any:
        return real(self, *args, **rest)

    patch.setattr(Model, "forward", forward)


def positions_start_again_in_every_chunk(patch: Patch) -> None:
    real = chunks.Reading._positions
    patch.setattr(chunks.Reading, "_positions", lambda self, start, stop: real(self, 0, stop - start))


def state_is_lost_between_chunks(patch: Patch) -> None:
    real = engine.TransformersBackend._forward

    def forward(self: Any, step: Any, keys: list[int], keep: int = 1) -> Any:
        for layer in self._ready.recurrent.values():
            for _, state in stored._entries(layer.recurrent_states):
                state.zero_()
        return real(self, step, keys, keep)

    patch.setattr(engine.TransformersBackend, "_forward", forward)


def any_prefix_will_do(patch: Patch) -> None:
    patch.setattr(weights, "fingerprint", lambda spec, dtype: "the same")


def factor_ignored(patch: Patch) -> None:
    real = weights.load
    patch.setattr(weights, "load", lambda spec, job: real(replace(spec, rope_parameters=None), job))


def ids_shifted_by_one(patch: Patch) -> None:
    real = prompts.Frame.mark
    patch.setattr(prompts.Frame, "mark", lambda self, number, segment: real(self, number + 1, segment))


def nothing_is_ranked(patch: Patch) -> None:
    import numpy as np

    patch.setattr(retrieval.Index, "_scores", lambda self, question: np.zeros(len(self._ids)))


FAULTS = [
    ("positions", positions_not_passed),
    ("positions", positions_start_again_in_every_chunk),
    ("chunks", state_is_lost_between_chunks),
    ("prefix", any_prefix_will_do),
    ("yarn", factor_ignored),
    ("citations", ids_shifted_by_one),
    ("retrieval", nothing_is_ranked),
]


@pytest.mark.parametrize("name", CHECKS)
def test_the_answers_are_right_and_so_are(name: str, reference_model: Path, cache: Path) -> None:
    CHECKS[name](reference_model, cache)


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[fault.__name__ for _, fault in FAULTS])
def test_a_check_fails_with(
    name: str, fault: Callable[[Patch], None], reference_model: Path, cache: Path, monkeypatch: Patch
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        CHECKS[name](reference_model, cache)
