"""The engine against transformers' own forward and generate, in float32, by logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from longctx.backends.base import Sampling
from longctx.backends.transformers.engine import TransformersBackend
from longctx.errors import ClosedError, ModelDamagedError, Stopped, UsageError
from tests.tiny_engines import backend, job, tokens

KINDS = ["llama", "qwen3_5", "qwen3_5_moe"]
TOLERANCE = 1e-5
GREEDY = Sampling(temperature=0, max_tokens=12)


def reference(engine: TransformersBackend, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return engine._model(input_ids=torch.tensor([ids])).logits[0, -1]


@pytest.mark.parametrize("kind", KINDS)
def test_chunked_prefill_gives_the_logits_of_one_forward(kind: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, ids = backend(tiny_models(kind), tmp_path), tokens(300)
    engine.prefill(ids, job(), marks=(200, 250))
    assert (engine.logits - reference(engine, ids)).abs().max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_question_after_an_answer_has_the_logits_of_a_fresh_prefill(
    kind: str, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    engine, head = backend(tiny_models(kind), tmp_path), tokens(200)
    engine.prefill([*head, *tokens(30, 1)], job(), marks=(200,))
    list(engine.decode(GREEDY, [], job()))
    second = [*head, *tokens(40, 2)]
    reuse = engine.prefill(second, job(), marks=(200,))
    assert (reuse.tokens, reuse.source, reuse.miss_reason) == (200, "memory", "")
    assert (engine.logits - reference(engine, second)).abs().max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_decoding_says_what_generate_says(kind: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, ids = backend(tiny_models(kind), tmp_path), tokens(150)
    engine.prefill(ids, job())
    said = list(engine.decode(GREEDY, [], job()))
    with torch.inference_mode():
        expected = engine._model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert said == expected[0, 150:].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_prefix_restored_from_disk_has_the_logits_of_a_fresh_prefill(
    kind: str, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    head, question = tokens(200), tokens(30, 3)
    first = backend(tiny_models(kind), tmp_path, prefix_folder=tmp_path / "prefixes")
    first.prefill(head, job(), marks=(200,))
    again = backend(tiny_models(kind), tmp_path, prefix_folder=tmp_path / "prefixes")
    reuse = again.prefill([*head, *question], job(), marks=(200,))
    assert (reuse.tokens, reuse.source) == (200, "disk")
    assert (again.logits - reference(again, [*head, *question])).abs().max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix_folder", [None, "prefixes"])
def test_a_head_that_was_read_is_not_read_again_for_its_own_sake(
    kind: str, prefix_folder: str | None, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    head = tokens(200)
    folder = None if prefix_folder is None else tmp_path / prefix_folder
    engine = backend(tiny_models(kind), tmp_path, prefix_folder=folder)
    engine.prefill(head, job(), marks=(200,))
    logits = engine.logits
    engine.prefill([*head, 5, 6], job(), marks=(200,))
    if folder is not None:
        engine = backend(tiny_models(kind), tmp_path, prefix_folder=folder)
    reuse = engine.prefill(head, job(), marks=(200,))
    assert (reuse.tokens, reuse.source, reuse.miss_reason) == (200, "disk" if folder else "memory", "")
    assert torch.equal(engine.logits, logits)
    engine.prefill([*head, 5, 7], job(), marks=(200,))
    assert (engine.logits - reference(engine, [*head, 5, 7])).abs().max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_head_is_read_again_from_the_edit_and_says_so(
    kind: str, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    head = tokens(200)
    engine = backend(tiny_models(kind), tmp_path)
    engine.prefill(head, job(), marks=(200,))
    edited = [*head[:100], (head[100] + 1) % 512, *head[101:]]
    reuse = engine.prefill(edited, job(), marks=(200,))
    assert reuse.tokens <= 100
    assert "token 100" in reuse.miss_reason
    assert (engine.logits - reference(engine, edited)).abs().max() < TOLERANCE


def test_a_prefix_of_other_weights_is_not_taken(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    other = shutil.copytree(tiny_models("llama"), tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({name: tensor * 1.01 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"})
    head = tokens(200)
    backend(tiny_models("llama"), tmp_path, prefix_folder=tmp_path / "p").prefill(head, job(), marks=(200,))
    reuse = backend(other, tmp_path, prefix_folder=tmp_path / "p").prefill([*head, 1], job(), marks=(200,))
    assert (reuse.tokens, reuse.source) == (0, "none")
    assert reuse.miss_reason


@pytest.mark.parametrize("kind", KINDS)
def test_stop_between_chunks_leaves_a_state_that_goes_on(kind: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, ids, stopping = backend(tiny_models(kind), tmp_path), tokens(300), job()
    stopping.watch(lambda: stopping.cancel() if stopping.progress.done >= 128 else None)
    with pytest.raises(Stopped):
        engine.prefill(ids, stopping, marks=(300,))
    reuse = engine.prefill([*ids, 7], job(), marks=(300,))
    assert reuse.tokens == 128
    assert (engine.logits - reference(engine, [*ids, 7])).abs().max() < TOLERANCE


def test_stop_ends_decoding_between_two_tokens(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, stopping = backend(tiny_models("llama"), tmp_path), job()
    engine.prefill(tokens(20), job())
    speech = engine.decode(GREEDY, [], stopping)
    said = [next(speech), next(speech), next(speech)]
    stopping.cancel()
    with pytest.raises(Stopped):
        next(speech)
    engine.prefill([*tokens(20), *said], job())
    assert (engine.logits - reference(engine, [*tokens(20), *said])).abs().max() < TOLERANCE


def test_a_seed_makes_sampling_repeatable_and_another_changes_it(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, ids = backend(tiny_models("llama"), tmp_path), tokens(50)

    def say(seed: int) -> list[int]:
        engine.prefill(ids, job(), marks=(50,))
        return list(engine.decode(Sampling(temperature=1.0, top_k=100, top_p=0.95, max_tokens=12, seed=seed), [], job()))

    assert say(1) == say(1) != say(2)


def test_a_stop_token_ends_the_answer_and_is_not_said(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, ids = backend(tiny_models("llama"), tmp_path), tokens(50)
    engine.prefill(ids, job(), marks=(50,))
    said = list(engine.decode(GREEDY, [], job()))
    engine.prefill(ids, job(), marks=(50,))
    assert list(engine.decode(GREEDY, [said[4]], job())) == said[: said.index(said[4])]


@pytest.mark.parametrize("value", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"max_tokens": 0}, {"top_k": -1}])
def test_sampling_out_of_range_is_refused_with_its_value(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(value.values())))):
        Sampling(**value).check()


def test_a_closed_engine_says_so_instead_of_failing_inside(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine = backend(tiny_models("llama"), tmp_path)
    engine.close()
    engine.close()
    with pytest.raises(ClosedError):
        engine.prefill([1, 2], job())


def test_missing_weights_are_an_error_and_not_random_numbers(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    damaged = shutil.copytree(tiny_models("llama"), tmp_path / "damaged")
    weights = load_file(damaged / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, damaged / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelDamagedError, match="up_proj"):
        backend(damaged, tmp_path)


def test_truncated_weights_are_our_error(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    damaged = shutil.copytree(tiny_models("llama"), tmp_path / "damaged")
    file = damaged / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelDamagedError, match="damaged"):
        backend(damaged, tmp_path)
