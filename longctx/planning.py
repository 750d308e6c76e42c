"""What fits which model: corpus, model files and the planner's figures, joined before a weight is loaded.

A plan is made of what is at hand. Without a corpus, config.json suffices and the figures are those of a full window. With one,
a model that is not on this machine is planned by what is known of its family, and again by its own files before it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from longctx import budgeting, choosing, counting, looking, models, planner, prompts, sources, speeds
from longctx.budgeting import Budgeting, Given
from longctx.choosing import AUTO, Agree, embedded_model
from longctx.corpus import Corpus
from longctx.counting import Measure
from longctx.errors import EmptyCorpusError, UsageError
from longctx.jobs import Job
from longctx.looking import Seen, Wishes
from longctx.models import ModelFiles
from longctx.planner import Budget, Device, Figures, Geometry, Sight
from longctx.plans import SQUEEZED, Plan, Reading, Request
from longctx.stream import Tokenizer, VisionFormat, build

__all__ = ["Agree", "embedded_model", "extended", "fulfilled", "loadable", "plan", "without_frames"]

#: More memory than any corpus takes.
ENDLESS = 10**15


def plan(
    corpus: Corpus | str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    model: str | os.PathLike[str] | None = None,
    *,
    bits: int | None = None,
    dtype: str | None = None,
    memory: int | str | None = None,
    window: int | None = None,
    max_window: int | None = None,
    kv_dtype: str | None = None,
    kv_device: str | None = None,
    reserve: int | None = None,
    chunk: int | None = None,
    device: str | None = None,
    store: bool | str = True,
    fps: float | None = None,
    frames: int | None = None,
    pixels: int | None = None,
    picture_pixels: int | None = None,
    budgets: Mapping[str, Budget] | None = None,
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
        kv_dtype: of K/V in full-attention layers: ``"int8"`` or ``"int4"``, which cost some exactness (``python -m tests.bench
            kv``); None takes the dtype of the rest, and with ``"auto"`` int8 where a larger model or more bits fit by it.
        kv_device: ``"cpu"`` keeps K/V in the CPU's memory beside a GPU, for long contexts on small ones; slow, and never run on
            a GPU yet.
        reserve: tokens kept for conversation and answer; None takes an eighth of the native window, 1,024 to 8,192.
        chunk: tokens of one prefill step.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``; None detects. With ``memory`` it may be one that is not in this machine:
            ``device="cuda", memory="24GB"`` plans for a GPU with 24 GB.
        store: whether to keep the prefix on disk, so that it is read once; ``"int8"`` keeps its K/V there in a byte a number,
            in half the space or a quarter, and what is restored differs a little (``python -m tests.bench kv``).
        fps: frames of a second of video; None takes 2, or as many as the window has room for.
        frames: of each video, in the stead of ``fps``; 0 leaves the subtitles only.
        pixels: of each frame, width x height; None takes about 448 x 256.
        picture_pixels: of each still picture at most; None takes about 2 million.
        budgets: how much of the room for sources each may take, by path, folder or pattern, as the corpus cites them: a number
            up to 1 is a share, a whole number above 1 tokens. Of a video fewer frames are seen, then smaller ones; code is read
            by its signatures, a document whose pages are pictures by their text; of everything else, and of what is still too
            much, the first segments are read. Where the rest is still too large, segments are chosen for each question within
            the same budgets. The nearest name counts: a path, then its folder, then a pattern.
        agree: asked before a model is downloaded that the user did not name; None never downloads one.
        job: is told of progress.

    Raises:
        UsageError: a value is out of range, a budget is for nothing that was read, or neither a corpus nor a model is given.
        ModelError: the model cannot be found or read, or does not generate text.
        PlanError: its config lacks a field, or there is no room for anything but instructions.
        EmptyCorpusError: the model cannot see, and it is known that there is no text in what there is to look at.

    >>> shopping = plan(model="auto", window=400_000, device="cuda", memory="24GB")
    >>> shopping.model, shopping.bits, shopping.figures.kv_dtype, shopping.figures.yarn_factor, shopping.fits
    ('Qwen/Qwen3.5-9B', 4, 'int8', 2.0, True)
    """
    wishes = Wishes(fps, frames, pixels, picture_pixels)
    wishes.check()
    read = None if corpus is None else _corpus(corpus)
    if read is None and wishes != Wishes():
        raise UsageError("fps, frames, pixels and picture_pixels say what is seen of a corpus, and there is none")
    if read is None and budgets:
        raise UsageError(f"budgets={budgets!r} say what is read of a corpus, and there is none")
    given = {} if read is None or budgets is None else budgeting.check(read, budgets)
    if store not in (True, False, SQUEEZED):
        raise UsageError(f"store={store!r} is none of True, False, {SQUEEZED!r}")
    limit = planner.parse_memory(memory) if memory is not None else None
    place = planner.device_for(device, limit)
    asked = {
        "bits": bits,
        "dtype": dtype,
        "memory": limit,
        "window": window,
        "max_window": max_window,
        "kv_dtype": kv_dtype,
        "kv_device": kv_device,
        "reserve": reserve,
        "chunk": chunk,
    }
    if model == AUTO:
        found = choosing.family(config_only=read is None)
        return _made(_best(Request(read, found[choosing.FAMILY[0]], place, asked, wishes, store, given), found, job), job)
    files = _files(model, read, place, agree, job)
    return _made(Request(read, files, choosing.reusing(place, files, bits), asked, wishes, store, given), job)


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
    # What was read goes on from here, kept or not: a disk may be full or read-only.
    words = "; ".join(filter(None, (plan.request.told, told.words())))
    request = replace(_settled(plan) if settled else plan.request, corpus=read, told=words)
    return _made(request, job)


