"""Pictures and video through the engine, a few temporal patches at a time, against one whole forward, by logits."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longctx.backends.base import Sampling
from longctx.backends.transformers.chunks import ends
from longctx.backends.transformers.engine import TransformersBackend
from longctx.corpus import Frame, Visual
from longctx.errors import FramesLostError, Stopped
from longctx.models import ModelFiles
from longctx.stream import Look, QwenVision, Sight, Tokenizer
from tests.pictures import Noise
from tests.tiny_engines import backend, job, tokens

KINDS = ["qwen3_5", "qwen3_5_moe"]
TOLERANCE = 1e-5
GREEDY = Sampling(temperature=0, max_tokens=8)


def text(count: int, seed: int) -> list[int]:
    return tokens(count, seed, below=399)  # no control token


class Prompt:
    """A picture and a clip between words, and a question."""

    def __init__(self, folder: Path, medium: Noise, *, frames: int = 10, question: int = 1) -> None:
        self.vision = QwenVision.from_config(ModelFiles.read(folder, name="m").config, {}, Tokenizer.from_folder(folder))
        clip = Visual(medium, tuple(0.5 * i for i in range(frames)), 128, 96, moving=True, shown=(128, 96))
        looks = [*self.vision.looks(Visual(Noise("picture"), (0.0,), 256, 320)), *self.vision.looks(clip)]
        self.ids = text(30, 0)
        self.placed: list[tuple[int, Look]] = []
        for look in looks:
            self.placed.append((len(self.ids) + look.lead, look))
            self.ids += look.ids
        self.ids += text(21, 5)
        self.head = len(self.ids)
        self.ids += text(17, 10 + question)

    @property
    def sight(self) -> Sight:
        return Sight(self.placed, self.vision, ["a.mp4"] * len(self.placed))

    def reference(self, engine: TransformersBackend) -> torch.Tensor:
        """The logits after the whole prompt, all of it seen in one forward, positions by the model's own code."""
        frames = [[Frame(p, x.visual.medium.pixels(p, *x.size)) for p in x.places] for _, x in self.placed]
        inputs = {k: torch.from_numpy(v) for k, v in self.vision.inputs([x for _, x in self.placed], frames).items()}
        kinds = np.zeros(len(self.ids), dtype=np.int64)
        for start, look in self.placed:
            kinds[start : start + look.count] = {"image": 1, "video": 2}[look.kind]
        model = engine._model
        model.model.rope_deltas = None
        with torch.inference_mode():
            tokens = torch.tensor([self.ids])
            out = model(input_ids=tokens, mm_token_type_ids=torch.from_numpy(kinds)[None], logits_to_keep=1, **inputs)
        return out.logits[0, -1]


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tiny_models: Callable[[str], Path]) -> Path:
    return tiny_models(request.param)


def test_a_few_temporal_patches_at_a_time_give_the_logits_of_the_whole_clip(folder: Path, tmp_path: Path) -> None:
    engine, prompt, medium = backend(folder, tmp_path), Prompt(folder, Noise()), Noise()
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert (engine.logits - prompt.reference(engine)).abs().max() < TOLERANCE
    other = Prompt(folder, Noise("other"))
    assert (engine.logits - other.reference(engine)).abs().max() > 100 * TOLERANCE, "what is seen makes no difference"
    assert not medium.asked


@pytest.mark.parametrize("chunk", [1, 13, 64, 512])
def test_the_size_of_a_chunk_changes_no_logits(chunk: int, folder: Path, tmp_path: Path) -> None:
    engine, prompt = backend(folder, tmp_path, chunk=chunk), Prompt(folder, Noise())
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert (engine.logits - prompt.reference(engine)).abs().max() < TOLERANCE


