"""The gated delta rule on a CPU, a chunk of tokens at a time: the formulas of transformers' reference with half its steps.

Yang et al. 2024, "Gated Delta Networks" (arXiv:2412.06464), section 3.3. The triangular systems are inverted by products of
small matrices: LAPACK's batched solver waits for threads that other work holds, and may then take a hundred times as long.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import pad

#: What the reference is called in the modules of transformers 5.23.
NAME = "torch_chunk_gated_delta_rule"
#: Tokens of a chunk; rows of the blocks whose inverses are made by their powers, which grow with it (16 cost three digits).
CHUNK, BLOCK = 64, 8
#: The least logarithm of a decay that is told from nothing.
LEAST = -100.0
#: What matters of the arguments that a layer gives besides queries, keys and values; and what tells that several sequences are
#: packed into one. The others are for kernels of other devices.
KNOWN = ("g", "beta", "initial_state", "output_final_state", "use_qk_l2norm_in_kernel")
PACKED = ("cu_seqlens", "seq_idx")
Rule = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


def use(model: Any) -> None:
    """Have a model on a CPU compute the delta rule this way; on other devices, and for gradients, all stays as it was."""
    if model.device.type != "cpu":
        return
    for module in {sys.modules[type(part).__module__] for part in model.modules()}:
        usual = getattr(module, NAME, None)
        if usual is not None and not isinstance(usual, _Rule):
            setattr(module, NAME, _Rule(usual))


class _Rule:
    """Ours where it applies, else the usual one."""

    def __init__(self, usual: Rule) -> None:
        self._usual = usual

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> Any:
        packed = any(options.get(name) is not None for name in PACKED)
        if query.device.type != "cpu" or torch.is_grad_enabled() or packed:
            return self._usual(query, key, value, **options)
        return chunked(query, key, value, **{name: options[name] for name in KNOWN if name in options})


def chunked(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    g: torch.Tensor,
    beta: torch.Tensor,
    initial_state: torch.Tensor | None = None,
    output_final_state: bool = False,
    use_qk_l2norm_in_kernel: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The outputs for many tokens, and the state after them.

    Args:
        query: [batch, tokens, key heads, key size].
        key: as ``query``.
        value: [batch, tokens, value heads, value size]; their number is a multiple of the key heads'.
        g: logarithms of the decay [batch, tokens, value heads], at most 0.
        beta: how much a token overwrites [batch, tokens, value heads].
        initial_state: [batch, value heads, key size, value size].
        output_final_state: whether the state is returned.
        use_qk_l2norm_in_kernel: whether queries and keys are brought to length 1.

    Returns:
        [batch, tokens, value heads, value size] in the dtype of ``query``, and the state in float32 or None.
    """
    batch, tokens, heads, size, dtype = *value.shape[:3], key.shape[-1], query.dtype
    groups = heads // key.shape[2]
    if use_qk_l2norm_in_kernel:
        query, key = (_unit(part) for part in (query, key))
    queries, keys, values = (
        _chunks(part.repeat_interleave(times, 2) if times > 1 else part)
        for part, times in ((query * size**-0.5, groups), (key, groups), (value, 1))
    )
    amounts, decays = (_chunks(part.unsqueeze(-1)) for part in (beta, g))
    state = torch.zeros(batch * heads, size, value.shape[-1]) if initial_state is None else initial_state.float()
    outputs, state = _scanned(queries, keys, values, amounts, decays, state.reshape(batch * heads, size, -1).clone())
    outputs = outputs.view(-1, batch, heads, CHUNK, value.shape[-1]).permute(1, 0, 3, 2, 4).reshape(batch, -1, *value.shape[2:])
    return outputs[:, :tokens].to(dtype), state.view(batch, heads, size, -1) if output_final_state else None


