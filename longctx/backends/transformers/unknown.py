"""Models that keep their state in a way that is not known here: they work, in one step for each question and without reuse.

Some do not take the cache that others take; some take it and read a second chunk as if nothing had been before. Whether a model
goes on as it should is tried once, with a few tokens, unless its architecture is one of those that the tests go through.
"""

from __future__ import annotations

from typing import Any

import torch

from longctx.backends.transformers.cache import Snapshot, State, cache_argument

#: Model types of transformers 5.23 whose state was compared, chunk by chunk, with that of one forward.
TRIED = frozenset(
    (
        *("llama", "mistral", "mixtral", "gpt2", "phi3", "granite", "olmo2", "smollm3", "gemma", "gemma2", "gemma3"),
        *("gemma3_text", "qwen2", "qwen3", "qwen3_moe", "qwen3_next"),
        *("qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
    )
)
#: Tokens of the trial, and after how many of them its second chunk begins.
TOKENS, CUT = 24, 17
#: The difference that rounding may make, as a share of the spread of the logits: in float32, and in 16 bits.
ROUNDING, ROUNDING_16 = 1e-3, 0.2


class OwnState(State):
    """What a model keeps of its last step, handed back to it as it came: a token can follow it, and nothing else."""

    def __init__(self) -> None:
        self.cache: Any = None
        self.fresh: dict[int, Any] = {-1: None}  # not to be cut
        self.ids: list[int] = []
        self.snapshots: list[Snapshot] = []
        self.logits: dict[int, torch.Tensor] = {}

    @property
    def storable(self) -> bool:
        """It is not."""
        return False

    def reserve(self, tokens: int) -> None:
        """Whoever makes the cache sees to that."""

    def keep(self, logits: torch.Tensor | None) -> None:
        """It cannot be copied."""

    def rewind(self, length: int) -> int:
        """To go back is to begin anew."""
        if length < self.length:
            self.cache, self.ids = None, []
        return self.length

    def bytes(self) -> dict[str, int]:
        """Not known."""
        return {}


def reason(model: Any) -> str:
    """Why a model's state cannot be used as others are; empty where it can.

    Args:
        model: as it was loaded.
    """
    kind = model.config.get_text_config().model_type
    if {kind, model.config.model_type} & TRIED or _goes_on(model):
        return ""
    return f"{kind} keeps its state in a way that is not known here, so all of it is read again for each question"


def _goes_on(model: Any) -> bool:
    """Whether two chunks give the logits of one."""
    ids = torch.arange(3, 3 + TOKENS, device=model.device).unsqueeze(0) % model.config.get_text_config().vocab_size
    try:
        with torch.inference_mode():
            state = State(model.config, model.device)
            whole = model(input_ids=ids, use_cache=False).logits[0, -1].float()
            for start, stop in ((0, CUT), (CUT, TOKENS)):
                positions = torch.arange(start, stop, device=model.device).unsqueeze(0)
                cached = {cache_argument(model): state.cache}
                output = model(input_ids=ids[:, start:stop], position_ids=positions, use_cache=True, **cached)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever an architecture makes of a cache that it does not take
        return False
    allowed = ROUNDING if output.logits.dtype == torch.float32 else ROUNDING_16
    return bool((output.logits[0, -1].float() - whole).std() <= allowed * whole.std())
