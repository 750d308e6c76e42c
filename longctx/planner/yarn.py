"""YaRN: the smallest step that fits, its parameters merged onto a config's own, and the frequencies that a model then has.

Numbers only; whether the loaded model obeys is checked where the model is. Formula: Peng et al., "YaRN: Efficient Context
Window Extension of Large Language Models" (arXiv:2309.00071), as in transformers 5.23, ``modeling_rope_utils``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from longctx.errors import PlanError, UsageError
from longctx.planner.fields import MOST, Fields

#: Factors come in steps, so that a growing corpus does not rename every prefix.
STEPS = (1.0, 2.0, 4.0)
#: Kinds of RoPE that do not scale.
PLAIN = ("default", "mrope")
#: Scalings of which some configs state the window before scaling and some the one after.
STRETCHED = ("linear", "dynamic", "yarn")
#: Larger numbers are nonsense; thetas of 10⁹ are not.
LARGEST = 1e15
#: Numbers of rotation that are positive where they are given.
_POSITIVE = ("rope_theta", "factor", "original_max_position_embeddings", "partial_rotary_factor", "attention_factor")
#: (model type, native window) -> (most tokens, window that factors count from), by the model cards. Others reach 4 × native.
#: Qwen3.5: "262,144 natively and extensible up to 1,010,000 tokens" (cards of Qwen/Qwen3.5-0.8B, -9B, -35B-A3B).
#: Qwen3: "32,768 natively and 131,072 tokens with YaRN", though max_position_embeddings is 40,960 (cards of Qwen/Qwen3-4B, -8B,
#: -32B; QwenLM/Qwen3, docs/source/inference/transformers.md, "Enabling Long Context").
#: Qwen3-VL: 1,000,000 from 262,144 (QwenLM/Qwen3-VL, README.md, "Processing Long Texts"). It advises a factor of 2 or 3 there,
#: since pictures take fewer positions than tokens. Text does not, so steps count tokens and may scale more than pictures need.
MAXIMA: Mapping[tuple[str, int], tuple[int, int]] = {
    ("qwen3_5", 262_144): (1_010_000, 262_144),
    ("qwen3_5_moe", 262_144): (1_010_000, 262_144),
    ("qwen3_vl", 262_144): (1_000_000, 262_144),
    ("qwen3_vl_moe", 262_144): (1_000_000, 262_144),
    ("qwen3", 40_960): (131_072, 32_768),
    ("qwen3_moe", 40_960): (131_072, 32_768),
}
#: What config classes take where the config has no ``rope_theta``.
THETA = {
    **dict.fromkeys(("llama", "mistral", "granite", "gemma", "gemma2", "olmo2", "arcee", "phi3"), 10_000.0),
    **dict.fromkeys(("qwen2", "qwen3", "qwen3_moe", "qwen3_5", "qwen3_5_moe"), 10_000.0),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe"), 500_000.0),
    "smollm3": 2_000_000.0,
    "mixtral": 1_000_000.0,
}
#: Families that rotate a part of each head where the config does not say so.
PARTIAL = {
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe", "qwen3_next", "stablelm"), 0.25),
    **dict.fromkeys(("glm", "glm4", "glm4_moe", "nemotron", "persimmon", "phi"), 0.5),
}


@dataclass(frozen=True, slots=True)
class Rope:
    """How far a model's positions reach.

    Args:
        native_window: tokens without YaRN.
        maximum_window: tokens at most.
        original: the window that a YaRN factor counts from.
        scaling: the scaling that the config already has (``"yarn"``, ``"llama3"``, …), ``"per layer"`` where kinds of layers
            rotate differently, ``"unstated"`` where the config says nothing of rotation; ``""`` where YaRN can be added.
        reach: the largest maximum that makes sense: of a scaled config its window times the factor that it states, for some
            state the window before scaling.
    """

    native_window: int
    maximum_window: int
    original: int
    scaling: str = ""
    reach: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, name: str = "") -> Rope:
        """Read a config.json, or its text part.

        Raises:
            PlanError: the native window is missing or nonsense, or a number that says how positions rotate is nonsense.
        """
        text = text_config(config)
        stated = Fields(text, name=name).size("max_position_embeddings")
        scaling, rope = scaling_of(text), _rope(text)
        for key in _POSITIVE:
            for source in (rope, text):
                _checked(source, key)
        if scaling:
            native = _scaled_window(rope, stated, scaling)
            return cls(native, native, native, scaling, max(native, _times(stated, rope) if scaling in STRETCHED else 0))
        most, original = MAXIMA.get((_family(text), stated), (STEPS[-1] * stated, stated))
        return cls(stated, int(min(most, STEPS[-1] * original)), original, reach=int(STEPS[-1] * original))

    def window(self, factor: float) -> int:
        """Tokens that a factor gives: native × factor, at most the maximum."""
        return window(self.native_window, self.maximum_window, factor, original=self.original)

    def choose(self, needed_tokens: int) -> float:
        """The smallest step with room for so many tokens; see :func:`choose`."""
        return choose(self.native_window, self.maximum_window, needed_tokens, original=self.original)

    def limited(self, maximum: int) -> Rope:
        """The same with another maximum.

        Raises:
            UsageError: it is no positive number, or more than positions reach here.
        """
        reach = self.reach or self.native_window
        if isinstance(maximum, bool) or not isinstance(maximum, int) or not 0 < maximum <= reach:
            raise UsageError(
                f"max_window={maximum!r} is not between 1 and {reach}", hint=f"it reaches {reach:,} tokens at most"
            )
        native = maximum if self.scaling else min(self.native_window, maximum)
        return replace(self, native_window=native, maximum_window=maximum)


def window(native_window: int, maximum: int, factor: float, *, original: int | None = None) -> int:
    """Tokens that a model reads with a factor.

    Args:
        native_window: tokens without YaRN.
        maximum: tokens at most.
        factor: 1 for none.
        original: the window that the factor counts from; None takes the native one.

    >>> [window(262_144, 1_010_000, factor) for factor in STEPS]
    [262144, 524288, 1010000]
    """
    if factor <= 1:
        return min(native_window, maximum)
    return min(int((original or native_window) * factor), maximum)


def choose(native_window: int, maximum: int, needed_tokens: int, *, original: int | None = None) -> float:
    """The smallest step (1, 2, 4) whose window holds what is needed; where none does, the smallest that reaches farthest.

    >>> [choose(8_192, 32_768, tokens) for tokens in (6_000, 12_000, 20_000, 50_000)]
    [1.0, 2.0, 4.0, 4.0]
    """
    windows = {factor: window(native_window, maximum, factor, original=original) for factor in STEPS}
    wanted = min(needed_tokens, max(windows.values()))
    return next(factor for factor in STEPS if windows[factor] >= wanted)


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The decoder's part of a config: ``text_config``, or all of it."""
    text = config.get("text_config")
    return text if isinstance(text, Mapping) else config


