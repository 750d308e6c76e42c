"""Predicted time against measured: SmolLM2 reads 2K to 16K tokens and speaks, after a calibration in the same run.

Holds within a factor of 1.5, prefill and decode both. About three minutes.

``python -m tests.bench time [BITS [DTYPE]]``
"""

from __future__ import annotations

import time
from typing import Any

TOKENS = (2_048, 4_096, 8_192, 16_384)
SPOKEN, CHUNK, FACTOR = 16, 512, 1.5


def run(bits: str = "16", dtype: str = "float32") -> dict[str, object]:
    from longctx.backends.transformers.calibrate import calibrate
    from longctx.jobs import Job
    from longctx.planner import Precision

    began = time.monotonic()
    speed = calibrate("cpu", Precision(int(bits), dtype), Job(lambda job: None, title="bench"))
    calibrated = time.monotonic() - began
    rows = [_compared(speed, int(bits), dtype, count) for count in TOKENS]
    worst = max(max(row[name], 1 / row[name]) for row in rows for name in ("prefill_ratio", "decode_ratio"))
    return {
        "ratio": round(worst, 3),
        "limit": FACTOR,
        "rows": rows,
        "speed": speed.to_json(),
        "seconds_of_calibration": round(calibrated, 1),
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": worst <= FACTOR,
    }


def _compared(speed: Any, bits: int, dtype: str, count: int) -> dict[str, float]:
    """Predicted over measured."""
    from longctx import planning
    from longctx.backends.base import LoadSpec, Sampling
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job
    from longctx.planner import Geometry, timing
    from tests.bench.yarn import MODULES, material

    files, job = planning.embedded_model(), Job(lambda job: None, title="bench")
    settings: dict[str, Any] = {"bits": bits, "device": "cpu", "chunk": CHUNK, "dtype": dtype}
    engine = TransformersBackend(LoadSpec(name="smollm2", folder=files.folder, cache_folder=files.folder, **settings))
    engine.load(job)
    began = time.perf_counter()
    engine.prefill(material(files.folder, count, MODULES), job)
    prefill = time.perf_counter() - began
    began = time.perf_counter()
    spoken = len(list(engine.decode(Sampling(temperature=0, max_tokens=SPOKEN + 1, lookup=False), (), job)))
    decode = (spoken - 1) / (time.perf_counter() - began)
    said = timing.estimate(Geometry.from_config(files.config), speed, tokens=count, chunk=CHUNK)
    return {
        "tokens": count,
        "prefill_seconds": round(prefill, 2),
        "prefill_ratio": round(said.prefill / prefill, 3),
        "tokens_per_second": round(decode, 2),
        "decode_ratio": round(said.decode / decode, 3),
    }
