"""Attention of a chunk after a long past, without a mask, registered with transformers under :data:`NAME`.

transformers gives each chunk a boolean mask of chunk x total, which at a million tokens takes gigabytes, keeps SDPA off its
fastest kernel and has it copy K/V to every query head. Here the past is attended without a mask and the chunk itself causally;
the two are merged by their log-sum-exp (as in Dao et al. 2022, FlashAttention, section 3.1). Whatever is not plain causal
attention on a CPU goes the way of transformers' own ``sdpa``. A past that is packed is attended block by block, merged alike,
on GPUs too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from longctx.backends.transformers.packed import Past
from longctx.errors import ModelError

NAME = "longctx"
#: An output [batch, heads, tokens, head size], and the logarithm of the sum of exponentials of each of its rows.
Part = tuple[torch.Tensor, torch.Tensor]


def use(model: Any, *, packed: bool = False) -> None:
    """Have a model on a CPU attend this way, and on any device where K/V is packed. One that does not attend by ``sdpa`` stays.

    Raises:
        ModelError: K/V is to be packed, and the model does not attend by ``sdpa``.
    """
    able = model.config._attn_implementation == "sdpa"
    if packed and not able:
        raise _unreadable(type(model).__name__, repr(model.config._attn_implementation))
    if able and (packed or model.device.type == "cpu"):
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, mask)
        model.set_attn_implementation(NAME)


def _unreadable(name: str, way: str) -> ModelError:
    return ModelError(f"{name} attends by {way}, which cannot read packed K/V", hint="plan without kv_dtype= and kv_device=")


def mask(*arguments: Any, attention_mask: Any = None, local_size: int | None = None, **options: Any) -> Any:
    """No mask for plain causal attention, whatever the past; else the one that ``sdpa`` takes."""
    if attention_mask is None and local_size is None and options.get("allow_is_causal_skip", True):
        return None
    return sdpa_mask(*arguments, attention_mask=attention_mask, local_size=local_size, **options)


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor | Past, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """Attention of the last tokens of a sequence on all of it.

    Args:
        module: the attention layer.
        query: [batch, query heads, tokens, head size].
        key: [batch, key heads, past and tokens, head size]; or the tokens' own with a packed past.
        value: as ``key``; beside a packed past the tokens' own.
        attention_mask: None for plain causal attention.
        options: of ``sdpa_attention_forward``.

    Returns:
        [batch, tokens, query heads, head size], and no weights.

    Raises:
        ModelError: the past is packed, and the attention is not plain and causal.
    """
    unusual = any(options.get(name) is not None for name in ("softcap", "position_bias", "cache"))
    if isinstance(key, Past):
        if key.tokens:
            if unusual or attention_mask is not None or key.own.shape[-1] != value.shape[-1]:
                raise _unreadable(type(module).__name__, "more than plain causal attention")
            return _merged(_packed(query, key, value, options.get("scaling"))).transpose(1, 2).contiguous(), None
        key = key.own
    stated = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if stated is None else stated
    past = key.shape[2] - query.shape[2]
    plain = causal and attention_mask is None and past > 0 and key.shape[-1] == value.shape[-1]
    if not plain or unusual:
        plain_output: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain_output
    output = _after_past(query, key, value, options.get("scaling"), past)
    return output.transpose(1, 2).contiguous(), None


def _after_past(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, past: int) -> torch.Tensor:
    if query.shape[2] == 1:
        folded = scaled_dot_product_attention(_folded(query, key.shape[1]), key, value, scale=scale)
        return folded.reshape(query.shape)
    before = _before(query, key[:, :, :past], value[:, :, :past], scale)
    return _merged([before, _among(query, key[:, :, past:], value[:, :, past:], scale)])


def _packed(query: torch.Tensor, key: Past, value: torch.Tensor, scale: float | None) -> Iterator[Part]:
    """Of a packed past block by block; of the tokens among themselves."""
    for keys, values in key.blocks():
        yield _before(query, keys, values, scale)
    yield _among(query, key.own, value, scale)


def _before(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> Part:
    """Attention on tokens that all stand before."""
    output, weight = _flash(_folded(query, key.shape[1]), key, value, scale, causal=False)
    return output.reshape(query.shape), weight.reshape(query.shape[:3])


def _among(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> Part:
    """Attention of tokens on each other, causally."""
    groups = query.shape[1] // key.shape[1]
    return _flash(query, repeat_kv(key, groups), repeat_kv(value, groups), scale, causal=True)


def _merged(parts: Iterable[Part]) -> torch.Tensor:
    """One attention out of several on different tokens: outputs weighted by their shares of the sum of exponentials."""
    rest = iter(parts)
    first, total = next(rest)
    merged = first
    for output, weight in rest:
        both = torch.logaddexp(total, weight)
        shares = (total - both).exp().unsqueeze(-1), (weight - both).exp().unsqueeze(-1)
        merged, total = merged * shares[0] + output * shares[1], both
    return merged.to(first.dtype)


def _folded(query: torch.Tensor, heads: int) -> torch.Tensor:
    """Query heads that share a key head, one after the other as if they were tokens: without a mask they do not differ."""
    return query.reshape(query.shape[0], heads, -1, query.shape[-1])


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, *, causal: bool) -> Part:
    """torch's own kernels, which also give the logarithm of the sum of exponentials of each row, in float32."""
    aten = torch.ops.aten
    if query.device.type == "cpu":
        output, weight = aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scale)
        return output, weight
    # not run on a GPU yet; the weights come padded to a multiple of 32 queries
    output, weight, *_ = aten._scaled_dot_product_efficient_attention(query, key, value, None, True, 0.0, causal, scale=scale)
    return output, weight[..., : query.shape[2]]