def scaling_of(config: Mapping[str, Any]) -> str:
    """What a config already does to its positions; ``""`` where YaRN can be added.

    >>> scaling_of({"model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 8.0}})
    'llama3'
    """
    text = text_config(config)
    rope = _rope(text)
    if any(isinstance(value, Mapping) for value in rope.values()) or "rope_local_base_freq" in text:
        return "per layer"
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if not isinstance(kind, str):
        raise PlanError(f"rope_type is {kind!r} in config.json, which is no name", hint=_HINT)
    if kind not in PLAIN:
        return kind
    family = _family(text)
    if family.startswith(("gemma3", "gemma4")):
        return "per layer"
    return "" if "rope_theta" in rope or text.get("rope_theta") is not None or family in THETA else "unstated"


def parameters(config: Mapping[str, Any], factor: float) -> dict[str, Any] | None:
    """The complete rope parameters of the decoder with YaRN, merged onto its own; None where no factor is needed.

    Theta, ``partial_rotary_factor``, ``mrope_section`` and everything else that the config says is kept: a loader that gets a
    part of them takes its own defaults for the rest, silently.

    Args:
        config: a whole config.json, of the new style (``rope_parameters``) or the old (``rope_theta``, ``rope_scaling``).
        factor: 1, 2 or 4.

    Raises:
        PlanError: the config already scales its positions.

    >>> parameters({"model_type": "llama", "rope_theta": 1e5, "max_position_embeddings": 8192}, 2.0)
    {'rope_theta': 100000.0, 'rope_type': 'yarn', 'factor': 2.0, 'original_max_position_embeddings': 8192}
    """
    if factor <= 1:
        return None
    text = text_config(config)
    rope = Rope.from_config(text)
    if rope.scaling:
        raise PlanError(
            f"YaRN factor {factor:g} cannot be added: the config's positions are already of kind {rope.scaling!r}",
            hint=f"plan a window of at most {rope.native_window:,} tokens",
        )
    family, kept = _family(text), {key: value for key, value in _rope(text).items() if key != "type"}
    merged = {"rope_theta": text.get("rope_theta") or THETA.get(family), **kept}
    partial = text.get("partial_rotary_factor") or PARTIAL.get(family)
    if partial is not None:
        merged.setdefault("partial_rotary_factor", partial)
    return {**merged, "rope_type": "yarn", "factor": float(factor), "original_max_position_embeddings": rope.original}


