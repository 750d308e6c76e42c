"""What a session asks of an engine: bring the state to these tokens, then speak. Engines know tokens; no text, no corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from longctx.errors import UsageError
from longctx.jobs import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LoadSpec:
    """What to load and how; the session derives it from a plan.

    Args:
        name: the model's name as the user gave it.
        folder: the local folder with config.json, weights and tokenizer.
        bits: 4, 8 or 16 bits per weight.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"`` for what is not quantised; None chooses by device.
        device: ``"cuda"``, ``"mps"`` or ``"cpu"``.
        rope_parameters: the complete text rope parameters to load with, or None to leave the model's own.
        chunk: tokens of one prefill step.
        cache_folder: where pre-quantised weights are kept.
        prefix_folder: where prefixes are kept; None keeps nothing on disk.
        disk_dtype: ``"int8"`` keeps K/V there in a byte a number; empty keeps it as it is.
        prompt_version: version of the prompt format, part of a prefix's identity.
        kv_dtype: ``"int8"`` or ``"int4"`` for K/V; empty for the dtype of the rest.
        kv_host: whether K/V is kept in the CPU's memory.
    """

    name: str
    folder: Path
    bits: int
    device: str
    chunk: int
    cache_folder: Path
    dtype: str | None = None
    rope_parameters: Mapping[str, Any] | None = None
    prefix_folder: Path | None = None
    prompt_version: str = ""
    kv_dtype: str = ""
    kv_host: bool = False
    disk_dtype: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. None leaves a value to the model's generation config.

    Args:
        temperature: 0 is greedy.
        top_p: smallest set of tokens with this probability.
        top_k: at most so many candidates.
        max_tokens: most tokens of an answer, reasoning included.
        seed: makes sampling repeatable.
        lookup: whether what follows may be guessed from the prompt; the answer is the same, only sooner.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int = 1024
    seed: int | None = None
    lookup: bool = True

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            UsageError: one is out of range; the message names it.
        """
        bounds = {"temperature": (0.0, 100.0), "top_p": (1e-6, 1.0), "top_k": (0, 1 << 31), "max_tokens": (1, 1 << 31)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name}={value} is out of range", hint=f"give a value from {low} to {high}")


@dataclass(frozen=True)
class Reuse:
    """What of a prompt did not have to be read again.

    Args:
        tokens: how many leading tokens were reused.
        source: ``"memory"``, ``"disk"`` or ``"none"``; with both, the one that gave the last tokens.
        miss_reason: why the rest, or all of it, was not reused; empty where only new tokens were left.
        known: leading tokens that were the same before, where others followed then; None where nothing was known.
    """

    tokens: int = 0
    source: str = "none"
    miss_reason: str = ""
    known: int | None = None


@dataclass(frozen=True)
class Drafted:
    """Tokens of an answer that were guessed, and how many of them the model said itself then."""

    tokens: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Memory:
    """Bytes that the engine holds now, by component, and the peak since it began to load.

    ``"host"`` is K/V in the CPU's memory beside a GPU, which is part of neither sum.
    """

    components: Mapping[str, int] = field(default_factory=dict)
    now: int = 0
    peak: int = 0


class Visuals(Protocol):
    """What there is to look at in a prompt: pictures, temporal patches of videos. Nothing is decoded before it is asked for."""

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """First and after-last placeholder of each, ascending, as indices into the prompt."""

    @property
    def keys(self) -> Sequence[int]:
        """A negative number for each that stands for what is seen there."""

    def positions(self, start: int, stop: int) -> NDArray[np.int64]:
        """The positions of the prompt's tokens from ``start`` to ``stop``, [axes, tokens]; neither lies inside of a look."""

    def inputs(self, first: int, stop: int, check: Callable[[], None]) -> Mapping[str, NDArray[Any]]:
        """What the model's forward takes besides ids and positions for those numbered ``first`` to ``stop - 1``.

        Raises:
            SourceChangedError: what was planned can no longer be seen.
        """

    def close(self) -> None:
        """End the decoding that is under way. Safe to call twice."""


class Backend(Protocol):
    """An engine that holds one model and one conversation state at a time. All calls come from one thread."""

    def take_notes(self) -> list[str]:
        """What went wrong since the last call without ending the work: a prefix that could not be kept."""

    def load(self, job: Job[Any]) -> None:
        """Load the weights, reporting stage ``"load"``.

        Raises:
            ModelError: the folder is damaged or the model cannot run here.
            Stopped: the user stopped.
        """

    def prefill(self, ids: Sequence[int], job: Job[Any], *, marks: Sequence[int] = (), visuals: Visuals | None = None) -> Reuse:
        """Bring the state to exactly ``ids``, from the longest part that is still at hand, in chunks.

        Args:
            ids: the whole prompt, at least one token.
            job: gets stage ``"prefill"`` after each chunk, and is asked for a stop between chunks.
            marks: lengths at which the state is worth keeping, because other prompts begin alike.
            visuals: what there is to look at in the prompt.

        Raises:
            Stopped: the user stopped; finished chunks are kept.
            SourceChangedError: what was planned can no longer be seen; finished chunks are kept.
        """

    def decode(self, sampling: Sampling, stop_ids: Sequence[int], job: Job[Any]) -> Iterator[int]:
        """Speak from the present state: yields token ids; ends after a stop id (not yielded) or ``max_tokens``.

        Raises:
            Stopped: the user stopped, between two tokens.
        """

    @property
    def drafted(self) -> Drafted:
        """What was guessed of the last answer."""

    def memory(self) -> Memory:
        """What is held now."""

    def close(self) -> None:
        """Give the memory back. Safe to call twice."""
