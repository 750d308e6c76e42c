"""Guessing from the prompt: the same answer, whatever was guessed, and a state that goes on as if nothing had been."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longctx.backends.base import Sampling
from longctx.backends.transformers.drafts import MOST, Drafts
from longctx.backends.transformers.engine import TransformersBackend
from longctx.errors import Stopped
from tests.backends.test_engine import KINDS, TOLERANCE, backend, job, reference, tokens

SAID = 48
#: Drawn by a seed, since a greedy random model says one token for ever.
PLAIN = Sampling(temperature=1.0, max_tokens=SAID, seed=7, lookup=False)
GUESSING = Sampling(temperature=1.0, max_tokens=SAID, seed=7)
PROMPT = tokens(150)


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, tiny_models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory):
    return backend(tiny_models(request.param), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def answer(engine: TransformersBackend) -> list[int]:
    engine.prefill(PROMPT, job())
    return list(engine.decode(PLAIN, [], job()))


def guess_at(patch: pytest.MonkeyPatch, answer: Sequence[int], lengths: Sequence[int], wrong_after: Sequence[int]) -> None:
    """Have drafts be what will be said, of such lengths in turn, and wrong after so many tokens."""
    turns = zip(itertools.cycle(lengths), itertools.cycle(wrong_after), strict=False)

    def guess(drafts: Drafts) -> list[int]:
        length, right = next(turns)
        at = len(drafts._ids) - len(PROMPT)
        draft = list(answer[at : at + length])
        return [*draft[:right], *((token + 1) % 512 for token in draft[right:])]

    patch.setattr(Drafts, "guess", guess)


@pytest.mark.parametrize(("lengths", "right"), [([4], [4]), ([5], [0]), ([6], [3]), ([1, 7, 16], [1, 2, 16, 0])])
def test_an_answer_is_the_same_and_goes_on_alike_whatever_was_guessed(
    lengths: list[int], right: list[int], engine: TransformersBackend, answer: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    guess_at(monkeypatch, answer, lengths, right)
    engine.prefill(PROMPT, job())
    assert list(engine.decode(GUESSING, [], job())) == answer
    drafted = engine.drafted
    assert drafted.accepted <= drafted.tokens
    assert drafted.accepted > 0 or right == [0]
    follow_up = [*PROMPT, *answer, *tokens(20, 1)]
    reuse = engine.prefill(follow_up, job())
    assert reuse.tokens >= len(PROMPT)
    assert (engine.logits - reference(engine, follow_up)).abs().max() < TOLERANCE


@pytest.mark.parametrize("ending", ["stop id", "left early", "Stop"])
def test_a_guess_that_is_under_way_when_the_answer_ends_leaves_nothing_behind(
    ending: str, engine: TransformersBackend, answer: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    guess_at(monkeypatch, answer, [16], [16])
    engine.prefill(PROMPT, job())
    if ending == "stop id":
        stop = next(token for token in answer if answer.index(token) >= 5)
        said = list(engine.decode(GUESSING, [stop], job()))
        assert said == answer[: answer.index(stop)]
    elif ending == "left early":
        decoding = engine.decode(GUESSING, [], job())
        said = list(itertools.islice(decoding, 6))
        decoding.close()
    else:
        stopping = job()
        decoding = engine.decode(GUESSING, [], stopping)
        said = list(itertools.islice(decoding, 6))
        stopping.cancel()
        with pytest.raises(Stopped):
            next(decoding)
    follow_up = [*PROMPT, *said, *tokens(20, 2)]
    engine.prefill(follow_up, job())
    assert (engine.logits - reference(engine, follow_up)).abs().max() < TOLERANCE


def test_a_greedy_answer_is_the_same_with_guesses_from_the_prompt(engine: TransformersBackend) -> None:
    said = []
    for lookup in (False, True):
        engine.prefill([*PROMPT, *PROMPT], job())
        said.append(list(engine.decode(Sampling(temperature=0, max_tokens=SAID, lookup=lookup), [], job())))
    assert said[0] == said[1]
    assert engine.drafted.tokens > 0


def test_what_stands_in_the_prompt_is_guessed_and_read_in_few_steps(
    engine: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that copies is stood in for: it says what follows in the prompt."""
    quote = tokens(40, 5)
    prompt = [*tokens(60, 6), *quote, *tokens(30, 7), *quote[:6]]
    says = iter(quote[6:])
    monkeypatch.setattr("longctx.backends.transformers.engine.Sampler", lambda *_: lambda logits: next(says))
    engine.prefill(prompt, job())
    steps: list[int] = []
    read = engine._read
    monkeypatch.setattr(engine, "_read", lambda ids, keep: (steps.append(len(ids)), read(ids, keep))[1])
    assert list(engine.decode(Sampling(max_tokens=34), [], job())) == quote[6:]
    assert len(steps) <= 6
    assert engine.drafted.accepted == engine.drafted.tokens >= 27


def test_without_lookup_nothing_is_guessed(engine: TransformersBackend) -> None:
    engine.prefill([*PROMPT, *PROMPT], job())
    list(engine.decode(PLAIN, [], job()))
    assert engine.drafted.tokens == 0


@given(st.lists(st.integers(-2, 4), max_size=60), st.lists(st.integers(0, 4), max_size=30), st.integers(0, 40))
def test_a_guess_followed_the_present_end_before_and_is_never_longer_than_the_answer(
    prompt: list[int], said: list[int], most: int
) -> None:
    drafts = Drafts(prompt, most=most)
    for token in said:
        drafts.add(token)
    guess = drafts.guess()
    whole = [*prompt, *said]
    assert all(token >= 0 for token in guess)
    assert len(guess) <= max(0, min(MOST, most - len(said) - 1))
    if guess:
        wanted = [*whole[-3:], *guess]
        assert any(whole[i : i + len(wanted)] == wanted for i in range(len(whole)))


def test_the_longest_match_is_taken_not_the_last_one() -> None:
    drafts = Drafts([9, 1, 2, 3, 4, 50, 8, 2, 3, 4, 60, 9, 1, 2, 3, 4], most=9)
    assert drafts.guess()[0] == 50


def test_guesses_grow_while_they_hold_and_shrink_where_they_do_not() -> None:
    drafts = Drafts([*range(100), 0, 1, 2], most=200)
    first = len(drafts.guess())
    drafts.judge(first, first)
    second = len(drafts.guess())
    drafts.judge(second, 1)
    assert second == 2 * first
    assert len(drafts.guess()) < first


def test_logits_stay_those_of_the_last_token_read(
    engine: TransformersBackend, answer: list[int], monkeypatch: pytest.MonkeyPatch
):
    guess_at(monkeypatch, answer, [6], [2])
    engine.prefill(PROMPT, job())
    list(engine.decode(GUESSING, [], job()))
    state = engine._state
    assert state is not None
    assert torch.allclose(engine.logits, reference(engine, state.ids), atol=TOLERANCE)