def inverse_frequencies(rope_parameters: Mapping[str, Any], head_dim: int) -> tuple[list[float], float]:
    """The inverse frequencies and the attention scaling that a model with these parameters must have.

    Args:
        rope_parameters: complete, of type ``"yarn"`` or ``"default"``.
        head_dim: numbers per head; ``partial_rotary_factor`` of them rotate.

    Returns:
        half as many frequencies as numbers rotate, and the factor on cos and sin.

    Raises:
        PlanError: a parameter is missing, or the type is another.

    >>> frequencies, scaling = inverse_frequencies({"rope_type": "default", "rope_theta": 10000.0}, 4)
    >>> frequencies, scaling
    ([1.0, 0.01], 1.0)
    """
    kind = rope_parameters.get("rope_type", "default")
    if kind not in ("yarn", *PLAIN):
        raise PlanError(f"rope_type is {kind!r}; frequencies are known for 'yarn' and 'default'")
    base = _number(rope_parameters, "rope_theta")
    dim = int(head_dim * rope_parameters.get("partial_rotary_factor", 1.0))
    plain = [base ** (-2 * i / dim) for i in range(dim // 2)]
    if kind != "yarn":
        return plain, 1.0
    factor = _number(rope_parameters, "factor")
    low, high = _ramp(rope_parameters, dim, base)
    shares = (min(1.0, max(0.0, (i - low) / (high - low))) for i in range(dim // 2))
    return [f / factor * share + f * (1 - share) for f, share in zip(plain, shares, strict=True)], _scaling(
        rope_parameters, factor
    )


def _ramp(rope: Mapping[str, Any], dim: int, base: float) -> tuple[float, float]:
    """Between which dimensions extrapolation turns into interpolation."""
    original = _number(rope, "original_max_position_embeddings")

    def dimension(rotations: float) -> float:
        return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low, high = dimension(rope.get("beta_fast") or 32), dimension(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    return low, high if high != low else high + 0.001


def _scaling(rope: Mapping[str, Any], factor: float) -> float:
    """The factor on cos and sin: stated, by mscale, or 0.1 ln(factor) + 1."""
    stated, scale, all_dim = (rope.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim"))
    if stated is not None:
        return float(stated)
    if scale and all_dim:
        return _mscale(factor, scale) / _mscale(factor, all_dim)
    return _mscale(factor, 1.0)


def _mscale(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def _number(rope: Mapping[str, Any], key: str) -> float:
    value = rope.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise PlanError(f"rope parameter {key!r} is {value!r}, no positive number")
    return float(value)


def _checked(source: Mapping[str, Any], key: str) -> None:
    """Refuse a number of rotation that is there and is nonsense."""
    value = source.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LARGEST):
        raise PlanError(f"{key} is {value!r} in config.json, which is no positive number", hint=_HINT)


def _rope(text: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a config says of rotation, in the old spelling or the new; of both, transformers 5.23 takes the old."""
    for spelling in ("rope_scaling", "rope_parameters"):
        rope = text.get(spelling)
        if rope is not None and not isinstance(rope, Mapping):
            raise PlanError(f"{spelling} is {rope!r} in config.json, which is no object", hint=_HINT)
        if rope:
            return rope
    return {}


def _family(text: Mapping[str, Any]) -> str:
    return str(text.get("model_type") or "").removesuffix("_text")


def _scaled_window(rope: Mapping[str, Any], stated: int, scaling: str) -> int:
    """A YaRN config may state the window before scaling; others state it after."""
    original = rope.get("original_max_position_embeddings")
    return max(stated, _times(int(original), rope)) if scaling == "yarn" and original else stated


def _times(window: int, rope: Mapping[str, Any]) -> int:
    """A window times the factor that a config states, no longer than anything has."""
    return min(MOST, int(window * (rope.get("factor") or 1)))


_HINT = "give a model whose config.json is complete; download it again if it should be"
