"""From a GGUF header to the fields of a config.json: what llama.cpp writes, under the names that transformers has for it.

Keys: gguf-py 0.19.0, gguf/constants.py (``Keys``); what they hold: llama.cpp, conversion/qwen.py (``Qwen3NextModel``,
``_Qwen35MtpMixin``), conversion/gemma.py and src/models/qwen35.cpp, as of November 2026. Knows no formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from longctx.errors import ModelDamagedError, ModelError
from longctx.models.gguf import Header

#: Architecture of llama.cpp -> model type of the decoder in transformers. Others keep their own name.
MODEL_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "qwen3moe": "qwen3_moe",
        "qwen3vl": "qwen3_vl_text",
        "qwen3vlmoe": "qwen3_vl_moe_text",
        "qwen3next": "qwen3_next",
        "qwen35": "qwen3_5_text",
        "qwen35moe": "qwen3_5_moe_text",
        "gemma3": "gemma3_text",
    }
)
#: Key without its architecture -> field. A key may hold one number, or one for each layer.
SIZES: Mapping[str, str] = MappingProxyType(
    {
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "context_length": "max_position_embeddings",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "expert_count": "num_experts",
        "expert_used_count": "num_experts_per_tok",
        "expert_feed_forward_length": "moe_intermediate_size",
        "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
        "full_attention_interval": "full_attention_interval",
        "ssm.conv_kernel": "linear_conv_kernel_dim",
        "ssm.state_size": "linear_key_head_dim",
        "ssm.group_count": "linear_num_key_heads",
        "ssm.time_step_rank": "linear_num_value_heads",
    }
)
NEEDED = ("embedding_length", "block_count", "context_length", "attention.head_count")
#: Whose sliding layers transformers' defaults name. Of others, llama.cpp keeps the pattern in its code: a window is left out,
#: and the K/V planned for is the most that it can be.
WINDOWED = ("gemma2", "gemma3", "phi3")
#: Nothing that a model has is larger, nor has any model more layers.
MOST, MOST_LAYERS = 100_000_000, 10_000
#: Parts of the names of architectures that give vectors, encode before they write, or are only a part of a model.
_SILENT = ("bert", "t5", "clip", "embed", "wavtokenizer")


def config(header: Header, *, name: str) -> dict[str, Any]:
    """The config.json that a header stands for, of the decoder alone: what sees is in a file of its own.

    Biases and ties are not among its fields: they are seen in the tensors, where parameters are counted.

    Args:
        header: of the file.
        name: as the user gave it, for messages.

    Raises:
        ModelError: the file holds no model that generates text.
        ModelDamagedError: a key that is needed is missing or nonsense.

    >>> keys = {"embedding_length": 576, "block_count": 30, "context_length": 8192, "attention.head_count": 9, "vocab_size": 99}
    >>> fields = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in keys.items()}}
    >>> made = config(Header(fields, {}, ()), name="smol.gguf")
    >>> made["model_type"], made["hidden_size"], made["num_hidden_layers"]
    ('llama', 576, 30)
    """
    keys = _Keys(header, name)
    keys.require_generative()
    sizes = {field: keys.size(key, needed=key in NEEDED) for key, field in SIZES.items()}
    made: dict[str, Any] = {field: value for field, value in sizes.items() if value}
    made["num_hidden_layers"] = keys.depth(made["num_hidden_layers"])
    made["vocab_size"] = keys.vocabulary()
    made["model_type"] = keys.model_type(experts="num_experts" in made)
    made.update(_heads(keys, made))
    made.update(_layers(keys, made["num_hidden_layers"]))
    return {**made, "rope_parameters": dict(_rope(keys, made["head_dim"]))}


def _heads(keys: _Keys, made: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Numbers per head of attention, half of keys and values each; and of linear attention."""
    key = keys.size("attention.key_length") or max(1, made["hidden_size"] // made["num_attention_heads"])
    yield "head_dim", (key + (keys.size("attention.value_length") or key) + 1) // 2
    inner, heads = keys.size("ssm.inner_size"), made.get("linear_num_value_heads")
    if inner and heads:
        yield "linear_value_head_dim", max(1, inner // heads)


def _layers(keys: _Keys, depth: int) -> Iterator[tuple[str, Any]]:
    """Which layers attend how, where the header says so for each."""
    window, pattern = keys.size("attention.sliding_window"), keys.value("attention.sliding_window_pattern")
    recurrent, kv_heads = keys.value("attention.recurrent_layers"), keys.value("attention.head_count_kv")
    if window and (isinstance(pattern, list) or keys.architecture in WINDOWED):
        yield "sliding_window", window
    if recurrent_layers := keys.each(recurrent, depth):
        yield "layer_types", ["linear_attention" if flag else "full_attention" for flag in recurrent_layers]
    elif 0 in (heads := keys.each(kv_heads, depth)):
        yield "layer_types", ["full_attention" if number else "none" for number in heads]
    elif window and (slides := keys.each(pattern, depth)):
        yield "layer_types", ["sliding_attention" if flag else "full_attention" for flag in slides]
    elif window and isinstance(pattern, int) and pattern > 0:
        yield "sliding_window_pattern", int(pattern)


def _rope(keys: _Keys, head_dim: int) -> Iterator[tuple[str, Any]]:
    """Rotation. Two scalings are no keys but tensors: those of Llama 3.1 and of LongRoPE (gguf-py 0.19.0, ``ROPE_FREQS``)."""
    told = {"rope_freqs.weight": "llama3", "rope_factors_long.weight": "longrope"}
    by_tensor = next((told[tensor.name] for tensor in keys.header.tensors if tensor.name in told), None)
    kind = keys.value("rope.scaling.type")
    linear = keys.positive("rope.scale_linear")  # how files of 2023 say it
    yield (
        "rope_type",
        by_tensor or (str(kind) if kind not in (None, "none") else "default" if linear in (None, 1) else "linear"),
    )
    numbers = {"rope_theta": "freq_base", "factor": "scaling.factor"}
    numbers["original_max_position_embeddings"] = "scaling.original_context_length"
    for field, key in numbers.items():
        if (number := keys.positive(f"rope.{key}")) is not None:
            yield field, number
    turning = keys.size("rope.dimension_count")
    if turning and turning < head_dim:
        yield "partial_rotary_factor", turning / head_dim
    if sections := [n for n in keys.each(keys.value("rope.dimension_sections"), MOST_LAYERS) if n]:
        yield "mrope_section", sections


class _Keys:
    """The keys of one architecture, read with care: every refusal names the key and its value."""

    def __init__(self, header: Header, name: str) -> None:
        self.header, self.name = header, name
        self.architecture = header.fields.get("general.architecture")
        if not isinstance(self.architecture, str) or not self.architecture:
            raise ModelDamagedError(f"{name}: the header has no general.architecture", hint="name a file that holds a model")

    def require_generative(self) -> None:
        """Refuse what does not continue a text."""
        kind, pooling = self.header.fields.get("general.type", "model"), self.value("pooling_type")
        if kind != "model":
            why = f"general.type is {kind!r}, a part that belongs to a model"
        elif any(word in str(self.architecture) for word in _SILENT):
            why = f"general.architecture is {self.architecture!r}"
        elif pooling or self.value("attention.causal") is False:
            why = f"pooling_type is {pooling!r}, it makes vectors" if pooling else "its attention looks both ways"
        else:
            return
        raise ModelError(f"{self.name} does not generate text: {why}", hint="name the GGUF file of a causal model")

    def model_type(self, *, experts: bool) -> str:
        """As transformers calls it. llama.cpp calls Mixtral a Llama with experts."""
        own = str(self.architecture)
        return "mixtral" if own == "llama" and experts else MODEL_TYPES.get(own, own)

    def vocabulary(self) -> int:
        """Rows of the embedding."""
        rows = next((t.shape[-1] for t in self.header.tensors if t.name == "token_embd.weight"), 0)
        found = rows or self.header.lengths.get("tokenizer.ggml.tokens") or self.size("vocab_size")
        if not found or found > MOST:
            raise self.damage("vocab_size", "and there is no tokenizer.ggml.tokens to count" if not found else "")
        return found

    def depth(self, blocks: int) -> int:
        """Layers without those at the end that predict further tokens, which are not run."""
        kept = blocks - (self.size("nextn_predict_layers") or 0)
        if not 0 < kept <= MOST_LAYERS:
            raise self.damage("block_count", f"with {blocks - kept} of nextn_predict_layers")
        return kept

    def value(self, key: str) -> Any:
        """What a key holds, or None."""
        return self.header.fields.get(f"{self.architecture}.{key}")

    def size(self, key: str, *, needed: bool = False) -> int | None:
        """A whole number, the largest of a list; None where it is missing.

        Raises:
            ModelDamagedError: it is needed and missing or 0, or no size.
        """
        value = self.value(key)
        numbers = value if isinstance(value, list) else [value]
        if value is None and not needed:
            return None
        if not numbers or any(type(n) is not int or not 0 <= n <= MOST for n in numbers) or (needed and not max(numbers)):
            raise self.damage(key, "which is no size" if value is not None else "")
        largest: int = max(numbers)
        return largest

    def positive(self, key: str) -> float | None:
        """A positive number, or None where it is missing; ``inf`` and ``nan`` are refused."""
        value: float | None = self.value(key)
        if value is not None and (type(value) not in (int, float) or not 0 < value < float("inf")):
            raise self.damage(key, "which is no positive number")
        return value

    def each(self, values: Any, most: int) -> list[int]:
        """What a list says of each layer, or nothing where there is no list of numbers."""
        return values[:most] if isinstance(values, list) and all(isinstance(v, int) for v in values) else []

    def damage(self, key: str, why: str) -> ModelDamagedError:
        """The error for a key."""
        value = self.value(key)
        found = (
            f"{self.architecture}.{key} is {value!r}" if value is not None else f"the header has no {self.architecture}.{key}"
        )
        return ModelDamagedError(f"{self.name}: {', '.join(filter(None, (found, why)))}", hint="download the file again")
