"""Attention after a past, against SDPA with the mask that says the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

from longctx.backends.transformers import attention


def tensors(tokens: int, past: int, heads: int = 8, kv_heads: int = 2, size: int = 64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(tokens + past)
    query = torch.randn(1, heads, tokens, size, generator=generator)
    # As in the cache: views of a longer buffer.
    key, value = (torch.randn(1, kv_heads, past + tokens + 99, size, generator=generator) for _ in range(2))
    return query, key[:, :, : past + tokens], value[:, :, : past + tokens]


def reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    groups, past = query.shape[1] // key.shape[1], key.shape[2] - query.shape[2]
    allowed = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril(past)
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    return sdpa(query, key, value, attn_mask=allowed, scale=scale).transpose(1, 2)


@pytest.mark.parametrize(("tokens", "past"), [(1, 1), (1, 700), (2, 1), (64, 1), (64, 640), (100, 333), (5, 0)])
@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_a_chunk_attends_to_its_past_and_to_itself_as_with_a_mask(tokens: int, past: int, kv_heads: int) -> None:
    query, key, value = tensors(tokens, past, kv_heads=kv_heads)
    layer = SimpleNamespace(is_causal=True, num_key_value_groups=8 // kv_heads)
    with torch.inference_mode():
        output, _ = attention.attend(layer, query, key, value, None, scaling=0.1)
    assert (output - reference(query, key, value, 0.1)).abs().max() < 2e-6


def test_large_scores_of_past_or_chunk_do_not_overflow() -> None:
    query, key, value = tensors(32, 64)
    layer = SimpleNamespace(is_causal=True, num_key_value_groups=4)
    for scale, tolerance in ((1e2, 1e-2), (1e-3, 1e-6)):  # rounding of scores of thousands moves weights by some promille
        output, _ = attention.attend(layer, query, key, value, None, scaling=scale)
        assert (output - reference(query, key, value, scale)).abs().max() < tolerance


def test_what_is_not_causal_sees_everything() -> None:
    query, key, value = tensors(8, 24)
    layer = SimpleNamespace(is_causal=False, num_key_value_groups=4)
    output, _ = attention.attend(layer, query, key, value, None)
    everything = sdpa(query, key.repeat_interleave(4, 1), value.repeat_interleave(4, 1)).transpose(1, 2)
    assert (output - everything).abs().max() < 2e-6


def test_a_mask_is_made_only_where_something_else_than_the_past_is_hidden() -> None:
    sizes = {"batch_size": 1, "q_length": 4, "kv_length": 12, "q_offset": 8}
    assert attention.mask(**sizes) is None
    assert attention.mask(**sizes, local_size=3) is not None
    assert attention.mask(**sizes, allow_is_causal_skip=False) is not None
    padded = torch.ones(1, 12, dtype=torch.bool)
    padded[0, 0] = False
    assert attention.mask(**sizes, attention_mask=padded) is not None
