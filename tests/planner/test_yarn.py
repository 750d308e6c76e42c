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


@pytest.mark.parametrize("kind", ["yarn", "llama3", "longrope", "linear", "dynamic"])
def test_a_config_that_already_scales_is_never_scaled_again(kind):
    config = {**LLAMA, "rope_scaling": {"rope_type": kind, "factor": 2.0}}
    rope = yarn.Rope.from_config(config)
    assert (rope.scaling, rope.maximum_window, rope.choose(10**6)) == (kind, 8192, 1.0)
    with pytest.raises(PlanError, match=kind):
        yarn.parameters(config, 2.0)


def test_a_yarn_config_that_states_the_window_before_scaling_reaches_the_one_after():
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192}
    assert yarn.Rope.from_config({**LLAMA, "rope_scaling": scaling}).native_window == 32_768


def test_layers_that_rotate_differently_are_not_scaled():
    nested = {"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default"}}
    assert yarn.scaling_of({**LLAMA, "rope_parameters": nested}) == "per layer"
    assert yarn.scaling_of({**LLAMA, "rope_local_base_freq": 1e4}) == "per layer"


def test_an_unknown_model_that_states_no_rotation_is_not_scaled():
    rope = yarn.Rope.from_config({"model_type": "alibi_thing", "max_position_embeddings": 2048})
    assert (rope.scaling, rope.maximum_window) == ("unstated", 2048)


@pytest.mark.parametrize("maximum", [0, -1, 32_769])
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
