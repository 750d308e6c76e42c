"""Limits: how many tokens the model, the memory and the user's wishes allow, before it is asked what to fill them with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypedDict, Unpack

from longctx.errors import UsageError
from longctx.planner import memory as bytes_of
from longctx.planner.devices import OWNED, Device
from longctx.planner.geometry import Geometry
from longctx.planner.memory import Memory, Precision

#: Models with fewer parameters stay in 16 bits: 4 bits save little there and cost quality.
SMALL_MODEL = 1_000_000_000
#: A window below this is of no use; a plan that cannot even have it does not fit.
LEAST_WINDOW = 2_048
#: Tokens kept for conversation and answer: an eighth of the native window, within these.
LEAST_RESERVE, MOST_RESERVE = 1_024, 8_192
CHUNKS = {"cuda": 2_048, "mps": 1_024, "cpu": 512}
#: Chunked bf16 prefill is exact at multiples of this.
CHUNK_STEP = 64


def default_bits(geometry: Geometry) -> int:
    """16 bits per weight for models under 1B parameters, else 4."""
    return 16 if geometry.parameters.total < SMALL_MODEL else 4


def default_reserve(native_window: int, maximum: int) -> int:
    """Tokens for conversation and answer; never more than a quarter of the maximum.

    >>> default_reserve(8_192, 32_768), default_reserve(262_144, 1_010_000), default_reserve(512, 2_048)
    (1024, 8192, 512)
    """
    usual = min(MOST_RESERVE, max(LEAST_RESERVE, native_window // 8))
    return max(1, min(usual, maximum // 4))


@dataclass(frozen=True)
class Limits:
    """What bounds a plan. Made by :func:`limits`.

    Args:
        geometry: of the model, with the maximum that holds.
        device: with the memory that holds.
        precision: of weights and K/V.
        overhead: tokens of a prompt besides the sources.
        largest_item: tokens of the largest picture or temporal patch; 0 where there is nothing to see.
        asked_window: tokens, or None.
        asked_reserve: tokens, or None.
        asked_chunk: tokens, or None.
    """

    geometry: Geometry
    device: Device
    precision: Precision
    overhead: int
    largest_item: int
    asked_window: int | None
    asked_reserve: int | None
    asked_chunk: int | None

    @cached_property
    def maximum(self) -> int:
        """The longest window of the model."""
        return self.geometry.rope.maximum_window

    @cached_property
    def reserve(self) -> int:
        """Tokens for conversation and answer."""
        if self.asked_reserve is not None:
            return self.asked_reserve
        limit = self.maximum if self.asked_window is None else self.asked_window
        return default_reserve(self.geometry.native_window, limit)

    @cached_property
    def questions(self) -> tuple[int, int]:
        """The window in which segments are chosen for each question, and the tokens that a prompt may have in it."""
        window = self.asked_window or min(self.room, self.geometry.native_window)
        return window, window - self.reserve_in(window)

    def reserve_in(self, window: int) -> int:
        """Tokens for conversation and answer in a window that is filled."""
        return self.asked_reserve or min(self.reserve, window // 4)

    @cached_property
    def least(self) -> int:
        """The shortest window that is of use."""
        return min(LEAST_WINDOW, self.geometry.native_window, self.asked_window or LEAST_WINDOW)

    def estimate(self, tokens: int, chunk: int, precision: Precision | None = None) -> Memory:
        """The memory that so many tokens take, read in steps of ``chunk``."""
        return bytes_of.estimate(
            self.geometry,
            precision or self.precision,
            self.device.kind,
            tokens=tokens,
            chunk=chunk,
            largest_item=self.largest_item,
            available=self.device.memory_available,
        )

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """Prefill steps to try, the largest first."""
        if self.asked_chunk is not None:
            return (self.asked_chunk,)
        return tuple(_halves(CHUNKS[self.device.kind]))

    def chunk_for(self, tokens: int) -> int | None:
        """The largest step with which so many tokens fit, or None."""
        return next((chunk for chunk in self.chunks if self.estimate(tokens, chunk).fits), None)

    def largest(self, most: int, chunk: int) -> int:
        """The most tokens, up to ``most``, that fit with a step; 0 where none do."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.estimate(middle, chunk).fits else (low, middle - 1)
        return low

    @cached_property
    def room(self) -> int:
        """The most tokens that model and memory hold; an asked window is held to its last token or not at all."""
        if self.asked_window is not None:
            return self.asked_window if self.chunk_for(self.asked_window) is not None else 0
        return self.largest(self.maximum, self.chunks[-1])

    def lighter(self, tokens: int, chunk: int) -> list[tuple[int, Memory]]:
        """Fewer bits that would do or come closer."""
        fewer = (bits for bits in bytes_of.BITS if bits < self.precision.bits)
        return [(bits, self.estimate(tokens, chunk, replace(self.precision, bits=bits))) for bits in fewer]

    def tighter(self, tokens: int, chunk: int) -> list[tuple[str, Memory]]:
        """K/V in fewer bits, or in the CPU's memory, as arguments of a plan, with what it would take."""
        if self.device.kind == "mps":
            return []
        now = self.precision
        ways = {"kv_dtype='int8'": replace(now, kv_dtype="int8"), "kv_dtype='int4'": replace(now, kv_dtype="int4")}
        if self.device.kind == "cuda":
            ways["kv_device='cpu'"] = replace(now, kv_host=True)
        element = now.kv_bytes(self.geometry.head_dim)
        return [
            (way, self.estimate(tokens, chunk, precision))
            for way, precision in ways.items()
            if precision.kv_bytes(self.geometry.head_dim) < element or precision.kv_host > now.kv_host
        ]

    def larger(self, tokens: int) -> int:
        """Bytes of the smallest device of this kind that people own and that would do, or 0."""
        sizes = (size for size in OWNED[self.device.kind] if size > self.device.memory_available)
        return next((size for size in sizes if self._with(size).chunk_for(tokens) is not None), 0)

    def _with(self, size: int) -> Limits:
        return replace(self, device=replace(self.device, memory_available=size))

    def shorter(self, tokens: int) -> int:
        """A smaller window that would do, or 0."""
        room = self.largest(tokens, self.chunks[-1])
        return room if room >= min(LEAST_WINDOW, self.geometry.native_window) else 0


