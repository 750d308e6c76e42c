"""Geometry: what config.json says about sizes. Parameters by part, K/V and state per token, window.

Reads a config and computes; builds no model. Knows nothing of memory, devices or corpora. The counts equal those of the model
that transformers builds (multi-token prediction heads, which transformers does not load, are left out).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longctx.errors import ModelError, PlanError
from longctx.planner import towers
from longctx.planner.families import NOT_GENERATIVE, SPEAKING, Family, family_of
from longctx.planner.fields import MOST_LAYERS, Fields
from longctx.planner.towers import Sight
from longctx.planner.yarn import Rope, text_config

#: bitsandbytes' CPU kernels crash for other sizes, so such modules stay in 16 bits: out_features by 32, in_features by 64.
OUTPUT_STEP, INPUT_STEP = 32, 64
LAYER_KINDS = ("full_attention", "sliding_attention", "linear_attention")
#: A layer that keeps nothing of a token: an MLP alone, or one that uses the K/V of another layer.
NO_CACHE = "none"


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal matrices of the decoder: ``count`` times [outputs, inputs].

    >>> Linear(576, 1536, 30).numbers
    26542080
    """

    outputs: int
    inputs: int
    count: int = 1
    biased: bool = False

    @property
    def numbers(self) -> int:
        """Weights of all of them, without biases."""
        return self.outputs * self.inputs * self.count

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.numbers + self.outputs * self.count * self.biased

    @property
    def quantizable(self) -> bool:
        """Whether bitsandbytes can hold it in 4 or 8 bits."""
        return self.outputs % OUTPUT_STEP == 0 and self.inputs % INPUT_STEP == 0


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many numbers each part of a model holds.

    Args:
        embeddings: the token embedding.
        lm_head: the output matrix; 0 where it is the embedding's.
        attention: projections of full and sliding layers, with their query and key norms.
        mlp: dense MLPs, routers, shared experts.
        experts: the three-dimensional matrices of routed experts, which bitsandbytes leaves alone.
        linear_attention: everything in layers of linear attention.
        norms: norms of the hidden width.
        vision: the vision tower and what joins it to the decoder.
    """

    embeddings: int = 0
    lm_head: int = 0
    attention: int = 0
    mlp: int = 0
    experts: int = 0
    linear_attention: int = 0
    norms: int = 0
    vision: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Sizes of one layer of linear attention (Gated DeltaNet)."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int

    @property
    def channels(self) -> int:
        """Channels of the short convolution: queries, keys and values."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    @property
    def state(self) -> int:
        """Numbers of the recurrent state, which is kept in float32 whatever the model's dtype."""
        return self.value_heads * self.key_dim * self.value_dim

    @property
    def conv_state(self) -> int:
        """Numbers of the convolution's state."""
        return self.channels * self.kernel


