"""The state of a conversation inside a model: K/V that grows in place, everything else copied when it is kept.

Recurrent state is updated in place and cannot be cropped, so a :class:`Snapshot` holds real copies of it; K/V is append-only,
so a snapshot needs its length alone.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer

#: K/V buffers grow by this share, at least by GROW_LEAST tokens: few copies, little waste.
GROW_SHARE = 8
GROW_LEAST = 256


class Buffers:
    """Tensors [batch, heads, tokens, width] that grow by tokens in place, with room to grow.

    Args:
        pinned: whether in memory that a GPU reads directly. Not run on a GPU yet.
    """

    def __init__(self, *, pinned: bool = False) -> None:
        self.pinned = pinned
        self.length = 0
        self.wanted = 0
        self._tensors: list[torch.Tensor] = []

    def append(self, parts: Sequence[torch.Tensor]) -> None:
        """Add tokens: of each tensor the new part."""
        stop = self.length + parts[0].shape[-2]
        if not self._tensors or stop > self._tensors[0].shape[-2]:
            self._grow(stop, parts)
        for tensor, part in zip(self._tensors, parts, strict=True):
            tensor[..., self.length : stop, :] = part
        self.length = stop

    def cut(self, start: int, stop: int) -> list[torch.Tensor]:
        """Views of some tokens of each tensor."""
        return [tensor[..., start:stop, :] for tensor in self._tensors]

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return sum(tensor.nbytes for tensor in self._tensors)

    def _grow(self, least: int, parts: Sequence[torch.Tensor]) -> None:
        room = max(self.wanted, least + max(GROW_LEAST, least // GROW_SHARE))
        old = self._tensors or [part[..., :0, :] for part in parts]
        for number, (tensor, part) in enumerate(zip(old, parts, strict=True)):
            shape = (*part.shape[:-2], room, part.shape[-1])
            new = torch.empty(shape, dtype=part.dtype, device=part.device, pin_memory=self.pinned)
            new[..., : self.length, :] = tensor[..., : self.length, :]
            old[number] = new  # the old one is given back before the next is made
        self._tensors = old


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """K/V of one full-attention layer in a buffer with room to grow: [batch, heads, tokens, head size].

    transformers' own layer copies the whole cache for every token. ``keys`` and ``values`` are views of the filled part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = Buffers()

    @property
    def length(self) -> int:
        """Tokens that are kept."""
        return self.held.length

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append, and give the whole."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.held.append([key_states, value_states])
        self._show()
        return self.keys, self.values

    def crop_to(self, length: int) -> None:
        """Forget what comes after ``length`` tokens."""
        self.held.length = min(length, self.held.length)
        self._show()

    def parts(self, start: int, stop: int) -> dict[str, torch.Tensor]:
        """What is kept of some tokens, by name."""
        return dict(zip(("keys", "values"), self.held.cut(start, stop), strict=True))

    def restore(self, parts: Mapping[str, torch.Tensor]) -> None:
        """Append what :meth:`parts` gave."""
        self.update(parts["keys"], parts["values"])

    def _show(self) -> None:
        if self.is_initialized:
            self.keys, self.values = self.held.cut(0, self.length)


@dataclass(frozen=True)
class Snapshot:
    """The state at one length. ``layers`` holds copies of all layers but the growing ones.

    Args:
        length: tokens that the state has read.
        layers: by layer number.
    """

    length: int
    layers: dict[int, CacheLayerMixin]


