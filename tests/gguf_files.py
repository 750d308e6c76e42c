"""GGUF files for tests: headers byte by byte, and those of whole tiny models by llama.cpp's own writer. No weights."""

from __future__ import annotations

import copy
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ALIGNMENT = 32
_CODES = {"u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "f64": (12, "d")}


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def value_of(value: Any, kind: str = "u32") -> bytes:
    """A value with its type before it."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    one = value[0] if isinstance(value, list) and value else value
    number, code = _CODES["bool" if isinstance(one, bool) else "f32" if isinstance(one, float) else kind]
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, number, len(value)) + struct.pack(f"<{len(value)}{code}", *value)
    return struct.pack(f"<I{code}", number, value)


def tensor(name: str, shape: Sequence[int], kind: int = 1, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def header(
    fields: Mapping[str, Any], tensors: Sequence[bytes] = (), *, version: int = 3, magic: bytes = b"GGUF", order: str = "<"
) -> bytes:
    """A header. A value that is bytes already stands as it is, its type before it."""
    keys = [text(key) + (value if isinstance(value, bytes) else value_of(value)) for key, value in fields.items()]
    start = magic + struct.pack(f"{order}IQQ", version, len(tensors), len(keys))
    made = start + b"".join(keys) + b"".join(tensors)
    return made + bytes(-len(made) % ALIGNMENT)


#: A tiny Llama.
LLAMA = {
    "general.architecture": "llama", "llama.embedding_length": 64, "llama.block_count": 2, "llama.context_length": 1024,
    "llama.feed_forward_length": 128, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
    "llama.rope.freq_base": 10000.0, "tokenizer.ggml.tokens": [f"t{i}" for i in range(256)],
}  # fmt: skip


def write_model(file: Path, architecture: str, config: Mapping[str, Any], kind: str = "F16") -> Any:
    """Write the header of a tiny model as llama.cpp's converter names what transformers calls otherwise.

    Args:
        file: to write; as long as if the weights were in it, but sparse.
        architecture: of llama.cpp.
        config: config.json of a decoder.
        kind: type of matrices.

    Returns:
        the model, on the meta device.
    """
    import gguf
    import numpy as np

    model, made = built(config)
    writer = gguf.GGUFWriter(file, architecture)
    _write_sizes(writer, made)
    names = gguf.get_tensor_name_map(
        next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), made.num_hidden_layers
    )
    size = 0
    for path, parameter in model.named_parameters():
        for name, shape in _renamed(path, tuple(parameter.shape), names):
            own = gguf.GGMLQuantizationType[kind]
            if len(shape) == 1 or shape[-1] % gguf.GGML_QUANT_SIZES[own][0]:  # rows that are no whole blocks stay as they are
                own = gguf.GGMLQuantizationType.F32
            block, width = gguf.GGML_QUANT_SIZES[own]
            nbytes = shape[-1] // block * width * math.prod(shape[:-1])
            row = (
                *shape[:-1],
                nbytes // math.prod(shape[:-1]),
            )  # the writer is given the shape of the bytes, and turns it back
            writer.add_tensor_info(name, row, np.dtype(np.uint8), nbytes, own)
            size += nbytes + -nbytes % ALIGNMENT
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    whole = file.stat().st_size
    with file.open("ab") as stream:
        stream.truncate(whole + -whole % ALIGNMENT + size)
    return model


def built(config: Mapping[str, Any]) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kwargs = copy.deepcopy(dict(config))
    made = AutoConfig.for_model(kwargs.pop("model_type"), **kwargs)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(made), made


def _write_sizes(writer: Any, made: Any) -> None:
    """As conversion/base.py and conversion/qwen.py of llama.cpp do."""
    writer.add_block_count(made.num_hidden_layers)
    writer.add_context_length(made.max_position_embeddings)
    writer.add_embedding_length(made.hidden_size)
    writer.add_head_count(made.num_attention_heads)
    writer.add_head_count_kv(made.num_key_value_heads)
    if "rope_theta" in made.rope_parameters:
        writer.add_rope_freq_base(made.rope_parameters["rope_theta"])
    writer.add_token_list([f"t{i}" for i in range(made.vocab_size)])
    told = {
        "intermediate_size": writer.add_feed_forward_length,
        "head_dim": writer.add_key_length,
        "sliding_window": writer.add_sliding_window,
        "num_experts": writer.add_expert_count,
        "num_experts_per_tok": writer.add_expert_used_count,
        "moe_intermediate_size": writer.add_expert_feed_forward_length,
        "shared_expert_intermediate_size": writer.add_expert_shared_feed_forward_length,
        "linear_conv_kernel_dim": writer.add_ssm_conv_kernel,
        "linear_key_head_dim": writer.add_ssm_state_size,
        "linear_num_key_heads": writer.add_ssm_group_count,
        "linear_num_value_heads": writer.add_ssm_time_step_rank,
    }
    if not hasattr(made, "num_experts") and hasattr(made, "num_local_experts"):
        writer.add_expert_count(made.num_local_experts)
    for field, add in told.items():
        if getattr(made, field, None):
            add(getattr(made, field))
    if hasattr(made, "linear_value_head_dim"):
        writer.add_ssm_inner_size(made.linear_value_head_dim * made.linear_num_value_heads)
        writer.add_full_attention_interval(4)


def _renamed(path: str, shape: tuple[int, ...], names: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the file of one parameter: what is fused there, split here, and the other way round."""
    if path.endswith("experts.gate_up_proj"):
        half = (shape[0], shape[1] // 2, shape[2])
        parts = [path.replace("gate_up_proj", part) for part in ("gate_proj", "up_proj")]
        return [pair for part in parts for pair in _renamed(part, half, names)]
    if "conv1d" in path:
        shape = (shape[0], shape[2])
    if path.endswith("shared_expert_gate.weight"):
        shape = shape[1:]
    path = path.replace(".dt_bias", ".dt_proj.bias").replace(".A_log", ".A_log.weight")
    path = path if path.endswith((".weight", ".bias")) else path + ".weight"
    found = names.get_name(path, try_suffixes=(".weight", ".bias"))
    assert found, path
    return [(found, shape)]
