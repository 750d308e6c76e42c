"""What a session adds around the model: the share of its time that is not spent in the model's forward.

SmolLM2 loads a corpus of some 8,000 tokens and answers two questions, as a user asks them. Reading counts from the beginning of
the prefill to its end, in loading and for both questions; speaking from the first token to the last. The limits: 3 % and 10 %.

``python -m tests.bench overhead [BITS [DTYPE]]``
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

READING, SPEAKING = 0.03, 0.10
SPOKEN = 96
QUESTIONS = ("Which class adds arguments?", "What does the parser do with unknown arguments?")


class Clock:
    """Seconds inside of a function of an object."""

    def __init__(self, owner: Any, name: str) -> None:
        self.seconds = 0.0
        called = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return called(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


def run(bits: str = "4", dtype: str = "bfloat16") -> dict[str, object]:
    import longctx as lc
    from longctx.backends.transformers.engine import TransformersBackend
    from tests.bench.ask_again import _material, _model

    clocks: dict[str, Clock] = {}

    class Timed(TransformersBackend):
        """Tells what it spends in the model."""

        def load(self, job: Any) -> None:
            super().load(job)
            clocks["model"] = Clock(self._model, "forward")

    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        plan = lc.plan(lc.read(_material(Path(folder))), model=_model(), store=False, bits=int(bits), dtype=dtype)
        session = lc.Session(plan, Timed)
        clocks["prefill"] = Clock(session, "_prefill")
        with session:
            session.loading.result()
            reading = {"all": clocks["prefill"].seconds, "model": clocks["model"].seconds}
            for question in QUESTIONS:
                rows.append(_asked(session, question, clocks))
    reading = {name: value + sum(row[f"read_{name}"] for row in rows) for name, value in reading.items()}
    speaking = {name: sum(row[f"spoke_{name}"] for row in rows) for name in ("all", "model")}
    shares = {"reading": 1 - reading["model"] / reading["all"], "speaking": 1 - speaking["model"] / speaking["all"]}
    return {
        "ratio": {name: round(share, 4) for name, share in shares.items()},
        "limit": {"reading": READING, "speaking": SPEAKING},
        "tokens": plan.figures.prompt_tokens,
        "seconds": {"reading": round(reading["all"], 2), "speaking": round(speaking["all"], 2)},
        "holds": shares["reading"] < READING and shares["speaking"] < SPEAKING,
    }


def _asked(session: Any, question: str, clocks: dict[str, Clock]) -> dict[str, float]:
    before = {name: clock.seconds for name, clock in clocks.items()}
    answer = session.ask(question, temperature=0, max_tokens=SPOKEN, lookup=False, show=False)
    spoke: list[tuple[float, float]] = []  # the moment of each change, and the model's seconds until then
    answer.watch(lambda: spoke.append((time.perf_counter(), clocks["model"].seconds)) if answer.partial else None)
    _ = answer.text
    read = clocks["prefill"].seconds - before["prefill"]
    (began, at_first), (ended, at_last) = spoke[0], spoke[-2]  # the last change is the end of the job
    return {
        "read_all": read,
        "read_model": at_first - before["model"],
        "spoke_all": ended - began,
        "spoke_model": at_last - at_first,
    }