@dataclass(frozen=True)
class Geometry:
    """The sizes of one model.

    Args:
        name: as the user gave it.
        model_type: of the decoder.
        known: whether parameters, K/V and state are exact; else they follow the formula of Llama as far as nothing better is
            at hand.
        hidden: width of the residual stream.
        vocabulary: rows of the embedding.
        layers: kind of every layer, from the first: one of ``LAYER_KINDS``, or ``NO_CACHE``.
        heads: query heads of an attention layer.
        kv_heads: key and value heads.
        head_dim: numbers per head, half of those that keys and values have together.
        mlp_width: widest MLP that one token passes, routed and shared experts together.
        gated_query: whether the query projection is twice as wide.
        sliding_window: tokens that a sliding layer sees; 0 where there is none.
        rope: how far its positions reach.
        parameters: numbers by part.
        linears: matrices of the decoder, the head not among them.
        recurrence: of layers of linear attention, or None.
        sight: of the vision tower; None where there is none, or one of a kind that is not known.
        state: numbers of the state of all layers that were measured, in float32 and in the model's dtype; None where
            ``recurrence`` says what there is.
        basis: how the sizes were found: ``"computed"`` from config.json, ``"counted"`` in a GGUF file, ``"measured"`` on the
            meta device.

    >>> tiny = dict(model_type="llama", hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    ...             num_key_value_heads=2, vocab_size=256, max_position_embeddings=1024, tie_word_embeddings=True)
    >>> geometry = Geometry.from_config(tiny)
    >>> geometry.parameters.total, geometry.kv_bytes_per_token()
    (90432, 256)
    """

    name: str
    model_type: str
    known: bool
    hidden: int
    vocabulary: int
    layers: tuple[str, ...]
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    gated_query: bool
    sliding_window: int
    rope: Rope
    parameters: Parameters
    linears: tuple[Linear, ...]
    recurrence: Recurrence | None = None
    sight: Sight | None = None
    state: tuple[int, int] | None = None
    basis: str = "computed"

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, name: str = "") -> Geometry:
        """Read a config.json.

        Args:
            config: the decoded object, of a whole model or of its text part alone.
            name: the model's name, for messages.

        Raises:
            ModelError: the model does not generate text.
            PlanError: a field that is needed is missing or nonsense.
        """
        require_generative(config, name)
        whole = Fields(config, name=name)
        text = whole.part("text_config") or config
        model_type = str(text.get("model_type") or config.get("model_type") or "")
        family = family_of(model_type)
        return _Reader(whole, Fields(text, family.defaults, name=whole.name), family, model_type).geometry()

    @property
    def native_window(self) -> int:
        """Tokens that the model reads without YaRN."""
        return self.rope.native_window

    @property
    def quantized(self) -> tuple[Linear, ...]:
        """The matrices that bitsandbytes turns into 4 or 8 bits."""
        return tuple(linear for linear in self.linears if linear.quantizable)

    @property
    def experts_kept(self) -> bool:
        """Whether there are experts that bitsandbytes leaves in 16 bits."""
        return self.parameters.experts > 0

    def count(self, kind: str) -> int:
        """How many layers are of a kind: ``"full_attention"``, ``"sliding_attention"``, ``"linear_attention"``."""
        return self.layers.count(kind)

    def kv_bytes_per_token(self, element: int = 2) -> int:
        """Bytes of K/V that one token adds in full-attention layers.

        Args:
            element: bytes per number.
        """
        return 2 * self.kv_heads * self.head_dim * element * self.count("full_attention")

    def state_bytes(self, element: int = 2) -> int:
        """Bytes of recurrent (float32) and convolution state (``element`` bytes per number), all layers; 0 without any."""
        if self.state is not None:
            return 4 * self.state[0] + element * self.state[1]
        if self.recurrence is None:
            return 0
        return self.count("linear_attention") * (4 * self.recurrence.state + element * self.recurrence.conv_state)


def knows(config: Mapping[str, Any]) -> bool:
    """Whether there is a formula for the decoder of a config and for what it sees with.

    >>> knows({"model_type": "qwen3"}), knows({"model_type": "brand_new"}), knows({"model_type": "llama", "vision_config": {}})
    (True, False, False)
    """
    text, whole = text_config(config), str(config.get("model_type"))
    sees = config.get("vision_config") is not None
    return family_of(str(text.get("model_type") or whole)).known and (not sees or towers.knows(whole))


def require_generative(config: Mapping[str, Any], name: str) -> None:
    """Refuse a model that gives vectors or labels.

    Raises:
        ModelError: it does not generate text.
        PlanError: what it says of itself is nonsense.
    """
    model_type, architectures = config.get("model_type"), config.get("architectures") or ()
    label = name or str(model_type)
    if not isinstance(model_type, str | None):
        raise PlanError(f"{label}: model_type is {model_type!r} in config.json, which is no name")
    if not isinstance(architectures, (list, tuple)):
        raise PlanError(f"{label}: architectures is {architectures!r} in config.json, which is no list")
    why = ""
    if config.get("is_encoder_decoder") is True:
        why = "an encoder with a decoder, which reads a source into vectors instead of a prompt"
    elif architectures and not any(str(a).endswith(SPEAKING) for a in architectures):
        why = f"a {architectures[0]}, which has no head that speaks"
    elif model_type in NOT_GENERATIVE:
        why = f"of type {model_type!r}, which has no decoder"
    if why:
        raise ModelError(f"{label} does not generate text: it is {why}", hint="name a causal or image-text-to-text model")