def _scanned(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    amounts: torch.Tensor,
    decays: torch.Tensor,
    state: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """All [chunks, batch x heads, CHUNK, size], the state [batch x heads, key size, value size]; changes the state in place."""
    passed = (decays * math.log2(math.e)).cumsum(2)  # log2 of the decay from a chunk's beginning to each token
    between = (passed - passed.transpose(2, 3)).clamp_(LEAST, 0).exp2_().tril_()  # infinities would take ten times as long
    turned, faded, last = keys.transpose(2, 3), passed.exp2(), passed[:, :, -1:]
    solved = _inverse((keys @ turned).mul_(between).mul_(amounts)).mul_(amounts.transpose(2, 3))
    attended = (queries @ turned).mul_(between)
    new = solved @ values
    read = solved.mul_(faded.transpose(2, 3)) @ keys
    asked = queries.mul_(faded)
    added, kept = (keys.mul_((last - passed).exp2_())).transpose(2, 3), last.exp2()
    outputs = torch.empty_like(values)
    for i in range(len(values)):
        changed = new[i].sub_(torch.bmm(read[i], state))
        torch.bmm(attended[i], changed, out=outputs[i])
        outputs[i].add_(torch.bmm(asked[i], state))
        state.mul_(kept[i]).add_(torch.bmm(added[i], changed))
    return outputs, state


def _inverse(lower: torch.Tensor) -> torch.Tensor:
    """The inverse of unit lower triangular matrices [.., CHUNK, CHUNK] of which what stands below the diagonal is given.

    Small blocks by their powers, which end: (1 + N)(1 + N^2)(1 + N^4)... is 1 / (1 - N) where N is nilpotent. Two neighbours A
    and B with C below A make [[1/A, 0], [-1/B C 1/A, 1/B]].
    """
    size, count = BLOCK, CHUNK // BLOCK
    blocks = lower.reshape(-1, CHUNK, CHUNK)
    power = -_diagonal(blocks, size).tril_(-1)
    found = power + torch.eye(size)
    for _ in range(BLOCK.bit_length() - 2):
        power = power @ power
        found = torch.baddbmm(found, found, power)
    while count > 1:
        below = blocks.view(-1, count, size, count, size)[:, 1::2, :, ::2].diagonal(dim1=1, dim2=3)
        below = below.permute(0, 3, 1, 2).reshape(-1, size, size)
        first, second = found.view(-1, 2, size, size).unbind(1)
        joined = found.new_zeros(len(below), 2, size, 2, size)
        joined[:, 0, :, 0], joined[:, 1, :, 1] = first, second
        joined[:, 1, :, 0] = (second @ below @ first).neg_()
        size, count = 2 * size, count // 2
        found = joined.view(-1, size, size)
    return found.view(lower.shape)


def _diagonal(blocks: torch.Tensor, size: int) -> torch.Tensor:
    """The blocks on the diagonals of matrices [n, CHUNK, CHUNK], one after the other: [n x blocks, size, size]."""
    count = CHUNK // size
    found = blocks.view(-1, count, size, count, size).diagonal(dim1=1, dim2=3)
    return found.permute(0, 3, 1, 2).reshape(-1, size, size)


def _chunks(part: torch.Tensor) -> torch.Tensor:
    """A copy of [batch, tokens, heads, size] as [chunks, batch x heads, CHUNK, size] in float32, filled up with noughts."""
    batch, tokens, heads, size = part.shape
    whole = pad(part, (0, 0, 0, 0, 0, -tokens % CHUNK)).view(batch, -1, CHUNK, heads, size).permute(1, 0, 3, 2, 4)
    return torch.empty(whole.shape).copy_(whole).view(-1, batch * heads, CHUNK, size)


def _unit(part: torch.Tensor) -> torch.Tensor:
    part = part.to(torch.float32, copy=True)
    squares = torch.linalg.vector_norm(part, dim=-1, keepdim=True).square_()  # a sum over the last axis takes ten times as long
    return part.mul_(squares.add_(1e-6).rsqrt_())
