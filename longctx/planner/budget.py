"""The plan: which window, which step of YaRN, how much memory, what of the corpus; or why it does not fit and what would.

Numbers in, numbers out. K/V is computed for what the prompt and a conversation fill, not for the whole window, unless a window
was asked for. A corpus that is too large is no error: segments are then chosen for each question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from longctx.errors import PlanError, UsageError
from longctx.planner import memory as bytes_of
from longctx.planner import notes
from longctx.planner.devices import Device
from longctx.planner.figures import Figures, LeftOut, Mode, Share
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


def plan(
    geometry: Geometry,
    *,
    model: str,
    source_tokens: Sequence[tuple[str, int]],
    overhead_tokens: int,
    device: Device,
    bits: int | None = None,
    dtype: str | None = None,
    memory: int | None = None,
    window: int | None = None,
    reserve: int | None = None,
    chunk: int | None = None,
    max_window: int | None = None,
    counts_basis: str = "exact",
) -> Figures:
    """Plan how a model reads sources on a device.

    Args:
        geometry: of the model.
        model: its name as the user gave it.
        source_tokens: path and tokens of every source, marks included.
        overhead_tokens: of a prompt besides the sources: template, instructions, question.
        device: where it will run.
        bits: 4, 8 or 16 per weight; None takes 4, and 16 for models under 1B parameters.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"`` for what is not quantised; None takes the device's.
        memory: bytes to stay within; None takes what the device has free.
        window: tokens to plan for; None takes the smallest step that fits the prompt and the reserve.
        reserve: tokens kept for conversation and answer.
        chunk: tokens of one prefill step; None takes the largest usual one that the memory allows.
        max_window: the model's maximum, in place of the table's.
        counts_basis: how tokens were counted, in words.

    Raises:
        UsageError: a value is out of range; the message names it.
        PlanError: the window has no room for anything but instructions.

    >>> from longctx.planner import Device, Geometry
    >>> smol = dict(model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    ...             num_key_value_heads=3, vocab_size=49152, max_position_embeddings=8192, tie_word_embeddings=True)
    >>> figures = plan(Geometry.from_config(smol), model="smol", source_tokens=[("a.py", 12_000)], overhead_tokens=100,
    ...                device=Device("cpu", "CPU", 8 * 10**9, 6 * 10**9))
    >>> figures.yarn_factor, figures.window, figures.memory.kv_cache, figures.fits
    (2.0, 16384, 302376960, True)
    """
    _require_sizes(source_tokens, overhead_tokens)
    rope = geometry.rope if max_window is None else geometry.rope.limited(max_window)
    geometry = replace(geometry, rope=rope)
    if window is not None and not 0 < window <= rope.maximum_window:
        raise UsageError(
            f"window={window} is not between 1 and the maximum of {model}, {rope.maximum_window}",
            hint="max_window= replaces the maximum where the table of known families is wrong",
        )
    if memory is not None:
        device = replace(device, memory_available=_positive("memory", memory))
    return _Planner(
        geometry=geometry,
        model=model,
        sources=tuple(source_tokens),
        overhead=overhead_tokens,
        device=device,
        precision=Precision(default_bits(geometry) if bits is None else bits, dtype or device.dtype),
        asked_window=window,
        asked_reserve=None if reserve is None else _positive("reserve", reserve),
        asked_chunk=None if chunk is None else _positive("chunk", chunk),
        counts_basis=counts_basis,
    ).figures()


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


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name}={value!r} is no positive whole number")
    return value


def _require_sizes(source_tokens: Sequence[tuple[str, int]], overhead_tokens: int) -> None:
    for path, tokens in (*source_tokens, ("the prompt's frame", overhead_tokens)):
        if tokens < 0:
            raise UsageError(f"{path} has {tokens} tokens; a count cannot be negative")


@dataclass(frozen=True)
class _Planner:
    """One plan in the making."""

    geometry: Geometry
    model: str
    sources: tuple[tuple[str, int], ...]
    overhead: int
    device: Device
    precision: Precision
    asked_window: int | None
    asked_reserve: int | None
    asked_chunk: int | None
    counts_basis: str

    # -- what is needed ----------------------------------------------------------------------------------------------
    @cached_property
    def corpus_tokens(self) -> int:
        return sum(tokens for _, tokens in self.sources)

    @cached_property
    def whole_prompt(self) -> int:
        return self.corpus_tokens + self.overhead

    @cached_property
    def maximum(self) -> int:
        return self.geometry.rope.maximum_window

    @cached_property
    def reserve(self) -> int:
        if self.asked_reserve is not None:
            return self.asked_reserve
        limit = self.maximum if self.asked_window is None else self.asked_window
        return default_reserve(self.geometry.native_window, limit)

    @cached_property
    def least(self) -> int:
        return min(LEAST_WINDOW, self.geometry.native_window, self.asked_window or LEAST_WINDOW)

    # -- what the memory allows --------------------------------------------------------------------------------------
    def estimate(self, tokens: int, chunk: int, precision: Precision | None = None) -> Memory:
        return bytes_of.estimate(
            self.geometry,
            precision or self.precision,
            self.device.kind,
            tokens=tokens,
            chunk=chunk,
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

    # -- the three outcomes ------------------------------------------------------------------------------------------
    def figures(self) -> Figures:
        """Whole where it can be, else chosen per question, else a refusal with alternatives."""
        if self.room < self.least:
            return self.refused()
        spare = self.room - self.whole_prompt
        if spare >= (self.asked_reserve or min(self.reserve, LEAST_RESERVE, self.room // 4)):
            return self.whole(min(self.reserve, spare))
        return self.retrieval(self.asked_window or min(self.room, self.geometry.native_window))

    def whole(self, reserve: int) -> Figures:
        """Every source is read, once."""
        tokens = self.asked_window or self.whole_prompt + reserve
        chunk = self.chunk_for(tokens) or self.chunks[-1]
        factor = self.geometry.rope.choose(tokens)
        window = self.asked_window or self.allowed(tokens, self.geometry.rope.window(factor), chunk)
        remarks = notes.yarn(self.geometry, factor) + ([notes.tight(reserve)] if reserve < self.reserve else [])
        return self.result("whole", True, factor, window, self.whole_prompt, reserve, tokens, chunk, remarks)

    def allowed(self, tokens: int, window: int, chunk: int) -> int:
        """A window, shrunk to what the memory holds, but never below what was planned."""
        return window if self.estimate(window, chunk).fits else max(tokens, self.largest(window, chunk))

    def retrieval(self, window: int) -> Figures:
        """Segments are chosen for each question."""
        reserve = self.asked_reserve or min(self.reserve, window // 4)
        prompt = window - reserve
        if prompt <= self.overhead:
            raise PlanError(
                f"a window of {window} tokens has no room for sources: instructions and question take {self.overhead}, "
                f"the answer {reserve}",
                hint="plan a larger window, or give more memory",
            )
        factor, chunk = self.geometry.rope.choose(window), self.chunk_for(window) or self.chunks[-1]
        remarks = [*notes.yarn(self.geometry, factor), *self.why_not_whole(prompt - self.overhead)]
        return self.result("retrieval", True, factor, window, prompt, reserve, window, chunk, remarks)

    def refused(self) -> Figures:
        """Nothing fits; the figures say by how much, the warnings what would."""
        tokens, chunk = self.asked_window or self.least, self.chunks[-1]
        factor, reserve = self.geometry.rope.choose(tokens), min(self.reserve, tokens // 4)
        prompt = min(self.whole_prompt, tokens - reserve)
        remarks = notes.alternatives(self.estimate(tokens, chunk), tokens, self.lighter(tokens, chunk), self.shorter(tokens))
        return self.result("whole", False, factor, tokens, prompt, reserve, tokens, chunk, list(remarks))

    # -- words and rows ----------------------------------------------------------------------------------------------
    def lighter(self, tokens: int, chunk: int) -> list[tuple[int, Memory]]:
        """Fewer bits that would do or come closer."""
        fewer = (bits for bits in bytes_of.BITS if bits < self.precision.bits)
        return [(bits, self.estimate(tokens, chunk, Precision(bits, self.precision.dtype))) for bits in fewer]

    def shorter(self, tokens: int) -> int:
        """A smaller window that would do, or 0."""
        room = self.largest(tokens, self.chunks[-1])
        return room if room >= min(LEAST_WINDOW, self.geometry.native_window) else 0

    def why_not_whole(self, budget: int) -> Iterator[str]:
        wanted = self.whole_prompt + self.reserve
        yield notes.chosen(self.corpus_tokens, budget)
        if wanted > self.maximum:
            yield notes.past_maximum(self.geometry, wanted, self.maximum)
        elif self.asked_window is None:
            yield notes.past_memory(self.estimate(wanted, self.chunks[-1]), wanted)

    def result(
        self,
        mode: Mode,
        fits: bool,
        factor: float,
        window: int,
        prompt: int,
        reserve: int,
        tokens: int,
        chunk: int,
        remarks: Sequence[str],
    ) -> Figures:
        rope, element = self.geometry.rope, self.precision.element
        return Figures(
            model=self.model,
            fits=fits,
            mode=mode,
            device=self.device.kind,
            bits=self.precision.bits,
            dtype=self.precision.dtype,
            window=window,
            native_window=rope.native_window,
            maximum_window=rope.maximum_window,
            yarn_factor=factor,
            prompt_tokens=prompt,
            overhead_tokens=self.overhead,
            segment_budget=max(0, prompt - self.overhead),
            reserve=reserve,
            planned_tokens=tokens,
            memory=self.estimate(tokens, chunk),
            disk=bytes_of.prefix(self.geometry, prompt, element),
            chunk=chunk,
            sources=tuple(Share(path, n, n / self.corpus_tokens if n else 0.0) for path, n in self.sources),
            left_out=self.left_out(prompt - self.overhead) if mode == "retrieval" else (),
            warnings=(*remarks, *notes.model(self.geometry, self.precision, self.device, chunk), *self.device.warnings),
            counts_basis=self.counts_basis,
        )

    def left_out(self, budget: int) -> tuple[LeftOut, ...]:
        reason = f"chosen per question: {budget:,} of {self.corpus_tokens:,} tokens fit at a time"
        return tuple(LeftOut(path, tokens, reason) for path, tokens in self.sources if tokens)


def _halves(chunk: int) -> Iterator[int]:
    """A step and its halves, down to the smallest exact one."""
    while chunk >= CHUNK_STEP:
        yield chunk
        chunk //= 2