class _Reader:
    """Reads one config into a :class:`Geometry`."""

    def __init__(self, whole: Fields, text: Fields, family: Family, model_type: str) -> None:
        self.whole, self.text, self.family, self.model_type = whole, text, family, model_type
        self.hidden = text.size("hidden_size")
        self.depth = text.size("num_hidden_layers", most=MOST_LAYERS)
        self.heads = text.size("num_attention_heads")
        self.kv_heads = text.size("num_key_value_heads", self.heads)
        self.head_dim = text.size("head_dim", max(1, self.hidden // self.heads))
        self.window = text.optional("sliding_window")
        self.linears: Counter[Linear] = Counter()
        if self.heads % self.kv_heads:
            why = f"num_attention_heads is {self.heads}, no multiple of num_key_value_heads {self.kv_heads}"
            raise PlanError(f"{text.name}: {why}")

    def geometry(self) -> Geometry:
        """Everything, joined."""
        layers = self._layers()
        sparse = [self._sparse(i) for i in range(self.depth)]
        vision, vision_known = towers.parameters(self.whole, self.hidden)
        vocabulary = self.text.size("vocab_size")
        linear = layers.count("linear_attention")
        full = self.depth - linear
        recurrence = self._recurrence() if linear else None
        dense, experts = self._mlps(sum(sparse))
        parameters = Parameters(
            embeddings=vocabulary * self.hidden,
            lm_head=0 if self._tied() else vocabulary * self.hidden,
            attention=self._attention(full),
            mlp=dense,
            experts=experts,
            linear_attention=self._linear_attention(recurrence, linear) if recurrence else 0,
            norms=(self.family.layer_norms * self.depth + 1) * self.hidden,
            vision=vision,
        )
        return Geometry(
            name=self.whole.name,
            model_type=self.model_type,
            known=self.family.known and vision_known and set(layers) <= set(LAYER_KINDS),
            hidden=self.hidden,
            vocabulary=vocabulary,
            layers=tuple(kind if kind in (*LAYER_KINDS, NO_CACHE) else "full_attention" for kind in layers),
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            mlp_width=self._mlp_width(sparse),
            gated_query=self.family.gated_query,
            sliding_window=self.window if "sliding_attention" in layers else 0,
            rope=Rope.from_config(self.text.all(), name=self.text.name),
            parameters=parameters,
            linears=tuple(dataclasses.replace(linear, count=n) for linear, n in self.linears.items()),
            recurrence=recurrence,
            sight=towers.sight(self.whole, self.hidden),
        )

    # -- layers ------------------------------------------------------------------------------------------------------
    def _layers(self) -> tuple[str, ...]:
        stated = self.text.items("layer_types")
        if stated is None:
            return tuple(self._kind(i) for i in range(self.depth))
        if len(stated) != self.depth:
            raise PlanError(f"{self.text.name}: layer_types has {len(stated)} entries for num_hidden_layers {self.depth}")
        return tuple(str(kind) for kind in stated)

    def _kind(self, i: int) -> str:
        if self.family.hybrid:
            interval = self.text.size("full_attention_interval")
            return "linear_attention" if (i + 1) % interval else "full_attention"
        return "sliding_attention" if self.window and self._slides(i) else "full_attention"

    def _slides(self, i: int) -> bool:
        match self.family.sliding:
            case "always":
                return True
            case "flagged":
                first = self.text.get("max_window_layers", 0)
                return self.text.flag("use_sliding_window") and isinstance(first, int) and i >= first
            case "alternating":
                return bool((i + 1) % self.text.size("sliding_window_pattern"))
        return False

    # -- parts -------------------------------------------------------------------------------------------------------
    def _add(self, outputs: int, inputs: int, count: int, biased: bool = False) -> int:
        linear = Linear(outputs, inputs, 1, biased)
        if count:
            self.linears[linear] += count
        return linear.parameters * count

    def _attention(self, count: int) -> int:
        stated = self.text.flag("attention_bias")
        qkv = stated if self.family.qkv_bias is None else self.family.qkv_bias
        out = stated if self.family.output_bias is None else self.family.output_bias
        width, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        numbers = self._add(width * (2 if self.family.gated_query else 1), self.hidden, count, qkv)
        numbers += self._add(kv, self.hidden, 2 * count, qkv)
        numbers += self._add(self.hidden, width, count, out)
        return numbers + count * {"": 0, "head": 2 * self.head_dim, "width": width + kv}[self.family.query_norms]

    def _recurrence(self) -> Recurrence:
        read = self.text.size
        return Recurrence(
            key_heads=read("linear_num_key_heads"),
            value_heads=read("linear_num_value_heads"),
            key_dim=read("linear_key_head_dim"),
            value_dim=read("linear_value_head_dim"),
            kernel=read("linear_conv_kernel_dim"),
        )

    def _linear_attention(self, sizes: Recurrence, count: int) -> int:
        values = sizes.value_heads * sizes.value_dim
        if self.family.joined_delta:
            numbers = self._add(sizes.channels + values, self.hidden, count) + self._add(
                2 * sizes.value_heads, self.hidden, count
            )
        else:
            numbers = self._add(sizes.channels, self.hidden, count) + self._add(values, self.hidden, count)
            numbers += self._add(sizes.value_heads, self.hidden, 2 * count)
        numbers += self._add(self.hidden, values, count)
        return numbers + count * (sizes.conv_state + 2 * sizes.value_heads + sizes.value_dim)

    def _dense(self, width: int, count: int) -> int:
        biased = self.text.flag("mlp_bias")
        numbers = self._add(width, self.hidden, count * (1 if self.family.plain_mlp else 2), biased)
        return numbers + self._add(self.hidden, width, count, biased)

    def _mlps(self, sparse: int) -> tuple[int, int]:
        """Parameters of dense MLPs, routers and shared experts; and of routed experts."""
        dense = self._dense(self.text.size("intermediate_size"), self.depth - sparse) if sparse < self.depth else 0
        if not sparse:
            return dense, 0
        experts, shared = self._experts, self._shared
        dense += experts * self.hidden * sparse
        if shared:
            dense += self._dense(shared, sparse) + self._add(1, self.hidden, sparse)
        return dense, 3 * experts * self._expert_width * self.hidden * sparse

    # -- experts -----------------------------------------------------------------------------------------------------
    @property
    def _experts(self) -> int:
        if not self.family.experts:
            return 0
        return self.text.optional("num_experts") or self.text.optional("num_local_experts")

    @property
    def _expert_width(self) -> int:
        return self.text.optional("moe_intermediate_size") or self.text.size("intermediate_size")

    @property
    def _shared(self) -> int:
        return self.text.optional("shared_expert_intermediate_size")

    def _sparse(self, i: int) -> bool:
        step = self.text.size("decoder_sparse_step", 1)
        dense = self.text.items("mlp_only_layers") or ()
        return self._experts > 0 and i not in dense and (i + 1) % step == 0

    def _mlp_width(self, sparse: list[bool]) -> int:
        dense = 0 if all(sparse) else self.text.size("intermediate_size")
        routed = self.text.size("num_experts_per_tok", 1) * self._expert_width + self._shared if any(sparse) else 0
        return max(dense, routed)

    def _tied(self) -> bool:
        return self.whole.flag("tie_word_embeddings", self.text.flag("tie_word_embeddings", self.family.tied))
