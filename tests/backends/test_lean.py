"""Lean layers against transformers' own, by logits in float32; and joined NF4 matrices against each one's own product."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from longctx.backends.transformers import attention, lean
from longctx.backends.transformers.cache import State
from longctx.backends.transformers.packed import layer_maker

SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "vocab_size": 128, "max_position_embeddings": 512, "rms_norm_eps": 1e-3,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
}
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=KINDS)
def models(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A model as transformers makes it, and the same one made lean."""
    torch.manual_seed(0)
    usual = AutoModelForCausalLM.from_config(AutoConfig.for_model(request.param, **{**SIZES, **KINDS[request.param]}))
    usual = usual.float().eval().requires_grad_(False)
    for name, parameter in usual.named_parameters():  # norms and biases that are all ones or noughts would hide a mistake
        if "norm" in name or "bias" in name:
            parameter.data += 0.3 * torch.randn(parameter.shape)
    made = copy.deepcopy(usual)
    attention.use(made)
    lean.use(made)
    assert all(isinstance(layer.forward, lean._Layer) for layer in made.model.layers)
    return usual, made


def ids(count: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, 128, (batch, count), generator=torch.Generator().manual_seed(count))


def stepped(model: Any, cache: Any, read: torch.Tensor, steps: tuple[int, ...]) -> torch.Tensor:
    """Logits of all tokens, read in such steps."""
    found, at = [], 0
    for step in steps:
        positions = torch.arange(at, at + step)[None]
        with torch.inference_mode():
            found.append(model(input_ids=read[:, at : at + step], position_ids=positions, past_key_values=cache).logits)
        at += step
    return torch.cat(found, 1)


@pytest.mark.parametrize("kv", ["", "int8"])
def test_steps_of_any_length_have_the_logits_of_the_usual_layers(models: tuple[Any, Any], kv: str) -> None:
    usual, made = models
    read = ids(90)
    cache = State(made.config, make_layer=layer_maker(kv, host=False)).cache
    found = stepped(made, cache, read, (40, 1, 1, 20, 1, 27))
    expected = stepped(usual, DynamicCache(config=usual.config), read, (90,))
    assert (found - expected).abs().max() < (0.05 if kv else TOLERANCE)


@pytest.mark.parametrize("options", [{"use_cache": False}, {"batch": 2}, {"masked": True}, {"grad": True}])
def test_what_is_unusual_goes_the_usual_way(models: tuple[Any, Any], options: dict[str, Any]) -> None:
    usual, made = models
    read = ids(12, options.get("batch", 1))
    given: dict[str, Any] = {"use_cache": options.get("use_cache", True)}
    if options.get("masked"):
        given["attention_mask"] = torch.tensor([[0] * 4 + [1] * 8])
    with torch.set_grad_enabled(options.get("grad", False)):
        logits = [model(input_ids=read, **given).logits[:, 6:] for model in (usual, made)]
    assert (logits[0] - logits[1]).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", lean.NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_give_what_those_of_transformers_give(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    norm = getattr(importlib.import_module(lean.NORMS[name]), name)(48, eps=1e-3).to(dtype)
    norm.weight.data += 0.3 * torch.randn(48).to(dtype)
    given = [3 * torch.randn(2, 7, 48).to(dtype) for _ in range(2 if name.endswith("Gated") else 1)]
    before = [part.clone() for part in given]
    with torch.inference_mode():
        found, expected = lean._Norm(norm)(*given), norm(*given)
    assert found.dtype == expected.dtype
    assert torch.allclose(found, expected, rtol=2e-6 if dtype == torch.float32 else 0.01, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True)), "what was given was changed"


def test_layers_that_are_more_than_plain_stay_as_they_are() -> None:
    for kind in ("gemma2", "granite", "qwen3_5_text"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES)).eval()
        attention.use(model)
        lean.use(model)
        assert not any(isinstance(module.forward, lean._Layer) for module in model.modules())


def test_a_model_that_attends_by_another_way_stays_as_it_is() -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SIZES), attn_implementation="eager").eval()
    lean.use(model)
    assert not any(isinstance(module.forward, lean._Layer) for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("bias", [False, True])
def test_joined_nf4_matrices_give_what_each_gives_alone(dtype: torch.dtype, bias: bool) -> None:
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    alone = [
        Linear4bit(128, outputs, bias=bias, compute_dtype=dtype, quant_type="nf4").to("cpu").eval().requires_grad_(False)
        for outputs in (96, 32, 64)
    ]
    if not lean._packable(alone[0]):
        pytest.skip("bitsandbytes packs nothing on this CPU")
    x = torch.randn(1, 5, 128, dtype=dtype)
    joined = lean._matrix(*copy.deepcopy(alone))
    with torch.inference_mode():
        expected = torch.cat([module(x) for module in alone], -1)
        assert torch.equal(joined(x), expected)


def test_after_joining_a_module_gives_its_own_part() -> None:
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    modules = [Linear4bit(64, n, bias=False, quant_type="nf4").to("cpu").eval().requires_grad_(False) for n in (32, 64)]
    if not lean._packable(modules[0]):
        pytest.skip("bitsandbytes packs nothing on this CPU")
    x = torch.randn(1, 3, 64)
    with torch.inference_mode():
        joined = lean._matrix(*modules)(x)
        assert torch.equal(torch.cat([module(x) for module in modules], -1), joined)
