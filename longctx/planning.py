"""What fits which model on this machine: corpus, model files and the planner's figures, joined before a weight is loaded."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from longctx import engines, looking, models, planner, prompts, sources
from longctx.backends.base import LoadSpec
from longctx.corpus import Corpus
from longctx.errors import DoesNotFitError, EmptyCorpusError, UsageError
from longctx.jobs import Job
from longctx.looking import Wishes
from longctx.models import ModelFiles
from longctx.planner import Device, Figures, Geometry
from longctx.stream import Tokenizer, TokenStream, VisionFormat, build
from longctx.views import budget

#: Tried from the largest down where no model is named. Only those whose 4-bit weights stock bitsandbytes really makes.
FAMILY = ("Qwen/Qwen3.5-9B", "Qwen/Qwen3.5-4B", "Qwen/Qwen3.5-2B", "Qwen/Qwen3.5-0.8B")
SMALLEST = FAMILY[-1]
SMALLEST_BYTES = 1_750_000_000
SMALLEST_NEEDS = 8_000_000_000
#: Tokens kept free for the text of a question when a prompt's length is planned.
QUESTION_TOKENS = 128
#: Those that some plan still holds. One takes tens of megabytes, and a notebook keeps the plans of every run of a cell.
_tokenizers: weakref.WeakValueDictionary[tuple[object, ...], Tokenizer] = weakref.WeakValueDictionary()

Agree = Callable[[str], bool]


@dataclass(frozen=True)
class Request:
    """What a plan was asked for, so that it can be made again when more is known.

    Args:
        corpus: as it was read: no frame is chosen, no picture is read as text.
        files: of the model.
        device: where it will run.
        figures: what the planner is asked, by the names of its arguments.
        wishes: about what is to be seen.
        store: whether the prefix is kept on disk.
        lost: times of frames that turned out not to be decodable, by path.
        told: what of the corpus was read as text already, in words.
    """

    corpus: Corpus
    files: ModelFiles
    device: Device
    figures: Mapping[str, Any]
    wishes: Wishes
    store: bool
    lost: Mapping[str, Collection[float]] = field(default_factory=dict)
    told: str = ""


@dataclass(frozen=True)
class Plan:
    """What will be loaded, how, and what it will take. Made by :func:`plan`; given to :func:`longctx.load`.

    Args:
        request: what was asked for.
        corpus: what a model reads, with token counts in its manifest; frames of videos are chosen.
        figures: window, memory, budget; every figure in bytes or tokens.
        tokenizer: of the model.
        stream: the corpus as tokens that lead back to their origins.
        vision: how the model is shown pictures; None for one that cannot see.
        pending: whether pictures are still to be read as text, for a model that cannot see; figures are estimates then.
        notes: what the user should know of each answer.
    """

    request: Request
    corpus: Corpus
    figures: Figures
    tokenizer: Tokenizer
    stream: TokenStream
    vision: VisionFormat | None = None
    pending: bool = False
    notes: tuple[str, ...] = ()

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
        """Refuse a plan that does not fit.

        Raises:
            DoesNotFitError: with the alternatives that the planner found.
        """
        if not self.fits:
            memory = self.figures.to_json()["memory"]
            raise DoesNotFitError(
                f"{self.model} in {self.bits} bits needs {memory['total'] / 1e9:.1f} GB, "
                f"and {memory['available'] / 1e9:.1f} GB are there",
                hint="; ".join(self.figures.warnings),
            )

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
        return f"<Plan {self.model}: {self.figures.prompt_tokens:,} of {self.window:,} tokens, fits={self.fits}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Mapping[str, str]:
        return {"text/html": budget.html(self.to_json()), "text/plain": self.text}


def plan(
    corpus: Corpus | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
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
    """Plan what fits which model on this machine, before any weight is loaded.

    Args:
        corpus: from :func:`longctx.read`, or paths to read.
        model: a hub id or a local folder; None takes the best that can be had (see the README).
        bits: 4, 8 or 16 per weight; None takes 4, and 16 for models under 1B parameters.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"`` for what is not quantised; None chooses by device.
        memory: bytes to stay within, or ``"16GB"``; None takes what is free.
        window: tokens to plan for; None takes the smallest step that fits the corpus and a conversation.
        max_window: the model's real maximum, where the table of known families is wrong.
        reserve: tokens kept for conversation and answer; None takes an eighth of the native window, 1,024 to 8,192.
        chunk: tokens of one prefill step.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``; None detects.
        store: whether to keep the prefix on disk, so that it is read once.
        fps: frames of a second of video; None takes 2, or as many as the window has room for.
        frames: of each video, in the stead of ``fps``; 0 leaves the subtitles only.
        pixels: of each frame, width x height; None takes about 448 x 256.
        picture_pixels: of each still picture at most; None takes about 2 million.
        agree: asked before a model is downloaded that the user did not name; None never downloads one.
        job: is told of progress.

    Raises:
        UsageError: a value is out of range.
        ModelError: the model cannot be found or read.
        EmptyCorpusError: the model cannot see, and it is known that there is no text in what there is to look at.

    Example:
        ``lc.plan(lc.read("src"), model="Qwen/Qwen3.5-4B", memory="16GB")``
    """
    if not isinstance(corpus, Corpus):
        corpus = sources.read(*([corpus] if isinstance(corpus, (str, os.PathLike)) else corpus))
    wishes = Wishes(fps, frames, pixels, picture_pixels)
    wishes.check()
    here = _device(device)
    limit = planner.parse_memory(memory) if memory is not None else None
    files = models.find(model) if model is not None else default_model(here, agree, job)
    asked = {
        "bits": bits,
        "dtype": dtype,
        "memory": limit,
        "window": window,
        "max_window": max_window,
        "reserve": reserve,
        "chunk": chunk,
    }
    return _made(Request(corpus, files, _reusing(here, files, bits), asked, wishes, store), job)


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


def _made(request: Request, job: Job[Any] | None) -> Plan:
    files = request.files
    tokenizer = _tokenizer(files.folder)
    geometry = Geometry.from_config(files.config, name=files.name)
    vision = looking.vision_of(files, tokenizer, request.wishes)
    asked = {"overhead_tokens": _overhead(files, tokenizer, geometry), "device": request.device, **request.figures}
    seen = looking.seen(request.corpus, geometry, tokenizer, vision, request.wishes, request.lost, asked, request.told)
    if request.corpus.sources:
        _require_text(files, seen.corpus)
    stream = build(seen.corpus, tokenizer, prompts.Frame(), job, vision)
    tokens = {
        **stream.tokens_per_source,
        **{path: stream.tokens_per_source.get(path, 0) + n for path, n in seen.estimated.items()},
    }
    figures = planner.plan(
        geometry,
        model=files.name,
        source_tokens=list(tokens.items()),
        largest_item=stream.largest_look,
        estimated=frozenset(seen.estimated),
        samplings=seen.samplings,
        counts_basis=f"exact, {files.name}",
        **asked,
    )
    figures = replace(figures, notes=seen.remarks, warnings=(*seen.warnings, *figures.warnings))
    return Plan(
        request=request,
        corpus=seen.corpus.with_tokens(tokens),
        figures=figures,
        tokenizer=tokenizer,
        stream=stream,
        vision=vision,
        pending=bool(seen.estimated),
        notes=seen.notes,
    )


def _require_text(files: ModelFiles, corpus: Corpus) -> None:
    """Refuse a corpus of which nothing is left for a model that cannot see."""
    if not corpus.sources:
        raise EmptyCorpusError(
            f"{files.name} cannot see, and no text was found in what there is to look at",
            hint="take a model that sees, such as Qwen/Qwen3.5-4B",
        )


def default_model(device: Device, agree: Agree | None = None, job: Job[Any] | None = None) -> ModelFiles:
    """The best model that can be had where none is named.

    In this order: a Qwen3.5 that lies in the local hub cache and fits; the smallest one from the hub, where it answers and the
    user agrees; the embedded SmolLM2-135M-Instruct.
    """
    for files in models.cached_family_member(FAMILY):
        if _fits(files, device):
            return files
    if agree is not None and device.memory_total >= SMALLEST_NEEDS and models.hub_answers(SMALLEST):
        question = f"Download {SMALLEST} ({SMALLEST_BYTES / 1e9:.1f} GB)? Otherwise the small embedded model is used."
        if agree(question):
            return models.find(SMALLEST)
    return embedded_model(job)


def embedded_model(job: Job[Any] | None = None) -> ModelFiles:
    """The embedded default, fetched and converted on its first use."""
    folder = models.embedded_folder(models.cache_folder())
    if not folder.is_dir():
        _prepare_embedded(folder, job)
    return ModelFiles.read(folder, name=models.EMBEDDED_NAME)


def _prepare_embedded(folder: Path, job: Job[Any] | None) -> None:
    from longctx.backends.transformers.convert import convert

    folder.parent.mkdir(parents=True, exist_ok=True)
    if job is not None:
        job.report("fetch the embedded model (93 MB, once)", unit="bytes")
    gguf = models.fetch_embedded(folder.parent)
    try:
        if job is not None:
            job.report("convert it (about half a minute, once)", unit="bytes")
        convert(gguf, folder, job, models.EMBEDDED_GENERATION)
    finally:
        gguf.unlink(missing_ok=True)


def _fits(files: ModelFiles, device: Device) -> bool:
    geometry = Geometry.from_config(files.config, name=files.name)
    here = _reusing(device, files, None)
    return planner.plan(geometry, model=files.name, source_tokens=[], overhead_tokens=2048, bits=None, device=here).fits


def _device(kind: str | None) -> Device:
    if kind not in (None, "cuda", "mps", "cpu"):
        raise UsageError(f"device={kind!r} is none that longctx knows", hint='give "cuda", "mps" or "cpu"')
    return planner.detect(kind)


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model's folder: the one that is loaded already, where its file is still the same."""
    file = folder / "tokenizer.json"
    state = file.stat() if file.is_file() else None
    key = (file, state and (state.st_ino, state.st_size, state.st_mtime_ns))
    if (known := _tokenizers.get(key)) is None:
        known = _tokenizers[key] = Tokenizer.from_folder(folder)
    return known


def _reusing(device: Device, files: ModelFiles, bits: int | None) -> Device:
    """The device as a plan for this model finds it: what a loaded engine holds for it is used again, not taken once more."""
    available = device.memory_available + engines.held(files.folder, bits)
    return replace(device, memory_available=min(available, device.memory_total))


def _overhead(files: ModelFiles, tokenizer: Tokenizer, geometry: Geometry) -> int:
    """Tokens of a prompt besides the corpus: template, system text, room for a question, which is small in a small window."""
    pieces = prompts.render(files.template, files.special, [prompts.Turn("")])
    encode = {True: tokenizer.encode_template, False: tokenizer.encode_data}
    return sum(len(encode[piece.control](piece.text)) for piece in pieces) + min(QUESTION_TOKENS, geometry.native_window // 16)
