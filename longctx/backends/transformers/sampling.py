"""How the next token is chosen: transformers' own logits processors, with the model's generation config as default."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from longctx.backends.base import Sampling


class Sampler:
    """Chooses tokens from logits.

    Args:
        sampling: what the user asked for.
        defaults: the model's generation config.

    A repetition penalty looks at generated tokens only, since answers must be able to quote.
    """

    def __init__(self, sampling: Sampling, defaults: Any) -> None:
        self.temperature = _temperature(sampling, defaults)
        self.generator = torch.Generator().manual_seed(sampling.seed) if sampling.seed is not None else None
        self.processors = LogitsProcessorList(self._processors(sampling, defaults))
        self.generated: list[int] = []

    def __call__(self, logits: torch.Tensor) -> int:
        """The next token for logits of shape [vocabulary]."""
        ids = torch.tensor([self.generated], dtype=torch.long)
        scores = self.processors(ids, logits.float().cpu().unsqueeze(0))[0]
        if self.temperature == 0:
            token = int(scores.argmax())
        else:
            token = int(torch.multinomial(scores.softmax(-1), 1, generator=self.generator))
        self.generated.append(token)
        return token

    def _processors(self, sampling: Sampling, defaults: Any) -> list[Any]:
        penalty = getattr(defaults, "repetition_penalty", None)
        found: list[Any] = [RepetitionPenaltyLogitsProcessor(penalty)] if penalty and penalty != 1.0 else []
        if self.temperature == 0:
            return found
        top_k = _first(sampling.top_k, getattr(defaults, "top_k", None), 0)
        top_p = _first(sampling.top_p, getattr(defaults, "top_p", None), 1.0)
        min_p = getattr(defaults, "min_p", None)
        found.append(TemperatureLogitsWarper(float(self.temperature)))
        found += [TopKLogitsWarper(top_k)] if top_k else []
        found += [TopPLogitsWarper(top_p)] if top_p < 1.0 else []
        found += [MinPLogitsWarper(min_p)] if min_p else []
        return found


def _temperature(sampling: Sampling, defaults: Any) -> float:
    if sampling.temperature is not None:
        return sampling.temperature
    if sampling.top_p is None and sampling.top_k is None and not getattr(defaults, "do_sample", False):
        return 0.0
    return float(_first(getattr(defaults, "temperature", None), 1.0))


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
