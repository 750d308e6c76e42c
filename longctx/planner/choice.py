"""The choice among the members of a family: the largest that holds all of it, in the most bits; else the one that holds most.

Numbers in, numbers and words out. What bitsandbytes cannot really quantise is skipped, unless 16 bits are asked for. 8 bits are
never chosen, only obeyed: LLM.int8 is slow. Every member is judged by the very plan that is made for it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.errors import PlanError, UsageError
from longctx.planner.budget import plan
from longctx.planner.devices import Device
from longctx.planner.figures import Figures
from longctx.planner.geometry import Geometry
from longctx.planner.notes import gb

#: Tried in this order: 16 bits lose nothing, 4 are what else fits; K/V as it is, then in 8 bits, which lose less than 4 bits of
#: weights do. 4 bits of K/V are only obeyed.
BITS = (16, 4)
KV = (None, "int8")


@dataclass(frozen=True)
class Candidate:
    """A member of the family.

    Args:
        geometry: with its name.
        device: as a plan for this member finds it.
        here: whether the member is on this machine.
    """

    geometry: Geometry
    device: Device
    here: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Which member is taken, and why.

    Args:
        name: of the member.
        bits: per weight.
        words: why it and not another.
        kv_dtype: of K/V; None for that of the rest.
    """

    name: str
    bits: int
    words: tuple[str, ...]
    kv_dtype: str | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """One member in so many bits, with such K/V, and what it comes to."""

    candidate: Candidate
    figures: Figures
    kv_dtype: str | None

    @property
    def name(self) -> str:
        return self.candidate.geometry.name

    @property
    def size(self) -> int:
        return self.candidate.geometry.parameters.total

    @property
    def bits(self) -> int:
        return self.figures.bits

    @property
    def holds(self) -> bool:
        """Whether all that is wanted is there at once, with room for a conversation."""
        return self.figures.fits and self.figures.mode != "retrieval" and not self.figures.lacking

    @property
    def held(self) -> float:
        """How much of it is there at once, 0 to 1."""
        figures = self.figures
        if not figures.fits:
            return 0.0
        if figures.mode == "window":
            return min(1.0, figures.window / figures.wanted_tokens)
        corpus = sum(share.tokens for share in figures.sources)
        return 1.0 if figures.mode == "whole" else figures.segment_budget / max(1, corpus)

    @property
    def need(self) -> int:
        """Bytes that all of it would take."""
        figures = self.figures
        return figures.memory.available + figures.lacking if figures.lacking else figures.memory.total

    @property
    def label(self) -> str:
        return f"{self.name}{' (on this machine already)' if self.candidate.here else ''} in {self.precision}"

    @property
    def precision(self) -> str:
        packed = self.figures.kv_dtype != self.figures.dtype
        return f"{self.bits} bits" + (f" with {self.kv_dtype} K/V" if packed else "")


def choose(candidates: Sequence[Candidate], asked: Mapping[str, Any]) -> Choice:
    """The best member of a family for a corpus, or for a window where there is none.

    Args:
        candidates: the members.
        asked: what :func:`longctx.planner.plan` is asked besides model and device, by the names of its arguments. Where
            ``source_tokens`` is None, the window that was asked for must fit, or the native one.

    Raises:
        UsageError: a value is out of range, or none of the members can be run in the bits that were asked for.
        PlanError: no member can be planned.

    >>> from longctx.planner.devices import imagined
    >>> from longctx.planner.members import FAMILY
    >>> gpu = imagined("cuda", 16 * 10**9)
    >>> family = [Candidate(Geometry.from_config(member.config, name=member.name), gpu) for member in FAMILY]
    >>> choices = [choose(family, {"source_tokens": [("a.py", n)], "overhead_tokens": 300}) for n in (50_000, 150_000)]
    >>> [(choice.name, choice.bits, choice.kv_dtype) for choice in choices]
    [('Qwen/Qwen3.5-9B', 4, None), ('Qwen/Qwen3.5-9B', 4, 'int8')]
    """
    ways = list(_ways(candidates, asked))
    best = next((way for way in ways if way.holds), None) or max(ways, key=_merit)
    return Choice(best.name, best.bits, tuple(_words(best, ways, candidates, asked)), best.kv_dtype)


def _merit(way: _Way) -> tuple[float, int, int, int]:
    """What decides where none holds all of it: how much it holds; where none fits, how little it lacks."""
    return way.held, 0 if way.held else -way.figures.lacking, way.size, way.bits


