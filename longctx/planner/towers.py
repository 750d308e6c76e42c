"""Vision towers: the sizes of Qwen's (Qwen3-VL, Qwen3.5), and parameters by formula, of SigLIP with Gemma 3's projector too.

Knows nothing of decoders but the width that a tower writes to. A tower of another kind is estimated and marked as not known.
"""

from __future__ import annotations

from dataclasses import dataclass

from longctx.planner.fields import Fields

#: Model types that see as Qwen3-VL does begin like this.
QWEN = ("qwen3_5", "qwen3_vl")
_SIGLIP_DEFAULTS = {
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
}


@dataclass(frozen=True, slots=True)
class Sight:
    """The sizes of a vision tower as Qwen3-VL and Qwen3.5 have it. The defaults are those of their config class.

    Args:
        patch_size: pixels of a patch's side.
        merge: patches that become one token, along each side (``spatial_merge_size``).
        temporal: frames of one temporal patch (``temporal_patch_size``).
        channels: colours of a pixel.
        depth: layers.
        hidden: width of a layer.
        heads: of attention.
        mlp_width: inner width of a layer's MLP.
        out: width that it writes to, the decoder's.
        positions: learned positions.
        taps: layers whose output goes to the decoder too (DeepStack).

    >>> Sight().step, Sight().tokens(448, 256), Sight().patch_values
    (32, 112, 1536)
    """

    patch_size: int = 16
    merge: int = 2
    temporal: int = 2
    channels: int = 3
    depth: int = 27
    hidden: int = 1152
    heads: int = 16
    mlp_width: int = 4304
    out: int = 3584
    positions: int = 2304
    taps: int = 0

    @property
    def step(self) -> int:
        """Pixels of a token's side; sizes of frames are multiples of it."""
        return self.patch_size * self.merge

    @property
    def patch_values(self) -> int:
        """Numbers of one patch: its pixels in every frame of a temporal patch."""
        return self.channels * self.temporal * self.patch_size**2

    @property
    def parameters(self) -> int:
        """transformers 5.23, models/qwen3_5/modeling_qwen3_5.py and models/qwen3_vl/modeling_qwen3_vl.py."""
        merged = self.hidden * self.merge**2
        merger = merged * merged + merged + merged * self.out + self.out
        body = _layers(self.depth, self.hidden, self.mlp_width)
        patches = self.patch_values * self.hidden + self.hidden + self.positions * self.hidden
        return body + patches + merger + 2 * self.hidden + self.taps * (merger + 2 * merged)

    def tokens(self, width: int, height: int) -> int:
        """Placeholders of one picture or temporal patch of this size in pixels, multiples of :attr:`step`."""
        return (width // self.step) * (height // self.step)


def knows(model_type: str) -> bool:
    """Whether the vision tower of a multimodal model type has a formula here."""
    return model_type == "gemma3" or model_type.startswith(QWEN)


def sight(config: Fields, width: int) -> Sight | None:
    """The vision tower of a multimodal config; None where there is none, or one of another kind.

    Args:
        config: the whole config, with ``vision_config``.
        width: hidden width of the decoder.

    Raises:
        PlanError: a size is missing or nonsense.
    """
    part, model_type = config.part("vision_config"), str(config.get("model_type"))
    if part is None or not model_type.startswith(QWEN):
        return None
    read, usual = Fields(part, name=config.name).size, Sight()
    deep = model_type.startswith("qwen3_vl")
    return Sight(
        patch_size=read("patch_size", usual.patch_size),
        merge=read("spatial_merge_size", usual.merge),
        temporal=read("temporal_patch_size", usual.temporal),
        channels=read("in_channels", usual.channels),
        depth=read("depth", usual.depth),
        hidden=read("hidden_size", usual.hidden),
        heads=read("num_heads", usual.heads),
        mlp_width=read("intermediate_size", usual.mlp_width),
        out=read("out_hidden_size", width),
        positions=read("num_position_embeddings", usual.positions),
        taps=len(Fields(part, name=config.name).items("deepstack_visual_indexes") or (8, 16, 24)) if deep else 0,
    )


def parameters(config: Fields, width: int) -> tuple[int, bool]:
    """Parameters of the vision tower of a multimodal config, and whether the formula is known to be right.

    Args:
        config: the whole config, with ``vision_config``.
        width: hidden width of the decoder.
    """
    part = config.part("vision_config")
    if part is None:
        return 0, True
    known = sight(config, width)
    if known is not None:
        return known.parameters, True
    if config.get("model_type") == "gemma3":
        return _siglip(Fields(part, _SIGLIP_DEFAULTS, name=config.name), width), True
    return _estimate(Fields(part, _SIGLIP_DEFAULTS, name=config.name)), False


def _layers(depth: int, width: int, mlp: int) -> int:
    """Transformer blocks with biases everywhere: q, k, v, o; two MLP matrices; two LayerNorms."""
    attention = 4 * (width * width + width)
    return depth * (attention + 2 * width * mlp + mlp + width + 4 * width)


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
