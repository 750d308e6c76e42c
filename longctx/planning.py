"""What fits which model: corpus, model files and the planner's figures, joined before a weight is loaded.

A plan is made of what is at hand. Without a corpus, config.json suffices and the figures are those of a full window. With one,
a model that is not on this machine is planned by what is known of its family, and again by its own files before it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from longctx import choosing, counting, looking, models, planner, prompts, sources
from longctx.backends.base import LoadSpec
from longctx.choosing import AUTO, Agree, embedded_model
from longctx.corpus import Corpus
from longctx.errors import DoesNotFitError, EmptyCorpusError, ModelNotFoundError, UsageError
from longctx.jobs import Job
from longctx.looking import Wishes
from longctx.models import ModelFiles
from longctx.planner import Device, Figures, Geometry, launch
from longctx.stream import Tokenizer, TokenStream, VisionFormat, build
from longctx.views import budget

__all__ = ["Agree", "Plan", "Reading", "Request", "embedded_model", "fulfilled", "loadable", "plan", "without_frames"]

#: More memory than any corpus takes.
ENDLESS = 10**15


@dataclass(frozen=True)
class Request:
    """What a plan was asked for, so that it can be made again when more is known.

    Args:
        corpus: as it was read: no frame is chosen, no picture is read as text; None where there is none.
        files: of the model.
        device: where it will run.
        figures: what the planner is asked, by the names of its arguments.
        wishes: about what is to be seen.
        store: whether the prefix is kept on disk.
        lost: times of frames that turned out not to be decodable, by path.
        told: what of the corpus was read as text already, in words.
        remarks: what the plan says of the model: why it was chosen, where it is.
    """

    corpus: Corpus | None
    files: ModelFiles
    device: Device
    figures: Mapping[str, Any]
    wishes: Wishes
    store: bool
    lost: Mapping[str, Collection[float]] = field(default_factory=dict)
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
    """

    corpus: Corpus
    tokenizer: Tokenizer
    stream: TokenStream
    vision: VisionFormat | None = None
    pending: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What will be loaded, how, and what it will take. Made by :func:`plan`; given to :func:`longctx.load`.

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
            prefix_folder=cache / "prefixes" if self.request.store else None,
            prompt_version=prompts.VERSION,
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
            bits=self.bits,
            local=local,
        ).text

    def to_json(self) -> dict[str, Any]:
        """The plan as the JSON contract of ``longctx plan`` has it."""
        return self.figures.to_json()

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


def plan(
    corpus: Corpus | str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    model: str | os.PathLike[str] | None = None,
    *,
    bits: int | None = None,
    dtype: str | None = None,
    memory: int | str | None = None,
    window: int | None = None,
    max_window: int | None = None,
    reserve: int | None = None,
    chunk: int | None = None,
    device: str | None = None,
    store: bool = True,
    fps: float | None = None,
    frames: int | None = None,
    pixels: int | None = None,
    picture_pixels: int | None = None,
    agree: Agree | None = None,
    job: Job[Any] | None = None,
) -> Plan:
    """Plan what fits which model on this machine or another, before any weight is loaded.

    Args:
        corpus: from :func:`longctx.read`, or paths to read; None plans a prompt that fills the window, for which config.json
            suffices. Such a plan is for shopping: it cannot be loaded.
        model: a hub id, a local folder, or a GGUF file, which can be planned for and not loaded; ``"auto"`` takes the best of
            the Qwen3.5 family for this corpus and this memory, which :func:`longctx.load` fetches where it is not on this
            machine; None takes the best that can be had here (see the README).
        bits: 4, 8 or 16 per weight; None takes 4, and 16 for models under 1B parameters; with ``"auto"`` 16 where they fit.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"`` for what is not quantised; None chooses by device.
        memory: bytes to stay within, or ``"16GB"``; None takes what is free.
        window: tokens to plan for; None takes the smallest step that fits the corpus and a conversation, and without a corpus
            the largest window that fits the memory.
        max_window: the model's real maximum, where the table of known families is wrong.
        reserve: tokens kept for conversation and answer; None takes an eighth of the native window, 1,024 to 8,192.
        chunk: tokens of one prefill step.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``; None detects. With ``memory`` it may be one that is not in this machine:
            ``device="cuda", memory="24GB"`` plans for a GPU with 24 GB.
        store: whether to keep the prefix on disk, so that it is read once.
        fps: frames of a second of video; None takes 2, or as many as the window has room for.
        frames: of each video, in the stead of ``fps``; 0 leaves the subtitles only.
        pixels: of each frame, width x height; None takes about 448 x 256.
        picture_pixels: of each still picture at most; None takes about 2 million.
        agree: asked before a model is downloaded that the user did not name; None never downloads one.
        job: is told of progress.

    Raises:
        UsageError: a value is out of range, or neither a corpus nor a model is given.
        ModelError: the model cannot be found or read, or does not generate text.
        PlanError: its config lacks a field, or there is no room for anything but instructions.
        EmptyCorpusError: the model cannot see, and it is known that there is no text in what there is to look at.

    >>> shopping = plan(model="auto", window=400_000, device="cuda", memory="24GB")
    >>> shopping.model, shopping.bits, shopping.figures.yarn_factor, shopping.fits
    ('Qwen/Qwen3.5-2B', 16, 2.0, True)
    """
    wishes = Wishes(fps, frames, pixels, picture_pixels)
    wishes.check()
    read = None if corpus is None else _corpus(corpus)
    if read is None and wishes != Wishes():
        raise UsageError("fps, frames, pixels and picture_pixels say what is seen of a corpus, and there is none")
    limit = planner.parse_memory(memory) if memory is not None else None
    place = planner.device_for(device, limit)
    asked = {
        "bits": bits,
        "dtype": dtype,
        "memory": limit,
        "window": window,
        "max_window": max_window,
        "reserve": reserve,
        "chunk": chunk,
    }
    if model == AUTO:
        found = choosing.family(config_only=read is None)
        return _made(_best(Request(read, found[choosing.FAMILY[0]], place, asked, wishes, store), found, job), job)
    files = _files(model, read, place, agree, job)
    return _made(Request(read, files, choosing.reusing(place, files, bits), asked, wishes, store), job)


