"""The delta rule against transformers' reference, in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.qwen3_5 import modeling_qwen3_5

from longctx.backends.transformers import delta
from tests.backends.test_engine import backend, job, tokens

TOLERANCE = 1e-5
usual = getattr(modeling_qwen3_5, delta.NAME)
USUAL = usual._usual if isinstance(usual, delta._Rule) else usual


def given(tokens: int, key_heads: int, heads: int, sizes: tuple[int, int], decay: float, batch: int = 1) -> dict[str, Any]:
    torch.manual_seed(tokens)
    return {
        "query": torch.randn(batch, tokens, key_heads, sizes[0]),
        "key": torch.randn(batch, tokens, key_heads, sizes[0]),
        "value": torch.randn(batch, tokens, heads, sizes[1]),
        "g": -decay * torch.rand(batch, tokens, heads),
        "beta": torch.rand(batch, tokens, heads),
        "initial_state": torch.randn(batch, heads, *sizes),
        "output_final_state": True,
        "use_qk_l2norm_in_kernel": True,
    }


def differs(options: dict[str, Any]) -> float:
    """The largest difference of output or state from the reference's."""
    before = {name: value.clone() for name, value in options.items() if isinstance(value, torch.Tensor)}
    with torch.inference_mode():
        found, expected = delta.chunked(**options), USUAL(**options)
    assert all(torch.equal(options[name], value) for name, value in before.items()), "what was given was changed"
    assert all(a.dtype == b.dtype and a.shape == b.shape for a, b in zip(found, expected, strict=True))
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def test_nothing_that_was_given_is_changed_where_nothing_needs_a_copy() -> None:
    options = given(64, 1, 1, (16, 16), 0.1) | {"use_qk_l2norm_in_kernel": False}
    options["key"] *= 0.1
    assert differs(options) < TOLERANCE


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 200, 1_000])
@pytest.mark.parametrize("decay", [0.0, 0.05, 5.0])
def test_any_length_and_any_decay_give_what_the_reference_gives(tokens: int, decay: float) -> None:
    assert differs(given(tokens, 2, 2, (32, 32), decay)) < TOLERANCE


@pytest.mark.parametrize(("key_heads", "heads"), [(1, 1), (2, 4), (1, 3)])
@pytest.mark.parametrize("sizes", [(16, 24), (32, 8)])
@pytest.mark.parametrize("batch", [1, 2])
def test_heads_and_sizes_of_all_kinds(key_heads: int, heads: int, sizes: tuple[int, int], batch: int) -> None:
    assert differs(given(150, key_heads, heads, sizes, 0.1, batch)) < TOLERANCE


def test_the_same_key_again_and_again_is_no_harder() -> None:
    """All keys alike and nothing forgotten: the systems are as far from diagonal as they can be."""
    options = given(256, 1, 1, (16, 16), 0.0)
    options["key"] = options["key"][:, :1].expand(-1, 256, -1, -1).clone()
    options["beta"] = torch.ones(1, 256, 1)
    assert differs(options) < TOLERANCE


def test_without_a_state_and_without_unit_keys() -> None:
    options = given(100, 2, 2, (16, 16), 0.2) | {"initial_state": None, "use_qk_l2norm_in_kernel": False}
    options["key"] *= 0.1
    assert differs(options) < TOLERANCE


def test_a_model_on_a_cpu_really_computes_it_this_way(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    engine, seen, computed = backend(tiny_models("qwen3_5"), tmp_path), [], delta.chunked
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "chunked", lambda *given, **options: (seen.append(1), computed(*given, **options))[1])
        engine.prefill(tokens(130), job())
    assert len(seen) == 3 * 3, "three layers, three chunks"


def test_gradients_and_packed_sequences_go_the_usual_way() -> None:
    seen = []
    rule = delta._Rule(lambda *arguments, **options: seen.append(options) or (torch.zeros(1), None))  # type: ignore[arg-type,return-value,func-returns-value]
    options = given(10, 1, 1, (8, 8), 0.1)
    tensors = [options.pop(name) for name in ("query", "key", "value")]
    rule(*tensors, **options)
    with torch.inference_mode():
        rule(*tensors, **options, cu_seqlens=torch.tensor([0, 10]))
        rule(*tensors, **options, cu_seqlens=None)
    assert len(seen) == 2