class Asked(TypedDict, total=False):
    """What a user may ask of a plan. What is None, or left out, the planner chooses.

    Args:
        bits: 4, 8 or 16 per weight; else 4, and 16 for models under 1B parameters.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"`` for what is not quantised; else the device's.
        memory: bytes to stay within; else what the device has free.
        window: tokens to plan for; else the smallest step that fits the prompt and the reserve, and without a corpus the
            largest window that fits the memory.
        max_window: the model's maximum, in place of the table's.
        reserve: tokens kept for conversation and answer.
        chunk: tokens of one prefill step; else the largest usual one that the memory allows.
        kv_dtype: of K/V: ``"int8"``, ``"int4"``; else the dtype of the rest.
        kv_device: where K/V is kept: ``"cpu"`` for the CPU's memory beside a GPU; else the model's device.
    """

    bits: int | None
    dtype: str | None
    memory: int | None
    window: int | None
    max_window: int | None
    reserve: int | None
    chunk: int | None
    kv_dtype: str | None
    kv_device: str | None


def limits(
    geometry: Geometry,
    device: Device,
    *,
    overhead_tokens: int,
    bits: int | None = None,
    dtype: str | None = None,
    memory: int | None = None,
    window: int | None = None,
    max_window: int | None = None,
    reserve: int | None = None,
    chunk: int | None = None,
    kv_dtype: str | None = None,
    kv_device: str | None = None,
    largest_item: int = 0,
    model: str = "",
) -> Limits:
    """The limits of a plan; for arguments see :class:`Asked` and :func:`longctx.planner.plan`.

    Raises:
        UsageError: a value is out of range; the message names it.
    """
    rope = geometry.rope if max_window is None else geometry.rope.limited(max_window)
    geometry = replace(geometry, rope=rope)
    if window is not None and (not _whole(window) or not 0 < window <= rope.maximum_window):
        raise UsageError(
            f"window={window!r} is not between 1 and the maximum of {model or geometry.name}, {rope.maximum_window}",
            hint="max_window= replaces the maximum where the table of known families is wrong",
        )
    if memory is not None:
        device = replace(device, memory_available=_positive("memory", memory))
    for name, value in (("overhead_tokens", overhead_tokens), ("largest_item", largest_item)):
        if value < 0:
            raise UsageError(f"{name}={value} is negative; a count of tokens cannot be")
    return Limits(
        geometry=geometry,
        device=device,
        precision=_precision(geometry, device, bits, dtype or device.dtype, kv_dtype, kv_device),
        overhead=overhead_tokens,
        largest_item=largest_item,
        asked_window=window,
        asked_reserve=None if reserve is None else _positive("reserve", reserve),
        asked_chunk=None if chunk is None else _positive("chunk", chunk),
    )


