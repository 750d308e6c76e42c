"""Predicted memory against the anonymous peak that is measured, of loading and of prefill, over a grid on a CPU.

Each point runs in a process of its own: plan, load, read so many tokens. The baseline is taken after the imports; weights that
lie in their mapped file (/proc/self/maps) are counted apart, and added. A point holds within 10 % or 100 MB. Linux only.

``python -m tests.bench memory [SHARE]``: of the grid's points, the first so many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

SHARE, BYTES = 0.10, 100e6
LARGE = 1e9
#: model, bits, dtype, tokens, chunk, K/V
GRID: tuple[tuple[str, int, str, int, int, str], ...] = (
    ("smollm2", 16, "float32", 2_048, 512, ""),
    ("smollm2", 16, "float32", 12_288, 512, ""),
    ("smollm2", 16, "bfloat16", 8_192, 2_048, ""),
    ("smollm2", 4, "float32", 8_192, 512, ""),
    ("smollm2", 8, "float32", 2_048, 512, ""),
    ("hybrid", 8, "float32", 4_096, 512, ""),
    ("hybrid", 16, "float32", 4_096, 512, ""),
    ("hybrid", 16, "float32", 4_096, 2_048, ""),
    ("hybrid", 16, "bfloat16", 8_192, 512, ""),
    ("hybrid", 4, "float32", 8_192, 512, ""),
    ("wide", 16, "float32", 8_192, 512, ""),
    ("wide", 16, "float32", 16_384, 1_024, ""),
    ("wide", 16, "float32", 16_384, 512, "int8"),
    ("wide", 16, "bfloat16", 16_384, 512, "int4"),
    ("wide", 4, "bfloat16", 16_384, 512, ""),
)
#: Random models: a hybrid of Qwen3.5's shape, and one with much K/V.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "hybrid": (
        "qwen3_5_text",
        {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 8,
         "num_key_value_heads": 2, "head_dim": 128, "linear_num_key_heads": 8, "linear_num_value_heads": 16,
         "linear_key_head_dim": 64, "linear_value_head_dim": 64, "vocab_size": 32_768, "max_position_embeddings": 32_768},
    ),
    "wide": (
        "llama",
        {"hidden_size": 1024, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 16,
         "num_key_value_heads": 16, "head_dim": 64, "vocab_size": 32_768, "max_position_embeddings": 32_768},
    ),
}  # fmt: skip


def run(points: str = str(len(GRID))) -> dict[str, object]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measured(Path(folder), *point) for point in GRID[: int(points)]]
    worst = max(row["off"] for row in rows)
    large = sum(row["prefill"] > LARGE for row in rows)
    return {
        "ratio": round(worst, 4),
        "limit": 1.0,
        "points": rows,
        "over_1_gb": large,
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": worst <= 1 and 3 * large >= len(rows),
    }


def _measured(folder: Path, *point: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.memory", str(folder), *map(str, point)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{point}: {done.stderr}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def main(folder: str, name: str, bits: str, dtype: str, tokens: str, chunk: str, kv: str) -> None:
    import bitsandbytes  # noqa: F401  part of the baseline
    import numpy as np

    import longctx as lc
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job

    model, count = _model(name, Path(folder)), int(tokens)
    asked: dict[str, Any] = {"bits": int(bits), "dtype": dtype, "window": count, "chunk": int(chunk), "kv_dtype": kv or None}
    plan = lc.plan(model=model, device="cpu", store=False, **asked)
    ids = np.random.default_rng(0).integers(0, 32_000, count).tolist()
    job = Job(lambda job: None, title="bench")
    spec = replace(plan.spec(plan.files), cache_folder=Path(folder) / "cache")
    quantizing = _quantizing(spec, job) if int(bits) < 16 else 0
    engine = TransformersBackend(spec)
    engine.load(job)
    load = engine.memory().peak + _mapped(engine._model)
    engine.prefill(ids, job)
    mapped = _mapped(engine._model)  # 4-bit weights are packed anew on their first use, and are no longer mapped
    said = plan.figures.memory
    predicted = said.total - said.overhead
    row = {
        "point": [name, int(bits), dtype, count, int(chunk), kv],
        "predicted": predicted,
        "prefill": engine.memory().peak + mapped,
        "predicted_load": said.weights,
        "load": max(load, quantizing),
        "quantizing": quantizing,
        "mapped": mapped,
        "parts": said.to_json(),
    }
    offs = [
        abs(row["prefill"] - predicted) / max(SHARE * predicted, BYTES),
        abs(row["load"] - said.weights) / max(SHARE * said.weights, BYTES),
    ]
    print(json.dumps({**row, "off": round(max(offs), 3), "offs": [round(off, 3) for off in offs]}))


def _quantizing(spec: Any, job: Any) -> int:
    """The peak of the first use of quantised weights, when they are made; their source is mapped then."""
    from longctx.backends.transformers.engine import TransformersBackend

    first = TransformersBackend(spec)
    first.load(job)
    peak = first.memory().peak
    first.close()
    return peak


def _mapped(model: Any) -> int:
    """Bytes of weights that lie in their mapped file, whether their pages were touched yet or not: no anonymous memory."""
    ranges = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(".safetensors")
    ]
    storages = {tensor.untyped_storage().data_ptr(): tensor.nbytes for tensor in (*model.parameters(), *model.buffers())}
    return sum(size for place, size in storages.items() if any(first <= place < last for first, last in ranges))


def _model(name: str, folder: Path) -> Path:
    """The real one, or a random one of a shape."""
    if name == "smollm2":
        from longctx import planning

        return planning.embedded_model().folder
    target = folder / name
    if not target.is_dir():
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        kind, sizes = SHAPES[name]
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(target)
    return target


if __name__ == "__main__":
    main(*sys.argv[1:])
