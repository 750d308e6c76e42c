"""What this device does in a second: the engine itself reads with three small random models and has them speak.

Two Llamas of different width tell products of matrices from what layers do besides; the growth of a step's time with its past
tells attention; a hybrid tells the delta rule.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from longctx.backends.base import LoadSpec, Sampling
from longctx.backends.transformers.engine import TransformersBackend
from longctx.backends.transformers.weights import quiet
from longctx.jobs import Job
from longctx.planner import Precision, Speed

#: Tokens of a step, steps that are timed, tokens that are spoken.
STEP, STEPS, SPOKEN = 512, 5, 24
_LLAMA = {"vocab_size": 1_024, "max_position_embeddings": 8_192, "head_dim": 64, "bos_token_id": 1, "eos_token_id": 2}
#: Layers and sizes of the probes: narrow and wide; both with as many key as query heads.
NARROW = {**_LLAMA, "hidden_size": 512, "intermediate_size": 1_536, "num_hidden_layers": 6, "num_attention_heads": 8}
WIDE = {**_LLAMA, "hidden_size": 1_536, "intermediate_size": 4_096, "num_hidden_layers": 3, "num_attention_heads": 24}
HYBRID = {
    **_LLAMA,
    "hidden_size": 512,
    "intermediate_size": 1_536,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "linear_num_key_heads": 8,
    "linear_num_value_heads": 8,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
}
#: The least that is taken for a measured difference, so that noise gives no negative and no endless rate.
LEAST = 1e-9


@dataclass(frozen=True)
class _Probe:
    """What was measured of one model.

    Args:
        weights: of its layers.
        width: hidden width x layers.
        layers: in all.
        attended: heads x head size x layers with attention.
        step: seconds of a step without a past.
        slope: seconds that each token of the past adds to a step.
        token: seconds of a spoken token after a short past.
        token_slope: seconds that each token of the past adds to a spoken one.
    """

    weights: int
    width: int
    layers: int
    attended: int
    step: float
    slope: float
    token: float
    token_slope: float

    @property
    def alone(self) -> float:
        """Seconds of a step without its attention to itself."""
        return self.step - self.slope * STEP / 2


def calibrate(device: str, precision: Precision, job: Job[Any]) -> Speed:
    """Measure this device with weights of one precision.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: of the weights.
        job: is told of the probes, and asked for a stop between steps.
    """
    probes = []
    with tempfile.TemporaryDirectory() as place:
        for number, (kind, sizes) in enumerate((("llama", NARROW), ("llama", WIDE), ("qwen3_5_text", HYBRID))):
            job.report("calibrate", number, 3, "probes")
            probes.append(_measured(Path(place, str(number)), kind, sizes, device, precision, job))
    return _solved(*probes)


def _solved(narrow: _Probe, wide: _Probe, hybrid: _Probe) -> Speed:
    """The rates that give these times; see ``planner/timing`` for the terms."""
    product, width = _two(
        (2 * STEP * narrow.weights, STEP * narrow.width, narrow.alone),
        (2 * STEP * wide.weights, STEP * wide.width, wide.alone),
    )
    weight, layer = _two((narrow.weights, narrow.layers, narrow.token), (wide.weights, wide.layers, wide.token))
    attention = median(max(LEAST, probe.slope) / (4 * STEP * probe.attended) for probe in (narrow, wide))
    key = median(max(LEAST, probe.token_slope) / (2 * probe.attended) for probe in (narrow, wide))
    rest = hybrid.alone - 2 * STEP * hybrid.weights * product - STEP * hybrid.width * width
    states = 3 * HYBRID["linear_num_value_heads"] * (HYBRID["linear_key_head_dim"] + HYBRID["linear_value_head_dim"])
    rates = (1 / product, width, 1 / attention, max(0.0, rest) / (STEP * states), 1 / weight, layer, 1 / key)
    return Speed(*map(float, rates))


def _two(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float]:
    """x and y with a·x + b·y = c for both rows; where noise makes y negative, 0 and the mean x."""
    (a, b, c), (d, e, f) = first, second
    determinant = a * e - b * d
    x, y = ((c * e - b * f) / determinant, (a * f - c * d) / determinant) if determinant else (0.0, 0.0)
    return (x, y) if x > 0 and y >= 0 else (max(LEAST * LEAST, c + f) / (a + d), 0.0)


def _measured(folder: Path, kind: str, sizes: dict[str, int], device: str, precision: Precision, job: Job[Any]) -> _Probe:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    with quiet():
        model.save_pretrained(folder)
    weights = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name)
    attended = 64 * sizes["num_attention_heads"] * sum(hasattr(layer, "self_attn") for layer in model.model.layers)
    del model
    spec = LoadSpec(kind, folder, precision.bits, device, STEP, cache_folder=folder, dtype=precision.dtype)
    with closing(TransformersBackend(spec)) as engine:
        engine.load(job)
        steps, tokens = _timed(engine, job)
    slope, step = np.polyfit(STEP * np.arange(STEPS), steps, 1)
    token_slope = (tokens[1] - tokens[0]) / (STEP * (STEPS - 1))
    layers = sizes["num_hidden_layers"]
    return _Probe(weights, sizes["hidden_size"] * layers, layers, attended, step, slope, tokens[0], token_slope)


def _timed(engine: TransformersBackend, job: Job[Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Seconds of each step of a prompt, and of a token after its first step and after its last."""
    ids = np.random.default_rng(0).integers(3, 1_000, STEP * STEPS).tolist()
    engine.prefill(ids[:64], job)  # kernels are chosen, memory is taken
    steps: list[float] = []
    spoken: list[float] = []
    for number in range(1, STEPS + 1):
        began = _now(engine.spec.device)
        engine.prefill(ids[: number * STEP], job)
        steps.append(_now(engine.spec.device) - began)
        if number in (1, STEPS):
            spoken.append(_token(engine, job))
            engine.prefill(ids[: number * STEP], job)  # back to where it spoke
    return steps, spoken


def _token(engine: TransformersBackend, job: Job[Any]) -> float:
    """Seconds of a spoken token; the first is there before it is asked for."""
    times = [_now(engine.spec.device)]
    for _ in engine.decode(Sampling(temperature=0, max_tokens=SPOKEN, lookup=False), (), job):
        times.append(_now(engine.spec.device))
    return median(after - before for before, after in pairwise(times[2:]))


def _now(device: str) -> float:
    if device != "cpu":  # not run on a GPU yet; what was asked of it is still being done
        getattr(torch, device).synchronize()
    return time.perf_counter()
