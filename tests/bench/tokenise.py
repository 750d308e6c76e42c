"""A million tokens of source code tokenised, each file by itself and on all processors: CPU seconds against a limit.

The vocabulary is that of Qwen3.5, opened before. Beside it, where it is installed, tiktoken, whose ids must be the same.

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
    from longctx.stream import qwen
    from tests.bench._shared import source_code

    with tempfile.TemporaryDirectory() as folder:
        texts = [file.read_text(encoding="utf-8") for file in sorted(source_code(Path(folder), int(tokens)).iterdir())]
    ours, ids = _timed(qwen().encode_data_batch, texts)
    count = sum(map(len, ids))
    per_million = {name: 1e6 / count * value for name, value in ours.items()}
    peer = _tiktoken(texts, ids)
    return {
        "ratio": round(per_million["cpu"] / LIMIT, 3),
        "limit": 1.0,
        "tokens": count,
        "files": len(texts),
        "seconds_a_million": {name: round(value, 3) for name, value in per_million.items()},
        "of_tiktoken": peer and round(ours["cpu"] / peer["cpu"], 3),
        "holds": per_million["cpu"] <= LIMIT,
    }


def _timed(encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> tuple[dict[str, float], Any]:
    """The median of CPU and elapsed seconds of a few runs, and the ids."""
    spent = []
    for _ in range(RUNS):
        cpu, began = time.process_time(), time.monotonic()
        ids = encode(texts)
        spent.append((time.process_time() - cpu, time.monotonic() - began))
    return {"cpu": median(cpu for cpu, _ in spent), "elapsed": median(elapsed for _, elapsed in spent)}, ids


def _tiktoken(texts: Sequence[str], ids: Any) -> dict[str, float] | None:
    """What tiktoken takes for the same ids; None where it is not installed."""
    try:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe
    except ImportError:
        return None
    import os

    from longctx.stream.vocabulary import _SPLIT, _data_file

    peer = tiktoken.Encoding("qwen", pat_str=_SPLIT, mergeable_ranks=load_tiktoken_bpe(str(_data_file())), special_tokens={})
    spent, theirs = _timed(lambda batch: peer.encode_ordinary_batch(list(batch), num_threads=os.cpu_count() or 1), texts)
    if theirs != ids:
        raise RuntimeError("tiktoken gives other ids")
    return spent
