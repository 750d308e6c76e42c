"""YaRN on a real model: mean NLL of SmolLM2's last 1,024 of 16,384 tokens of Python source, twice its native window.

Without scaling it must break (above 6), with factor 2, which the planner takes by itself, it must read on (below 1.5), and
factor 4 must cost something. The rope parameters are the planner's, applied as :func:`longctx.load` applies them. About five
minutes.

``python -m tests.bench yarn [TOKENS]``
"""

from __future__ import annotations

import _pydecimal
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

TOKENS, LAST, CHUNK = 16_384, 1_024, 512
BROKEN, WHOLE = 6.0, 1.5
#: Whose source is read. How well it can be foretold at all depends on the text: this one says much again.
MODULES: tuple[ModuleType, ...] = (_pydecimal,)


def run(tokens: str = str(TOKENS)) -> dict[str, object]:
    began = time.monotonic()
    count = int(tokens)
    losses = {factor: _loss(factor, count) for factor in (1.0, 2.0, 4.0)}
    planned = _planned(count)
    return {
        "nll": {f"{factor:g}": round(loss, 3) for factor, loss in losses.items()},
        "ratio": round(losses[2.0] / losses[1.0], 4),
        "limit": WHOLE / BROKEN,
        "tokens": count,
        "planned_factor": planned,
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": losses[1.0] > BROKEN and losses[2.0] < WHOLE and losses[4.0] > losses[2.0] and planned == 2.0,
    }


def _files() -> Any:
    from longctx import planning

    return planning.embedded_model()


def _planned(tokens: int) -> float:
    """The factor that the planner takes for a window of so many tokens."""
    import longctx as lc

    return lc.plan(model=_files().folder, window=tokens).figures.yarn_factor


def _loss(factor: float, count: int) -> float:
    """Mean NLL of the last tokens, read in steps as a session reads."""
    import torch

    from longctx import planner
    from longctx.backends.base import LoadSpec
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job

    files = _files()
    spec = LoadSpec(
        name="smollm2",
        folder=files.folder,
        bits=16,
        device="cpu",
        chunk=CHUNK,
        cache_folder=Path("."),
        dtype="float32",
        rope_parameters=planner.rope_parameters(files.config, factor),
    )
    engine, job = TransformersBackend(spec), Job(lambda job: None, title="bench")
    engine.load(job)
    ids = material(files.folder, count, MODULES)
    engine.prefill(ids[:-LAST], job)
    with torch.inference_mode():
        logits = continued(engine, ids[-LAST:])
        return float(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1 - LAST :])))


def material(folder: Path, count: int, modules: Sequence[ModuleType]) -> list[int]:
    """So many tokens of the source of modules of the standard library, one after the other."""
    from longctx.stream import Tokenizer

    text = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules)
    ids = Tokenizer.from_folder(folder).encode_data(text)
    if len(ids) < count:
        raise ValueError(f"{count} tokens were asked for, and there are {len(ids)}")
    return ids[:count]


def continued(engine: Any, ids: list[int]) -> Any:
    """The logits of tokens that follow what an engine has read, [tokens, vocabulary]."""
    import torch

    from longctx.backends.transformers.cache import cache_argument

    state, start = engine._ready, engine._ready.length
    positions = torch.arange(start, start + len(ids))[None]
    cached = {cache_argument(engine._model): state.cache}
    return engine._model(input_ids=torch.tensor([ids]), position_ids=positions, **cached).logits[0].float()
