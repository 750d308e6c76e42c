"""The plan: which window, which step of YaRN, how much memory, what of the corpus; or why it does not fit and what would.

Numbers in, numbers out. K/V is computed for what the prompt and a conversation fill, not for the whole window, unless a window
was asked for. A corpus that is too large is no error: segments are then chosen for each question. Without a corpus the figures
are those of a prompt that fills the window: the one that was asked for, or the largest that fits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Unpack

from longctx.errors import PlanError, UsageError
from longctx.planner import memory as bytes_of
from longctx.planner import notes, timing
from longctx.planner.devices import Device
from longctx.planner.figures import Figures, LeftOut, Mode, Share
from longctx.planner.footage import Sampling
from longctx.planner.geometry import Geometry
from longctx.planner.limits import LEAST_RESERVE, Asked, Limits, limits
from longctx.planner.memory import Precision
from longctx.planner.timing import Speed
from longctx.planner.ways import Going, Way, ways
from longctx.planner.yarn import STEPS

#: How tokens were counted where there were none to count.
NO_CORPUS = "no corpus: what the window has room for"
NO_SPEEDS: Mapping[Precision, Speed] = MappingProxyType({})


def plan(
    geometry: Geometry,
    *,
    model: str,
    source_tokens: Sequence[tuple[str, int]] | None,
    overhead_tokens: int,
    device: Device,
    largest_item: int = 0,
    samplings: Sequence[Sampling] = (),
    estimated: Collection[str] = (),
    counts_basis: str = "exact",
    corpus_tokens: int | None = None,
    per_question: bool = False,
    speeds: Mapping[Precision, Speed] = NO_SPEEDS,
    squeezed: bool = False,
    **asked: Unpack[Asked],
) -> Figures:
    """Plan how a model reads sources on a device.

    Args:
        geometry: of the model.
        model: its name as the user gave it.
        source_tokens: path and tokens of every source, marks included; None where there is no corpus.
        overhead_tokens: of a prompt besides the sources: template, instructions, question.
        device: where it will run.
        largest_item: tokens of the largest picture or temporal patch, which no prefill step cuts; 0 where none is seen.
        samplings: what is looked at of each video, for the rows of these sources.
        estimated: paths of sources whose tokens are estimates.
        counts_basis: how tokens were counted, in words.
        corpus_tokens: of all that was read, where budgets let ``source_tokens`` be less.
        per_question: choose segments for each question, even if all of them might fit.
        speeds: of the device, as far as they were measured; K/V that is packed is in none of them.
        squeezed: whether the store keeps K/V in a byte a number.
        asked: see :class:`~longctx.planner.limits.Asked`.

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
    _require_sizes(source_tokens or ())
    return _Planner(
        limits=limits(geometry, device, overhead_tokens=overhead_tokens, largest_item=largest_item, model=model, **asked),
        model=model,
        sources=None if source_tokens is None else tuple(source_tokens),
        samplings={sampling.path: sampling for sampling in samplings},
        estimated=frozenset(estimated),
        counts_basis=counts_basis,
        all_tokens=corpus_tokens,
        per_question=per_question,
        speeds=speeds,
        squeezed=squeezed,
    ).figures()


def _require_sizes(source_tokens: Sequence[tuple[str, int]]) -> None:
    for path, tokens in source_tokens:
        if tokens < 0:
            raise UsageError(f"{path} has {tokens} tokens; a count cannot be negative")


