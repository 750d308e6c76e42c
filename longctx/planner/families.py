"""What distinguishes one decoder family from another: biases, norms, experts, sliding windows, and what configs leave out.

Each row follows the modeling and configuration files of transformers 5.23 and is checked in the tests against the model built
on the meta device. A type that has no row is planned by the formula of Llama and marked as not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Sliding = Literal["none", "always", "flagged", "alternating"]
Norms = Literal["", "head", "width"]


@dataclass(frozen=True)
class Family:
    """One kind of decoder.

    Args:
        qkv_bias: biases of the q, k and v projections; None reads ``attention_bias``.
        output_bias: bias of the output projection; None reads ``attention_bias``.
        layer_norms: norms of the hidden width per layer.
        query_norms: norms of queries and keys: none, over one head, or over the whole width.
        gated_query: the query projection is twice as wide, its second half gates the attention's output.
        plain_mlp: the MLP has no gate: two matrices instead of three.
        experts: the MLP is a mixture of experts where ``num_experts`` (or ``num_local_experts``) is given.
        hybrid: there are layers of linear attention.
        joined_delta: linear attention projects to queries, keys, values and gate at once, and to its two rates at once.
        sliding: which layers look at a sliding window where ``layer_types`` does not say so: none, all where
            ``sliding_window`` is set, those that ``use_sliding_window`` and ``max_window_layers`` name, or all but each n-th.
        tied: whether the head shares the embedding's matrix where the config does not say.
        known: whether the tests hold the counts equal to the model's.
        defaults: fields that published configs leave to the config class.
    """

    qkv_bias: bool | None = None
    output_bias: bool | None = None
    layer_norms: int = 2
    query_norms: Norms = ""
    gated_query: bool = False
    plain_mlp: bool = False
    experts: bool = False
    hybrid: bool = False
    joined_delta: bool = False
    sliding: Sliding = "none"
    tied: bool = False
    known: bool = True
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


_QWEN35 = {
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "full_attention_interval": 4,
}
_GEMMA3 = {
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
}

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(),
        "mistral": Family(qkv_bias=False, output_bias=False, sliding="always", defaults={"sliding_window": 4096}),
        "ministral": Family(qkv_bias=False, output_bias=False, sliding="always"),
        "smollm3": Family(tied=True),
        "granite": Family(),
        "phi3": Family(qkv_bias=False, output_bias=False, sliding="always"),
        "gemma": Family(tied=True, defaults={"head_dim": 256}),
        "gemma2": Family(
            layer_norms=4,
            sliding="alternating",
            tied=True,
            defaults={"head_dim": 256, "sliding_window": 4096, "sliding_window_pattern": 2},
        ),
        "gemma3_text": Family(layer_norms=4, query_norms="head", sliding="alternating", tied=True, defaults=_GEMMA3),
        "olmo2": Family(query_norms="width"),
        "arcee": Family(plain_mlp=True),
        "qwen2": Family(qkv_bias=True, output_bias=False, sliding="flagged", defaults={"max_window_layers": 28}),
        "qwen3": Family(query_norms="head", sliding="flagged", defaults={"head_dim": 128, "max_window_layers": 28}),
        "qwen3_moe": Family(
            query_norms="head",
            experts=True,
            sliding="flagged",
            defaults={"max_window_layers": 0, "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8},
        ),
        "qwen3_vl_text": Family(query_norms="head", defaults={"head_dim": 128}),
        "qwen3_vl_moe_text": Family(query_norms="head", experts=True, defaults={"moe_intermediate_size": 1408}),
        "qwen3_5_text": Family(query_norms="head", gated_query=True, hybrid=True, defaults=_QWEN35),
        "qwen3_5_moe_text": Family(
            query_norms="head",
            gated_query=True,
            hybrid=True,
            experts=True,
            defaults={
                **_QWEN35,
                "num_experts": 256,
                "num_experts_per_tok": 8,
                "moe_intermediate_size": 512,
                "shared_expert_intermediate_size": 512,
            },
        ),
        "qwen3_next": Family(
            query_norms="head",
            gated_query=True,
            hybrid=True,
            joined_delta=True,
            experts=True,
            defaults={
                **_QWEN35,
                "num_experts": 512,
                "num_experts_per_tok": 10,
                "moe_intermediate_size": 512,
                "shared_expert_intermediate_size": 512,
            },
        ),
        "mixtral": Family(
            qkv_bias=False, output_bias=False, experts=True, sliding="always", defaults={"num_experts_per_tok": 2}
        ),
    }
)

#: A type without a row: Llama's formula, with experts and sliding windows where the usual fields name them.
UNKNOWN = Family(experts=True, sliding="always", known=False)

#: Model types that read text and give vectors, or read something else and give text: nothing that continues a prompt.
# fmt: off
NOT_GENERATIVE = frozenset(
    {
        "albert", "align", "altclip", "audio_spectrogram_transformer", "bert", "big_bird", "bridgetower", "camembert",
        "canine", "chinese_clip", "clap", "clip", "clipseg", "colpali", "colqwen2", "convbert", "convnext", "deberta",
        "deberta-v2", "deit", "detr", "dinov2", "dinov2_with_registers", "dinov3_vit", "distilbert", "electra",
        "embedding_gemma2", "ernie", "esm", "eurobert", "flaubert", "fnet", "funnel", "groupvit", "hubert", "ibert",
        "jina_embeddings_v3", "layoutlm", "layoutlmv3", "longformer", "luke", "lxmert", "metaclip_2", "mobilebert",
        "modernbert", "mpnet", "mra", "neobert", "nomic_bert", "rembert", "resnet", "roberta", "roberta-prelayernorm",
        "roc_bert", "roformer", "sam", "sam2", "segformer", "siglip", "siglip2", "siglip_vision_model", "splinter",
        "squeezebert", "swin", "swinv2", "vit", "vit_mae", "vits", "wav2vec2", "wavlm", "xlm-roberta",
        "xlm-roberta-xl", "xmod", "yolos", "yoso",
    }
)
# fmt: on
#: Architectures end like this where the model has a head that speaks.
SPEAKING = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForImageTextToText", "ForVision2Seq")


def family_of(model_type: str) -> Family:
    """The family of a decoder's model type; ``qwen3_5`` and ``qwen3_5_text`` are the same decoder.

    >>> family_of("qwen2").qkv_bias, family_of("new_model").known
    (True, False)
    """
    return FAMILIES.get(model_type) or FAMILIES.get(f"{model_type}_text") or UNKNOWN