def loadable(plan: Plan) -> Plan:
    """The plan with all that loading needs but the weights: a model that was not on this machine is found, and planned exactly.

    Raises:
        UsageError: it has no corpus, or is for a device that is not in this machine.
        DoesNotFitError: the memory is too small.
        ModelNotFoundError: the model is not on this machine, and the hub cannot be reached.
    """
    plan.require_fit()
    if plan.files.config_only:
        plan = _made(replace(plan.request, files=models.find(plan.model)))
        plan.require_fit()
    return plan


def fulfilled(plan: Plan, job: Job[Any], *, settled: bool = False) -> Plan:
    """The plan with its pictures read as text, for a model that cannot see: every figure is exact then.

    Args:
        plan: whose pictures are pending.
        job: is told of each picture, and asked for a stop.
        settled: keep window, precision and chunk as they were planned; where the text came to more than was estimated and no
            longer fits, segments are chosen for each question.

    Raises:
        EmptyCorpusError: nothing could be read in any of them, and there is nothing else.
        Stopped: the user stopped; what was read is kept for the next time.
    """
    assert plan.request.corpus is not None, "nothing is pending without a corpus"
    read, told = looking.read_as_text(plan.request.corpus, plan.request.wishes, job)
    _require_text(plan.files, read)
    figures = {**plan.request.figures, **_settled(plan)} if settled else plan.request.figures
    # What was read goes on from here, kept or not: a disk may be full or read-only.
    return _made(replace(plan.request, corpus=read, told=told.words(), figures=figures), job)


def without_frames(plan: Plan, path: str, places: Collection[float], job: Job[Any]) -> Plan:
    """The plan without frames that turned out not to be decodable.

    Args:
        plan: which chose them.
        path: of the video.
        places: their times.
        job: is told of progress.
    """
    lost = {**plan.request.lost, path: frozenset(plan.request.lost.get(path, ())) | frozenset(places)}
    return _made(replace(plan.request, lost=lost, figures={**plan.request.figures, **_settled(plan)}), job)


def _settled(plan: Plan) -> Mapping[str, Any]:
    """What must stay as it was planned, because the weights are loaded that way."""
    return {"window": plan.window, "chunk": plan.figures.chunk, "bits": plan.bits, "dtype": plan.figures.dtype}


