"""The calibration finds the rates that its times were made of, and can be stopped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.backends.transformers import calibrate
from longctx.backends.transformers.calibrate import HYBRID, STEP, _Probe
from longctx.errors import Stopped
from longctx.jobs import Job
from longctx.planner import Precision, Speed

RATE = st.floats(1e6, 1e12)
COST = st.floats(1e-12, 1e-6)


def probe(speed: Speed, weights: int, width: int, layers: int, attended: int, states: int = 0) -> _Probe:
    """What a device of this speed would be measured to take."""
    slope = 4 * STEP * attended / speed.attention
    step = 2 * STEP * weights / speed.products + STEP * width * speed.width + slope * STEP / 2 + STEP * states * speed.delta
    return _Probe(
        weights=weights,
        width=width,
        layers=layers,
        attended=attended,
        step=step,
        slope=slope,
        token=weights / speed.weights + layers * speed.layer,
        token_slope=2 * attended / speed.keys,
    )


@given(st.builds(Speed, RATE, st.just(0.0), RATE, st.just(0.0), RATE, COST, RATE))
def test_it_finds_the_rates_behind_the_times(speed: Speed) -> None:
    speed = Speed(
        speed.products, 0.1 / speed.products, speed.attention, 3 / speed.products, 1e3 / speed.layer, speed.layer, speed.keys
    )
    states = 3 * HYBRID["linear_num_value_heads"] * (HYBRID["linear_key_head_dim"] + HYBRID["linear_value_head_dim"])
    narrow = probe(speed, 20_000_000, 3_072, 6, 3_072)
    wide = probe(speed, 85_000_000, 4_608, 3, 4_608)
    hybrid = probe(speed, 20_000_000, 2_048, 4, 512, states)
    assert calibrate._solved(narrow, wide, hybrid).to_json() == pytest.approx(speed.to_json(), rel=1e-3, abs=0)


def test_noise_gives_no_negative_and_no_endless_rate() -> None:
    odd = _Probe(weights=10, width=10, layers=2, attended=5, step=1e-9, slope=-1.0, token=1e-9, token_slope=-1.0)
    other = _Probe(weights=1_000, width=1, layers=1, attended=5, step=2e-9, slope=0.0, token=3e-9, token_slope=0.0)
    for probes in ((odd, other, odd), (other, odd, other)):
        assert Speed.from_json(calibrate._solved(*probes).to_json()) is not None


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes that take no time."""
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1}
    for name in ("NARROW", "WIDE", "HYBRID"):
        monkeypatch.setattr(calibrate, name, {**getattr(calibrate, name), **sizes, "num_hidden_layers": 4})
    monkeypatch.setattr(calibrate, "WIDE", {**calibrate.WIDE, "hidden_size": 128})
    monkeypatch.setattr(calibrate, "HYBRID", {**calibrate.HYBRID, "num_key_value_heads": 1})
    monkeypatch.setattr(calibrate, "STEP", 32)


@pytest.mark.parametrize("precision", [Precision(16, "float32"), Precision(16, "bfloat16"), Precision(4, "float32")])
def test_this_device_is_measured_by_the_engine_itself(small: None, precision: Precision) -> None:
    reported: list[str] = []
    job: Job[Any] = Job(lambda job: calibrate.calibrate("cpu", precision, job), title="calibrate")
    job.watch(lambda: reported.append(job.progress.stage))
    job.run()
    assert Speed.from_json(job.result().to_json()) == job.result()
    assert "calibrate" in reported


def test_it_can_be_stopped(small: None) -> None:
    job: Job[Any] = Job(lambda job: calibrate.calibrate("cpu", Precision(16, "float32"), job), title="calibrate")
    job.cancel()
    with pytest.raises(Stopped):
        calibrate.calibrate("cpu", Precision(16, "float32"), job)
