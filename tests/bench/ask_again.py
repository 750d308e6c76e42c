"""The first token of a second question against the bare cost of reading its own tokens, and against reading all again.

Over about 8,000 tokens of context, with the embedded default, in one process. The bare cost is the model's forward over the
question's tokens with the context in its cache, no more; the limit is 1.2 times that. Against the first answer, which accounts
for the reading of the corpus, and against transformers' generate, which reads all again, it is a twentieth.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

TOKENS = 9_000
LIMIT, BARE = 1 / 20, 1.2
QUESTIONS = ("Which function waits before the next attempt?", "Which class keeps the settings?")


def run() -> dict[str, object]:
    import longctx as lc

    with tempfile.TemporaryDirectory() as folder:
        plan = lc.plan(lc.read(_material(Path(folder))), model=_model(), store=False)
        began = time.monotonic()
        with lc.load(plan, show=False) as session:
            first = session.ask("Ready?", max_tokens=1, show=False).usage.seconds_to_first_token
            rounds = [(session.ask(q, max_tokens=2, show=False).usage, _bare_seconds(session, q)) for q in QUESTIONS * 5]
            peer = _generate_seconds(session)
        seconds = [usage for usage, _ in rounds]
        again, bare = median(usage.seconds_to_first_token for usage in seconds), median(second for _, second in rounds)
    return {
        "ratio_to_first": round(again / first, 4),
        "ratio_to_transformers_generate": round(again / peer, 4),
        "limit": LIMIT,
        "ratio_to_bare": round(again / bare, 3),
        "limit_to_bare": BARE,
        "context_tokens": plan.figures.prompt_tokens,
        "reused_tokens": seconds[0].reused_tokens,
        "prompt_tokens": seconds[0].prompt_tokens,
        "seconds": {"first": round(first, 3), "second": round(again, 4), "bare": round(bare, 4), "generate": round(peer, 3)},
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": again <= BARE * bare and again <= LIMIT * first and again <= LIMIT * peer,
    }


def _bare_seconds(session: Any, question: str) -> float:
    """Seconds of the model's forward over a question's own tokens, with the context in its cache as it is."""
    import torch

    from longctx.assembly import assemble
    from longctx.backends.transformers.cache import cache_argument

    plan, engine = session.plan, session._engine.backend
    prompt, state = assemble(plan, plan.stream, question), engine._state
    state.rewind(prompt.head)
    own = prompt.ids[prompt.head :]
    ids, positions = torch.tensor([own]), torch.arange(prompt.head, prompt.head + len(own))[None]
    began = time.perf_counter()
    with torch.inference_mode():
        cached = {cache_argument(engine._model): state.cache}
        engine._model(input_ids=ids, position_ids=positions, logits_to_keep=1, **cached)
    seconds = time.perf_counter() - began
    state.begin(prompt.head)
    return seconds


def _model() -> Path:
    from longctx import planning

    return planning.embedded_model().folder


def _material(folder: Path) -> Path:
    """Python source of the standard library, cut to TOKENS tokens by a rough measure."""
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
