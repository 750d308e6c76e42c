"""Geometries that are better than a formula: counted in the tensors of a GGUF file, or measured by a backend.

Numbers in, numbers out: reads no file, builds no model. Names of tensors: gguf-py 0.19.0, gguf/constants.py (``TENSOR_NAMES``).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from longctx.planner import towers
from longctx.planner.fields import Fields
from longctx.planner.geometry import Geometry, Linear, Parameters, require_generative
from longctx.planner.yarn import Rope, text_config

Row = tuple[str, tuple[int, ...]]
_LAYER = re.compile(r"blk\.(\d+)\.(\w+)")
#: Tensors that are no parameters: factors of rotation.
_NO_PARAMETERS = ("rope_freqs", "rope_factors_long", "rope_factors_short")
_OUTSIDE = {"output": "lm_head", "output_norm": "norms"}
#: A matrix of these is applied to every token; routers are not held in fewer bits.
_MATRICES = re.compile(r"(attn|ffn|ssm)_(?!norm|.*_norm|gate_inp$|.*_exps$|conv1d)")


def counted(geometry: Geometry, tensors: Iterable[Row]) -> Geometry:
    """A geometry with the parameters and matrices that a file really has.

    Args:
        geometry: by formula.
        tensors: name and shape of each, the axis of inputs first. Layers past the geometry's own, which predict further
            tokens, are left out.
    """
    rows = [(name, shape) for name, shape in tensors if _depth(name) < len(geometry.layers)]
    linear = frozenset(_depth(name) for name, _ in rows if ".ssm_" in name)
    parts: Counter[str] = Counter()
    matrices: Counter[Linear] = Counter()
    for name, shape in rows:
        part = _part(name, linear)
        parts[part] += math.prod(shape)
        if (found := _LAYER.match(name)) and len(shape) == 2 and _MATRICES.match(found[2]) and name.endswith(".weight"):
            matrices[Linear(shape[1], shape[0])] += 1
    parts.pop("", None)
    linears = tuple(dataclasses.replace(matrix, count=count) for matrix, count in matrices.items())
    return dataclasses.replace(geometry, parameters=Parameters(**parts), linears=linears, basis="counted")


@dataclass(frozen=True)
class Sizes:
    """What a backend measured of a model that it built without its weights.

    Args:
        hidden: width of the residual stream.
        vocabulary: rows of the embedding.
        layers: kind of every layer, as in :class:`Geometry`.
        heads: query heads.
        kv_numbers: numbers of K and V of one token in one layer, the largest where layers differ.
        kv_heads: key and value heads of that layer.
        state: numbers of the state of all layers, in float32 and in the model's dtype.
        mlp_width: widest MLP that one token passes.
        sliding_window: tokens that a sliding layer sees; 0 where there is none.
        window: tokens that the model reads; None where its config does not say.
        parameters: numbers by part.
        linears: matrices of the decoder, the head not among them.
        scaling: what the config class does to positions, as in :class:`longctx.planner.yarn.Rope`, also where config.json says
            nothing of it.
        cache_measured: whether K/V and state were measured too; else they are those of the config.
    """

    hidden: int
    vocabulary: int
    layers: tuple[str, ...]
    heads: int
    kv_numbers: int
    kv_heads: int
    state: tuple[int, int]
    mlp_width: int
    sliding_window: int
    window: int | None
    parameters: Parameters
    linears: tuple[Linear, ...]
    scaling: str
    cache_measured: bool


def measured(sizes: Sizes, config: Mapping[str, Any], *, name: str = "") -> Geometry:
    """The geometry of a model that was measured.

    Args:
        sizes: by a backend.
        config: its config.json, which says how positions rotate.
        name: the model's name, for messages.

    Raises:
        ModelError: the model does not generate text.
        PlanError: nothing says how many tokens it reads.
    """
    require_generative(config, name)
    whole, text = Fields(config, name=name), text_config(config)
    if (stated := text.get("max_position_embeddings")) is None and sizes.window is not None:
        # Only the config class knows the window: YaRN, which is merged onto what the config says, is not offered.
        rope = Rope(sizes.window, sizes.window, sizes.window, "unstated")
    else:
        rope = Rope.from_config({**text, "max_position_embeddings": stated}, name=whole.name)
    if sizes.scaling and not rope.scaling:
        rope = Rope(rope.native_window, rope.native_window, rope.native_window, sizes.scaling)
    kv_heads = sizes.kv_heads if sizes.kv_numbers % (2 * sizes.kv_heads) == 0 else 1
    return Geometry(
        name=whole.name,
        model_type=str(text.get("model_type") or config.get("model_type") or ""),
        known=sizes.cache_measured,
        hidden=sizes.hidden,
        vocabulary=sizes.vocabulary,
        layers=sizes.layers,
        heads=sizes.heads,
        kv_heads=kv_heads,
        head_dim=-(-sizes.kv_numbers // (2 * kv_heads)),
        mlp_width=sizes.mlp_width,
        gated_query=False,
        sliding_window=sizes.sliding_window,
        rope=rope,
        parameters=sizes.parameters,
        linears=sizes.linears,
        sight=towers.sight(whole, sizes.hidden),
        state=sizes.state,
        basis="measured",
    )


def _depth(name: str) -> int:
    """The layer of a tensor, counted from 0; -1 outside of all layers."""
    found = _LAYER.match(name)
    return int(found[1]) if found else -1


def _part(name: str, linear: frozenset[int]) -> str:
    """The part of :class:`Parameters` that a tensor belongs to; ``""`` for none."""
    found = _LAYER.match(name)
    if found is None:
        own = name.partition(".")[0]
        return "" if own in _NO_PARAMETERS else _OUTSIDE.get(own, "embeddings")
    own = found[2]
    if own.endswith("_exps"):
        return "experts"
    if own.startswith("ssm_"):
        return "linear_attention"
    if own in ("attn_norm", "ffn_norm") or own.startswith(("post_", "attn_post_", "layer_output")):
        return "norms"
    if own.startswith("attn_"):
        return "linear_attention" if int(found[1]) in linear else "attention"
    return "mlp"
