from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from longctx.errors import PlanError, UsageError
from longctx.planner import yarn

QWEN = json.loads((Path(__file__).parent / "configs/Qwen3.5-4B/config.json").read_text())
LLAMA = {"model_type": "llama", "rope_theta": 100000.0, "max_position_embeddings": 8192}


@pytest.mark.parametrize(("tokens", "factor"), [(1, 1), (6_000, 1), (8_192, 1), (8_193, 2), (16_385, 4), (10**9, 4)])
def test_the_smallest_step_that_fits_is_chosen(tokens, factor):
    assert yarn.choose(8_192, 32_768, tokens) == factor


@given(st.integers(1, 10**6), st.integers(1, 4 * 10**6), st.integers(1, 10**7))
def test_no_step_passes_the_maximum_and_none_is_larger_than_needed(native, maximum, needed):
    factor = yarn.choose(native, maximum, needed)
    window = yarn.window(native, maximum, factor)
    assert window <= maximum
    assert window >= min(needed, yarn.window(native, maximum, 4.0))
    smaller = [step for step in yarn.STEPS if step < factor]
    assert all(yarn.window(native, maximum, step) < min(needed, maximum) for step in smaller)


def test_qwen_stops_at_its_stated_maximum():
    rope = yarn.Rope.from_config(QWEN)
    assert (rope.native_window, rope.maximum_window, rope.scaling) == (262_144, 1_010_000, "")
    assert [rope.window(step) for step in yarn.STEPS] == [262_144, 524_288, 1_010_000]


def test_qwen3_counts_its_factor_from_the_window_of_its_card():
    rope = yarn.Rope.from_config({"model_type": "qwen3", "rope_theta": 1e6, "max_position_embeddings": 40_960})
    assert [rope.window(step) for step in yarn.STEPS] == [40_960, 65_536, 131_072]


def test_parameters_keep_everything_that_the_config_says():
    assert yarn.parameters(QWEN, 4.0) == {
        "mrope_interleaved": True,
        "mrope_section": [11, 11, 10],
        "partial_rotary_factor": 0.25,
        "rope_theta": 10000000,
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 262_144,
    }


def test_parameters_leave_the_config_itself_alone():
    before = json.dumps(QWEN)
    yarn.parameters(QWEN, 2.0)
    assert json.dumps(QWEN) == before


def test_old_style_configs_bring_theta_and_sections_along():
    old = {"model_type": "qwen3_vl_text", "rope_theta": 5e6, "max_position_embeddings": 262_144}
    old["rope_scaling"] = {"type": "mrope", "mrope_section": [24, 20, 20]}
    merged = yarn.parameters(old, 2.0)
    assert merged["rope_theta"] == 5e6
    assert merged["mrope_section"] == [24, 20, 20]
    assert merged["rope_type"] == "yarn"
    assert "type" not in merged


def test_a_partial_rotation_that_only_the_config_class_knows_is_written_out():
    config = {"model_type": "qwen3_5_text", "rope_theta": 1e7, "max_position_embeddings": 1024}
    assert yarn.parameters(config, 2.0)["partial_rotary_factor"] == 0.25


def test_no_factor_means_no_parameters():
    assert yarn.parameters(QWEN, 1.0) is None


#: Kind -> what a config says of rotation, the window that it states, the one that it has and the longest that max_window may
#: name. As published configs have it: Llama 3.1, DeepSeek-V3, Phi-3 and Gemma 3 state the window after scaling, Qwen2.5 and
#: InternLM2 the one before.
SCALED = {
    "llama3": ({"factor": 8.0, "original_max_position_embeddings": 8192, "low_freq_factor": 1.0}, 131_072, 131_072, 131_072),
    "yarn": ({"factor": 40, "original_max_position_embeddings": 4096, "mscale": 1.0}, 163_840, 163_840, 6_553_600),
    "yarn, before": ({"factor": 4.0, "original_max_position_embeddings": 32_768}, 32_768, 131_072, 131_072),
    "yarn, no original": ({"factor": 4.0}, 32_768, 32_768, 131_072),
    "longrope": ({"short_factor": [1.0, 1.1], "long_factor": [1.0, 32.0]}, 131_072, 131_072, 131_072),
    "linear": ({"factor": 8.0}, 131_072, 131_072, 1_048_576),
    "dynamic": ({"factor": 2.0}, 32_768, 32_768, 65_536),
    "su": ({"short_factor": [1.0], "long_factor": [8.0]}, 131_072, 131_072, 131_072),
    "one to come": ({"factor": 2.0}, 8192, 8192, 8192),
}


@pytest.mark.parametrize(
    "spelling", ["rope_scaling, type", "rope_scaling, rope_type", "rope_parameters, rope_type", "text_config"]
)
@pytest.mark.parametrize("name", SCALED)
def test_a_config_that_already_scales_is_never_scaled_again(name, spelling):
    said, stated, native, reach = SCALED[name]
    kind = name.partition(",")[0]
    field, _, key = spelling.partition(", ")
    text = {"model_type": "llama", "max_position_embeddings": stated, "rope_theta": 1e4}
    config = {**text, field: {key: kind, **said, "rope_theta": 1e4}}
    if spelling == "text_config":
        config = {"model_type": "gemma3", "text_config": {**text, "rope_parameters": {"rope_type": kind, **said}}}
    rope = yarn.Rope.from_config(config)
    assert (rope.scaling, rope.native_window, rope.maximum_window, rope.choose(10**9)) == (kind, native, native, 1.0)
    assert (yarn.parameters(config, 1.0), yarn.scaling_of(config)) == (None, kind)
    with pytest.raises(PlanError, match=f"already of kind '{kind}'"):
        yarn.parameters(config, 2.0)
    longest = rope.limited(reach)
    assert (longest.native_window, longest.maximum_window, longest.choose(10**9)) == (reach, reach, 1.0)
    with pytest.raises(UsageError, match=str(reach)):
        rope.limited(reach + 1)


