"""How fast SmolLM2 in 4 bits speaks, beside llama.cpp with the same model and transformers' own generate, in one run.

Free text, and answers that quote their context, which longctx guesses from the prompt. The limits: free text at least 1.5 times
transformers with the same weights in NF4 and 0.7 times llama.cpp; quotes at least as fast as llama.cpp. Needs
llama-cpp-python 0.3.36, which compiles for some minutes. About two minutes.

``python -m tests.bench decode [FREE [QUOTE]]``, with other prompts in the place of these.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

NEW, ROUNDS, WINDOW, CHUNK = 128, 3, 2_048, 512
LIMITS = {"free_to_transformers": 1.5, "free_to_llama_cpp": 0.7, "quote_to_llama_cpp": 1.0}
FREE = "The history of Paris begins with"
TEXT = (
    "The lighthouse of Port Saint Anne was built in 1873 by the engineer Louis Marchand. It is forty-two metres high and "
    "stands on a rock that is covered by water at high tide. Its lamp burned oil until 1921, when the island was connected to "
    "the power grid of the mainland. Since 1987 nobody lives in the tower any more; the light is switched on and off by a "
    "computer in the harbour office. Every summer about nine thousand people climb its two hundred and eleven steps to look at "
    "the bay and at the ships that wait for the tide."
)
QUOTE = f"<|im_start|>user\n{TEXT}\n\nCopy the text above word for word.<|im_end|>\n<|im_start|>assistant\n"
#: Speaks NEW tokens after a prompt's ids, greedily; the moments at which they came.
Speak = Callable[[list[int]], list[float]]


def run(free: str = FREE, quote: str = QUOTE) -> dict[str, object]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        engine, tokenizer = _engine(Path(folder))
        peers: dict[str, Speak] = {
            "ours": _ours(engine),
            "transformers": _transformers(engine),
            "llama_cpp": _llama_cpp(Path(folder)),
        }
        rates, drafted = {}, {}
        for name, text in (("free", free), ("quote", quote)):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rounds = [{who: _rate(*speak(ids)) for who, speak in peers.items()} for _ in range(ROUNDS)]
            rates[name] = {who: median(row[who] for row in rounds) for who in peers}
            drafted[name] = {"guessed": engine.drafted.tokens, "accepted": engine.drafted.accepted}
    ratios = {limit: rates[kind]["ours"] / rates[kind][who] for limit in LIMITS for kind, who in [limit.split("_to_")]}
    return {
        "ratio": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "limit": LIMITS,
        "tokens_per_second": {name: {who: round(rate, 1) for who, rate in row.items()} for name, row in rates.items()},
        "drafts": drafted,
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": all(ratios[name] >= limit for name, limit in LIMITS.items()),
    }


def _rate(first: float, *others: float) -> float:
    """Tokens a second after the first."""
    return len(others) / (others[-1] - first)


def _engine(folder: Path) -> tuple[Any, Any]:
    from tokenizers import Tokenizer

    from longctx import planning
    from longctx.backends.base import LoadSpec
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job

    model = planning.embedded_model().folder
    settings: dict[str, Any] = {"bits": 4, "device": "cpu", "chunk": CHUNK, "dtype": "bfloat16", "cache_folder": folder}
    engine = TransformersBackend(LoadSpec(name="smollm2", folder=model, **settings))
    engine.load(Job(lambda job: None, title="bench"))
    return engine, Tokenizer.from_file(str(model / "tokenizer.json"))


def _ours(engine: Any) -> Speak:
    from longctx.backends.base import Sampling
    from longctx.jobs import Job

    job = Job(lambda job: None, title="bench")

    def speak(ids: list[int]) -> list[float]:
        engine.prefill(ids, job)
        return [time.perf_counter() for _ in engine.decode(Sampling(temperature=0, max_tokens=NEW), (), job)]

    return speak


def _transformers(engine: Any) -> Speak:
    """Its own generate with the same quantised weights, loaded anew: as a user of transformers has them."""
    import torch
    from transformers import AutoModelForCausalLM

    kept = next((engine.spec.cache_folder / "quantized").iterdir())
    model = AutoModelForCausalLM.from_pretrained(kept, dtype=torch.bfloat16, local_files_only=True).eval()

    options: dict[str, Any] = {"do_sample": False, "repetition_penalty": 1.0, "min_new_tokens": NEW, "max_new_tokens": NEW}

    class Moments(list[float]):
        """What generate calls a streamer: it is given the prompt, then every token."""

        def put(self, value: torch.Tensor) -> None:
            self.append(time.perf_counter())

        def end(self) -> None:
            self.pop(0)

    def speak(ids: list[int]) -> list[float]:
        moments, prompt = Moments(), torch.tensor([ids])
        with torch.inference_mode():
            model.generate(prompt, **options, streamer=moments)
        return moments

    return speak


def _llama_cpp(folder: Path) -> Speak:
    from llama_cpp import Llama

    from longctx.models import fetch_embedded

    model = Llama(str(fetch_embedded(folder)), n_ctx=WINDOW, n_threads=2, verbose=False)

    def speak(ids: list[int]) -> list[float]:
        return [time.perf_counter() for _ in islice(model.generate(ids, temp=0.0, repeat_penalty=1.0), NEW)]

    return speak
