"""Sizes of a model that the planner has no formula for: built on the meta device, without memory, and run there once.

Gives plain numbers and keeps nothing. Runs no code that comes with a model: only architectures of transformers itself.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from longctx.backends.transformers.cache import cache_argument
from longctx.backends.transformers.weights import quiet
from longctx.errors import ModelError
from longctx.planner import NO_CACHE, Linear, Parameters, Sizes
from longctx.planner.yarn import scaling_of

#: Tokens of the one forward pass.
TOKENS = 8
#: More layers than this are not built: it would take minutes.
MOST_LAYERS = 512
#: What a config may say that would make transformers fetch or run something of somebody's, or quantise.
FOREIGN = (
    "auto_map", "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
    "_experts_implementation", "_experts_implementation_internal", "quantization_config", "_name_or_path", "use_kernels",
)  # fmt: skip
#: Words in the paths of parameters; what fits none is counted with the MLPs.
_ATTENTION, _LINEAR = ("attn", "attention"), ("linear_attn", "mamba", "ssm", "mixer", "conv", "recurrent", "rwkv", "time_mix")


def measure(config: Mapping[str, Any], *, name: str) -> Sizes | None:
    """Measure a model by its config.json.

    Args:
        config: the decoded object, of a whole model.
        name: as the user gave it, for messages.

    Returns:
        None where transformers does not know the architecture, or cannot build it of this config.

    Raises:
        ModelError: it reads with an encoder and writes with a decoder.
    """
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return None
    with warnings.catch_warnings(), quiet(), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            made = CONFIG_MAPPING[model_type].from_dict(_own(config))
            if made.is_encoder_decoder:
                raise ModelError(f"{name} does not generate text from a prompt alone: {model_type!r} has an encoder")
            return _Built(made).sizes() if _depth(made) <= MOST_LAYERS else None
        except ModelError:
            raise
        except Exception:  # whatever a class of somebody's makes of a config that nobody checked: then there is no measure
            return None


def _own(value: Any) -> Any:
    """A config without what is not its architecture's own, parts included."""
    if isinstance(value, Mapping):
        return {key: _own(part) for key, part in value.items() if key not in FOREIGN}
    return copy.deepcopy(value)


def _depth(config: Any) -> int:
    return int(config.get_text_config(decoder=True).num_hidden_layers)


