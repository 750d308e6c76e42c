"""A tiny model in the transformers engine, in float32 on the CPU, and prompts of random tokens for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from longctx.backends.base import LoadSpec
from longctx.backends.transformers.engine import TransformersBackend
from longctx.jobs import Job


def job() -> Job[None]:
    return Job(lambda job: None, title="test")


def backend(folder: Path, cache: Path, **options: Any) -> TransformersBackend:
    """The engine with a model loaded; options differ from those of a small, exact one."""
    settings = {"bits": 16, "device": "cpu", "chunk": 64, "cache_folder": cache, "dtype": "float32", **options}
    made = TransformersBackend(LoadSpec(name=folder.name, folder=folder, **settings))
    made.load(job())
    return made


def tokens(count: int, seed: int = 0, *, below: int = 512) -> list[int]:
    return torch.randint(0, below, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
