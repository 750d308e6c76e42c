"""K/V in 8 or 4 bits, or in the CPU's memory: written once, unpacked block by block where it is attended to.

The tokens of a step attend to themselves as they are, and to what was read before as it is kept. State of recurrent layers is
never packed: its errors would add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from longctx.backends.transformers.cache import Buffers, GrowingLayer
from longctx.planner.memory import KV_BLOCK, KV_GROUP

#: Tokens that are unpacked, or brought to the device, at a time.
BLOCK = KV_BLOCK
#: Numbers of a head that share a scale in 4 bits, at most; fewer where that does not divide the head size.
GROUP = KV_GROUP
#: The largest float16.
HALF_MOST = 65_504.0


class Codec(Protocol):
    """How the numbers of K or V are kept."""

    names: tuple[str, ...]

    def pack(self, states: torch.Tensor) -> Sequence[torch.Tensor]:
        """What is kept of [batch, heads, tokens, head size], by ``names``; each has the same first three axes."""

    def unpack(self, parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """The numbers again."""


class AsTheyAre:
    """Nothing is lost, nothing is saved."""

    names: tuple[str, ...] = ("",)

    def pack(self, states: torch.Tensor) -> Sequence[torch.Tensor]:
        """The numbers."""
        return (states,)

    def unpack(self, parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """The numbers."""
        return parts[0].to(dtype)


class Int8:
    """A byte a number, and for each token and head the scale by which its largest number is 127.

    >>> states = torch.tensor([[[[1.0, -2.0, 0.5, 0.0]]]])
    >>> Int8().unpack(Int8().pack(states), torch.float32)
    tensor([[[[ 1.0079, -2.0000,  0.5039,  0.0000]]]])
    """

    names: tuple[str, ...] = ("", "_scale")

    def pack(self, states: torch.Tensor) -> Sequence[torch.Tensor]:
        """Codes [.., head size] and scales [.., 1]."""
        return in_bytes(states, -1, torch.float32)

    def unpack(self, parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """Codes times scales."""
        codes, scale = parts
        return (codes * scale).to(dtype)


class Int4:
    """Half a byte a number, and for each 32 numbers of a token the least one and the step to the next code, in float16.

    >>> states = torch.arange(64.0).reshape(1, 1, 1, 64)
    >>> codes, ranges = Int4().pack(states)
    >>> codes.shape[-1], ranges.shape[-1], float((Int4().unpack((codes, ranges), torch.float32) - states).abs().max()) < 1.04
    (32, 4, True)
    """

    names: tuple[str, ...] = ("", "_range")

    def pack(self, states: torch.Tensor) -> Sequence[torch.Tensor]:
        """Two codes a byte [.., head size / 2]; least numbers and steps [.., 2 x head size / group]."""
        group = math.gcd(GROUP, states.shape[-1])
        groups = _grouped(states.float().clamp(-HALF_MOST, HALF_MOST), group)
        least = groups.amin(-1, keepdim=True)
        ranges = torch.cat([least, (groups.amax(-1, keepdim=True) - least) / 15], -1).half()
        least, step = ranges.float().unbind(-1)
        codes = ((groups - least.unsqueeze(-1)) / step.where(step > 0, 1.0).unsqueeze(-1)).round().clamp(0, 15)
        low, high = _grouped(codes.to(torch.uint8).flatten(-2), 2).unbind(-1)
        return low | (high << 4), ranges.flatten(-2)

    def unpack(self, parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """Least numbers plus codes times steps."""
        packed, ranges = parts
        least, step = _grouped(ranges.float(), 2).unbind(-1)
        codes = torch.stack([packed & 15, packed >> 4], -1).flatten(-2)
        codes = _grouped(codes, codes.shape[-1] // least.shape[-1])
        return torch.addcmul(least.unsqueeze(-1), codes.float(), step.unsqueeze(-1)).flatten(-2).to(dtype)


class Int8Channels:
    """A byte a number, and for each channel of a head the scale by which its largest number is 127, for many tokens at once.

    Keys have a few channels that are large in every token, which would spoil a scale that a token's numbers share. The scales
    have the dtype of the numbers, and so tell it.

    >>> states = torch.tensor([[[[1.0, -200.0], [0.5, 100.0]]]])
    >>> Int8Channels().unpack(Int8Channels().pack(states), torch.float32)
    tensor([[[[   1.0000, -200.0000],
              [   0.5039,  100.7874]]]])
    """

    names: tuple[str, ...] = ("", "_scales")

    def pack(self, states: torch.Tensor) -> Sequence[torch.Tensor]:
        """Codes [.., tokens, head size] and scales [.., 1, head size]."""
        return in_bytes(states, -2, states.dtype)

    def unpack(self, parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """Codes times scales."""
        codes, scales = parts
        return (codes * scales.float()).to(dtype)


def in_bytes(numbers: torch.Tensor, axis: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers in a byte each, and the scales by which the largest along an axis is 127.

    Args:
        numbers: of any shape; they stay as they are.
        axis: along which numbers share a scale; it has the length 1 in the scales.
        dtype: of the scales.
    """
    codes = numbers.to(torch.float32, copy=True)
    scales = (codes.abs().amax(axis, keepdim=True) / 127).to(dtype)
    steps = scales.float()
    return codes.div_(steps.where(steps > 0, 1.0)).round_().clamp_(-127, 127).to(torch.int8), scales


