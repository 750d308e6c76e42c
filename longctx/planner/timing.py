"""Time: seconds that a prompt takes to be read, and tokens a second of an answer, from what a device was measured to do.

Measures nothing itself: a :class:`Speed` comes from a short calibration on the device (``backends/transformers/calibrate``).
The terms are those of the work: products of matrices (2 operations a weight and token), attention (4 operations a query, key
and number of a head, so the square of the length), the delta rule, and what layers do to every number of their width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import Any

from longctx.planner.geometry import Geometry


@dataclass(frozen=True, slots=True)
class Speed:
    """What a device does with weights of one precision. Rates are above 0, costs 0 or more.

    Args:
        products: operations a second of matrix products over a step of tokens.
        width: seconds for each token, layer and number of the hidden width besides: norms, rotation, activations.
        attention: operations a second of attention on a past.
        delta: seconds of the delta rule for each token, layer and number of a state's keys and values.
        weights: weights a second that are read for a single token.
        layer: seconds of a layer for a single token besides.
        keys: numbers of keys and values a second that a single token meets.
    """

    products: float
    width: float
    attention: float
    delta: float
    weights: float
    layer: float
    keys: float

    def to_json(self) -> dict[str, float]:
        """As it is kept in the cache folder."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: object) -> Speed | None:
        """What was kept; None where it is not one.

        >>> Speed.from_json({"products": 1e11}) is None
        True
        """
        values = [kept.get(field.name) for field in fields(cls)] if isinstance(kept, Mapping) else [None]
        if not all(isinstance(value, (int, float)) and 0 <= value < float("inf") for value in values):
            return None
        speed = cls(*map(float, values))  # type: ignore[arg-type]
        return speed if min(speed.products, speed.attention, speed.weights, speed.keys) > 0 else None


@dataclass(frozen=True, slots=True)
class Time:
    """How long a plan takes.

    Args:
        prefill: seconds to read the prompt.
        decode: tokens a second of an answer after it.
        basis: how the figures were found.
    """

    prefill: float
    decode: float
    basis: str = "calibrated"

    def to_json(self) -> dict[str, Any]:
        """As the JSON contract has it."""
        return {"prefill_seconds": round(self.prefill, 3), "tokens_per_second": round(self.decode, 3), "basis": self.basis}


def estimate(geometry: Geometry, speed: Speed, *, tokens: int, chunk: int) -> Time:
    """How long a prompt of so many tokens takes, and an answer to it. Pictures are taken as encoded already.

    Args:
        geometry: of the model.
        speed: of the device, with weights in the precision of the plan.
        tokens: of the prompt.
        chunk: tokens of a step.

    >>> from longctx.planner import Geometry
    >>> llama = dict(model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    ...              num_key_value_heads=3, vocab_size=49152, max_position_embeddings=8192, tie_word_embeddings=True)
    >>> speed = Speed(products=1e11, width=1e-10, attention=5e10, delta=1e-9, weights=5e9, layer=1e-4, keys=5e9)
    >>> times = [estimate(Geometry.from_config(llama), speed, tokens=n, chunk=512) for n in (4096, 8192)]
    >>> [(round(time.prefill, 1), round(time.decode)) for time in times]
    [(20.4, 22), (63.9, 16)]
    """
    layers, read, head = len(geometry.layers), _read_weights(geometry), geometry.vocabulary * geometry.hidden
    products = 2 * read * tokens / speed.products + speed.width * geometry.hidden * layers * tokens
    steps = -(-tokens // chunk) * (layers * speed.layer + head / speed.weights)  # the last token of each meets the head
    prefill = products + _attended(geometry, tokens) / speed.attention + _delta(geometry, speed) * tokens + steps
    token = (read + head) / speed.weights + layers * speed.layer + _met(geometry, tokens) / speed.keys
    return Time(prefill, 1 / token)


def _read_weights(geometry: Geometry) -> int:
    """Weights of the decoder that every token meets: of experts those that it is sent to."""
    parts = geometry.parameters
    routed = 3 * geometry.hidden * geometry.mlp_width * len(geometry.layers)
    return parts.attention + parts.linear_attention + parts.mlp + min(parts.experts, routed)


def _attended(geometry: Geometry, tokens: int) -> float:
    """Operations of attention: each token on all before it, or on a window of them."""
    window = min(tokens, geometry.sliding_window)
    full = geometry.count("full_attention") * tokens**2 / 2
    sliding = geometry.count("sliding_attention") * (tokens - window / 2) * window
    return 4 * geometry.heads * geometry.head_dim * (full + sliding)


def _delta(geometry: Geometry, speed: Speed) -> float:
    """Seconds of the delta rule for each token."""
    sizes = geometry.recurrence
    if sizes is None:
        return 0.0
    return speed.delta * geometry.count("linear_attention") * sizes.value_heads * (sizes.key_dim + sizes.value_dim)


def _met(geometry: Geometry, tokens: int) -> float:
    """Numbers of keys and values that a token meets. Query heads that share them read them once and meet them each: the mean of
    both (geometric) was nearest to what SmolLM2 takes, whose keys are shared by three.
    """
    window = min(tokens, geometry.sliding_window)
    seen = geometry.count("full_attention") * tokens + geometry.count("sliding_attention") * window
    return 2 * sqrt(geometry.heads * geometry.kv_heads) * geometry.head_dim * seen
