"""The first token of a second question against the first's, and against transformers' own generate, which reads all again.

Over about 4,000 tokens of context, with the embedded default, in one process: the first answer accounts for the reading of the
corpus, the second reads its own tokens only. The limit is a twentieth.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

TOKENS = 4000
LIMIT = 1 / 20
QUESTIONS = ("Which function waits before the next attempt?", "Which class keeps the settings?")


def run() -> dict[str, object]:
    import longctx as lc

    with tempfile.TemporaryDirectory() as folder:
        plan = lc.plan(lc.read(_material(Path(folder))), model=_model(), store=False)
        began = time.monotonic()
        with lc.load(plan, show=False) as session:
            first = session.ask("Ready?", max_tokens=1, show=False).usage.seconds_to_first_token
            seconds = [session.ask(question, max_tokens=2, show=False).usage for question in QUESTIONS * 3]
            peer = _generate_seconds(session)
        again = sorted(usage.seconds_to_first_token for usage in seconds)[len(seconds) // 2]
    return {
        "ratio_to_first": round(again / first, 4),
        "ratio_to_transformers_generate": round(again / peer, 4),
        "limit": LIMIT,
        "context_tokens": plan.figures.prompt_tokens,
        "reused_tokens": seconds[0].reused_tokens,
        "prompt_tokens": seconds[0].prompt_tokens,
        "seconds": {"first": round(first, 3), "second": round(again, 3), "generate": round(peer, 3)},
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": again <= LIMIT * first and again <= LIMIT * peer,
    }


def _model() -> Path:
    from longctx import planning

    return planning.embedded_model().folder


def _material(folder: Path) -> Path:
    """Python source of the standard library, cut to about TOKENS tokens."""
    import argparse

    text = Path(argparse.__file__).read_text(encoding="utf-8")
    (folder / "argparse.py").write_text(text[: int(TOKENS * 3.4)], encoding="utf-8")
    return folder


def _generate_seconds(session: object) -> float:
    """Seconds of transformers' generate for one token of the same prompt, without a prefix."""
    import torch

    from longctx.assembly import assemble

    plan = session.plan  # type: ignore[attr-defined]
    model = session._engine.backend._model  # type: ignore[attr-defined]
    ids = torch.tensor([assemble(plan, plan.stream, QUESTIONS[0]).ids])
    began = time.monotonic()
    with torch.inference_mode():
        model.generate(ids, max_new_tokens=1, do_sample=False)
    return time.monotonic() - began
