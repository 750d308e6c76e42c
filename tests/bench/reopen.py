"""How fast a prefix comes back in a new process: bytes a second, and against reading the same tokens.

SmolLM2 in bfloat16 reads source code in one process, which keeps it; another one restores it, from the page cache. Imports and
weights are not counted. The limits: 500 MB/s, and 30 times faster than the prefill. About a minute.

``python -m tests.bench reopen [TOKENS [DTYPE]]``
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOKENS, CHUNK = 8_192, 512
MB_PER_SECOND, TIMES = 500.0, 30.0


def run(tokens: str = str(TOKENS), dtype: str = "bfloat16") -> dict[str, object]:
    from tests.bench._shared import in_a_process

    with tempfile.TemporaryDirectory() as folder:
        read, restored = (in_a_process("tests.bench.reopen", folder, tokens, dtype) for _ in range(2))
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    rate, times = size / restored["seconds"], read["seconds"] / restored["seconds"]
    return {
        "ratio": round(times, 1),
        "limit": TIMES,
        "mb_per_second": round(rate),
        "limit_mb_per_second": MB_PER_SECOND,
        "mb": round(size),
        "tokens": int(tokens),
        "seconds": {"prefill": read["seconds"], "restore": restored["seconds"]},
        "reused_tokens": restored["reused"],
        "holds": rate >= MB_PER_SECOND and times >= TIMES and restored["reused"] == int(tokens),
    }


def main(folder: str, tokens: str, dtype: str) -> None:
    import argparse
    import inspect

    from longctx import planning
    from longctx.backends.base import LoadSpec
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job
    from tests.bench.yarn import material

    model, job, count = planning.embedded_model().folder, Job(lambda job: None, title="bench"), int(tokens)
    settings: dict[str, Any] = {"bits": 16, "device": "cpu", "chunk": CHUNK, "dtype": dtype, "cache_folder": model}
    engine = TransformersBackend(LoadSpec(name="smollm2", folder=model, prefix_folder=Path(folder), **settings))
    engine.load(job)
    ids = material(model, count, (argparse, inspect, tempfile, json))
    began = time.perf_counter()
    reuse = engine.prefill(ids, job, marks=(count,))
    print(json.dumps({"seconds": round(time.perf_counter() - began, 4), "reused": reuse.tokens}))


if __name__ == "__main__":
    main(*sys.argv[1:])