def _precision(
    geometry: Geometry, device: Device, bits: int | None, dtype: str, kv_dtype: str | None, kv_device: str | None
) -> Precision:
    """How numbers are held on a device.

    Raises:
        UsageError: K/V cannot be held like that there.
    """
    packed = "" if kv_dtype in (None, dtype) else kv_dtype
    if kv_device not in (None, "cpu", device.kind):
        raise UsageError(f"kv_device={kv_device!r} is neither 'cpu' nor the model's device, {device.kind!r}")
    host = kv_device == "cpu" and device.kind != "cpu"
    if device.kind == "mps" and (packed or host):
        raise UsageError("K/V cannot be packed on 'mps': torch's kernel there does not tell the sum that blocks are merged by")
    if packed == "int4" and geometry.head_dim % 2:
        raise UsageError(f"kv_dtype='int4' puts two numbers into a byte, and the head size is {geometry.head_dim}")
    return Precision(default_bits(geometry) if bits is None else bits, dtype, packed, host)


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens there are for something that is still to be chosen.

    Args:
        tokens: for it, if it and everything else is to be read whole; 0 where there is no room.
        window: that it must fit into.
        taken: tokens of the window that are spoken for: other sources, frame of the prompt, conversation.
        limit: whether the window ends it, the memory before, or a budget.
    """

    tokens: int
    window: int
    taken: int
    limit: Literal["window", "memory", "budget"]


def room(
    geometry: Geometry,
    *,
    device: Device,
    overhead_tokens: int,
    source_tokens: int = 0,
    largest_item: int = 0,
    **asked: Unpack[Asked],
) -> Room:
    """How many tokens frames of videos may take beside what is there already, if everything is to be read whole.

    Videos alone are no reason for YaRN: they have what the native window leaves, or the step that the other sources need
    anyway, or the window that was asked for; and no more than the memory holds. A plan for sources of so many tokens in all,
    with the same arguments, reads them whole.

    Args:
        geometry: of the model.
        device: where it will run.
        overhead_tokens: of a prompt besides the sources.
        source_tokens: of everything but the frames.
        largest_item: tokens of the largest picture or temporal patch; of frames: :func:`longctx.planner.largest_patch`.
        asked: see :class:`Asked`.

    Raises:
        UsageError: a value is out of range; the message names it.
    """
    if source_tokens < 0:
        raise UsageError(f"source_tokens={source_tokens} is negative; a count of tokens cannot be")
    found = limits(geometry, device, overhead_tokens=overhead_tokens, largest_item=largest_item, **asked)
    taken, rope = source_tokens + overhead_tokens + found.reserve, found.geometry.rope
    most = found.asked_window or rope.window(rope.choose(taken))
    held = min(most, found.room)
    return Room(max(0, held - taken), most, taken, "memory" if held < most else "window")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(name: str, value: int) -> int:
    if not _whole(value) or value < 1:
        raise UsageError(f"{name}={value!r} is no positive whole number")
    return value


def _halves(chunk: int) -> Iterator[int]:
    """A step and its halves, down to the smallest exact one."""
    while chunk >= CHUNK_STEP:
        yield chunk
        chunk //= 2
