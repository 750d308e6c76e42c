"""Between the state of a model and the prefix store: tensors of finished chunks out and in, bit for bit.

A chain of blocks, one a chunk, holds the K/V. The state of recurrent layers and of sliding windows cannot be cut, so each block
that ends at the head of the corpus carries it, and a model with such layers can go on from those only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longctx.backends.transformers.cache import State
from longctx.backends.transformers.chunks import upto
from longctx.prefixes import Block, PrefixStore, RawTensor, names


class StoredPrefix:
    """Writes and reads the head of prompts.

    Args:
        folder: of the store; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.store = PrefixStore(folder) if folder is not None else None
        self.fingerprint = ""
        self.miss_reason = ""

    def take_notes(self) -> list[str]:
        """What went wrong with the store since the last call, for the user."""
        if self.store is None:
            return []
        notes = list(self.store.notes)
        self.store.notes.clear()
        return notes

    @contextmanager
    def holding(self, ids: list[int], ends: Sequence[int]) -> Iterator[None]:
        """Keep the blocks of a head from being pruned while they are read and written.

        Args:
            ids: of the prompt that it begins; for what is looked at, what is seen.
            ends: of the head's chunks, the last one its length.
        """
        if self.store is None or not ends[-1]:
            yield
            return
        with self.store.using(self._chain(ids[: ends[-1]], ends)):
            yield

    def _chain(self, ids: list[int], ends: Sequence[int]) -> list[str]:
        return names(np.asarray(ids, dtype=np.int64), ends, self.fingerprint)

    def write(self, state: State, ends: Sequence[int]) -> None:
        """Write the block that ends where the state stands, if it ends a chunk of the head. Never raises for a bad disk.

        Args:
            state: what was read.
            ends: of the head's chunks, the last one its length.
        """
        if self.store is None or not state.storable or state.length not in ends:
            return
        head = ends[-1]
        bounds = upto(ends, state.length)
        chain = self._chain(state.ids, bounds)
        completes = state.length == head and not state.croppable  # a longer head may have left this block without its state
        if self.store.has(chain[-1]) and not completes:
            return
        parent, start = (chain[-2], bounds[-2]) if len(chain) > 1 else ("", 0)
        tensors = _kv(state, start, state.length)
        if state.length == head:
            tensors |= _recurrent(state) | _windows(state)
            if (logits := state.logits.get(head)) is not None:
                tensors["logits"] = _raw(logits)
        self.store.put(chain[-1], parent=parent, length=state.length, tensors=tensors, meta={"fingerprint": self.fingerprint})

    def read(self, state: State, head: list[int], ends: Sequence[int]) -> int:
        """Fill an emptied state with what the store has of a head; returns the tokens read.

        The state is only touched where the store has more of the head than the state.

        Args:
            state: to fill.
            head: its ids; for what is looked at, what is seen.
            ends: of its chunks, the last one its length.
        """
        self.miss_reason = ""
        if self.store is None or not state.storable:
            return state.length
        blocks = self._blocks(self._chain(head, ends), ends, state)
        if not blocks or ends[len(blocks) - 1] <= state.length:
            return state.length
        length = ends[len(blocks) - 1]
        _fill(state, head[:length], blocks)
        return length

    def _blocks(self, chain: list[str], bounds: Sequence[int], state: State) -> list[Block]:
        """The longest readable beginning of a chain that the state can go on from."""
        assert self.store is not None
        found: list[Block] = []
        for name, bound in zip(chain, bounds, strict=True):
            block = self.store.get(name)
            if block is None:
                self.miss_reason = self._reason(bool(found), bound)
                break
            found.append(block)
        if not state.croppable:
            while found and not any(key.startswith(("recurrent.", "window.")) for key in found[-1].tensors):
                found.pop()
        return found

    def _reason(self, some: bool, bound: int) -> str:
        assert self.store is not None
        why = self.store.last_miss
        if why not in ("", "absent"):
            return f"a stored block is {why}"
        return f"the store has other text before token {bound:,}" if some else "not in the prefix store yet"


def _kv(state: State, start: int, stop: int) -> dict[str, RawTensor]:
    return {f"{name}.{i}": _raw(part) for i, layer in state.growing.items() for name, part in layer.parts(start, stop).items()}


def _recurrent(state: State) -> dict[str, RawTensor]:
    found: dict[str, RawTensor] = {}
    for i, layer in state.recurrent.items():
        found |= {f"conv.{i}.{j}": _raw(tensor) for j, tensor in _entries(layer.conv_states)}
        found |= {f"recurrent.{i}.{j}": _raw(tensor) for j, tensor in _entries(layer.recurrent_states)}
    return found


def _windows(state: State) -> dict[str, RawTensor]:
    return {
        f"window.{i}.{j}": _raw(tensor)
        for i, layer in state.windowed.items()
        for j, tensor in enumerate((layer.keys, layer.values))
    }


def _entries(states: Any) -> list[tuple[int, torch.Tensor]]:
    pairs = states.items() if isinstance(states, dict) else enumerate(states)
    return [(j, tensor) for j, tensor in pairs if tensor is not None]


def _fill(state: State, ids: list[int], blocks: list[Block]) -> None:
    state.rewind(0)
    state.reserve(len(ids))
    device = state.device
    for block in blocks:
        tensors = {key: _tensor(raw).to(device) for key, raw in block.tensors.items()}
        for i, layer in state.growing.items():
            layer.restore({key.removesuffix(f".{i}"): tensor for key, tensor in tensors.items() if key.endswith(f".{i}")})
    logits = tensors.pop("logits", None)
    for key, tensor in tensors.items():
        kind, layer_number, index = (*key.split("."), "0")[:3]
        if kind == "conv":
            state.cache.layers[int(layer_number)].update_conv_state(tensor, int(index), conv_kernel_size=tensor.shape[-1])
        elif kind == "recurrent":
            state.cache.layers[int(layer_number)].update_recurrent_state(tensor, int(index))
    for i, layer in state.windowed.items():
        layer.update(tensors[f"window.{i}.0"], tensors[f"window.{i}.1"])
        layer.cumulative_length = len(ids)  # most of them are out of the window, and were not stored
    state.ids[:] = ids
    state.keep(None if logits is None else logits.clone())  # the bytes that were read need not live on for it


def _raw(tensor: torch.Tensor) -> RawTensor:
    whole = tensor.detach().cpu().contiguous()
    data = whole.flatten().view(torch.uint8).numpy()
    return RawTensor(str(whole.dtype).removeprefix("torch."), tuple(whole.shape), data)


def _tensor(raw: RawTensor) -> torch.Tensor:
    """A tensor on the bytes that were read; it is copied into the state, never written to."""
    array = np.frombuffer(raw.data, dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        data = torch.from_numpy(array)
    return data.view(getattr(torch, raw.dtype)).reshape(raw.shape)
