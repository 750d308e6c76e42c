"""config.json files of tiny models, some for every family that the planner knows."""

from __future__ import annotations

BASE = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
DELTA = {
    "head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 24,
}
QWEN_EYE = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 100,
    "num_heads": 2,
    "patch_size": 4,
    "num_position_embeddings": 16,
    "out_hidden_size": 128,
}
SIGLIP = {"model_type": "siglip_vision_model", "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
SIGLIP |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}


def text(model_type: str, **changes) -> dict:
    return {"model_type": model_type, **BASE, **changes}


def seeing(model_type: str, text_type: str, vision: dict, **changes) -> dict:
    tied = {"tie_word_embeddings": changes.pop("tie_word_embeddings", True)}
    return {"model_type": model_type, "text_config": text(text_type, **changes), "vision_config": vision, **tied}


TINY = {
    "llama": text("llama"),
    "llama, tied, biased": text("llama", tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama, own head_dim": text("llama", head_dim=64, tie_word_embeddings=False),
    "mistral": text("mistral", sliding_window=None),
    "smollm3": text("smollm3"),
    "granite": text("granite"),
    "phi3": text("phi3"),
    "gemma": text("gemma", head_dim=48),
    "gemma2": text("gemma2", head_dim=48),
    "gemma3": text("gemma3_text", head_dim=48),
    "olmo2": text("olmo2"),
    "arcee": text("arcee"),
    "qwen2": text("qwen2"),
    "qwen3": text("qwen3", head_dim=48),
    "qwen3, biased": text("qwen3", attention_bias=True),
    "qwen3 moe": text("qwen3_moe", **MOE),
    "qwen3 moe, some dense": text("qwen3_moe", **MOE, mlp_only_layers=[0], decoder_sparse_step=2),
    "qwen3 moe, sliding": text("qwen3_moe", **MOE, use_sliding_window=True, sliding_window=8),
    "qwen2, half of it sliding": text("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=2),
    "qwen3, sliding switched off": text("qwen3", use_sliding_window=False, sliding_window=8, max_window_layers=0),
    "mistral, sliding": text("mistral", sliding_window=8),
    "mistral, sliding by default": text("mistral"),
    "ministral": text("ministral", sliding_window=8, head_dim=32),
    "mixtral": text("mixtral", num_local_experts=4),
    "qwen3.5 text": text("qwen3_5_text", **DELTA),
    "qwen3.5 moe text": text("qwen3_5_moe_text", **DELTA, **MOE, shared_expert_intermediate_size=96),
    "qwen3.5": seeing("qwen3_5", "qwen3_5_text", {"model_type": "qwen3_5_vision", **QWEN_EYE}, **DELTA),
    "qwen3.5, untied": seeing(
        "qwen3_5", "qwen3_5_text", {"model_type": "qwen3_5_vision", **QWEN_EYE}, tie_word_embeddings=False
    ),
    "qwen3.5 moe": seeing("qwen3_5_moe", "qwen3_5_moe_text", {"model_type": "qwen3_5_moe_vision", **QWEN_EYE}, **DELTA, **MOE),
    "qwen3 vl": seeing("qwen3_vl", "qwen3_vl_text", {**QWEN_EYE, "deepstack_visual_indexes": [0]}),
    "qwen3 vl moe": seeing("qwen3_vl_moe", "qwen3_vl_moe_text", {**QWEN_EYE, "deepstack_visual_indexes": [0, 1]}, **MOE),
    "qwen3 next": text("qwen3_next", **DELTA, **MOE, shared_expert_intermediate_size=96),
    "gemma3 with eyes": {**seeing("gemma3", "gemma3_text", {**SIGLIP, "vision_use_head": False}), "mm_tokens_per_image": 4},
    "gemma3 with a head": {**seeing("gemma3", "gemma3_text", SIGLIP), "mm_tokens_per_image": 4},
}
