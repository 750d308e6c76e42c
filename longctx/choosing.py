"""Which model is meant: the one that was named, the best that can be had here, or the members of a family to choose from.

Joins files on this machine with what the planner knows of a family. Plans no corpus.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from longctx import engines, models, planner
from longctx.errors import ModelNotFoundError
from longctx.jobs import Job
from longctx.models import ModelFiles, gguf
from longctx.planner import Candidate, Device, Geometry

#: As a model's name: the best of the family for a corpus and a memory, wherever it is.
AUTO = "auto"
#: Tried from the largest down where no model is named. Only those whose 4-bit weights stock bitsandbytes really makes.
FAMILY = tuple(member.name for member in planner.FAMILY if not member.experts)
SMALLEST = FAMILY[-1]
SMALLEST_BYTES = 1_750_000_000
SMALLEST_NEEDS = 8_000_000_000

Agree = Callable[[str], bool]


def named(model: str | os.PathLike[str], *, config_only: bool) -> ModelFiles:
    """The files of a model that was named; of one of the family where the hub cannot be reached, what is known of it.

    Args:
        model: a hub id, a local folder or a GGUF file.
        config_only: whether config.json suffices.

    Raises:
        UsageError: the name is empty.
        ModelNotFoundError: there is no such model, or it cannot be reached and is not known.
        ModelDamagedError: a part of it is missing or unreadable.
        ModelError: a GGUF file holds no model that generates text.
    """
    try:
        return models.find(model, config_only=config_only)
    except ModelNotFoundError as error:
        known = planner.member(os.fspath(model))
        if not error.retryable or known is None:
            raise
        return models.foreseen(known.name, known.config)


def family(*, config_only: bool) -> dict[str, ModelFiles]:
    """The members of the family by name, each as it lies in the hub's cache, or as it is known. Uses no network.

    Args:
        config_only: whether config.json suffices.
    """
    return {
        member.name: models.cached(member.name, config_only=config_only) or models.foreseen(member.name, member.config)
        for member in planner.FAMILY
    }


def geometry(files: ModelFiles) -> Geometry:
    """The sizes of a model: by formula, counted in its GGUF file, or, where there is no formula, measured on the meta device.

    Raises:
        ModelError: it does not generate text.
        PlanError: its config lacks a field, or holds nonsense.
    """
    if files.header is not None:
        made = Geometry.from_config(files.config, name=files.name)
        rows = [(tensor.name, tensor.shape) for tensor in files.header.tensors]
        return planner.counted(made, rows) if rows else made
    if planner.knows(files.config):
        return Geometry.from_config(files.config, name=files.name)
    return _measured(json.dumps(files.config, sort_keys=True), files.name)


@functools.lru_cache(maxsize=16)
def _measured(config: str, name: str) -> Geometry:
    """As :func:`geometry`; building a large model without memory takes seconds, and a plan asks several times."""
    fields = json.loads(config)
    planner.require_generative(fields, name)
    from longctx.backends.transformers.sizes import measure  # imports torch

    sizes = measure(fields, name=name)
    return Geometry.from_config(fields, name=name) if sizes is None else planner.measured(sizes, fields, name=name)


def candidate(files: ModelFiles, device: Device, bits: int | None) -> Candidate:
    """A member as it can be chosen.

    Args:
        files: of the member.
        device: where it would run.
        bits: that were asked for, or None.
    """
    geometry = Geometry.from_config(files.config, name=files.name)
    return Candidate(geometry, reusing(device, files, bits), here=not files.remote)


def reusing(device: Device, files: ModelFiles, bits: int | None) -> Device:
    """The device as a plan for this model finds it: what a loaded engine holds for it is used again, not taken once more."""
    available = device.memory_available + engines.held(files.folder, bits)
    return replace(device, memory_available=min(available, device.memory_total))


def whereabouts(files: ModelFiles, geometry: Geometry) -> Iterator[str]:
    """How a model's sizes were found, where it is, and what it takes to have it here: checkpoints are published in 16 bits."""
    if geometry.basis == "measured":
        what = "parameters, K/V and state" if geometry.known else "parameters"
        yield f"{what} of {geometry.model_type!r} were measured on the meta device"
    if files.header is not None:
        yield from _in_the_file(files, files.header)
    if files.remote:
        size = f"{2 * geometry.parameters.total / 1e9:.1f} GB"
        known = "" if (files.folder / "config.json").is_file() else "; planned by what longctx knows of it"
        yield f"{files.name} is not on this machine: fetching it takes about {size}{known}"


def _in_the_file(files: ModelFiles, header: gguf.Header) -> Iterator[str]:
    """What a GGUF file holds, beside what longctx would make of the model."""
    yield from (f"{files.name}: {note}" for note in header.notes)
    if header.tensors:
        kinds = ", ".join(header.kinds[:3])
        yield (
            f"{files.name} holds {header.size / 1e9:.2f} GB of weights ({kinds}), as llama.cpp runs them; the weights of this "
            "plan are those of the same model loaded by longctx, which does not load GGUF files"
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
    here = reusing(device, files, None)
    return planner.plan(geometry, model=files.name, source_tokens=[], overhead_tokens=2048, bits=None, device=here).fits