def _ways(candidates: Sequence[Candidate], asked: Mapping[str, Any]) -> Iterator[_Way]:
    """What can be run at all, the best first."""
    bits = BITS if asked.get("bits") is None else (asked["bits"],)
    ways = [(width, kv) for width in bits for kv in _kv(candidates, asked)]
    failed: PlanError | None = None
    found = False
    for candidate in sorted(candidates, key=lambda candidate: -candidate.geometry.parameters.total):
        if candidate.geometry.experts_kept and asked.get("bits") != 16:
            continue
        for width, kv in ways:
            try:
                figures = _planned(candidate, asked, width, kv)
            except PlanError as error:  # too little room for instructions; another member may have it
                failed = error
                continue
            found = True
            yield _Way(candidate, figures, kv)
    if not found:
        raise failed or UsageError(f"bits={bits[0]}: no member of the family can be run in them", hint="give bits=16")


def _kv(candidates: Sequence[Candidate], asked: Mapping[str, Any]) -> Sequence[str | None]:
    """What is tried for K/V: what was asked for, or all that the device runs."""
    if asked.get("kv_dtype") is not None:
        return (asked["kv_dtype"],)
    return KV if candidates[0].device.kind != "mps" else (None,)


def _planned(candidate: Candidate, asked: Mapping[str, Any], bits: int, kv_dtype: str | None) -> Figures:
    given = {**asked, "bits": bits, "kv_dtype": kv_dtype, "model": candidate.geometry.name, "device": candidate.device}
    return plan(candidate.geometry, **given)


# -- words -------------------------------------------------------------------------------------------------------------
def _words(best: _Way, ways: Sequence[_Way], candidates: Sequence[Candidate], asked: Mapping[str, Any]) -> Iterator[str]:
    yield _verdict(best)
    fuller = [way for way in ways[: ways.index(best)] if way.name == best.name]
    if fuller and fuller[-1].figures.lacking:
        yield f"in {fuller[-1].precision} it would lack {gb(fuller[-1].figures.lacking)}"
    larger = [way for way in ways if way.size > best.size]
    if larger:
        yield _missed(larger[-1])  # the nearest, in the fewest bits
    smaller = next((way for way in ways if way.size < best.size), None)
    if smaller is not None:
        yield _runner_up(smaller, best)
    yield from _skipped(candidates, asked)


def _verdict(best: _Way) -> str:
    figures = best.figures
    if best.holds:
        whole = f"a window of {figures.wanted_tokens:,} tokens"
        what = whole if figures.mode == "window" else "all of it with room for a conversation"
        return f"{best.label}: the largest of the family that holds {what}"
    if not figures.fits:
        return f"none of the family fits; {best.label} lacks least, {gb(figures.lacking)}"
    return f"none of the family holds all of it; {best.label} holds most, {_percent(best.held)} at a time"


def _missed(way: _Way) -> str:
    """Why a larger one was not taken."""
    if way.figures.lacking:
        return f"not {way.label}: it would need {gb(way.need)}, {gb(way.figures.lacking)} more than there is"
    return f"not {way.label}: it would hold {_percent(way.held)} at a time"


def _runner_up(way: _Way, best: _Way) -> str:
    """What the next smaller one would give and take."""
    size = f"{_billions(way.size)} parameters instead of {_billions(best.size)}"
    if way.holds:
        wider = way.figures.mode == "window"
        held = f"{way.figures.window:,} tokens" if wider else f"it too, in {gb(way.need)}"
        return f"runner-up: {way.label} would hold {held}, with {size}"
    if way.figures.lacking:
        return f"runner-up: {way.label} would lack {gb(way.figures.lacking)}, with {size}"
    return f"runner-up: {way.label} would hold {_percent(way.held)} at a time, with {size}"


def _skipped(candidates: Sequence[Candidate], asked: Mapping[str, Any]) -> Iterator[str]:
    """Members with experts that bitsandbytes leaves in 16 bits."""
    if asked.get("bits") == 16:
        return
    for candidate in candidates:
        if candidate.geometry.experts_kept:
            kept, whole = (_planned(candidate, asked, bits, asked.get("kv_dtype")) for bits in (4, 16))
            verdict = f"would lack {gb(whole.lacking)}" if whole.lacking else "would fit, and be taken"
            yield (
                f"{candidate.geometry.name} is skipped: bitsandbytes leaves its experts in 16 bits, so that its weights would "
                f"take {gb(kept.memory.weights)} in 4 bits; with bits=16 it {verdict}"
            )


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def _billions(parameters: int) -> str:
    """Parameters as people name models.

    >>> _billions(4_539_265_536)
    '4.5B'
    """
    return f"{parameters / 1e9:.1f}B"
