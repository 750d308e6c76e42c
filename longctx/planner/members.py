"""The Qwen3.5 family: what the config.json of each member says about sizes, so that one can be chosen where no hub answers.

Facts, no weights; a model that is on this machine is planned by its own config.json. By these, each member has as many
parameters as keras-team/keras-hub states for it (keras_hub/src/models/qwen3_5/qwen3_5_presets.py at 48b75967,
qwen3_5_moe/qwen3_5_moe_presets.py at f58fbbcc), and the shape that THUDM/slime trains (scripts/models/qwen3.5-0.8B.sh at
f8879db2, qwen3.5-35B-A3B.sh at 10cefc3b).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What the members have in common.
_DECODER: Mapping[str, Any] = {
    "attention_bias": False,
    "full_attention_interval": 4,
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_value_head_dim": 128,
    "max_position_embeddings": 262_144,
    "rope_parameters": {
        "mrope_interleaved": True,
        "mrope_section": [11, 11, 10],
        "partial_rotary_factor": 0.25,
        "rope_theta": 10_000_000,
        "rope_type": "default",
    },
    "vocab_size": 248_320,
}
_EXPERTS: Mapping[str, Any] = {
    "moe_intermediate_size": 512,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "shared_expert_intermediate_size": 512,
}
_TOWER: Mapping[str, Any] = {
    "in_channels": 3,
    "num_position_embeddings": 2304,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_CONTROL: Mapping[str, int] = {
    "image_token_id": 248_056,
    "video_token_id": 248_057,
    "vision_start_token_id": 248_053,
    "vision_end_token_id": 248_054,
}


@dataclass(frozen=True, slots=True)
class Tower:
    """Sizes of a vision tower: layers, width, inner width of the MLP, heads."""

    depth: int
    hidden: int
    mlp_width: int
    heads: int


@dataclass(frozen=True, slots=True)
class Member:
    """One model of the family.

    Args:
        name: its hub id.
        hidden: width of the residual stream.
        mlp_width: inner width of the MLP; 0 for a mixture of experts.
        layers: of the decoder, every fourth of full attention.
        heads: of queries.
        kv_heads: of keys and values.
        value_heads: of linear attention.
        tied: whether the head is the embedding's matrix.
        tower: of vision.

    >>> [member.name for member in FAMILY if member.experts]
    ['Qwen/Qwen3.5-35B-A3B']
    """

    name: str
    hidden: int
    mlp_width: int
    layers: int
    heads: int
    kv_heads: int
    value_heads: int
    tied: bool
    tower: Tower

    @property
    def experts(self) -> bool:
        """Whether it is a mixture of experts."""
        return not self.mlp_width

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json, as far as it tells sizes, positions and control tokens."""
        kind = "qwen3_5_moe" if self.experts else "qwen3_5"
        head = "Qwen3_5MoeForConditionalGeneration" if self.experts else "Qwen3_5ForConditionalGeneration"
        return {
            "architectures": [head],
            "model_type": kind,
            "tie_word_embeddings": self.tied,
            "text_config": {**_DECODER, **self._decoder(), "model_type": f"{kind}_text"},
            "vision_config": {**_TOWER, **self._tower(), "model_type": f"{kind}_vision"},
            **_CONTROL,
        }

    def _decoder(self) -> dict[str, Any]:
        return {
            "hidden_size": self.hidden,
            "linear_num_value_heads": self.value_heads,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "tie_word_embeddings": self.tied,
            **(_EXPERTS if self.experts else {"intermediate_size": self.mlp_width}),
        }

    def _tower(self) -> dict[str, Any]:
        tower = self.tower
        return {
            "depth": tower.depth,
            "hidden_size": tower.hidden,
            "intermediate_size": tower.mlp_width,
            "num_heads": tower.heads,
            "out_hidden_size": self.hidden,
        }


_SMALL, _MIDDLE, _LARGE = Tower(12, 768, 3072, 12), Tower(24, 1024, 4096, 16), Tower(27, 1152, 4304, 16)

#: From the largest to the smallest.
FAMILY = (
    Member("Qwen/Qwen3.5-35B-A3B", 2048, 0, 40, 16, 2, 32, False, _LARGE),
    Member("Qwen/Qwen3.5-9B", 4096, 12_288, 32, 16, 4, 32, False, _LARGE),
    Member("Qwen/Qwen3.5-4B", 2560, 9_216, 32, 16, 4, 32, True, _MIDDLE),
    Member("Qwen/Qwen3.5-2B", 2048, 6_144, 24, 8, 2, 16, True, _MIDDLE),
    Member("Qwen/Qwen3.5-0.8B", 1024, 3_584, 24, 8, 2, 16, True, _SMALL),
)


def member(name: str) -> Member | None:
    """The member of the family with this hub id, or None.

    >>> member("Qwen/Qwen3.5-4B").hidden, member("some/model")
    (2560, None)
    """
    return next((found for found in FAMILY if found.name == name), None)
