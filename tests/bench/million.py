"""A million tokens, really: source code of the standard library, read by a small random model of Qwen3.5's shape on a CPU.

One process plans, reads, keeps the prefix on disk and answers; another one restores it and answers the same question. Holds if
the anonymous peak is at most what the plan said and 10 % or 100 MB, nothing of the corpus is read again, both have the same
logits and say the same. With 1,000,000 tokens about half an hour; what it printed then is kept in ``million.md``. Linux only.

``python -m tests.bench million [TOKENS]``
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOKENS = 1_000_000
SHARE, BYTES, TOLERANCE = 0.10, 100e6, 1e-5
QUESTION = "Which module reads arguments of the command line?"
#: What the model's positions reach with YaRN.
LONGEST = 1 << 20
#: Rows of the curve of cost against length.
ROWS = 16


def run(tokens: str = str(TOKENS)) -> dict[str, object]:
    from tests.bench._shared import in_a_process, random_model

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        random_model("hybrid", Path(folder, "model"))
        _fill(Path(folder), int(tokens))
        os.environ["LONGCTX_CACHE"] = str(Path(folder, "cache"))
        read, restored = (in_a_process("tests.bench.million", folder, number) for number in (1, 2))
    allowed = read["predicted"] + max(SHARE * read["predicted"], BYTES)
    error = max(abs(a - b) for a, b in zip(read.pop("logits"), restored.pop("logits"), strict=True))
    same = read["answer_ids"] == restored["answer_ids"] and error < TOLERANCE
    peak = max(read["peak"], restored["peak"])
    return {
        "ratio": round(peak / read["predicted"], 3),
        "limit": round(allowed / read["predicted"], 3),
        "tokens": read["prompt_tokens"],
        "logit_error": error,
        "read": read,
        "restored": {name: value for name, value in restored.items() if name not in ("curve", "predicted")},
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": peak <= allowed
        and same
        and restored["reused_tokens"] >= restored["head_tokens"]
        and read["reused_tokens"] == 0,
    }


def _fill(folder: Path, tokens: int) -> None:
    """Source code for a prompt of at least as many tokens: what marks of segments and files take is found out first."""
    import longctx as lc
    from tests.bench._shared import source_code

    left, window = tokens, {"window": LONGEST, "max_window": LONGEST}
    for name in ("measured", "measured again", "corpus"):
        (folder / name).mkdir()
        source_code(folder / name, left)
        left += (
            int(1.001 * tokens)
            - lc.plan(lc.read(folder / name), model=folder / "model", store=False, **window).figures.prompt_tokens
        )


def main(folder: str, number: str) -> None:
    import torch

    import longctx as lc

    plan = lc.plan(lc.read(Path(folder, "corpus")), model=Path(folder, "model"), device="cpu", reserve=512)
    began = time.monotonic()
    session = lc.Session(plan)
    curve = _watched(session, began)
    session.loading.result()
    loaded = time.monotonic() - began
    answer = session.ask(QUESTION, temperature=0, max_tokens=16, show=False)
    usage, memory = answer.usage, answer.outcome.memory
    logits = session._engine.backend._state.logits  # type: ignore[attr-defined]
    said = plan.figures.memory
    print(
        json.dumps(
            {
                "prompt_tokens": plan.figures.prompt_tokens,
                "head_tokens": plan.figures.prompt_tokens - plan.figures.overhead_tokens,
                "factor": plan.figures.yarn_factor,
                "window": plan.window,
                "dtype": plan.figures.dtype,
                "chunk": plan.figures.chunk,
                "predicted": said.total - said.overhead,
                "peak": memory["peak"],
                "disk_predicted": plan.figures.disk,
                "disk": lc.prefix_store().size(),
                "seconds_to_load_and_read": round(loaded, 2),
                "seconds_to_first_token_of_the_answer": round(usage.seconds_to_first_token, 2),
                "reused_tokens": usage.reused_tokens,
                "reused_from": usage.reused_from,
                "answer_ids": answer.outcome.ids,
                "logits": logits[max(logits)].float().tolist()[:4096],
                "curve": _rows(curve),
                "threads": torch.get_num_threads(),
            }
        )
    )
    session.close()


def _watched(session: Any, began: float) -> list[tuple[int, float]]:
    """Tokens read and the seconds that it took, filled while the session loads."""
    curve: list[tuple[int, float]] = []

    def changed() -> None:
        progress = session.loading.progress
        if progress.stage == "prefill" and (not curve or progress.done > curve[-1][0]):
            curve.append((progress.done, round(time.monotonic() - began, 2)))

    session.loading.watch(changed)
    return curve


def _rows(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """So many of them, evenly spread, the last one among them."""
    step = max(1, len(curve) // ROWS)
    return curve[::-step][::-1]


if __name__ == "__main__":
    main(*sys.argv[1:])
