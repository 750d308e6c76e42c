"""Sizes that are better than a formula: what llama.cpp's file of a model tells equals what config.json and the model tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx import models
from longctx.errors import ModelError, PlanError
from longctx.planner import Geometry, Linear, Parameters, Sizes, counted, measured
from tests.gguf_files import write_model
from tests.tiny_configs import TINY, text

#: Models by their name in TINY, with the architecture of llama.cpp.
ARCHITECTURES = {
    "llama": "llama", "llama, tied, biased": "llama", "llama, own head_dim": "llama", "mistral": "llama", "mixtral": "llama",
    "smollm3": "smollm3", "granite": "granite", "phi3": "phi3", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3",
    "olmo2": "olmo2", "arcee": "arcee", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3, biased": "qwen3", "qwen3 moe": "qwen3moe",
    "qwen3 next": "qwen3next", "qwen3.5 text": "qwen35", "qwen3.5 moe text": "qwen35moe",
}  # fmt: skip


def from_file(file: Path) -> Geometry:
    files = models.find(file)
    return counted(Geometry.from_config(files.config), [(tensor.name, tensor.shape) for tensor in files.header.tensors])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_file_of_a_model_tells_what_its_config_tells(name: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.gguf", ARCHITECTURES[name], TINY[name])
    ours, theirs = from_file(tmp_path / "m.gguf"), Geometry.from_config(TINY[name])
    assert ours.parameters.total == sum(parameter.numel() for parameter in model.parameters())
    assert (ours.basis, theirs.basis) == ("counted", "computed")
    same = (
        "known hidden vocabulary layers heads kv_heads head_dim mlp_width gated_query sliding_window rope parameters recurrence"
    )
    assert {field: getattr(ours, field) for field in same.split()} == {field: getattr(theirs, field) for field in same.split()}
    assert sum(linear.numbers for linear in ours.quantized) == sum(linear.numbers for linear in theirs.quantized)
    assert models.find(tmp_path / "m.gguf").header.notes == ()


@pytest.mark.parametrize(("kind", "bits"), [("Q4_K", 4.5), ("Q8_0", 8.5), ("BF16", 16)])
def test_bytes_are_those_of_the_file(kind: str, bits: float, tmp_path: Path) -> None:
    config = text("llama", hidden_size=256, intermediate_size=512, tie_word_embeddings=True)
    write_model(tmp_path / "m.gguf", "llama", config, kind)
    parts = from_file(tmp_path / "m.gguf").parameters
    header = models.find(tmp_path / "m.gguf").header
    assert header.size == (parts.total - parts.norms) * bits / 8 + 4 * parts.norms
    assert header.kinds == (kind, "F32")


def test_an_architecture_without_a_formula_has_exact_parameters_all_the_same() -> None:
    geometry = Geometry.from_config(text("brand_new"))
    rows = [("token_embd.weight", (128, 320)), ("output_norm.weight", (128,)), ("rope_freqs.weight", (16,))]
    rows += [(f"blk.{i}.{name}", shape) for i in range(4) for name, shape in LAYER]
    rows += [("blk.4.attn_q.weight", (128, 128)), ("blk.4.nextn.eh_proj.weight", (256, 128))]  # predicts further tokens
    found = counted(geometry, rows)
    assert found.parameters == Parameters(
        embeddings=128 * 320,
        norms=129 * 4 * 2 - 8 + 128,
        attention=4 * 3 * 128 * 128,
        mlp=4 * 4 * 128,
        experts=4 * 4 * 96 * 128,
    )
    assert found.linears == (Linear(128, 128, 12),)
    assert not found.known


#: A layer with experts whose norms llama.cpp calls as few others.
LAYER = (
    ("attn_norm.weight", (128,)), ("post_attention_norm.weight", (128,)), ("attn_q.weight", (128, 128)),
    ("attn_v.weight", (128, 128)), ("attn_output.weight", (128, 128)), ("ffn_gate_inp.weight", (128, 4)),
    ("ffn_up_exps.weight", (128, 96, 4)),
)  # fmt: skip


def test_a_layer_that_keeps_nothing_has_no_kv() -> None:
    config = text("brand_new", layer_types=["none", "full_attention", "none", "linear_like"])
    geometry = Geometry.from_config(config)
    assert geometry.layers == ("none", "full_attention", "none", "full_attention")
    assert geometry.kv_bytes_per_token() == Geometry.from_config(text("brand_new")).kv_bytes_per_token() // 2


# -- measured ----------------------------------------------------------------------------------------------------------
def sizes(**changes: object) -> Sizes:
    made: dict[str, object] = {
        "hidden": 64, "vocabulary": 320, "layers": ("full_attention", "none", "linear_attention"), "heads": 4,
        "kv_numbers": 64, "kv_heads": 2, "state": (100, 10), "mlp_width": 128, "sliding_window": 0, "window": 2048,
        "parameters": Parameters(mlp=1000), "linears": (Linear(64, 128, 3),), "scaling": "", "cache_measured": True,
    }  # fmt: skip
    return Sizes(**{**made, **changes})  # type: ignore[arg-type]


def test_what_was_measured_is_what_a_plan_reckons_with() -> None:
    geometry = measured(sizes(), {"model_type": "brand_new", "max_position_embeddings": 4096, "rope_theta": 1e4}, name="mine")
    assert (geometry.name, geometry.model_type, geometry.known, geometry.basis) == ("mine", "brand_new", True, "measured")
    assert (geometry.kv_heads, geometry.head_dim, geometry.kv_bytes_per_token()) == (2, 16, 128)
    assert (geometry.state_bytes(), geometry.state_bytes(4)) == (420, 440)
    assert (geometry.native_window, geometry.rope.maximum_window) == (4096, 16_384)


def test_keys_and_values_of_different_widths_have_their_sum() -> None:
    for numbers, heads in ((2 * (192 + 128), 2), (64 + 32, 4), (100, 4), (101, 1)):
        geometry = measured(sizes(kv_numbers=numbers, kv_heads=heads), {"max_position_embeddings": 64})
        assert geometry.kv_bytes_per_token() == 2 * (numbers + numbers % 2)


def test_a_window_that_only_the_config_class_knows_is_not_stretched() -> None:
    geometry = measured(sizes(), {"model_type": "brand_new", "rope_theta": 1e4})
    assert (geometry.native_window, geometry.rope.maximum_window, geometry.rope.scaling) == (2048, 2048, "unstated")
    with pytest.raises(PlanError, match="max_position_embeddings"):
        measured(sizes(window=None), {"model_type": "brand_new"})


def test_a_scaling_that_only_the_config_class_knows_is_not_done_twice() -> None:
    config = {"model_type": "brand_new", "rope_theta": 1e4, "max_position_embeddings": 4096}
    assert measured(sizes(), config).rope.maximum_window == 16_384
    rope = measured(sizes(scaling="yarn"), config).rope
    assert (rope.native_window, rope.maximum_window, rope.scaling) == (4096, 4096, "yarn")


def test_what_was_measured_in_part_is_still_an_estimate() -> None:
    assert not measured(sizes(cache_measured=False), {"max_position_embeddings": 64}).known


def test_a_model_that_does_not_speak_is_not_measured() -> None:
    with pytest.raises(ModelError, match="does not generate"):
        measured(sizes(), {"architectures": ["NewModel"]}, name="mine")
