"""A plan: what will be loaded, how, and what it will take; what it was asked for, and the corpus as the model reads it.

Holds and shows; how plans are made is the matter of ``planning``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from longctx import choosing, keeping, models, planner, prompts
from longctx.backends.base import LoadSpec
from longctx.budgeting import Given
from longctx.corpus import Corpus
from longctx.errors import DoesNotFitError, ModelNotFoundError, UsageError
from longctx.looking import Wishes
from longctx.models import ModelFiles
from longctx.planner import Budget, Device, Division, Figures, Sampling, launch
from longctx.stream import Tokenizer, TokenStream, VisionFormat
from longctx.views import budget

#: What ``store=`` is for a prefix whose K/V takes a byte a number on disk.
SQUEEZED = "int8"


@dataclass(frozen=True)
class Request:
    """What a plan was asked for, so that it can be made again when more is known.

    Args:
        corpus: as it was read: no frame is chosen, no picture is read as text; None where there is none.
        files: of the model.
        device: where it will run.
        figures: what the planner is asked, by the names of its arguments.
        wishes: about what is to be seen.
        store: whether the prefix is kept on disk; SQUEEZED keeps K/V there in a byte a number.
        budgets: shares of the room for segments (float) or tokens (int), by path, folder or pattern.
        division: of the room, where it is to stay as it was planned.
        lost: times of frames that turned out not to be decodable, by path.
        held: what was chosen of videos that were read already, by path, so that they need not be read again.
        told: what of the corpus was read as text already, in words.
        remarks: what the plan says of the model: why it was chosen, where it is.
    """

    corpus: Corpus | None
    files: ModelFiles
    device: Device
    figures: Mapping[str, Any]
    wishes: Wishes
    store: bool | str
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    division: Division | None = None
    lost: Mapping[str, Collection[float]] = field(default_factory=dict)
    held: Mapping[str, Sampling] = field(default_factory=dict)
    told: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A corpus as one model reads it.

    Args:
        corpus: what is read, with token counts in its manifest; frames of videos are chosen.
        tokenizer: of the model.
        stream: the corpus as tokens that lead back to their origins.
        vision: how the model is shown pictures; None for one that cannot see.
        pending: whether pictures are still to be read as text, for a model that cannot see; figures are estimates then.
        notes: what the user should know of each answer.
        given: what budgets made of the corpus; None without budgets.
        samplings: what was chosen of each video.
    """

    corpus: Corpus
    tokenizer: Tokenizer
    stream: TokenStream
    vision: VisionFormat | None = None
    pending: bool = False
    notes: tuple[str, ...] = ()
    given: Given | None = None
    samplings: tuple[Sampling, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What will be loaded, how, and what it will take. Made by :func:`longctx.plan`; given to :func:`longctx.load`.

    Args:
        request: what was asked for.
        figures: window, memory, budget; every figure in bytes or tokens.
        reading: the corpus as the model reads it; None without a corpus, and where no tokenizer is at hand.
    """

    request: Request
    figures: Figures
    reading: Reading | None = None

    @property
    def _known(self) -> Reading:
        if self.reading is not None:
            return self.reading
        if self.request.corpus is None:
            raise _no_corpus(self.model)
        raise ModelNotFoundError(
            f"the tokenizer of {self.model} is not on this machine, so the corpus was not tokenised",
            hint="lc.load(plan) fetches it with the model",
            retryable=True,
        )

    @property
    def corpus(self) -> Corpus:
        """What a model reads, with token counts in its manifest; frames of videos are chosen.

        Raises:
            UsageError: the plan has none.
        """
        return self._known.corpus

    @property
    def tokenizer(self) -> Tokenizer:
        """Of the model."""
        return self._known.tokenizer

    @property
    def stream(self) -> TokenStream:
        """The corpus as tokens that lead back to their origins."""
        return self._known.stream

    @property
    def vision(self) -> VisionFormat | None:
        """How the model is shown pictures; None for one that cannot see."""
        return self._known.vision

    @property
    def pending(self) -> bool:
        """Whether pictures are still to be read as text, for a model that cannot see; figures are estimates then."""
        return self.reading is not None and self.reading.pending

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of each answer."""
        return () if self.reading is None else self.reading.notes

    @property
    def given(self) -> Given | None:
        """What budgets made of the corpus; None without budgets."""
        return None if self.reading is None else self.reading.given

    @property
    def files(self) -> ModelFiles:
        """The model's files."""
        return self.request.files

    @property
    def device(self) -> Device:
        """Where it will run."""
        return self.request.device

    @property
    def bits(self) -> int:
        """Bits per weight."""
        return self.figures.bits

    @cached_property
    def rope_parameters(self) -> Mapping[str, Any] | None:
        """What YaRN needs, or None where none is needed."""
        return planner.rope_parameters(self.files.config, self.figures.yarn_factor)

    @property
    def model(self) -> str:
        """The model's name as it was given."""
        return self.files.name

    @property
    def fits(self) -> bool:
        """Whether it can be loaded on this machine."""
        return self.figures.fits

    @property
    def window(self) -> int:
        """Tokens that corpus, conversation and answer may fill."""
        return self.figures.window

    @property
    def whole(self) -> bool:
        """Whether every segment is read at once; else segments are chosen for each question."""
        return self.figures.mode == "whole"

    def spec(self, files: ModelFiles) -> LoadSpec:
        """What a backend needs to know."""
        cache = models.cache_folder()
        return LoadSpec(
            name=files.name,
            folder=files.folder,
            bits=self.bits,
            device=self.device.kind,
            chunk=self.figures.chunk,
            cache_folder=cache,
            dtype=self.figures.dtype,
            rope_parameters=self.rope_parameters,
            prefix_folder=keeping.folder() if self.request.store else None,
            prompt_version=prompts.VERSION,
            kv_dtype="" if self.figures.kv_dtype == self.figures.dtype else self.figures.kv_dtype,
            disk_dtype=SQUEEZED if self.request.store == SQUEEZED else "",
            kv_host=self.figures.kv_device != self.device.kind,
        )

    def require_fit(self) -> None:
        """Refuse a plan that cannot be loaded on this machine.

        Raises:
            UsageError: it has no corpus, or is for a device that is not in this machine.
            DoesNotFitError: with the alternatives that the planner found.
        """
        memory, device = self.figures.memory, self.device
        if self.request.corpus is None:
            raise _no_corpus(self.model)
        if not device.here:
            raise UsageError(
                f"this plan is for {device.name}, which is not in this machine", hint="plan without device=, for this machine"
            )
        there = min(memory.available, device.memory_total)
        if not self.fits or memory.total > there:
            raise DoesNotFitError(
                f"{self.model} in {self.bits} bits needs {memory.total / 1e9:.1f} GB, and {there / 1e9:.1f} GB are there",
                hint="; ".join(self.figures.warnings),
            )

    def command(self, engine: str, *, tensor_parallel: int = 1) -> str:
        """The line that serves this plan with another engine, on a larger machine.

        Args:
            engine: ``"vllm"``, ``"sglang"``, ``"llama.cpp"`` or ``"transformers"``.
            tensor_parallel: GPUs that share every layer.

        Returns:
            for a POSIX shell: comments that say what the engine cannot do, then the line.

        Raises:
            UsageError: the engine is not known, or cannot share the model among so many GPUs.
        """
        local = os.path.isdir(os.path.expanduser(self.model))
        return launch.command(
            engine,
            model=str(self.files.folder) if local or self.files.header is not None else self.model,
            config=self.files.config,
            geometry=choosing.geometry(self.files),
            window=self.window,
            factor=self.figures.yarn_factor,
            tensor_parallel=tensor_parallel,
            dtype=self.figures.dtype,
            kv_dtype=self.figures.kv_dtype,
            bits=self.bits,
            local=local,
        ).text

    def to_json(self) -> dict[str, Any]:
        """The plan as the JSON contract of ``longctx plan`` has it; ``store``: where its prefix will be kept, or None."""
        kept = self.request.store and self.request.corpus is not None
        return {**self.figures.to_json(), "store": str(keeping.folder()) if kept else None}

    @cached_property
    def text(self) -> str:
        """The plan as plain text."""
        return budget.text(self.to_json())

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        what = "no corpus" if self.request.corpus is None else f"{self.figures.prompt_tokens:,} of {self.window:,} tokens"
        return f"<Plan {self.model}: {what}, fits={self.fits}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Mapping[str, str]:
        return {"text/html": budget.html(self.to_json()), "text/plain": self.text}


def _no_corpus(model: str) -> UsageError:
    return UsageError("this plan has no corpus: it says what a full window takes", hint=f"lc.plan(corpus, model={model!r})")
