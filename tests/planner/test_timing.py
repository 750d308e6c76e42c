"""Time follows from what was measured: its terms are those of the work, and where nothing was measured nothing is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from longctx.planner import Device, Geometry, Precision, Speed, plan
from longctx.planner.timing import estimate
from tests.tiny_configs import TINY

SPEED = Speed(products=1e9, width=1e-9, attention=1e9, delta=1e-7, weights=1e8, layer=1e-5, keys=1e8)
#: So fast that it takes no time.
ENDLESS = 1e30
ONLY = Speed(products=ENDLESS, width=0.0, attention=ENDLESS, delta=0.0, weights=ENDLESS, layer=0.0, keys=ENDLESS)
LLAMA = Geometry.from_config(TINY["llama"])
HERE = Device("cpu", "a CPU", 8 * 10**9, 6 * 10**9, bf16=False)


def figures(**asked):
    return plan(LLAMA, model="m", source_tokens=[("a.py", 200)], overhead_tokens=20, **{"device": HERE, **asked})


def test_products_are_two_operations_for_each_weight_and_token():
    weights = LLAMA.parameters.attention + LLAMA.parameters.mlp
    time = estimate(LLAMA, replace(ONLY, products=1e9), tokens=100, chunk=10)
    assert time.prefill == pytest.approx(2 * weights * 100 / 1e9)


def test_attention_takes_the_square_of_the_length():
    speed = replace(ONLY, attention=1e9)
    once, twice = (estimate(LLAMA, speed, tokens=tokens, chunk=64).prefill for tokens in (1_000, 2_000))
    assert twice == pytest.approx(4 * once)
    assert once == pytest.approx(4 * LLAMA.heads * LLAMA.head_dim * 4 * 1_000**2 / 2 / 1e9)


def test_sliding_layers_take_the_length_alone_past_their_window():
    gemma = Geometry.from_config({**TINY["gemma3"], "sliding_window": 10, "layer_types": ["sliding_attention"] * 4})
    speed = replace(ONLY, attention=1e9, keys=1e8)
    once, twice = (estimate(gemma, speed, tokens=tokens, chunk=64) for tokens in (1_000, 2_000))
    assert twice.prefill / once.prefill == pytest.approx(2, rel=0.01)
    assert twice.decode == once.decode


def test_of_experts_only_those_count_that_a_token_is_sent_to():
    few = Geometry.from_config(TINY["qwen3 moe"])
    many = Geometry.from_config({**TINY["qwen3 moe"], "num_experts": 64})
    speed = replace(ONLY, products=1e9)
    times = [estimate(geometry, speed, tokens=100, chunk=100).prefill for geometry in (few, many)]
    routers = 2 * (many.parameters.mlp - few.parameters.mlp) * 100 / 1e9
    assert times[1] - times[0] == pytest.approx(routers)
    assert many.parameters.experts > 10 * few.parameters.experts


def test_the_delta_rule_takes_time_in_hybrids_alone():
    hybrid = Geometry.from_config(TINY["qwen3 next"])
    speed = replace(ONLY, delta=1e-7)
    assert estimate(LLAMA, speed, tokens=100, chunk=100).prefill == pytest.approx(0.0, abs=1e-12)
    assert hybrid.recurrence is not None
    numbers = hybrid.recurrence.value_heads * (hybrid.recurrence.key_dim + hybrid.recurrence.value_dim)
    layers = hybrid.count("linear_attention")
    assert estimate(hybrid, speed, tokens=100, chunk=100).prefill == pytest.approx(1e-7 * numbers * layers * 100)


def test_short_steps_read_the_weights_more_often():
    speed = replace(ONLY, weights=1e8, layer=1e-3)
    fine, coarse = (estimate(LLAMA, speed, tokens=1_000, chunk=chunk).prefill for chunk in (10, 1_000))
    assert fine == pytest.approx(100 * coarse)


def test_an_answer_slows_down_as_the_past_grows():
    rates = [estimate(LLAMA, SPEED, tokens=tokens, chunk=64).decode for tokens in (1, 1_000, 100_000)]
    assert rates[0] > rates[1] > rates[2] > 0


def test_a_plan_tells_the_time_of_its_precision_on_a_device_that_was_measured():
    speeds = {Precision(16, "float32"): SPEED}
    told = figures(speeds=speeds, bits=16)
    assert told.time == estimate(LLAMA, SPEED, tokens=told.prompt_tokens, chunk=told.chunk)
    assert told.to_json()["time"]["basis"] == "calibrated"
    assert not any("how long" in note for note in told.notes)
    other = figures(speeds=speeds, bits=8)
    assert other.time is None
    assert other.to_json()["time"] is None
    assert any("lc.calibrate(plan)" in note for note in other.notes)


def test_packed_keys_were_not_measured_and_no_time_is_told_for_them():
    told = figures(speeds={Precision(16, "float32"): SPEED}, bits=16, kv_dtype="int8")
    assert told.time is None
    assert any("packed" in note for note in told.notes)


def test_a_device_that_is_not_here_is_not_to_be_measured():
    told = figures(device=replace(HERE, here=False))
    assert told.time is None
    assert not any("calibrate" in note for note in told.notes)


def test_a_kept_speed_comes_back():
    assert Speed.from_json(SPEED.to_json()) == SPEED


@pytest.mark.parametrize("damage", [{"products": 0}, {"keys": -1}, {"weights": float("inf")}, {"layer": "1"}, {"delta": None}])
def test_what_is_no_speed_is_none(damage):
    assert Speed.from_json({**SPEED.to_json(), **damage}) is None
    assert Speed.from_json([]) is None