@pytest.mark.parametrize("kind", ["llama3", "yarn", "longrope", "linear", "dynamic"])
@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
def test_transformers_reads_the_same_scaling_in_the_same_spelling(kind, spelling):
    said = {**SCALED[kind][0], "rope_type": kind}
    if kind == "longrope":
        said |= {"short_factor": [1.0] * 32, "long_factor": [2.0] * 32, "original_max_position_embeddings": 4096}
    if kind == "llama3":
        said |= {"high_freq_factor": 4.0}
    config = {"max_position_embeddings": 131_072, "hidden_size": 256, "num_attention_heads": 4, spelling: said}
    theirs = LlamaConfig(**json.loads(json.dumps(config))).rope_parameters["rope_type"]
    assert (theirs, yarn.scaling_of({"model_type": "llama", **config})) == (kind, kind)


def test_of_both_spellings_the_old_one_counts_as_in_transformers():
    both = {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    }
    assert LlamaConfig(**json.loads(json.dumps(both))).rope_parameters["rope_type"] == "linear"
    assert yarn.scaling_of({**LLAMA, **both}) == "linear"


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("kind", [None, "default", "mrope"])
def test_a_config_that_only_says_how_it_rotates_can_be_scaled(spelling, kind):
    config = {**LLAMA, spelling: {"rope_type": kind, "rope_theta": 5e5, "mrope_section": [1, 2, 3]}}
    merged = yarn.parameters(config, 2.0)
    assert (merged["rope_type"], merged["rope_theta"], merged["mrope_section"]) == ("yarn", 5e5, [1, 2, 3])


@pytest.mark.parametrize("key", ["rope_theta", "factor", "original_max_position_embeddings", "partial_rotary_factor"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "4", [4.0], True, 10**30])
@pytest.mark.parametrize("field", ["rope_scaling", "rope_parameters", None])
def test_a_nonsense_number_of_rotation_is_named_with_its_value(key, value, field):
    config = {**LLAMA, field: {"rope_type": "yarn", key: value}} if field else {**LLAMA, key: value}
    with pytest.raises(PlanError) as refused:
        yarn.Rope.from_config(config)
    assert f"{key} is {value!r}" in refused.value.message


@pytest.mark.parametrize("field", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize(("value", "words"), [(4, "is 4"), (["yarn"], "yarn"), ({"rope_type": 7}, "rope_type is 7")])
def test_what_is_no_way_to_rotate_is_named(field, value, words):
    with pytest.raises(PlanError, match=words):
        yarn.Rope.from_config({**LLAMA, field: value})


def test_a_theta_of_a_long_context_model_is_no_nonsense():
    assert yarn.Rope.from_config({**LLAMA, "rope_theta": 3_580_165_449.0}).scaling == ""


def test_layers_that_rotate_differently_are_not_scaled():
    nested = {"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default"}}
    assert yarn.scaling_of({**LLAMA, "rope_parameters": nested}) == "per layer"
    assert yarn.scaling_of({**LLAMA, "rope_local_base_freq": 1e4}) == "per layer"


def test_an_unknown_model_that_states_no_rotation_is_not_scaled():
    rope = yarn.Rope.from_config({"model_type": "alibi_thing", "max_position_embeddings": 2048})
    assert (rope.scaling, rope.maximum_window) == ("unstated", 2048)


@pytest.mark.parametrize("maximum", [0, -1, 32_769, True, 1.5, "64K"])
def test_a_maximum_out_of_reach_is_refused_with_its_value(maximum):
    with pytest.raises(UsageError, match=str(maximum)):
        yarn.Rope.from_config(LLAMA).limited(maximum)


@pytest.mark.parametrize(
    "extra",
    [
        {"factor": 2.0},
        {"factor": 4.0},
        {"factor": 4.0, "partial_rotary_factor": 0.25},
        {"factor": 8.0, "beta_fast": 16, "beta_slow": 2},
        {"factor": 4.0, "attention_factor": 1.5},
        {"factor": 4.0, "mscale": 0.7, "mscale_all_dim": 1.3},
        {"factor": 4.0, "truncate": False},
        {"factor": 2.0, "original_max_position_embeddings": 7},
    ],
)
@pytest.mark.parametrize("theta", [10_000.0, 10_000_000.0])
def test_frequencies_equal_those_of_transformers(extra, theta):
    rope = {"rope_type": "yarn", "rope_theta": theta, "original_max_position_embeddings": 8192, **extra}
    config = LlamaConfig(hidden_size=512, num_attention_heads=2, head_dim=256, max_position_embeddings=32_768)
    config.rope_parameters = dict(rope)
    theirs, scaling = ROPE_INIT_FUNCTIONS["yarn"](config, device="cpu")
    ours, our_scaling = yarn.inverse_frequencies(rope, 256)
    torch.testing.assert_close(torch.tensor(ours), theirs, rtol=2e-6, atol=0)
    assert our_scaling == pytest.approx(scaling, rel=1e-12)


def test_frequencies_without_yarn_are_plain():
    frequencies, scaling = yarn.inverse_frequencies({"rope_type": "default", "rope_theta": 1e4}, 64)
    assert scaling == 1.0
    torch.testing.assert_close(torch.tensor(frequencies), 1 / 1e4 ** (torch.arange(0, 64, 2) / 64))


@pytest.mark.parametrize(
    "rope", [{"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}, {"rope_type": "yarn"}, {"rope_type": "llama3"}]
)
def test_incomplete_or_foreign_parameters_are_refused(rope):
    with pytest.raises(PlanError):
        yarn.inverse_frequencies(rope, 64)
