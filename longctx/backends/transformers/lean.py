"""Layers of plain decoders with less around their arithmetic: a spoken token of a small model is mostly waiting for Python.

A layer of transformers calls some twenty modules. Here it is one function: matrices with the same input are multiplied as one,
norms are torch's own, and NF4 matrices are given straight to the kernel of bitsandbytes. On CPUs only, and for layers that are
known to be no more than this; whatever is unusual (a mask, a batch, no cache) goes through the layer as it was.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.functional import silu

from longctx.backends.transformers.attention import NAME, attend
from longctx.backends.transformers.packed import in_bytes
from longctx.planner.memory import HEAD_COPY_MOST

#: Layers of transformers 5.23 that are attention and a gated MLP, each after an RMS norm, and nothing else.
PLAIN = {
    "LlamaDecoderLayer": "transformers.models.llama.modeling_llama",
    "MistralDecoderLayer": "transformers.models.mistral.modeling_mistral",
    "Qwen2DecoderLayer": "transformers.models.qwen2.modeling_qwen2",
    "Qwen3DecoderLayer": "transformers.models.qwen3.modeling_qwen3",
}
#: RMS norms of transformers 5.23, by their weight or by 1 + weight, some with a gate.
NORMS = {
    "LlamaRMSNorm": "transformers.models.llama.modeling_llama",
    "MistralRMSNorm": "transformers.models.mistral.modeling_mistral",
    "Qwen2RMSNorm": "transformers.models.qwen2.modeling_qwen2",
    "Qwen3RMSNorm": "transformers.models.qwen3.modeling_qwen3",
    "Qwen3_5RMSNorm": "transformers.models.qwen3_5.modeling_qwen3_5",
    "Qwen3_5RMSNormGated": "transformers.models.qwen3_5.modeling_qwen3_5",
    "Qwen3_5MoeRMSNorm": "transformers.models.qwen3_5_moe.modeling_qwen3_5_moe",
    "Qwen3_5MoeRMSNormGated": "transformers.models.qwen3_5_moe.modeling_qwen3_5_moe",
}
Matrix = Callable[[torch.Tensor], torch.Tensor]

#: Rows of a head that are coded at a time: in float32 all of them would take four times the copy.
CODED = 2_048
#: Rows for which the product with a head in 8 bits is the faster one.
HEAD_ROWS = 8


def use(model: Any, *, head: bool = False) -> None:
    """Have the plain layers of a model on a CPU compute this way, where it attends as :mod:`.attention` has it attend.

    Args:
        model: as transformers loaded it.
        head: whether a small head in bf16 gets a copy in 8 bits, by which tokens are spoken. Most of the time of a small model
            in 4 bits would go into reading it.
    """
    if model.device.type != "cpu" or model.config.get_text_config()._attn_implementation != NAME:
        return
    out = model.get_output_embeddings()
    if head and out.bias is None and out.weight.dtype == torch.bfloat16 and out.weight.numel() <= HEAD_COPY_MOST:
        out.forward = _Head(out)
    for module in list(model.modules()):
        if _known(module, NORMS):
            module.forward = _Norm(module)
        elif _known(module, PLAIN):
            module.forward = _Layer(module)


def _known(module: Any, kinds: Mapping[str, str]) -> bool:
    return kinds.get(type(module).__name__) == type(module).__module__


class _Layer:
    """What a plain decoder layer computes.

    Args:
        layer: of transformers. Its NF4 matrices are joined and packed here, and its modules use the joined ones from then on.
    """

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._usual = layer.forward
        self._attention = attention
        self._number, self._size, self._scale = attention.layer_idx, attention.head_dim, attention.scaling
        self._before, self._between = layer.input_layernorm, layer.post_attention_layernorm
        self._norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        self._qkv = _matrix(attention.q_proj, attention.k_proj, attention.v_proj)
        self._out = _matrix(attention.o_proj)
        self._gate_up = _matrix(mlp.gate_proj, mlp.up_proj)
        self._down, self._act = _matrix(mlp.down_proj), mlp.act_fn
        self._heads = [m.out_features // self._size for m in (attention.q_proj, attention.k_proj)]
        self._options = {"sliding_window": getattr(attention, "sliding_window", None)}

    def __call__(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        **options: Any,
    ) -> Any:
        """As the layer's own forward."""
        cache = next((options[name] for name in ("cache", "past_key_values") if options.get(name) is not None), None)
        plain = attention_mask is None and len(hidden_states) == 1 and cache is not None and position_embeddings is not None
        if not plain or torch.is_grad_enabled():
            return self._usual(hidden_states, attention_mask=attention_mask, position_embeddings=position_embeddings, **options)
        assert position_embeddings is not None
        after = hidden_states + self._attended(self._before(hidden_states), *position_embeddings, cache)
        gate, up = self._gate_up(self._between(after)).chunk(2, -1)
        return after + self._down(self._act(gate) * up)

    def _attended(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, cache: Any) -> torch.Tensor:
        queries, keys = self._heads
        heads = self._qkv(x).view(1, x.shape[1], -1, self._size).transpose(1, 2)
        turning, value = heads[:, : queries + keys], heads[:, queries + keys :]
        if self._norms is not None:
            turning = torch.cat((self._norms[0](turning[:, :queries]), self._norms[1](turning[:, queries:])), 1)
        turned = _rotated(turning, cos, sin)
        key, value = cache.update(turned[:, queries:], value, self._number)
        found, _ = attend(self._attention, turned[:, :queries], key, value, None, scaling=self._scale, **self._options)
        return self._out(found.reshape(1, x.shape[1], -1))