def _corpus(given: Corpus | str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Corpus:
    if isinstance(given, Corpus):
        return given
    return sources.read(*([given] if isinstance(given, (str, os.PathLike)) else given))


def _made(request: Request, job: Job[Any] | None = None) -> Plan:
    """The plan that answers a request, from what is at hand: config.json alone, a vocabulary, or all of a model's files."""
    geometry = choosing.geometry(request.files)
    if request.corpus is None:
        return Plan(request, _figures(request, geometry, None, overhead=0))
    tokenizer = counting.tokenizer_of(request.files)
    if tokenizer is None:
        return _guessed(request, geometry, request.corpus)
    return _tokenised(request, geometry, request.corpus, tokenizer, job)


def _tokenised(request: Request, geometry: Geometry, corpus: Corpus, tokenizer: Tokenizer, job: Job[Any] | None) -> Plan:
    """The plan for a corpus that can be tokenised."""
    files, overhead = request.files, counting.overhead(request.files, tokenizer, geometry.native_window)
    vision = looking.vision_of(files, tokenizer, request.wishes)
    asked = {"overhead_tokens": overhead, "device": request.device, **request.figures}
    seen = looking.seen(corpus, geometry, tokenizer, vision, request.wishes, request.lost, asked, request.told)
    if corpus.sources:
        _require_text(files, seen.corpus)
    made = build(seen.corpus, tokenizer, prompts.Frame(), job, vision)
    tokens = {
        **made.tokens_per_source,
        **{path: made.tokens_per_source.get(path, 0) + n for path, n in seen.estimated.items()},
    }
    figures = _figures(
        request,
        geometry,
        tokens,
        overhead,
        largest_item=made.largest_look,
        estimated=frozenset(seen.estimated),
        samplings=seen.samplings,
        counts_basis=counting.basis(files, tokenizer),
    )
    figures = replace(figures, notes=(*figures.notes, *seen.remarks), warnings=(*seen.warnings, *figures.warnings))
    counted = seen.corpus.with_tokens(tokens)
    return Plan(request, figures, Reading(counted, tokenizer, made, vision, bool(seen.estimated), seen.notes))


def _guessed(request: Request, geometry: Geometry, corpus: Corpus) -> Plan:
    """The plan for a corpus that nothing here can tokenise: every count is an estimate."""
    overhead = counting.overhead(request.files, None, geometry.native_window)
    asked = {"overhead_tokens": overhead, "device": request.device, **request.figures}
    found = counting.estimate(corpus, geometry, request.wishes, asked)
    figures = _figures(
        request,
        geometry,
        found.tokens,
        overhead,
        largest_item=found.largest_item,
        estimated=frozenset(found.tokens),
        samplings=found.samplings,
        counts_basis=found.basis,
    )
    return Plan(request, figures)


def _figures(request: Request, geometry: Geometry, tokens: Mapping[str, int] | None, overhead: int, **counted: Any) -> Figures:
    """What the planner says, with what is to be said of the model."""
    figures = planner.plan(
        geometry,
        model=request.files.name,
        source_tokens=None if tokens is None else list(tokens.items()),
        overhead_tokens=overhead,
        device=request.device,
        **counted,
        **request.figures,
    )
    return replace(figures, notes=(*request.remarks, *choosing.whereabouts(request.files, geometry), *figures.notes))


def _files(
    model: str | os.PathLike[str] | None, corpus: Corpus | None, device: Device, agree: Agree | None, job: Job[Any] | None
) -> ModelFiles:
    if model is not None:
        return choosing.named(model, config_only=corpus is None)
    if corpus is None:
        raise UsageError("a plan needs a corpus or a model", hint=f'lc.plan(corpus), or lc.plan(model="{AUTO}")')
    return choosing.default_model(device, agree, job)


def _best(draft: Request, family: Mapping[str, ModelFiles], job: Job[Any] | None) -> Request:
    """The request with the best of a family for its corpus and its memory.

    Args:
        draft: with any member; they share the vocabulary and the windows.
        family: the members by name.
        job: is told of progress.
    """
    asked = draft.figures
    candidates = [choosing.candidate(files, draft.device, asked["bits"]) for files in family.values()]
    choice = planner.choose(candidates, {**asked, **_counts(draft, job)})
    files = family[choice.name]
    device = choosing.reusing(draft.device, files, choice.bits)
    return replace(draft, files=files, device=device, figures={**asked, "bits": choice.bits}, remarks=choice.words)


def _counts(draft: Request, job: Job[Any] | None) -> Mapping[str, Any]:
    """What a corpus comes to if memory has no end, so that frames are wished for that every window has room for."""
    if draft.corpus is None:
        return {"source_tokens": None, "overhead_tokens": 0}
    ideal = _made(replace(draft, figures={**draft.figures, "memory": ENDLESS}), job)
    return {
        "source_tokens": [(share.path, share.tokens) for share in ideal.figures.sources],
        "overhead_tokens": ideal.figures.overhead_tokens,
        "largest_item": 0 if ideal.reading is None else ideal.stream.largest_look,
    }


def _require_text(files: ModelFiles, corpus: Corpus) -> None:
    """Refuse a corpus of which nothing is left for a model that cannot see."""
    if not corpus.sources:
        raise EmptyCorpusError(
            f"{files.name} cannot see, and no text was found in what there is to look at",
            hint="take a model that sees, such as Qwen/Qwen3.5-4B",
        )
