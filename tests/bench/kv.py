"""What packed K/V costs in logits: int8 and int4 against K/V as it is, after 4,096 tokens of Python source, over the next 256;
and what K/V costs that was restored from disk, where the store keeps it in int8.

SmolLM2 in float32. ``kl`` is the mean Kullback-Leibler divergence of the next token's distribution in nats, ``agree`` the share
of positions at which the likeliest token is the same, ``nll`` the loss that is added. The peer is bfloat16, as most K/V is
kept: ``ratio`` is int8's divergence over that of K/V rounded to bfloat16.

``python -m tests.bench kv [TOKENS]``
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.yarn import continued, material

TOKENS, LAST, CHUNK = 4_096, 256, 512
#: Nats that a packed past may cost at the most: int8 as good as nothing, int4 less than the weights in 4 bits cost.
LIMITS = {"int8": 0.001, "int4": 0.05, "int8 on disk": 0.001}


def run(tokens: str = str(TOKENS)) -> dict[str, object]:
    began = time.monotonic()
    count = int(tokens)
    exact, _ = _logits("", count)
    found = {kv: _compared(exact, *_logits(kv, count)) for kv in ("bfloat16", *LIMITS)}
    return {
        "ratio": round(found["int8"]["kl"] / found["bfloat16"]["kl"], 3),
        "limit_kl": LIMITS,
        **{kv: {name: round(value, 6) for name, value in costs.items()} for kv, costs in found.items()},
        "tokens": count,
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": all(found[kv]["kl"] <= limit for kv, limit in LIMITS.items()),
    }


def _logits(kv: str, count: int) -> tuple[Any, list[int]]:
    """The logits after a past that is kept in some way, and the tokens that really follow."""
    import torch

    from longctx import planning
    from longctx.backends.base import LoadSpec
    from longctx.backends.transformers import packed
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job

    class Bfloat16(packed.AsTheyAre):
        """What rounding to bfloat16 would cost."""

        def pack(self, states: torch.Tensor) -> list[torch.Tensor]:
            return [states.bfloat16()]

    packed.CODECS["bfloat16"] = Bfloat16
    folder = planning.embedded_model().folder
    settings: dict[str, Any] = {"bits": 16, "device": "cpu", "chunk": CHUNK, "dtype": "float32"}
    ids = material(folder, count + LAST, (argparse, inspect))
    job = Job(lambda job: None, title="bench")
    with tempfile.TemporaryDirectory() as store:
        settings |= {"prefix_folder": Path(store), "disk_dtype": "int8"} if kv.endswith("disk") else {"kv_dtype": kv}
        for _ in range(2 if kv.endswith("disk") else 1):  # the second one restores what the first one read
            engine = TransformersBackend(LoadSpec(name="smollm2", folder=folder, cache_folder=folder, **settings))
            engine.load(job)
            reuse = engine.prefill(ids[:count], job, marks=(count,))
    assert reuse.tokens == (count if kv.endswith("disk") else 0)
    with torch.inference_mode():
        return continued(engine, ids[count:]), ids[count:]


def _compared(exact: Any, logits: Any, ids: list[int]) -> dict[str, float]:
    import torch

    told, got = exact.log_softmax(-1), logits.log_softmax(-1)
    following = torch.tensor(ids[1:])[:, None]
    loss = [-table[:-1].gather(1, following).mean().item() for table in (told, got)]
    return {
        "kl": (told.exp() * (told - got)).sum(-1).mean().item(),
        "largest_logit_error": (exact - logits).abs().max().item(),
        "agree": (exact.argmax(-1) == logits.argmax(-1)).float().mean().item(),
        "nll": loss[1] - loss[0],
    }