def without_frames(plan: Plan, path: str, places: Collection[float], job: Job[Any]) -> Plan:
    """The plan without frames that turned out not to be decodable.

    Args:
        plan: which chose them.
        path: of the video.
        places: their times.
        job: is told of progress.
    """
    lost = {**plan.request.lost, path: frozenset(plan.request.lost.get(path, ())) | frozenset(places)}
    return _made(replace(_settled(plan), lost=lost), job)


def extended(plan: Plan, more: Corpus, job: Job[Any], *, settled: bool = False) -> Plan:
    """The plan with more sources behind those that it has: they stay as they are read, token for token, so that what was
    prefilled of them is reused. A window that was not asked for may grow, and with it the YaRN step.

    Args:
        plan: of what is read already.
        more: what is to stand behind it.
        job: is told of progress.
        settled: keep the window as it was planned; where it is too small now, segments are chosen for each question.
    """
    before = plan.request.corpus
    assert before is not None, "a plan without a corpus is never loaded"
    held = {
        chosen.path: replace(chosen, frames=chosen.frames + len(plan.request.lost.get(chosen.path, ())))
        for chosen in (plan.reading.samplings if plan.reading else ())
    }
    request = _settled(plan) if settled else _precise(plan)
    corpus = Corpus((*before.sources, *more.sources), (*before.manifest, *more.manifest))
    made = _made(replace(request, corpus=corpus, held=held), job)
    if made.whole or not held:
        return made
    fewer = _made(replace(request, corpus=corpus, held={}), job)  # frames are read anew then, but nothing is left out
    return fewer if fewer.whole else made


def _settled(plan: Plan) -> Request:
    """The request with what must stay as it was planned, because the weights are loaded that way."""
    division = None if plan.given is None else plan.given.division
    request = _precise(plan)
    return replace(request, figures={**request.figures, "window": plan.figures.window}, division=division)


def _precise(plan: Plan) -> Request:
    """The request with the precision of what was planned, and the chunk."""
    names = ("chunk", "bits", "dtype", "kv_dtype", "kv_device")
    return replace(plan.request, figures={**plan.request.figures, **{name: getattr(plan.figures, name) for name in names}})


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
    given = _given(request, geometry, corpus, tokenizer, vision, asked) if request.budgets else None
    seen = (
        given.seen
        if given
        else looking.seen(corpus, geometry, tokenizer, vision, request.wishes, request.lost, asked, request.told, request.held)
    )
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
        given=given,
    )
    figures = replace(figures, notes=(*figures.notes, *seen.remarks), warnings=(*seen.warnings, *figures.warnings))
    counted = seen.corpus.with_tokens(tokens)
    reading = Reading(counted, tokenizer, made, vision, bool(seen.estimated), seen.notes, given, seen.samplings)
    return Plan(request, figures, reading)


def _given(
    request: Request,
    geometry: Geometry,
    corpus: Corpus,
    tokenizer: Tokenizer,
    vision: VisionFormat | None,
    asked: Mapping[str, Any],
) -> Given:
    """What budgets make of a corpus that can be tokenised."""
    base = Seen(corpus) if vision else looking.as_text(corpus, request.wishes, request.told)
    sight = looking.sight_of(geometry, vision) if vision else None
    return _within(request, geometry, base, counting.exact(base.corpus, tokenizer, vision), sight, asked)


def _within(
    request: Request, geometry: Geometry, base: Seen, measure: Measure, sight: Sight | None, asked: Mapping[str, Any]
) -> Given:
    return Budgeting(
        base, request.budgets, measure, geometry, sight, request.wishes, request.lost, asked, request.division
    ).given()


def _guessed(request: Request, geometry: Geometry, corpus: Corpus) -> Plan:
    """The plan for a corpus that nothing here can tokenise: every count is an estimate."""
    overhead = counting.overhead(request.files, None, geometry.native_window)
    asked = {"overhead_tokens": overhead, "device": request.device, **request.figures}
    found, given = counting.estimate(corpus, geometry, request.wishes, asked), None
    if request.budgets:
        measure = counting.Estimated(geometry.sight or Sight())
        given = _within(request, geometry, Seen(corpus), measure, measure.sight, asked)
        counts = {path: cost.total for path, cost in measure.costs(given.seen.corpus.sources).items()}
        found = replace(found, tokens=counts, samplings=given.seen.samplings)
    figures = _figures(
        request,
        geometry,
        found.tokens,
        overhead,
        largest_item=found.largest_item,
        estimated=frozenset(found.tokens),
        samplings=found.samplings,
        counts_basis=found.basis,
        given=given,
    )
    if given is not None:
        figures = replace(figures, warnings=(*given.seen.warnings, *figures.warnings))
    return Plan(request, figures)


def _figures(
    request: Request,
    geometry: Geometry,
    tokens: Mapping[str, int] | None,
    overhead: int,
    *,
    given: Given | None = None,
    **counted: Any,
) -> Figures:
    """What the planner says, with what is to be said of the model and of budgets."""
    if given is not None and tokens is not None:
        counted |= {"corpus_tokens": sum(tokens.values()) + given.lost, "per_question": not given.division.whole}
    figures = planner.plan(
        geometry,
        model=request.files.name,
        source_tokens=None if tokens is None else list(tokens.items()),
        overhead_tokens=overhead,
        device=request.device,
        speeds=speeds.kept(request.device),
        squeezed=request.store == SQUEEZED,
        **counted,
        **request.figures,
    )
    figures = figures if given is None else given.told(figures)
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
    return replace(
        draft,
        files=files,
        device=device,
        figures={**asked, "bits": choice.bits, "kv_dtype": choice.kv_dtype},
        remarks=choice.words,
    )


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