class State:
    """What the model has read: token ids, the cache they left, and snapshots on the way.

    Args:
        config: the model's config, from which the kinds of layers follow.
        device: where a restored state is put.
        make_layer: makes the layers that keep K/V.
    """

    def __init__(self, config: Any, device: Any = "cpu", make_layer: Callable[[], GrowingLayer] = GrowingLayer) -> None:
        self.device = device
        self.cache = DynamicCache(config=config)
        self.cache.layers = [make_layer() if type(layer) is DynamicLayer else layer for layer in self.cache.layers]
        self.fresh = {i: copy.deepcopy(layer) for i, layer in enumerate(self.cache.layers) if not _grows(layer)}
        self.ids: list[int] = []
        self.snapshots: list[Snapshot] = []
        self.logits: dict[int, torch.Tensor] = {}

    @property
    def length(self) -> int:
        """Tokens read."""
        return len(self.ids)

    @property
    def croppable(self) -> bool:
        """Whether every layer can go back to any length by itself."""
        return not self.fresh

    @property
    def recurrent(self) -> dict[int, LinearAttentionLayer]:
        """Layers with recurrent and convolution state, by number."""
        return {i: layer for i, layer in enumerate(self.cache.layers) if type(layer) is LinearAttentionLayer}

    @property
    def windowed(self) -> dict[int, DynamicSlidingWindowLayer]:
        """Layers with K/V of the last tokens only, by number."""
        return {i: layer for i, layer in enumerate(self.cache.layers) if type(layer) is DynamicSlidingWindowLayer}

    @property
    def growing(self) -> dict[int, GrowingLayer]:
        """Layers with K/V, by number."""
        return {i: layer for i, layer in enumerate(self.cache.layers) if _grows(layer)}

    @property
    def storable(self) -> bool:
        """Whether every layer is of a kind that can be written to disk."""
        return len(self.recurrent) + len(self.windowed) + len(self.growing) == len(self.cache.layers)

    def reserve(self, tokens: int) -> None:
        """Say how long the state will become, so that buffers are made once."""
        for layer in self.growing.values():
            layer.held.wanted = max(tokens, layer.length)

    def keep(self, logits: torch.Tensor | None) -> None:
        """Take a snapshot here, with the logits of the last token, so that coming back needs no token to be read again."""
        if logits is not None:
            self.logits[self.length] = logits
        if self.croppable or any(s.length == self.length for s in self.snapshots):
            return
        self.snapshots.append(self.snapshot())

    def snapshot(self) -> Snapshot:
        """A copy of what cannot be cut."""
        return Snapshot(self.length, {i: copy.deepcopy(self.cache.layers[i]) for i in self.fresh})

    def rewind(self, length: int) -> int:
        """Go back to at most ``length`` tokens; returns the length reached, which a hybrid model may only have further back."""
        if length >= self.length:
            return self.length
        if not self.croppable:
            reachable = [s for s in self.snapshots if s.length <= length]
            self.restore(max(reachable, key=lambda s: s.length) if reachable else Snapshot(0, self.fresh))
            return self.length
        self._crop(length)
        return length

    def begin(self, length: int) -> None:
        """Empty everything but the K/V of the first tokens, for a restore to go on from."""
        self._crop(length)
        for i, layer in self.fresh.items():
            self.cache.layers[i] = copy.deepcopy(layer)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this state."""
        self._crop(snapshot.length)
        for i, layer in snapshot.layers.items():
            self.cache.layers[i] = copy.deepcopy(layer)

    def _crop(self, length: int) -> None:
        for layer in self.growing.values():
            layer.crop_to(length)
        del self.ids[length:]
        self.snapshots = [s for s in self.snapshots if s.length <= length]
        self.logits = {n: logits for n, logits in self.logits.items() if n <= length}

    def bytes(self) -> dict[str, int]:
        """Bytes held, by component: K/V buffers, and state with its snapshots."""
        kv = sum(layer.held.nbytes for layer in self.growing.values())
        others = [self.cache.layers[i] for i in self.fresh] + [x for s in self.snapshots for x in s.layers.values()]
        return {"kv_cache": kv, "state": sum(_layer_bytes(layer) for layer in others)}


def cache_argument(model: Any) -> str:
    """What a model's forward and its output call the cache: until transformers 5.23 mostly ``past_key_values``.

    Args:
        model: any model of transformers.
    """
    names = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values", "cache_params", "state") if name in names), "past_key_values")


def _grows(layer: Any) -> bool:
    return isinstance(layer, GrowingLayer)


def _layer_bytes(layer: Any) -> int:
    values = [v for value in vars(layer).values() for v in (value.values() if isinstance(value, dict) else _items(value))]
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor))


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
