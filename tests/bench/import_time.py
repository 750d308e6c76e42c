"""``import longctx`` in a fresh process against starting Python alone; under 0.3 s more, and no torch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9
LIMIT_SECONDS = 0.3


def run() -> dict[str, object]:
    plain = [_seconds("pass") for _ in range(RUNS)]
    ours = [_seconds("import longctx") for _ in range(RUNS)]
    extra = statistics.median(ours) - statistics.median(plain)
    torch = subprocess.run(
        [sys.executable, "-c", "import longctx, sys; print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "ratio_to_limit": round(extra / LIMIT_SECONDS, 3),
        "seconds_more_than_python": round(extra, 4),
        "torch_imported": torch == "True",
        "holds": extra < LIMIT_SECONDS and torch == "False",
    }


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began
