"""Attention of a chunk after a long past, without a mask, registered with transformers under :data:`NAME`.

transformers gives each chunk a boolean mask of chunk x total, which at a million tokens takes gigabytes, keeps SDPA off its
fastest kernel and has it copy K/V to every query head. Here the past is attended without a mask and the chunk itself causally;
the two are merged by their log-sum-exp (as in Dao et al. 2022, FlashAttention, section 3.1). Whatever is not plain causal
attention on a CPU goes the way of transformers' own ``sdpa``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "longctx"


def use(model: Any) -> None:
    """Have a model on a CPU attend this way. A model that does not attend by ``sdpa`` stays as it is."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, mask)
        model.set_attn_implementation(NAME)


def mask(*arguments: Any, attention_mask: Any = None, local_size: int | None = None, **options: Any) -> Any:
    """No mask for plain causal attention, whatever the past; else the one that ``sdpa`` takes."""
    if attention_mask is None and local_size is None and options.get("allow_is_causal_skip", True):
        return None
    return sdpa_mask(*arguments, attention_mask=attention_mask, local_size=local_size, **options)


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """Attention of the last tokens of a sequence on all of it.

    Args:
        module: the attention layer.
        query: [batch, query heads, tokens, head size].
        key: [batch, key heads, past and tokens, head size].
        value: as ``key``.
        attention_mask: None for plain causal attention.
        options: of ``sdpa_attention_forward``.

    Returns:
        [batch, tokens, query heads, head size], and no weights.
    """
    stated = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if stated is None else stated
    past = key.shape[2] - query.shape[2]
    plain = causal and attention_mask is None and past > 0 and key.shape[-1] == value.shape[-1]
    if not plain or any(options.get(name) is not None for name in ("softcap", "position_bias", "cache")):
        plain_output: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain_output
    output = _after_past(query, key, value, options.get("scaling"), past)
    return output.transpose(1, 2).contiguous(), None


def _after_past(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, past: int) -> torch.Tensor:
    groups = query.shape[1] // key.shape[1]
    if query.shape[2] == 1:
        folded = scaled_dot_product_attention(_folded(query, key.shape[1]), key, value, scale=scale)
        return folded.reshape(query.shape)
    before, weight = _flash(_folded(query, key.shape[1]), key[:, :, :past], value[:, :, :past], scale, causal=False)
    before, weight = before.reshape(query.shape), weight.reshape(query.shape[:3])
    own_key, own_value = repeat_kv(key[:, :, past:], groups), repeat_kv(value[:, :, past:], groups)
    own, own_weight = _flash(query, own_key, own_value, scale, causal=True)
    total = torch.logaddexp(weight, own_weight)
    shares = (weight - total).exp().unsqueeze(-1), (own_weight - total).exp().unsqueeze(-1)
    return (before * shares[0] + own * shares[1]).to(query.dtype)


def _folded(query: torch.Tensor, heads: int) -> torch.Tensor:
    """Query heads that share a key head, one after the other as if they were tokens: without a mask they do not differ."""
    return query.reshape(query.shape[0], heads, -1, query.shape[-1])


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, *, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """torch's own kernel for CPUs, which also gives the logarithm of the sum of exponentials of each row."""
    output, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scale)
    return output, weight
