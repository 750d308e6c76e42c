"""Summaries of recordings: entries by time, each with a citation inside of its own time; how a corpus is divided."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import longctx as lc
from longctx.corpus import Corpus, Lines, Moment, Segment, Source
from longctx.summaries import MOST_PARTS, parts_of
from tests.videos import make_video

SAID = [(float(second), second + 3.0, f"Point {second}.") for second in range(2, 60, 6)]


@pytest.fixture
def plan(tmp_path: Path, tiny_models: Callable[[str], Path], cache: Path) -> lc.Plan:
    make_video(tmp_path / "a.mp4", [i / 4 for i in range(240)], subtitles=SAID, gop=60)
    (tmp_path / "notes.txt").write_text("The station sends a reading every ten minutes.\n")
    return lc.plan(lc.read(tmp_path), model=tiny_models("qwen3_5"), fps=1, store=False)


def summarised(plan: lc.Plan, *texts: str) -> lc.Summary:
    make = lc.ScriptedBackend.maker(plan.tokenizer.encode_data, *texts)
    with lc.load(plan, backend=make, show=False) as session:
        summary = session.summarize(show=False)
        _ = summary.text
        return summary


def test_a_clip_is_summarised_as_entries_by_time_each_with_a_citation_inside_of_its_own_time(plan: lc.Plan) -> None:
    result = json.loads(json.dumps(summarised(plan, "Nobody knows.").to_json()))
    dated = [part for part in result["parts"] if "start" in part]
    assert len(dated) >= 5
    assert [part["start"] for part in dated] == sorted(part["start"] for part in dated)
    assert dated[0]["start"] == 0
    assert dated[-1]["end"] == pytest.approx(60, abs=0.3)
    assert all(one["end"] == pytest.approx(other["start"]) for one, other in itertools.pairwise(dated))
    for part in dated:
        places = [c for c in part["citations"] if c["path"] == "a.mp4"]
        assert places
        assert all(part["start"] <= c["start"] < c["end"] <= part["end"] for c in places), part
    assert [part["title"] for part in result["parts"] if "start" not in part] == ["notes.txt"]


def test_an_entry_that_cites_a_segment_of_another_time_does_not_count_as_its_own(plan: lc.Plan) -> None:
    last = max(number for number, segment in plan.corpus.segments.items() if isinstance(segment.origin, Moment))
    summary = summarised(plan, f"It ends [{last}].")
    for part in summary.parts:
        if part.moment is not None:
            starts = [c.origin.start for c in part.outcome.citations if isinstance(c.origin, Moment)]
            assert starts
            assert all(part.moment.start <= start < part.moment.end for start in starts), part.title


def test_a_summary_that_is_stopped_keeps_its_entries(plan: lc.Plan) -> None:
    make = lc.ScriptedBackend.maker(plan.tokenizer.encode_data, "A long text that takes a while.", delay=0.02)
    with lc.load(plan, backend=make, show=False) as session:
        summary = session.summarize(show=False)
        summary.job.watch(lambda: summary.stop() if len(summary.so_far) >= 2 else None)
        summary.job.wait()
        assert summary.job.state == "stopped"
        assert 2 <= len(summary.so_far) < 7
        assert session.ask("And?", show=False).text


def test_a_long_recording_has_about_so_many_parts_that_hold_every_segment_once() -> None:
    clip = tuple(Segment("", Moment("a.mp4", 10.0 * i, 10.0 * i + 10)) for i in range(360))
    code = tuple(Segment("x\n", Lines("b.py", i, i)) for i in range(1, 4))
    sources = tuple(Source(path, path, "video", 1, "", made) for path, made in (("a.mp4", clip), ("b.py", code)))
    corpus = Corpus(sources, ())
    parts = parts_of(corpus, dict.fromkeys(corpus.segments, 50), 100_000)
    assert [number for part in parts for number in part.segments] == list(corpus.segments)
    dated = [part.moment for part in parts if part.moment]
    assert MOST_PARTS - 2 <= len(dated) <= MOST_PARTS + 1
    assert all(one.end == other.start for one, other in itertools.pairwise(dated))
    assert parts[-1].title == "b.py"