@dataclass(frozen=True)
class _Planner:
    """One plan in the making."""

    limits: Limits
    model: str
    sources: tuple[tuple[str, int], ...] | None
    samplings: Mapping[str, Sampling]
    estimated: frozenset[str]
    counts_basis: str
    all_tokens: int | None
    per_question: bool
    speeds: Mapping[Precision, Speed]
    squeezed: bool

    @property
    def geometry(self) -> Geometry:
        return self.limits.geometry

    @property
    def overhead(self) -> int:
        return self.limits.overhead

    @cached_property
    def corpus_tokens(self) -> int:
        return sum(tokens for _, tokens in self.sources or ())

    @cached_property
    def whole_prompt(self) -> int:
        return self.corpus_tokens + self.overhead

    @cached_property
    def wanted(self) -> int:
        """Tokens that should be there at once: the window that was asked for, or all of the corpus and a conversation."""
        limits = self.limits
        if limits.asked_window is not None:
            return limits.asked_window
        if self.sources is None:
            return self.geometry.native_window
        return min(limits.maximum, self.whole_prompt + limits.reserve)

    # -- the four outcomes -------------------------------------------------------------------------------------------
    def figures(self) -> Figures:
        """Whole where it can be, else chosen per question, else a refusal with alternatives; without a corpus, the window."""
        limits = self.limits
        if limits.room < limits.least:
            return self.refused()
        if self.sources is None:
            return self.filled(limits.room)
        spare = limits.room - self.whole_prompt
        if not self.per_question and spare >= (limits.asked_reserve or min(limits.reserve, LEAST_RESERVE, limits.room // 4)):
            return self.whole(min(limits.reserve, spare))
        return self.retrieval(*limits.questions)

    def whole(self, reserve: int) -> Figures:
        """Every source is read, once."""
        asked, tokens = self.limits.asked_window, self.limits.asked_window or self.whole_prompt + reserve
        chunk = self.limits.chunk_for(tokens) or self.limits.chunks[-1]
        factor = self.geometry.rope.choose(tokens)
        window = asked or self.allowed(tokens, self.geometry.rope.window(factor), chunk)
        remarks = notes.yarn(self.geometry, factor) + ([notes.tight(reserve)] if reserve < self.limits.reserve else [])
        return self.result("whole", True, factor, window, self.whole_prompt, reserve, tokens, chunk, remarks)

    def allowed(self, tokens: int, window: int, chunk: int) -> int:
        """A window, shrunk to what the memory holds, but never below what was planned."""
        return window if self.limits.estimate(window, chunk).fits else max(tokens, self.limits.largest(window, chunk))

    def retrieval(self, window: int, prompt: int) -> Figures:
        """Segments are chosen for each question."""
        reserve = window - prompt
        if prompt <= self.overhead:
            raise PlanError(
                f"a window of {window} tokens has no room for sources: instructions and question take {self.overhead}, "
                f"the answer {reserve}",
                hint="plan a larger window, or give more memory",
            )
        factor, chunk = self.geometry.rope.choose(window), self.limits.chunk_for(window) or self.limits.chunks[-1]
        remarks = [*notes.yarn(self.geometry, factor), *self.why_not_whole(prompt - self.overhead)]
        return self.result("retrieval", True, factor, window, prompt, reserve, window, chunk, remarks)

    def filled(self, window: int) -> Figures:
        """A prompt that fills the window."""
        reserve = self.limits.reserve_in(window)
        factor, chunk = self.geometry.rope.choose(window), self.limits.chunk_for(window) or self.limits.chunks[-1]
        remarks = notes.yarn(self.geometry, factor)
        return self.result("window", True, factor, window, window - reserve, reserve, window, chunk, remarks)

    def refused(self) -> Figures:
        """Nothing fits; the figures say by how much, the warnings what would."""
        limits = self.limits
        tokens, chunk = limits.asked_window or limits.least, limits.chunks[-1]
        factor, reserve = self.geometry.rope.choose(tokens), min(limits.reserve, tokens // 4)
        prompt = tokens - reserve if self.sources is None else min(self.whole_prompt, tokens - reserve)
        remarks = notes.alternatives(
            limits.estimate(tokens, chunk),
            tokens,
            lighter=limits.lighter(tokens, chunk),
            tighter=limits.tighter(tokens, chunk),
            shorter=limits.shorter(tokens),
            device=limits.device,
            larger=limits.larger(tokens),
        )
        mode: Mode = "window" if self.sources is None else "whole"
        return self.result(mode, False, factor, tokens, prompt, reserve, tokens, chunk, list(remarks))

    # -- words and rows ----------------------------------------------------------------------------------------------
    def why_not_whole(self, budget: int) -> Iterator[str]:
        """Why segments are chosen, and at what price."""
        wanted = (self.all_tokens or self.corpus_tokens) + self.overhead + self.limits.reserve
        yield notes.chosen(self.all_tokens or self.corpus_tokens, budget)
        if wanted > self.limits.maximum:
            yield notes.past_maximum(self.geometry, wanted, self.limits.maximum)
        elif self.limits.asked_window is None:
            chunk = self.limits.chunks[-1]
            yield notes.past_memory(self.limits.estimate(wanted, chunk), wanted, self.limits.tighter(wanted, chunk))

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
        """The figures of an outcome."""
        limits, needed = self.limits, self.limits.estimate(self.wanted, self.limits.chunks[-1])
        rope, device, precision = self.geometry.rope, limits.device, limits.precision
        known = notes.model(self.geometry, precision, device, chunk, sees=limits.largest_item > 0)
        memory, speed = limits.estimate(tokens, chunk), self.speeds.get(precision)
        return Figures(
            model=self.model,
            fits=fits,
            mode=mode,
            device=device.kind,
            bits=precision.bits,
            dtype=precision.dtype,
            kv_dtype=precision.kv_dtype or precision.dtype,
            kv_device="cpu" if precision.kv_host else device.kind,
            window=window,
            native_window=rope.native_window,
            maximum_window=rope.maximum_window,
            yarn_factor=factor,
            prompt_tokens=prompt,
            overhead_tokens=self.overhead,
            segment_budget=max(0, prompt - self.overhead),
            reserve=reserve,
            planned_tokens=tokens,
            memory=memory,
            disk=bytes_of.prefix(self.geometry, prompt, precision, squeezed_by=chunk if self.squeezed else 0),
            chunk=chunk,
            sources=tuple(self.shares()),
            left_out=self.left_out(prompt - self.overhead) if mode == "retrieval" else (),
            warnings=(*remarks, *known, *notes.beyond(device), *device.warnings),
            counts_basis=self.basis(),
            notes=(*notes.place(device), *notes.host(memory), *notes.untimed(device, precision, speed), *self.steps()),
            wanted_tokens=self.wanted,
            lacking=max(0, needed.total - needed.available),
            ways=tuple(self.ways(mode, window, factor, prompt - self.overhead, memory.total)) if fits else (),
            time=None if speed is None else timing.estimate(self.geometry, speed, tokens=prompt, chunk=chunk),
        )

    def ways(self, mode: Mode, window: int, factor: float, tokens: int, memory: int) -> Iterator[Way]:
        """Every way to read the corpus, where it is not read whole."""
        everything = self.all_tokens or self.corpus_tokens
        if mode == "retrieval":
            going = Going("retrieval", window, factor, 0, min(tokens, everything), memory)
        elif everything > self.corpus_tokens:
            going = Going("budgets", window, factor, self.corpus_tokens, 0, memory)
        else:
            return
        yield from ways(self.limits, everything, going)

    def steps(self) -> Iterator[str]:
        """What each step of YaRN would take, where neither a corpus nor a window decides."""
        limits, rope = self.limits, self.geometry.rope
        if self.sources is None and limits.asked_window is None:
            factors = {rope.window(factor): factor for factor in reversed(STEPS)}
            needs = [(factor, limits.estimate(window, limits.chunks[-1])) for window, factor in sorted(factors.items())]
            yield notes.windows(rope, needs)

    def shares(self) -> Iterator[Share]:
        """Sources, with what is seen of them."""
        for path, tokens in self.sources or ():
            share = Share(path, tokens, tokens / self.corpus_tokens if tokens else 0.0, estimated=path in self.estimated)
            seen = self.samplings.get(path)
            yield (
                share
                if seen is None
                else replace(
                    share, frames=seen.frames, fps=seen.fps, frame_size=(seen.width, seen.height) if seen.frames else None
                )
            )

    def basis(self) -> str:
        """How tokens were counted; how many sources were not."""
        if self.sources is None:
            return NO_CORPUS
        guessed = sum(path in self.estimated for path, _ in self.sources)
        return f"{self.counts_basis}; {guessed} of {len(self.sources)} sources estimated" if guessed else self.counts_basis

    def left_out(self, budget: int) -> tuple[LeftOut, ...]:
        """The sources that cannot all be read."""
        reason = f"chosen per question: {budget:,} of {self.all_tokens or self.corpus_tokens:,} tokens fit at a time"
        return tuple(LeftOut(path, tokens, reason) for path, tokens in self.sources or () if tokens)