def test_a_question_after_a_cached_clip_stands_where_it_would_after_a_fresh_one(folder: Path, tmp_path: Path) -> None:
    engine, first = backend(folder, tmp_path), Prompt(folder, Noise())
    engine.prefill(first.ids, job(), marks=(first.head,), visuals=first.sight)
    list(engine.decode(GREEDY, [], job()))
    second = Prompt(folder, Noise(), question=2)
    reuse = engine.prefill(second.ids, job(), marks=(second.head,), visuals=second.sight)
    assert (reuse.tokens, reuse.source) == (first.head, "memory")
    assert (engine.logits - second.reference(engine)).abs().max() < TOLERANCE


def test_an_unrelated_question_in_between_moves_no_position(folder: Path, tmp_path: Path) -> None:
    kept = {"prefix_folder": tmp_path / "prefixes"}
    engine, prompt = backend(folder, tmp_path, **kept), Prompt(folder, Noise())
    engine.prefill(prompt.ids[: prompt.head], job(), marks=(prompt.head,), visuals=prompt.sight)
    engine.prefill(text(90, 77), job())
    list(engine.decode(GREEDY, [], job()))
    longer = Prompt(folder, Noise("longer"), frames=30)
    engine.prefill(longer.ids, job(), marks=(longer.head,), visuals=longer.sight)
    reuse = engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert reuse.source in ("disk", "memory")
    assert (engine.logits - prompt.reference(engine)).abs().max() < TOLERANCE


def test_what_is_said_after_a_clip_is_what_generate_says(folder: Path, tmp_path: Path) -> None:
    engine, prompt = backend(folder, tmp_path), Prompt(folder, Noise())
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    for token in list(engine.decode(GREEDY, [], job())):
        expected = prompt.reference(engine)
        assert token == int(expected.argmax())
        prompt.ids.append(token)
    assert (engine.logits - expected).abs().max() < TOLERANCE


def test_a_clip_is_recognised_after_a_restart_without_decoding_it(folder: Path, tmp_path: Path) -> None:
    kept = {"prefix_folder": tmp_path / "prefixes"}
    first = Prompt(folder, Noise())
    backend(folder, tmp_path, **kept).prefill(first.ids[: first.head], job(), marks=(first.head,), visuals=first.sight)
    again, medium = backend(folder, tmp_path, **kept), Noise()
    prompt = Prompt(folder, medium, question=3)
    reuse = again.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert (reuse.tokens, reuse.source, reuse.miss_reason) == (prompt.head, "disk", "")
    assert medium.asked == []
    assert (again.logits - prompt.reference(again)).abs().max() < TOLERANCE


def test_another_video_with_the_same_tokens_is_not_taken_for_this_one(folder: Path, tmp_path: Path) -> None:
    engine, one, other = backend(folder, tmp_path), Prompt(folder, Noise("one")), Prompt(folder, Noise("two"))
    assert one.ids == other.ids
    engine.prefill(one.ids, job(), marks=(one.head,), visuals=one.sight)
    reuse = engine.prefill(other.ids, job(), marks=(other.head,), visuals=other.sight)
    assert reuse.tokens <= one.placed[1][0]
    assert (engine.logits - other.reference(engine)).abs().max() < TOLERANCE


def test_stop_in_the_middle_of_a_clip_leaves_a_state_that_goes_on(folder: Path, tmp_path: Path) -> None:
    engine, prompt, stopping = backend(folder, tmp_path), Prompt(folder, Noise()), job()
    stopping.watch(lambda: stopping.cancel() if stopping.progress.done >= 150 else None)
    with pytest.raises(Stopped):
        engine.prefill(prompt.ids, stopping, marks=(prompt.head,), visuals=prompt.sight)
    reuse = engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert reuse.tokens >= 128
    assert (engine.logits - prompt.reference(engine)).abs().max() < TOLERANCE


