"""What published models say of their sizes, and machines to plan for."""

from __future__ import annotations

import json
from pathlib import Path

from longctx.planner import Device, Geometry

CONFIGS = Path(__file__).parent / "configs"
SMOL = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}
GEOMETRY = Geometry.from_config(SMOL, name="smol")
CPU = Device("cpu", "CPU", 32 * 10**9, 30 * 10**9)
GPU = Device("cuda", "GPU", 24 * 10**9, 24 * 10**9)


def qwen(name: str) -> Geometry:
    """A Qwen3.5 by its size."""
    return Geometry.from_config(json.loads((CONFIGS / f"Qwen3.5-{name}" / "config.json").read_text()))
