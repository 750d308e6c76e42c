"""Reading a prompt in chunks against a plain loop over transformers at its best chunk size: time and peak memory, in one run.

16,384 tokens in bfloat16, by SmolLM2 and by a small random model of Qwen3.5's shape. Each run has a process of its own, and all
of them read the same. The limits: at least 1.1 times as fast on SmolLM2 and 1.2 times on the hybrid, chunks of 2,048 at most
1.1 times our own time for one step, and less memory. About ten minutes; Linux only.

``python -m tests.bench prefill [TOKENS [MODEL]]``
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOKENS, CHUNK, ROUNDS = 16_384, 2_048, {"smollm2": 2, "hybrid": 4}
#: How many times as fast as the loop; how much longer than one step.
FASTER, LONGER = {"smollm2": 1.1, "hybrid": 1.2}, 1.1
#: Chunk sizes of the loop.
CHUNKS = {"smollm2": (512, 2_048, 8_192), "hybrid": (512, 1_024, 2_048, 4_096, 16_384)}
#: The shape that the tests use. Where attention takes more of the time, the loop in one step comes closer: its kernel is ours.
HYBRID = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}


def run(tokens: str = str(TOKENS), *models: str) -> dict[str, object]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = {name: _compared(name, _model(name, Path(folder)), tokens) for name in models or FASTER}
    return {
        "ratio": {name: row["faster"] for name, row in rows.items()},
        "limit": FASTER,
        "rows": rows,
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": all(
            row["faster"] >= FASTER[name] and row["to_one_step"] <= LONGER and row["memory"] < 1 for name, row in rows.items()
        ),
    }


def _model(name: str, folder: Path) -> Path:
    from longctx import planning
    from tests.bench._shared import random_model

    return planning.embedded_model().folder if name == "smollm2" else random_model("hybrid", folder / name, **HYBRID)


def _compared(name: str, model: Path, tokens: str) -> dict[str, Any]:
    """The best of some rounds, of each way; the loop's memory is that at its fastest chunk size."""
    from tests.bench._shared import in_a_process

    ways = [("loop", chunk) for chunk in CHUNKS[name]] + [("ours", CHUNK), ("ours", int(tokens))]
    runs = [{way: in_a_process("tests.bench.prefill", model, tokens, *way) for way in ways} for _ in range(ROUNDS[name])]
    best = {way: min((row[way] for row in runs), key=lambda run: run["seconds"]) for way in ways}
    loop = min((way for way in ways if way[0] == "loop"), key=lambda way: best[way]["seconds"])
    ours, whole = best["ours", CHUNK], best["ours", int(tokens)]
    return {
        "faster": round(best[loop]["seconds"] / ours["seconds"], 3),
        "to_one_step": round(ours["seconds"] / whole["seconds"], 3),
        "memory": round(ours["peak"] / best[loop]["peak"], 3),
        "best_chunk_of_the_loop": loop[1],
        "seconds": {f"{who} {chunk}": run["seconds"] for (who, chunk), run in best.items()},
        "peak_mb": {f"{who} {chunk}": round(run["peak"] / 1e6) for (who, chunk), run in best.items()},
    }


def main(folder: str, tokens: str, who: str, chunk: str) -> None:
    import numpy as np

    from longctx.backends.transformers.measure import PeakMeter

    ids = np.random.default_rng(0).integers(0, 40_000, int(tokens)).tolist()
    read = _loop(Path(folder), int(chunk)) if who == "loop" else _ours(Path(folder), int(chunk))
    meter = PeakMeter("cpu")
    with meter:
        read(ids[: 2 * CHUNK])  # kernels are made for these shapes, memory is taken
        began = time.perf_counter()
        read(ids)
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": round(seconds, 3), "peak": meter.peak}))


def _loop(folder: Path, chunk: int) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True).eval()

    def read(ids: list[int]) -> None:
        cache, whole = DynamicCache(config=model.config), torch.tensor([ids])
        with torch.inference_mode():
            for step in whole.split(chunk, 1):
                model(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1)

    return read


def _ours(folder: Path, chunk: int) -> Any:
    from longctx.backends.base import LoadSpec
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job

    settings: dict[str, Any] = {"bits": 16, "device": "cpu", "chunk": chunk, "dtype": "bfloat16", "cache_folder": folder}
    engine, job = TransformersBackend(LoadSpec(name="bench", folder=folder, **settings)), Job(lambda job: None, title="bench")
    engine.load(job)

    def read(ids: list[int]) -> None:
        engine._forget()  # nothing of it is taken from memory
        engine.prefill(ids, job)

    return read


if __name__ == "__main__":
    main(*sys.argv[1:])
