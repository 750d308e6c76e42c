"""Models measured on the meta device: what is known by formula is measured the same, and others are what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from longctx.backends.transformers.cache import cache_argument
from longctx.backends.transformers.sizes import measure
from longctx.errors import ModelError
from longctx.planner import Geometry, measured
from longctx.planner.memory import kv_cache
from tests.tiny_configs import MOE, TINY, text

CONFIGS = Path(__file__).parents[1] / "planner" / "configs"
#: Every kind of layer, of head, of expert and of tower.
KINDS = [
    "llama, tied, biased", "phi3", "gemma2", "gemma3 with eyes", "olmo2", "qwen3 moe, some dense", "mixtral",
    "qwen2, half of it sliding", "qwen3.5, untied", "qwen3.5 moe", "qwen3 vl moe", "qwen3 next",
]  # fmt: skip
SAME = [
    "hidden",
    "vocabulary",
    "layers",
    "heads",
    "kv_heads",
    "head_dim",
    "mlp_width",
    "sliding_window",
    "rope",
    "parameters",
    "known",
    "sight",
]


def both(config: dict[str, Any]) -> tuple[Geometry, Geometry]:
    found = measure(config, name="mine")
    assert found is not None
    return measured(found, config), Geometry.from_config(config)


def assert_same(ours: Geometry, theirs: Geometry) -> None:
    assert {field: getattr(ours, field) for field in SAME} == {field: getattr(theirs, field) for field in SAME}
    assert (ours.state_bytes(2), ours.state_bytes(4)) == (theirs.state_bytes(2), theirs.state_bytes(4))
    assert sum(linear.numbers for linear in ours.quantized) == sum(linear.numbers for linear in theirs.quantized)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_known_by_formula_is_measured_the_same(name: str) -> None:
    assert_same(*both(TINY[name]))


@pytest.mark.parametrize("name", ["Qwen3.5-0.8B", "Qwen3.5-35B-A3B"])
def test_real_sizes_are_measured_without_their_memory(name: str) -> None:
    assert_same(*both(json.loads((CONFIGS / name / "config.json").read_text())))


#: Architectures that the planner has no formula for, small, each with something that a formula of Llama does not have.
OTHERS: dict[str, dict[str, Any]] = {
    "other names": {
        "model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 3, "vocab_size": 320, "n_positions": 256, "pad_token_id": 0,
    },
    "latent attention": text(
        "deepseek_v3", num_key_value_heads=4, q_lora_rank=48, kv_lora_rank=32, qk_rope_head_dim=16, qk_nope_head_dim=24,
        v_head_dim=20, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=48, first_k_dense_replace=1, n_group=2,
        topk_group=1,
    ),
    "state space beside attention": text("falcon_h1", mamba_d_ssm=64, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=16),
    "short convolutions": text("lfm2", layer_types=["conv", "full_attention", "conv", "full_attention"]),
    "experts, sliding by turns": text("gpt_oss", num_local_experts=4, num_experts_per_tok=2, head_dim=32, sliding_window=16),
    "half a head rotates": text("glm4", head_dim=32),
    "shared experts": text("qwen2_moe", **MOE, shared_expert_intermediate_size=96),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_parameters_kv_and_state_are_those_that_the_model_really_has(name: str) -> None:
    config = OTHERS[name]
    found = measure(config, name="mine")
    assert found is not None
    assert found.cache_measured
    geometry = measured(found, config)
    kwargs = dict(config)
    made = AutoConfig.for_model(kwargs.pop("model_type"), **kwargs)
    model = AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16).eval()
    assert geometry.parameters.total == sum(parameter.numel() for parameter in model.parameters())
    cache = DynamicCache(config=made)
    with torch.inference_mode():
        for part in torch.arange(3, 43).reshape(1, 40).split(20, dim=1):
            model(input_ids=part, use_cache=True, **{cache_argument(model): cache})
    assert kv_cache(geometry, 40) + geometry.state_bytes() == held(cache)


def held(cache: Any) -> int:
    """Bytes of all tensors in the layers of a cache."""
    values = [value for layer in cache.layers for value in vars(layer).values()]
    values += [inner for value in values if isinstance(value, dict) for inner in value.values()]
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor) and value.ndim >= 3)


def test_a_model_that_cannot_run_without_numbers_has_the_kv_of_its_config() -> None:
    found = measure({"model_type": "rwkv", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 320}, name="mine")
    assert found is not None
    assert (found.cache_measured, found.layers, found.kv_numbers) == (False, ("full_attention",) * 2, 128)


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (
            text("gemma4_text", num_kv_shared_layers=2, layer_types=["sliding_attention", "full_attention"] * 2, head_dim=32),
            ("sliding_attention", "full_attention", "none", "none"),
        ),
        (
            text("nemotron_h", layers_block_type=["mamba", "moe", "attention", "mlp"]),
            ("linear_attention", "none", "full_attention", "none"),
        ),
    ],
)
def test_layers_that_keep_nothing_are_told(config: dict[str, Any], layers: tuple[str, ...]) -> None:
    found = measure(config, name="mine")
    assert found is not None
    assert (found.cache_measured, found.layers) == (True, layers)


def test_a_scaling_that_only_the_config_class_knows_is_told() -> None:
    plain, scaled = measure(OTHERS["half a head rotates"], name="mine"), measure({"model_type": "gpt_oss"}, name="mine")
    assert plain is not None
    assert scaled is not None
    assert (plain.scaling, scaled.scaling) == ("", "yarn")


def test_nothing_is_allocated_for_a_model_of_any_size() -> None:
    huge = text("gpt_oss", hidden_size=8192, num_hidden_layers=80, num_local_experts=128, intermediate_size=8192)
    found = measure(huge, name="mine")
    assert found is not None
    assert found.parameters.total > 10**12


@pytest.mark.parametrize(
    "config",
    [
        text("brand_new"),
        text("brand_new", auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}),
        {"model_type": 7},
        {},
        text("gpt_oss", num_hidden_layers=10**5),
        text("gpt_oss", hidden_size="wide"),
        text("gpt_oss", hidden_size=10**30),
        text("mamba2", num_heads=7),
        {"model_type": "vit"},
    ],
)  # fmt: skip
def test_what_transformers_does_not_know_or_cannot_build_is_not_measured(config: dict[str, Any]) -> None:
    assert measure(config, name="mine") is None


def test_no_code_that_comes_with_a_model_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Model: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # as if somebody trusted it
    own = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "_name_or_path": str(tmp_path)}
    assert measure({"model_type": "vit", **own}, name="mine") is None
    config = OTHERS["half a head rotates"]
    own |= {"attn_implementation": "somebody/kernel", "quantization_config": {"quant_method": "gptq", "bits": 4}}
    assert measure({**config, **own}, name="mine") == measure(config, name="mine")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model_type", ["t5", "whisper"])
def test_an_encoder_with_a_decoder_is_refused(model_type: str) -> None:
    with pytest.raises(ModelError, match="has an encoder"):
        measure({"model_type": model_type}, name="mine")
