"""Figures: everything that a plan says, as plain values, and as the JSON contract of ``longctx plan``. Decides nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from longctx.planner.memory import Memory
from longctx.planner.timing import Time
from longctx.planner.ways import Way

Mode = Literal["whole", "retrieval", "window"]


@dataclass(frozen=True, slots=True)
class Allotted:
    """What became of a source by its budget.

    Args:
        key: of the budget, as the user gave it.
        asked: its share of the room (float), or tokens (int).
        tokens: that it allows all of its sources together.
        of_tokens: that the source would take whole.
        read: how it is read, in words; empty where nothing was given up.
    """

    key: str
    asked: float | int
    tokens: int
    of_tokens: int
    read: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A source and its share of the corpus.

    Args:
        path: as it is cited.
        tokens: of all of it, frames included.
        share: of the corpus, 0 to 1.
        frames: that are looked at; None where it is no video.
        fps: frames of a second.
        frame_size: pixels (width, height) of each; None where there are none.
        estimated: whether the tokens are an estimate.
        allotted: what became of it by its budget; None where it has none.
    """

    path: str
    tokens: int
    share: float
    frames: int | None = None
    fps: float | None = None
    frame_size: tuple[int, int] | None = None
    estimated: bool = False
    allotted: Allotted | None = None

    def to_json(self) -> dict[str, Any]:
        """The row of the JSON contract; what is said of videos, estimates and budgets stands in their rows only."""
        row: dict[str, Any] = {"path": self.path, "tokens": self.tokens, "share": self.share}
        if self.frames is not None:
            size = list(self.frame_size) if self.frame_size else None
            row |= {"frames": self.frames, "fps": round(self.fps or 0.0, 4), "frame_size": size}
        row |= {"estimated": True} if self.estimated else {}
        return row | ({} if self.allotted is None else {"budget": asdict(self.allotted)})


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A source that is not read whole, and why."""

    path: str
    tokens: int
    reason: str


@dataclass(frozen=True)
class Figures:
    """What a plan comes to. Tokens are counts, memory and disk are bytes.

    Args:
        model: as the user gave it.
        fits: whether the memory suffices.
        mode: ``"whole"``: everything is read once; ``"retrieval"``: segments are chosen for each question; ``"window"``: there
            is no corpus, and the figures are those of a prompt that fills the window.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``.
        bits: per weight.
        dtype: of what is not quantised.
        window: tokens that prompt, conversation and answer may fill.
        native_window: of the model, without YaRN.
        maximum_window: of the model, with YaRN.
        yarn_factor: 1 for none.
        prompt_tokens: of the whole prompt; in retrieval, what one question reads at most; without a corpus, what there is
            room for.
        overhead_tokens: of the prompt besides the sources.
        segment_budget: tokens that segments may fill in one prompt.
        reserve: tokens kept for conversation and answer.
        planned_tokens: for which K/V and activations are computed.
        memory: peak while the prompt is read.
        disk: bytes that the prompt's prefix takes in the store.
        chunk: tokens of one prefill step.
        sources: every source with its share.
        left_out: sources that cannot all be read.
        warnings: what the user should know; where ``fits`` is false, the alternatives.
        counts_basis: how tokens were counted.
        notes: what was chosen, where nothing had to be given up for it.
        wanted_tokens: that should be there at once: all of the corpus and a conversation, or the window that was asked for, or
            without either the native one.
        lacking: bytes that are missing for these; 0 where none are.
        ways: to read the corpus, each with its cost, where it is not read whole.
        segment_room: tokens of which the shares of budgets are shares; 0 where there are no budgets.
        kv_dtype: of K/V in full-attention layers.
        kv_device: where that K/V is kept.
        time: that the prompt and an answer take; None where this device was not measured in this precision.
    """

    model: str
    fits: bool
    mode: Mode
    device: str
    bits: int
    dtype: str
    window: int
    native_window: int
    maximum_window: int
    yarn_factor: float
    prompt_tokens: int
    overhead_tokens: int
    segment_budget: int
    reserve: int
    planned_tokens: int
    memory: Memory
    disk: int
    chunk: int
    sources: tuple[Share, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    counts_basis: str = "exact"
    notes: tuple[str, ...] = ()
    wanted_tokens: int = 0
    lacking: int = 0
    ways: tuple[Way, ...] = ()
    segment_room: int = 0
    kv_dtype: str = ""
    kv_device: str = ""
    time: Time | None = None

    def to_json(self) -> dict[str, Any]:
        """The figures as the JSON contract of ``longctx plan`` has them: bytes are integers."""
        return {
            "model": self.model,
            "fits": self.fits,
            "mode": self.mode,
            "device": self.device,
            "bits": self.bits,
            "dtype": self.dtype,
            "kv_dtype": self.kv_dtype,
            "kv_device": self.kv_device,
            "window": self.window,
            "native_window": self.native_window,
            "maximum_window": self.maximum_window,
            "yarn_factor": self.yarn_factor,
            "prompt_tokens": self.prompt_tokens,
            "reserve": self.reserve,
            "planned_tokens": self.planned_tokens,
            "memory": self.memory.to_json(),
            "wanted_tokens": self.wanted_tokens,
            "lacking": self.lacking,
            "disk": self.disk,
            "chunk": self.chunk,
            "sources": [share.to_json() for share in self.sources],
            "left_out": [asdict(entry) for entry in self.left_out],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "counts_basis": self.counts_basis,
            "ways": [way.to_json() for way in self.ways],
            "segment_room": self.segment_room,
            "time": None if self.time is None else self.time.to_json(),
        }