def test_a_clip_that_was_stopped_in_the_middle_goes_on_in_another_process(folder: Path, tmp_path: Path) -> None:
    kept, stopping = {"prefix_folder": tmp_path / "prefixes"}, job()
    first = Prompt(folder, Noise(), frames=30)
    stopping.watch(lambda: stopping.cancel() if stopping.progress.done >= 200 else None)
    with pytest.raises(Stopped):
        backend(folder, tmp_path, **kept).prefill(first.ids, stopping, marks=(first.head,), visuals=first.sight)
    again, medium = backend(folder, tmp_path, **kept), Noise()
    prompt = Prompt(folder, medium, frames=30, question=2)
    reuse = again.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert 200 <= reuse.tokens < prompt.head
    assert reuse.source == "disk"
    assert 0.0 not in medium.asked, "the beginning of the clip was decoded again"
    assert (again.logits - prompt.reference(again)).abs().max() < TOLERANCE


def test_words_that_differ_behind_a_clip_are_read_from_a_snapshot_in_it(folder: Path, tmp_path: Path) -> None:
    kept = {"prefix_folder": tmp_path / "prefixes"}
    prompt = Prompt(folder, Noise(), frames=60)
    backend(folder, tmp_path, **kept).prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    again = backend(folder, tmp_path, **kept)
    prompt.ids[prompt.head - 5] = (prompt.ids[prompt.head - 5] + 1) % 399
    reuse = again.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert 64 <= reuse.tokens < prompt.head - 5, "no snapshot stood on the way"
    assert (again.logits - prompt.reference(again)).abs().max() < TOLERANCE


def test_frames_that_are_lost_keep_what_was_read_before_them(folder: Path, tmp_path: Path) -> None:
    engine, prompt = backend(folder, tmp_path), Prompt(folder, Noise(missing=(4.0,)))
    with pytest.raises(FramesLostError):
        engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    whole = Prompt(folder, Noise())
    reuse = engine.prefill(whole.ids, job(), marks=(whole.head,), visuals=whole.sight)
    assert reuse.tokens > whole.placed[1][0]
    assert (engine.logits - whole.reference(engine)).abs().max() < TOLERANCE


def test_decoding_ends_with_the_prefill(folder: Path, tmp_path: Path) -> None:
    closed = []

    class Watched(Noise):
        def frames(self, *args: Any) -> Any:
            try:
                yield from super().frames(*args)
            finally:
                closed.append(True)

    engine, prompt, stopping = backend(folder, tmp_path), Prompt(folder, Watched()), job()
    stopping.watch(lambda: stopping.cancel() if stopping.progress.done >= 150 else None)
    with pytest.raises(Stopped):
        engine.prefill(prompt.ids, stopping, marks=(prompt.head,), visuals=prompt.sight)
    gc.collect()
    assert closed


def test_no_chunk_ends_inside_of_a_picture_and_prompts_that_begin_alike_are_cut_alike() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        spans, at = [], 0
        for _ in range(int(rng.integers(0, 8))):
            start = at + int(rng.integers(1, 40))
            at = start + int(rng.integers(1, 50))
            spans.append((start, at))
        length = at + int(rng.integers(1, 90))
        found = ends(length, 32, spans)
        assert found == sorted(set(found))
        assert found[-1] == length
        assert not [end for end in found for start, stop in spans if start < end < stop]
        largest = max([stop - start for start, stop in spans], default=0)
        assert all(b - a <= max(32, largest) for a, b in zip([0, *found], found, strict=False))
        if spans:
            shorter = ends(spans[-1][0], 32, spans[:-1])
            assert found[: len(shorter) - 1] == shorter[:-1]


def test_in_four_bits_a_clip_is_read_in_chunks_as_in_one_forward(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny_models("qwen3_5")
    engine, prompt = backend(folder, tmp_path, bits=4), Prompt(folder, Noise())
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    kinds = {type(module).__name__ for module in engine._model.modules()}
    assert "Linear4bit" in kinds
    assert not any("4bit" in type(module).__name__ for module in engine._model.model.visual.modules()), "the tower stays whole"
    assert (engine.logits - prompt.reference(engine)).abs().max() < 10 * TOLERANCE
