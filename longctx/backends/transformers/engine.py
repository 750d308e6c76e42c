"""The engine: one model, one state, brought to a prompt by the shortest way, then made to speak. Knows ids and pixels only."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import torch

from longctx.backends.base import Drafted, LoadSpec, Memory, Reuse, Sampling, Visuals
from longctx.backends.transformers import chunks, unknown, weights
from longctx.backends.transformers.cache import State, cache_argument
from longctx.backends.transformers.chunks import Reading, Step
from longctx.backends.transformers.drafts import Drafts, Trial
from longctx.backends.transformers.measure import PeakMeter, used_again
from longctx.backends.transformers.packed import layer_maker
from longctx.backends.transformers.sampling import Sampler
from longctx.backends.transformers.stored import StoredPrefix
from longctx.backends.transformers.unknown import OwnState
from longctx.errors import ClosedError, DoesNotFitError
from longctx.jobs import Job


class TransformersBackend:
    """Any causal or image-text-to-text model that transformers 5 loads. Satisfies :class:`longctx.backends.base.Backend`.

    Args:
        spec: what to load and how.
    """

    def __init__(self, spec: LoadSpec) -> None:
        self.spec = spec
        self.meter = PeakMeter(spec.device)
        self.stored = StoredPrefix(spec.prefix_folder, spec.name, spec.disk_dtype)
        self._loaded: weights.Loaded | None = None
        self._state: State | None = None
        self._logits: torch.Tensor | None = None
        self._weight_bytes = 0
        self._unknown = ""  # why nothing can be used again
        self._rope_delta = 0  # the position of the next token less the number of tokens read; not 0 with pictures
        self._drafts = Drafts(())

    # -- Backend -----------------------------------------------------------------------------------------------------
    def load(self, job: Job[Any]) -> None:
        """Load the weights; does nothing where they are loaded already."""
        if self._loaded is not None:
            return
        job.report("load", 0, 0, "weights")
        with self.meter:
            self._loaded = weights.load(self.spec, job)
        model = self._loaded.model
        self._weight_bytes = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
        self.stored.fingerprint = self._loaded.fingerprint
        self._unknown = unknown.reason(model)
        self._forget()

    def prefill(self, ids: Sequence[int], job: Job[Any], *, marks: Sequence[int] = (), visuals: Visuals | None = None) -> Reuse:
        """Bring the state to exactly ``ids``; see :class:`~longctx.backends.base.Backend`."""
        if self._unknown:  # a second chunk may not see the first
            self._state, marks = None, ()
        chunk = len(ids) if self._unknown else self.spec.chunk
        state, reading = self._ready, Reading(ids if isinstance(ids, list) else list(ids), visuals, chunk)
        state.reserve(len(ids))
        head = min(marks, default=0)
        if state.croppable and head:  # it goes back to any length by itself; a step less for each question
            marks = (head,)
        head_ends = chunks.upto(reading.ends, head)
        with self.meter, torch.inference_mode(), used_again(), reading, self.stored.holding(reading.keys, head_ends):
            reuse = self._reuse(state, reading.keys, head, job)
            for stop in reading.stops(state.length, marks):
                job.check()
                self._forward(reading.step(state.length, stop, job.check), reading.keys[state.length : stop])
                if stop in marks:
                    state.keep(self._logits)
                if stop <= head:
                    self.stored.write(state, self._logits)
                job.report("prefill", stop, len(ids), reused=reuse.tokens, memory=self.memory())
        self._rope_delta = reading.next - len(ids)
        return reuse

    def decode(self, sampling: Sampling, stop_ids: Sequence[int], job: Job[Any]) -> Iterator[int]:
        """Speak from the present state; see :class:`~longctx.backends.base.Backend`."""
        sampler = Sampler(sampling, self._model.generation_config)
        stops = frozenset(stop_ids)
        with self.meter, closing(self._spoken(sampler, sampling)) as spoken:
            for token in islice(spoken, sampling.max_tokens):
                if token in stops:
                    return
                yield token
                job.check()

    @property
    def drafted(self) -> Drafted:
        """Tokens of the last answer that were guessed, and how many of them held."""
        return self._drafts.drafted

    def memory(self) -> Memory:
        """What is held now: weights, K/V and state exactly, the rest of the process as it was measured."""
        parts = {"weights": self._weight_bytes, **(self._state.bytes() if self._state is not None else {})}
        away = {"host": parts.pop("kv_cache", 0)} if self.spec.kv_host and self.spec.device != "cpu" else {}
        now = self.meter.now
        return Memory({**parts, "other": max(0, now - sum(parts.values())), **away}, now, self.meter.peak)

    def close(self) -> None:
        """Give the memory back. Safe to call twice."""
        self._loaded = self._state = self._logits = None
        self._weight_bytes = 0
        gc.collect()
        if self.spec.device == "cuda":
            torch.cuda.empty_cache()

    def take_notes(self) -> list[str]:
        """What went wrong with the prefix store since the last call."""
        return self.stored.take_notes()

    # -- the parts ---------------------------------------------------------------------------------------------------
    @property
    def logits(self) -> torch.Tensor:
        """Logits of the last token read, shape [vocabulary]; what exactness is judged by."""
        if self._logits is None:
            raise ClosedError("nothing was prefilled yet")
        return self._logits

    @property
    def _model(self) -> Any:
        if self._loaded is None:
            raise ClosedError(f"{self.spec.name} is not loaded", hint="load the plan again")
        return self._loaded.model

    @property
    def _ready(self) -> State:
        if self._state is None:
            if self._unknown:
                self._state = OwnState()
                return self._state
            make_layer = layer_maker(self.spec.kv_dtype, host=self.spec.kv_host)
            self._state = State(self._model.config, self._model.device, make_layer)
        return self._state

    def _forget(self) -> None:
        self._state = self._logits = None

    def _reuse(self, state: State, ids: list[int], head: int, job: Job[Any]) -> Reuse:
        """Keep what memory or disk has of these ids, all of them only where the logits of the last one were kept too."""

        def tell(length: int) -> None:
            job.check()
            job.report("restore", length, len(ids), memory=self.memory())

        common = _common(state.ids, ids)
        reason = _miss(state, common, len(ids))
        known = common if common < min(state.length, len(ids)) else 0
        reached = self._rewind(state, ids, common)
        source = "memory" if reached else "none"
        if reached < min(head, len(ids) - 1) and (length := self.stored.read(state, tell)) != reached:
            source = "disk" if length > reached else source  # less, where a block that was to follow turned out to be damaged
            reached = self._rewind(state, ids, length)
        if reached < head and self.stored.miss_reason and source != "memory":
            reason = self.stored.miss_reason
        self._logits = state.logits.get(reached)
        source = source if reached else "none"
        whole = reached >= min(head, len(ids) - 1) > 0
        known = 0 if whole else max(known, self.stored.known)
        return Reuse(reached, source, "" if whole else self._unknown or reason, known or None)

    def _rewind(self, state: State, ids: list[int], common: int) -> int:
        whole = common >= len(ids) and len(ids) in state.logits
        return state.rewind(common if whole else min(common, len(ids) - 1))

    def _spoken(self, sampler: Sampler, sampling: Sampling) -> Generator[int]:
        """Tokens without end. Each is read when the next one is asked for, together with a guess of what follows it."""
        guessing = sampling.lookup and not self._unknown
        state, self._drafts = self._ready, Drafts(self._ready.ids, most=sampling.max_tokens if guessing else 0)
        unread: list[int] = []
        token = sampler(self.logits)
        while True:
            yield token
            self._drafts.add(token)
            unread.append(token)
            trial = Trial(state, self.logits, unread, self._drafts.guess() if len(unread) == 1 else [])
            logits = self._read(trial.ids, 1 + len(trial.draft))
            try:
                token = sampler(logits[0])
                while trial.holds(token):
                    yield token
                    self._drafts.add(token)
                    token = sampler(logits[trial.held])
            finally:  # also where nobody asks for more
                unread, self._logits = trial.end(logits)
                self._drafts.judge(len(trial.draft), trial.held)

    def _read(self, ids: list[int], keep: int) -> torch.Tensor:
        """Read what was said; the logits of the last tokens, [keep, vocabulary]."""
        start = self._ready.length + self._rope_delta
        with torch.inference_mode():
            return self._forward(Step(ids, np.arange(start, start + len(ids))[np.newaxis]), ids, keep)

    def _forward(self, step: Step, keys: list[int], keep: int = 1) -> torch.Tensor:
        state, model = self._ready, self._model
        self._logits = None
        device = model.device
        tokens = torch.tensor([step.ids], device=device)
        positions = torch.from_numpy(step.positions).to(device)
        inputs = {name: torch.from_numpy(value).to(device) for name, value in step.inputs.items()}
        try:
            output = model(
                input_ids=tokens,
                # one axis: [batch, tokens]; three axes (time, height, width): [axes, batch, tokens]
                position_ids=positions if len(positions) == 1 else positions.unsqueeze(1),
                use_cache=True,
                logits_to_keep=keep,
                **{cache_argument(model): state.cache},
                **inputs,
            )
        except torch.OutOfMemoryError as error:
            self._forget()
            raise DoesNotFitError(
                f"{self.spec.name}: the memory of {self.spec.device} ran out at token {state.length + len(keys):,}",
                hint="plan a smaller window, chunk or model",
            ) from error
        except BaseException:
            self._forget()  # some layers have read the chunk and some have not: this state is worth nothing
            raise
        if self._unknown:
            state.cache = getattr(output, cache_argument(model), None)
        state.ids += keys
        self._logits = output.logits[0, -1]
        return output.logits[0, -keep:]  # type: ignore[no-any-return]


def _common(a: list[int], b: list[int]) -> int:
    """Length of the common beginning."""
    if a == b[: len(a)]:
        return len(a)
    return next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y) if a[: len(b)] != b else len(b)


def _miss(state: State, common: int, wanted: int) -> str:
    if not state.length:
        return "first question"
    if common < min(state.length, wanted):
        return f"the text differs from token {common:,} on"
    return ""
