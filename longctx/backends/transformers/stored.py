"""Between the state of a model and the prefix store: tensors of finished chunks out and in, bit for bit.

A chain of blocks, one a chunk, holds the K/V. The state of recurrent layers and of sliding windows cannot be cut, so a model
with such layers goes on from snapshots only. They stand beside the chain: at the end of the head, now and then on the way so
that they stay small against the K/V, and one that rolls along with the last finished chunk.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longctx.backends.transformers.cache import GrowingLayer, State
from longctx.backends.transformers.packed import Int8Channels
from longctx.blocks import Block, RawTensor, beside, names
from longctx.planner.memory import SNAPSHOT_SHARE
from longctx.prefixes import PrefixStore

#: What the meta of a snapshot calls the length of the last one before it that stays, where it does not stay itself.
ROLLING = "rolling_after"


@dataclass(frozen=True)
class Head:
    """The beginning of a prompt that is kept.

    Args:
        ids: its tokens; for what is looked at, what is seen.
        ends: of its chunks, ascending, the last one its length.
        names: of its blocks in the store.
    """

    ids: list[int]
    ends: Sequence[int]
    names: Sequence[str]

    @cached_property
    def numbers(self) -> dict[int, int]:
        """Which block ends at a length."""
        return {end: number for number, end in enumerate(self.ends)}

    def start(self, number: int) -> int:
        """Where a block begins."""
        return self.ends[number - 1] if number else 0

    def parent(self, number: int) -> str:
        """Name of the block before another; empty for the first."""
        return self.names[number - 1] if number else ""


class StoredPrefix:
    """Writes and reads the head of prompts.

    Args:
        folder: of the store; None keeps nothing.
        model: its name, for listings.
        dtype: ``"int8"`` keeps K/V in a byte a number, where it is not packed anyway; empty keeps it bit for bit.
    """

    def __init__(self, folder: Path | None, model: str = "", dtype: str = "") -> None:
        self.store = PrefixStore(folder) if folder is not None else None
        self.model = model
        self.squeeze = dtype == "int8"
        self.fingerprint = ""
        self.miss_reason = ""
        self.known = 0  # tokens of the head that the store has, where it has others after them
        self._head: Head | None = None
        self._rolling = ""  # the snapshot that the next one takes the place of
        self._kept = 0  # where the last snapshot is that stays

    def take_notes(self) -> list[str]:
        """What went wrong with the store since the last call, for the user."""
        if self.store is None:
            return []
        notes = list(self.store.notes)
        self.store.notes.clear()
        return notes

    @contextmanager
    def holding(self, ids: list[int], ends: Sequence[int]) -> Iterator[None]:
        """Take up a head, and keep its blocks from being pruned while they are read and written.

        Args:
            ids: of the prompt that it begins; for what is looked at, what is seen.
            ends: of the head's chunks, the last one its length.
        """
        self.miss_reason, self.known, self._head = "", 0, None
        if self.store is None or not ends[-1]:
            yield
            return
        kept = ids[: ends[-1]]
        chain = names(np.asarray(kept, dtype=np.int64), ends, self.fingerprint)
        self._head, snapshots = Head(kept, ends, chain), [beside(name) for name in chain]
        if self._rolling not in snapshots:  # of another head, which may be taken up again
            self._rolling = ""
        with self.store.using([*chain, *snapshots]):
            yield

    # -- out ---------------------------------------------------------------------------------------------------------
    def write(self, state: State, logits: torch.Tensor | None) -> None:
        """Write the block that ends where the state stands, if it ends a chunk of the head. Never raises for a bad disk.

        Args:
            state: what was read.
            logits: of the last token.
        """
        head = self._head
        if self.store is None or head is None or not state.storable or state.length not in head.numbers:
            return
        number = head.numbers[state.length]
        name, start = head.names[number], head.start(number)
        tensors = _kv(state, start, state.length, squeeze=self.squeeze)
        if not self.store.has(name):
            self._put(name, head.parent(number), state.length, tensors)
        last = number + 1 == len(head.names)
        said = {"logits": _raw(logits)} if last and logits is not None else {}  # on the way they would only take room
        if not state.croppable:
            per_token = sum(len(tensor.view) for tensor in tensors.values()) / (state.length - start)
            self._snapshot(state, name, said, last=last, start=start, per_token=per_token)
        elif said and not self.store.has(beside(name)):
            self._put(beside(name), name, state.length, said)

    def _snapshot(
        self, state: State, name: str, said: dict[str, RawTensor], *, last: bool, start: int, per_token: float
    ) -> None:
        """Keep what cannot be cut, for good or until the next chunk is finished."""
        assert self.store is not None
        self._kept = min(self._kept, start)
        tensors = {**_recurrent(state), **_windows(state), **said}
        size = sum(len(tensor.view) for tensor in tensors.values())
        stays = last or size <= SNAPSHOT_SHARE * per_token * (state.length - self._kept)
        new = beside(name)
        meta = {} if stays else {ROLLING: str(self._kept)}
        if not self.store.has(new) and not self._put(new, name, state.length, tensors, meta):
            return  # the disk may be full: the one before stays
        if self._rolling not in ("", new):
            self.store.remove(self._rolling)
        self._rolling = "" if stays else new
        self._kept = state.length if stays else self._kept

    def _put(
        self, name: str, parent: str, length: int, tensors: Mapping[str, RawTensor], more: Mapping[str, str] | None = None
    ) -> bool:
        assert self.store is not None
        meta = {"fingerprint": self.fingerprint, "model": self.model, **(more or {})}
        return self.store.put(name, parent=parent, length=length, tensors=tensors, meta=meta)

    # -- in ----------------------------------------------------------------------------------------------------------
    def read(self, state: State, tell: Callable[[int], None]) -> int:
        """Bring a state as far along the head as the store can; returns the tokens that it has read then.

        The state is only touched where the store has more of the head. Whatever is raised meanwhile leaves it empty.

        Args:
            state: it has read a beginning of the head, or nothing.
            tell: is called with the tokens that are there so far; may raise.
        """
        head = self._head
        if self.store is not None and not state.storable:
            self.miss_reason = "layers of this kind cannot be kept on disk"
        if self.store is None or head is None or not state.storable:
            return state.length
        there = self.store.longest(head.names)
        self._miss(there)
        number = there if state.croppable else self._last_snapshot(there)
        if number and head.ends[number - 1] > state.length:
            try:
                self._fill(state, head, number, tell)
            except BaseException:
                state.begin(0)
                raise
        return state.length

    def _last_snapshot(self, number: int) -> int:
        """How many of the first blocks end at a snapshot."""
        assert self.store is not None
        assert self._head is not None
        while number and not self.store.has(beside(self._head.names[number - 1])):
            number -= 1
        return number

    def _fill(self, state: State, head: Head, number: int, tell: Callable[[int], None]) -> None:
        """K/V block by block, as far as they are sound; then what stands beside the last of them."""
        start = bisect_right(head.ends, state.length)
        state.begin(head.start(start))
        while start < number and (block := self._get(head.names[start], start)) is not None:
            _restore_kv(state, block)
            start += 1
            tell(head.ends[start - 1])
        if state.croppable:
            whole = start == len(head.names)
            found = self._get(beside(head.names[-1]), start) if whole else None
        else:
            start, found = self._snapshot_before(start)
            state.begin(head.start(start))
            if found is not None:
                _restore_state(state, found)
                self._rolling = found.name if ROLLING in found.meta else ""
                self._kept = int(found.meta.get(ROLLING, found.length))
        state.ids[:] = head.ids[: head.start(start)]
        if state.length:
            state.keep(_logits(found))

    def _snapshot_before(self, number: int) -> tuple[int, Block | None]:
        """The last sound snapshot among the first blocks, and how many of them end there."""
        assert self._head is not None
        while number := self._last_snapshot(number):
            found = self._get(beside(self._head.names[number - 1]), number)
            if found is not None:
                return number, found
        return 0, None

    def _get(self, name: str, number: int) -> Block | None:
        """A block, which is removed where it is damaged; then the reason is kept."""
        assert self.store is not None
        block = self.store.get(name)
        if block is None and self.store.last_miss != "absent":
            self.miss_reason = f"a stored block is {self.store.last_miss}"
        return block

    def _miss(self, there: int) -> None:
        """Why not all of the head is in the store."""
        assert self._head is not None
        if there < len(self._head.names):
            self.known, bound = self._head.start(there), self._head.ends[there]
            self.miss_reason = f"the store has other text before token {bound:,}" if there else "not in the prefix store yet"


def _kv(state: State, start: int, stop: int, *, squeeze: bool) -> dict[str, RawTensor]:
    found: dict[str, RawTensor] = {}
    for i, layer in state.growing.items():
        parts = layer.parts(start, stop)
        parts = _squeezed(parts) if squeeze and type(layer) is GrowingLayer else parts
        found |= {f"{name}.{i}": _raw(part) for name, part in parts.items()}
    return found


def _squeezed(parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    codec = Int8Channels()
    packed = {name: zip(codec.names, codec.pack(part), strict=True) for name, part in parts.items()}
    return {f"{name}{suffix}": part for name, pairs in packed.items() for suffix, part in pairs}


def _unsqueezed(parts: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """What was squeezed, in its own dtype again; everything else as it is."""
    codec = Int8Channels()
    scales = {name: parts[scaled] for name in parts if (scaled := f"{name}{codec.names[1]}") in parts}
    return {name: codec.unpack((parts[name], scale), scale.dtype) for name, scale in scales.items()} or parts


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


def _restore_kv(state: State, block: Block) -> None:
    for i, layer in state.growing.items():
        ours = {key.removesuffix(f".{i}"): raw for key, raw in block.tensors.items() if key.endswith(f".{i}")}
        layer.restore(_unsqueezed({key: _tensor(raw).to(state.device) for key, raw in ours.items()}))


def _restore_state(state: State, block: Block) -> None:
    tensors = {key: _tensor(raw).to(state.device) for key, raw in block.tensors.items()}
    for key, tensor in tensors.items():
        kind, layer_number, index = (*key.split("."), "0", "0")[:3]
        if kind == "conv":
            layer = state.cache.layers[int(layer_number)]
            layer.update_conv_state(tensor, int(index), conv_kernel_size=tensor.shape[-1])
        elif kind == "recurrent":
            state.cache.layers[int(layer_number)].update_recurrent_state(tensor, int(index))
    for i, layer in state.windowed.items():
        layer.update(tensors[f"window.{i}.0"], tensors[f"window.{i}.1"])
        layer.cumulative_length = block.length  # most of them are out of the window, and were not stored


def _logits(block: Block | None) -> torch.Tensor | None:
    """Those of a snapshot's last token; the bytes that were read need not live on for it."""
    return _tensor(block.tensors["logits"]).clone() if block is not None and "logits" in block.tensors else None


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