class _Built:
    """One model on the meta device."""

    def __init__(self, config: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

        sees = getattr(config, "vision_config", None) is not None
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        with torch.device("meta"):
            self.model = kind.from_config(config, dtype=torch.bfloat16, attn_implementation="eager").eval()
        self.text = config.get_text_config(decoder=True)
        self.stated = self.text.to_dict()
        self.decoder = self.model.get_decoder()
        self.embedding = self.model.get_input_embeddings().weight

    def sizes(self) -> Sizes:
        """Everything, joined."""
        cache = self._cache()
        filled = _filled(cache)
        keys = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None] if filled else []
        heads = self._number("num_attention_heads", 1)
        kv_heads = self._number("num_key_value_heads", heads)
        head_dim = self._number("head_dim", max(1, self.embedding.shape[1] // heads))
        largest = max(keys, key=_kv_numbers, default=None)
        return Sizes(
            hidden=self.embedding.shape[1],
            vocabulary=self.embedding.shape[0],
            layers=tuple(_kinds(cache, filled)),
            heads=heads,
            kv_numbers=_kv_numbers(largest) if largest else 2 * kv_heads * head_dim,
            kv_heads=largest.keys.shape[1] if largest else kv_heads,
            state=_state(cache),
            mlp_width=self._mlp_width(),
            sliding_window=max((int(layer.sliding_window) for layer in cache.layers if _slides(layer)), default=0),
            window=self._number("max_position_embeddings", 0) or None,
            parameters=self._parameters(),
            linears=self._linears(),
            scaling=scaling_of(self.stated),
            cache_measured=filled,
        )

    def _number(self, field: str, default: int) -> int:
        """A size of the decoder's config, the largest where there is one for each layer."""
        value = self.stated[field] if field in self.stated else getattr(self.text, field, None)
        value = max(value, default=None) if isinstance(value, (list, tuple)) else value
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default

    # -- parameters ------------------------------------------------------------------------------------------------------
    def _parameters(self) -> Parameters:
        """Numbers by part; what is shared is counted once."""
        head = self.model.get_output_embeddings()
        special = {id(self.embedding): "embeddings"}
        if head is not None:
            special.setdefault(id(head.weight), "lm_head")
        inside = {id(parameter) for parameter in self.decoder.parameters()}
        parts: Counter[str] = Counter()
        for path, parameter in self.model.named_parameters():
            seen = "vision" if id(parameter) not in inside and id(parameter) not in special else _part(path, parameter)
            parts[special.get(id(parameter), seen)] += parameter.numel()
        return Parameters(**parts)

    def _linears(self) -> tuple[Linear, ...]:
        found = Counter(
            Linear(m.out_features, m.in_features, 1, m.bias is not None)
            for m in self.decoder.modules()
            if isinstance(m, torch.nn.Linear) and m is not self.model.get_output_embeddings()
        )
        return tuple(replace(linear, count=count) for linear, count in found.items())

    def _mlp_width(self) -> int:
        """The widest that is projected back to the hidden width, but for attention: by one matrix, or by all that one token's
        experts have, shared ones among them."""
        hidden, chosen = self.embedding.shape[1], self._number("num_experts_per_tok", 1)
        back: dict[bool, list[int]] = {True: [0], False: [0]}
        for path, module in self.decoder.named_modules():
            outputs, inputs = _shape(module)
            if outputs == hidden and not _attends(path):
                back["shared" in path].append(inputs)
        experts = ((path, p) for path, p in self.decoder.named_parameters() if p.ndim == 3 and "experts" in path.split("."))
        routed = max((p[0].numel() // hidden * chosen for path, p in experts if "down" in path), default=0)
        return max(*back[False], routed + max(back[True]))

    # -- cache -----------------------------------------------------------------------------------------------------------
    def _cache(self) -> Any:
        """The cache that one pass leaves; an empty one where the model cannot run without numbers."""
        from transformers import DynamicCache

        self.decoder.config.pad_token_id = None  # else some look for padding among the tokens
        tokens = torch.zeros((1, TOKENS), dtype=torch.long, device="meta")
        try:
            with torch.device("meta"):
                left = self.decoder(input_ids=tokens, use_cache=True)
        except Exception:  # data decides what happens, or an operation that the meta device lacks
            return DynamicCache(config=self.text)
        cache = left.get(cache_argument(self.decoder))
        whole = hasattr(cache, "is_dummy") and len(cache.layers) == self.text.num_hidden_layers
        return cache if whole else DynamicCache(config=self.text)


def _part(path: str, parameter: torch.Tensor) -> str:
    """The part of :class:`Parameters` that a parameter of the decoder belongs to, by its path."""
    words = path.split(".")
    if parameter.ndim == 3 and "experts" in words:
        return "experts"
    if any(word.startswith(_LINEAR) for word in words):
        return "linear_attention"
    if _attends(path):
        return "attention"
    return "norms" if any("norm" in word or word.startswith("ln_") for word in words) else "mlp"


def _shape(module: Any) -> tuple[int, int]:
    """Outputs and inputs of a matrix, also of GPT-2's, whose weights lie the other way round; (0, 0) of anything else."""
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, Conv1D):
        return module.nf, module.nx
    return (module.out_features, module.in_features) if isinstance(module, torch.nn.Linear) else (0, 0)


def _attends(path: str) -> bool:
    """Whether a path leads into attention; norms after attention do not."""
    return any(key in word and "norm" not in word for word in path.split(".") for key in _ATTENTION)


# -- layers of a cache -------------------------------------------------------------------------------------------------
def _states(layer: Any) -> Iterator[torch.Tensor]:
    for states in (getattr(layer, "conv_states", None), getattr(layer, "recurrent_states", None)):
        yield from (state for state in (states or {}).values() if state is not None)


def _filled(cache: Any) -> bool:
    """Whether a pass left something in every layer that keeps something."""
    dummies = cache.is_dummy
    kept = [getattr(layer, "keys", None) is not None or any(True for _ in _states(layer)) for layer in cache.layers]
    return any(kept) and all(kept[i] or dummies[i] for i in range(len(kept)))


def _slides(layer: Any) -> bool:
    return getattr(layer, "sliding_window", None) is not None


def _kinds(cache: Any, filled: bool) -> Iterator[str]:
    """The kind of every layer: what it keeps of each token decides, or could keep where it was not seen."""
    for layer, dummy in zip(cache.layers, cache.is_dummy, strict=True):
        keeps = getattr(layer, "keys", None) is not None if filled else hasattr(layer, "keys")
        if keeps and not dummy:
            yield "sliding_attention" if _slides(layer) else "full_attention"
        else:
            yield "linear_attention" if hasattr(layer, "conv_states") else NO_CACHE


def _kv_numbers(layer: Any) -> int:
    """Numbers of K and V of one token."""
    return sum(math.prod(tensor.shape) // tensor.shape[-2] for tensor in (layer.keys, layer.values))


def _state(cache: Any) -> tuple[int, int]:
    """Numbers of the states of all layers, in float32 and in the model's dtype."""
    states = [state for layer in cache.layers for state in _states(layer)]
    wide = sum(state.numel() for state in states if state.dtype == torch.float32)
    return wide, sum(state.numel() for state in states) - wide