def _grouped(numbers: torch.Tensor, size: int) -> torch.Tensor:
    """The last axis in groups of so many."""
    return numbers.reshape(*numbers.shape[:-1], -1, size)


CODECS: dict[str, type[Codec]] = {"": AsTheyAre, "int8": Int8, "int4": Int4}


class PackedLayer(GrowingLayer):
    """K/V of one full-attention layer, packed.

    Args:
        codec: one of CODECS.
        host: whether it is kept in the CPU's memory, whatever the model's device.
    """

    def __init__(self, codec: str, *, host: bool) -> None:
        super().__init__()
        self.codec = CODECS[codec]()
        self.host = host
        self.held = Buffers(pinned=host and torch.cuda.is_available())
        self._names = [f"{kind}{name}" for kind in ("keys", "values") for name in self.codec.names]

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append, and give what the step attends to: what was kept before, and its own keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.length
        packed = (*self.codec.pack(key_states), *self.codec.pack(value_states))
        self.restore(dict(zip(self._names, packed, strict=True)))
        return Past(self, before, key_states), value_states

    def get_seq_length(self) -> int:
        """Tokens that are kept."""
        return self.length

    def parts(self, start: int, stop: int) -> dict[str, torch.Tensor]:
        """What is kept of some tokens, by name."""
        return dict(zip(self._names, self.held.cut(start, stop), strict=True))

    def restore(self, parts: Mapping[str, torch.Tensor]) -> None:
        """Append what :meth:`parts` gave."""
        self.held.append([parts[name].cpu() if self.host else parts[name] for name in self._names])

    def blocks(self, stop: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the first tokens, unpacked on the model's device, so many at a time."""
        for start in range(0, stop, BLOCK):
            kept = [part.to(self.device, non_blocking=True) for part in self.held.cut(start, min(stop, start + BLOCK))]
            keys, values = kept[: len(kept) // 2], kept[len(kept) // 2 :]
            yield self.codec.unpack(keys, self.dtype), self.codec.unpack(values, self.dtype)

    def _show(self) -> None:
        """There is nothing whole to show."""


@dataclass(frozen=True)
class Past:
    """What stands in for the keys of a step where those of the past are packed.

    Args:
        layer: that keeps them.
        tokens: read before this step.
        own: keys of the step [batch, key heads, tokens, head size].
    """

    layer: PackedLayer
    tokens: int
    own: torch.Tensor

    def blocks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of what was read before."""
        return self.layer.blocks(self.tokens)


def layer_maker(kv_dtype: str, *, host: bool) -> Callable[[], GrowingLayer]:
    """What makes a model's layers of K/V.

    Args:
        kv_dtype: ``"int8"``, ``"int4"``, or empty for the model's own.
        host: whether K/V is kept in the CPU's memory.
    """
    return (lambda: PackedLayer(kv_dtype, host=host)) if kv_dtype or host else GrowingLayer