class _Head:
    """A head with a copy in a byte a number and a scale for each output, used for a few rows at a time."""

    def __init__(self, head: Any) -> None:
        self._usual = head.forward
        parts = [in_bytes(rows, 1, rows.dtype) for rows in head.weight.split(CODED)]
        codes, scales = torch.cat([codes for codes, _ in parts]), torch.cat([scales.squeeze(1) for _, scales in parts])
        head.register_buffer("codes", codes, persistent=False)
        head.register_buffer("scales", scales, persistent=False)
        self._codes, self._scales = codes, scales

    def __call__(self, x: torch.Tensor) -> Any:
        rows = x.flatten(0, -2)
        if len(rows) > HEAD_ROWS:
            return self._usual(x)
        return torch._weight_int8pack_mm(rows, self._codes, self._scales).view(*x.shape[:-1], -1)


class _Norm:
    """An RMS norm in place on one copy: fresh memory for each of its steps takes ten times as long as the steps."""

    def __init__(self, norm: Any) -> None:
        self._plain = hasattr(norm, "variance_epsilon")  # else by 1 + weight, before rounding
        self._epsilon = norm.variance_epsilon if self._plain else norm.eps
        self._weight = norm.weight if self._plain else 1 + norm.weight.float()
        self._usual = norm.forward

    def __call__(self, hidden_states: torch.Tensor, gate: torch.Tensor | None = None) -> Any:
        if torch.is_grad_enabled():
            return self._usual(*(part for part in (hidden_states, gate) if part is not None))
        x = hidden_states.to(torch.float32, copy=True)
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        x.mul_(squares.div_(x.shape[-1]).add_(self._epsilon).rsqrt_())
        if not self._plain:
            return x.mul_(self._weight).to(hidden_states.dtype)
        x = x.to(hidden_states.dtype).mul_(self._weight)
        return x if gate is None else silu(gate.to(torch.float32, copy=True), inplace=True).mul_(x).to(x.dtype)


class _Nf4:
    """Matrices with the same input, packed for the CPU's kernel by bitsandbytes, as one.

    Args:
        modules: of bitsandbytes, whose weights are not packed yet. They give their part of the joint product from then on.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        from bitsandbytes.functional import _convert_weight_packed_for_cpu, lib

        packed = [_convert_weight_packed_for_cpu(module.weight.data, module.weight.quant_state) for module in modules]
        self._weight = torch.cat([weight for weight, _ in packed])
        self._scales = torch.cat([state.absmax for _, state in packed], 1)
        biases = [module.bias for module in modules if module.bias is not None]
        self._bias = torch.cat(list(biases)) if biases else None
        self._outputs, self._inputs = len(self._weight), modules[0].in_features
        self._kernel = lib.gemv_4bit_inference_cpu_nf4_bf16
        self._block = ctypes.c_int64(packed[0][1].blocksize)
        self._fixed = (ctypes.c_int64(self._outputs), ctypes.c_int64(self._inputs))
        self._held = (ctypes.c_void_p(self._weight.data_ptr()), ctypes.c_void_p(self._scales.data_ptr()))
        start = 0
        for module, (_, state) in zip(modules, packed, strict=True):
            stop = start + module.out_features
            module.weight.data, state.absmax = self._weight[start:stop], self._scales[:, start:stop]
            module.weight.quant_state = state
            module.forward = partial(self._part, start, stop)
            start = stop

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self._inputs).to(torch.bfloat16).contiguous()
        out = torch.empty((len(rows), self._outputs), dtype=torch.bfloat16)
        self._kernel(
            ctypes.c_int64(len(rows)),
            *self._fixed,
            ctypes.c_void_p(rows.data_ptr()),
            *self._held,
            ctypes.c_void_p(out.data_ptr()),
            self._block,
            self._fixed[1],
            self._fixed[0],
        )
        out = out.to(x.dtype).view(*x.shape[:-1], self._outputs)
        return out if self._bias is None else out + self._bias.to(x.dtype)

    def _part(self, start: int, stop: int, x: torch.Tensor) -> torch.Tensor:
        return self(x)[..., start:stop]


def _matrix(*modules: Any) -> Matrix:
    """The product with one matrix, or with several side by side."""
    if all(_packable(module) for module in modules):
        return _Nf4(modules)
    if len(modules) == 1:
        return modules[0]  # type: ignore[no-any-return]
    return lambda x: torch.cat([module(x) for module in modules], -1)


def _packable(module: Any) -> bool:
    """Whether bitsandbytes would pack a matrix for its kernel on this CPU."""
    state = getattr(module.weight, "quant_state", None)
    fast = getattr(module, "support_avx512bf16_for_cpu", False)
    packed = getattr(state, "packing_format_for_cpu", False)
    return bool(fast and state is not None and state.quant_type == "nf4" and not packed)


def _rotated(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads [1, heads, tokens, size] turned by their positions; cosines and sines [1, tokens, size]."""
    half = heads.shape[-1] // 2
    signed = torch.cat((-sin[..., :half], sin[..., half:]), -1).unsqueeze(1)
    return torch.addcmul(heads * cos.unsqueeze(1), heads.roll(half, -1), signed)
