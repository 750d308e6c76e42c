"""A million tokens of source code counted, each file by itself and on all processors: CPU seconds against a limit.

The vocabulary is that of Qwen3.5, opened before. Beside it the same by the package ``tokenizers``, which gives a model its ids;
they must be the same.

``python -m tests.bench tokenise [TOKENS]``
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

TOKENS, LIMIT, RUNS = 1_000_000, 1.5, 5


def run(tokens: str = str(TOKENS)) -> dict[str, object]:
    from longctx.stream import qwen, qwen_counter
    from tests.bench._shared import source_code

    with tempfile.TemporaryDirectory() as folder:
        texts = [file.read_text(encoding="utf-8") for file in sorted(source_code(Path(folder), int(tokens)).iterdir())]
    qwen_counter().encode_data_batch([""])
    ours, ids = _timed(qwen_counter().encode_data_batch, texts)
    theirs, same = _timed(qwen().encode_data_batch, texts)
    count = sum(map(len, ids))
    million = {name: 1e6 / count * seconds for name, seconds in ours.items()}
    return {
        "ratio": round(million["cpu"] / LIMIT, 3),
        "limit": 1.0,
        "tokens": count,
        "files": len(texts),
        "seconds_a_million": {name: round(seconds, 3) for name, seconds in million.items()},
        "of_tokenizers": {name: round(ours[name] / theirs[name], 3) for name in ours},
        "holds": million["cpu"] <= LIMIT and ids == same,
    }


def _timed(encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> tuple[dict[str, float], Any]:
    """The median of CPU and elapsed seconds of a few runs, and the ids."""
    spent = []
    for _ in range(RUNS):
        cpu, began = time.process_time(), time.monotonic()
        ids = encode(texts)
        spent.append((time.process_time() - cpu, time.monotonic() - began))
    return {"cpu": median(cpu for cpu, _ in spent), "elapsed": median(elapsed for _, elapsed in spent)}, ids
