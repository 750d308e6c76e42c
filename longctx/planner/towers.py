"""Parameters of vision towers, by formula: Qwen's (Qwen3-VL, Qwen3.5) and SigLIP with Gemma 3's projector.

Knows nothing of decoders but the width that a tower writes to. A tower of another kind is estimated and marked as not known.
"""

from __future__ import annotations

from longctx.planner.fields import Fields

_QWEN_DEFAULTS = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "in_channels": 3,
    "patch_size": 16,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "num_position_embeddings": 2304,
}
_SIGLIP_DEFAULTS = {
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
}


def parameters(config: Fields, model_type: str, width: int) -> tuple[int, bool]:
    """Parameters of the vision tower of a multimodal config, and whether the formula is known to be right.

    Args:
        config: the whole config, with ``vision_config``.
        model_type: of the whole model: ``"qwen3_5"``.
        width: hidden width of the decoder.
    """
    part = config.part("vision_config")
    if part is None:
        return 0, True
    if model_type.startswith(("qwen3_5", "qwen3_vl")):
        return _qwen(Fields(part, _QWEN_DEFAULTS, name=config.name), width, deep=model_type.startswith("qwen3_vl")), True
    if model_type == "gemma3":
        return _siglip(Fields(part, _SIGLIP_DEFAULTS, name=config.name), width), True
    return _estimate(Fields(part, _SIGLIP_DEFAULTS, name=config.name)), False


def _layers(depth: int, width: int, mlp: int) -> int:
    """Transformer blocks with biases everywhere: q, k, v, o; two MLP matrices; two LayerNorms."""
    attention = 4 * (width * width + width)
    return depth * (attention + 2 * width * mlp + mlp + width + 4 * width)


def _qwen(vision: Fields, width: int, *, deep: bool) -> int:
    """transformers 5.23, models/qwen3_5/modeling_qwen3_5.py and models/qwen3_vl/modeling_qwen3_vl.py."""
    hidden = vision.size("hidden_size")
    pixels = vision.size("in_channels") * vision.size("temporal_patch_size") * vision.size("patch_size") ** 2
    merged = hidden * vision.size("spatial_merge_size") ** 2
    out = vision.size("out_hidden_size", width)
    merger = merged * merged + merged + merged * out + out
    taps = len(vision.items("deepstack_visual_indexes") or (8, 16, 24)) if deep else 0
    body = _layers(vision.size("depth"), hidden, vision.size("intermediate_size"))
    patches = pixels * hidden + hidden + vision.size("num_position_embeddings") * hidden
    return body + patches + merger + 2 * hidden + taps * (merger + 2 * merged)


def _siglip(vision: Fields, width: int) -> int:
    """transformers 5.23, models/siglip/modeling_siglip.py and Gemma3MultiModalProjector."""
    hidden, patch = vision.size("hidden_size"), vision.size("patch_size")
    body = _layers(vision.size("num_hidden_layers"), hidden, vision.size("intermediate_size"))
    patches = vision.size("num_channels") * patch**2 * hidden + hidden + (vision.size("image_size") // patch) ** 2 * hidden
    head = _siglip_head(vision) if vision.flag("vision_use_head", True) else 0
    return body + patches + 2 * hidden + head + hidden * width + hidden


def _siglip_head(vision: Fields) -> int:
    """The pooling head: a probe, one attention, a norm and an MLP, as in one block but for a norm."""
    hidden = vision.size("hidden_size")
    return hidden + _layers(1, hidden, vision.size("intermediate_size")) - 2 * hidden


def _estimate(vision: Fields) -> int:
    depth = vision.size("depth") if "depth" in vision else vision.size("num_hidden_layers")
    return _layers(depth, vision.size("hidden_size"), vision.size("intermediate_size"))
