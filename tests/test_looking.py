"""Pictures and video for a model that cannot see: estimated, read as text, planned exactly; and what may be wished for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import longctx as lc
from longctx.backends.base import LoadSpec
from longctx.corpus import Moment, Page
from longctx.errors import EmptyCorpusError, SourceChangedError, Stopped, UsageError
from longctx.jobs import Job
from longctx.planning import fulfilled
from tests.pictures import picture_of_words, slide
from tests.videos import make_video

WORDS = ("Retry policy", "Battery log")
CHANGE, SECONDS, LONG = 5.25, 12, 80


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Videos of two slides, with subtitles; and of nothing that can be read."""
    folder = tmp_path_factory.mktemp("clips")
    first, second, empty = slide(WORDS[0]), slide(WORDS[1]), slide()
    said = [(1.0, 3.0, "Five attempts.")]
    for name, seconds in (("short.mp4", SECONDS), ("long.mp4", LONG)):
        times = [i / 4 for i in range(4 * seconds)]
        pictures = [first if time < CHANGE else second for time in times]
        make_video(folder / name, times, (640, 360), subtitles=said, pictures=pictures)
    make_video(folder / "blank.mp4", [0.0, 0.5, 1.0], (640, 360), pictures=[empty] * 3)
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def blind(tiny_models: Callable[[str], Path], cache: Path) -> Path:
    return tiny_models("llama")


@pytest.fixture
def folder(tmp_path: Path, clips: dict[str, bytes]) -> Path:
    made = tmp_path / "slides"
    made.mkdir()
    (made / "clip.mp4").write_bytes(clips["short"])
    (made / "sign.png").write_bytes(picture_of_words("Keep out"))
    return made


def scripted(specs: list[LoadSpec], *texts: str) -> Callable[[lc.Plan], lc.Session]:
    """Loads a plan with an engine that says these texts, and notes for what it was made."""

    def load(plan: lc.Plan) -> lc.Session:
        make = lc.ScriptedBackend.maker(plan.tokenizer.encode_data, *texts)
        return lc.load(plan, backend=lambda spec: specs.append(spec) or make(spec), show=False)  # type: ignore[func-returns-value]

    return load


def said_on(plan: lc.Plan, words: str) -> int:
    return next(number for number, segment in plan.corpus.segments.items() if words in segment.text)


def test_pictures_are_estimated_then_read_then_known_exactly_and_never_read_twice(folder: Path, blind: Path) -> None:
    plan = lc.plan(lc.read(folder), model=blind, store=False)
    assert plan.pending
    rows = {row["path"]: row for row in plan.to_json()["sources"]}
    assert all(row["estimated"] is True and row["tokens"] > 100 for row in rows.values())
    assert "≈" in plan.text
    assert "still to be read as text (OCR)" in plan.text
    specs: list[LoadSpec] = []
    with scripted(specs, "Something else entirely.")(plan) as session:
        exact = session.plan
        assert (plan.pending, exact.pending) == (True, False)
        found = {row["path"]: row for row in exact.to_json()["sources"]}
        assert not any("estimated" in row for row in found.values())
        assert all(found[path]["tokens"] < rows[path]["tokens"] for path in rows)
        assert exact.stream.tokens_per_source == {path: row["tokens"] for path, row in found.items()}
        answer = session.ask("What is on the slide at 9 seconds?", show=False)
        (note,) = [note for note in answer.outcome.notes if "OCR" in note]
        frames = len({int(time) for time in plan.request.corpus.sources[0].footage.times}) + 1  # type: ignore[union-attr]
        assert note == f"1 picture and {frames} frames were read as text (OCR), since this model cannot see"
        (citation,) = answer.citations
        assert citation.origin == Moment("clip.mp4", CHANGE, pytest.approx(SECONDS, abs=0.3))
        assert WORDS[1] in citation.quote
        (shown,) = answer.to_json()["citations"]
        assert (shown["start"], shown["page"], shown["first_line"]) == (CHANGE, None, None)
        assert shown["end"] == citation.origin.end
    again = lc.plan(lc.read(folder), model=blind, store=False)
    assert not again.pending
    assert again.to_json()["sources"] == exact.to_json()["sources"]
    assert (again.window, again.figures.prompt_tokens) == (exact.window, exact.figures.prompt_tokens)
    assert again.notes == exact.notes == (note,)


def test_a_line_of_a_slide_and_of_a_sign_are_cited_to_their_second_and_their_box(folder: Path, blind: Path) -> None:
    plan = fulfilled(lc.plan(lc.read(folder), model=blind, store=False), Job(lambda job: None, title="test"))
    slide_, sign = said_on(plan, WORDS[1]), said_on(plan, "Keep out")
    with scripted([], f'It says "{WORDS[1]}" [{slide_}] and "Keep out" [{sign}].')(plan) as session:
        places = [citation.origin for citation in session.ask("What do they say?", show=False).citations]
    assert isinstance(places[0], Moment)
    assert places[0].start == CHANGE
    assert isinstance(places[1], Page)
    assert places[1].picture
    assert places[1].box is not None


def test_a_real_model_that_cannot_see_reads_the_text_and_restores_it_from_disk(folder: Path, blind: Path) -> None:
    def ask() -> lc.Answer:
        with lc.load(lc.plan(lc.read(folder), model=blind, dtype="float32"), show=False) as session:
            answer = session.ask("What is on the slide at 2 seconds?", max_tokens=3, temperature=0, show=False)
            assert WORDS[0] in session.plan.tokenizer.decode(session.plan.stream.ids.tolist())
            _ = answer.text
            return answer

    first, second = ask(), ask()
    assert (first.usage.reused_from, second.usage.reused_from, second.usage.miss_reason) == ("none", "disk", "")
    assert first.text == second.text
    assert any(isinstance(citation.origin, Moment) and citation.origin.start == 0 for citation in second.citations)


def test_an_estimate_that_would_need_yarn_leaves_none_on(clips: dict[str, bytes], tmp_path: Path, blind: Path) -> None:
    (tmp_path / "long.mp4").write_bytes(clips["long"])
    plan = lc.plan(lc.read(tmp_path / "long.mp4"), model=blind, store=False, fps=2)
    assert plan.pending
    assert plan.figures.yarn_factor == 2
    assert plan.rope_parameters is not None
    specs: list[LoadSpec] = []
    with scripted(specs, "Yes.")(plan) as session:
        assert (session.plan.window, session.plan.figures.yarn_factor) == (4096, 1)
        assert specs[-1].rope_parameters is None
        assert session._engine.backend is not None
        assert session.ask("Is it?", show=False).text


def test_stopping_while_pictures_are_read_keeps_what_was_read_and_the_next_load_goes_on(tmp_path: Path, blind: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(picture_of_words(f"Number {number}"))
    plan = lc.plan([tmp_path / f"{number}.png" for number in range(3)], model=blind, store=False)
    stopping: Job[Any] = Job(lambda job: fulfilled(plan, job), title="read")
    stopping.watch(lambda: stopping.cancel() if stopping.progress.done == 1 else None)
    stopping.run()
    with pytest.raises(Stopped):
        stopping.result()
    with scripted([], "Yes.")(plan) as session:
        notes = session.ask("Is it?", show=False).outcome.notes
        assert "3 pictures were read as text (OCR), since this model cannot see" in notes
    kept = fulfilled(plan, Job(lambda job: None, title="again"))
    assert not kept.pending


def test_stop_during_load_ends_the_load_and_a_new_one_works(folder: Path, blind: Path) -> None:
    plan = lc.plan(lc.read(folder), model=blind, store=False)
    make = lc.ScriptedBackend.maker(plan.tokenizer.encode_data, "Yes.")
    session = lc.Session(plan, make)
    session.loading.cancel()
    with pytest.raises(Stopped):
        session.loading.result()
    with pytest.raises(Stopped):
        _ = session.ask("Is it?", show=False).text
    session.close()
    with lc.load(plan, backend=make, show=False) as again:
        assert again.ask("Is it?", show=False).text == "Yes."


def test_a_video_with_nothing_to_read_and_nothing_else_is_one_clear_error(
    clips: dict[str, bytes], tmp_path: Path, blind: Path
) -> None:
    (tmp_path / "blank.mp4").write_bytes(clips["blank"])
    plan = lc.plan(lc.read(tmp_path / "blank.mp4"), model=blind, store=False)
    with pytest.raises(EmptyCorpusError, match="cannot see"):
        scripted([], "Yes.")(plan)
    with pytest.raises(EmptyCorpusError, match="cannot see"):  # now it is known before anything is loaded
        lc.plan(lc.read(tmp_path / "blank.mp4"), model=blind, store=False)


def test_a_file_that_is_gone_before_it_is_read_as_text_is_one_clear_error(folder: Path, blind: Path) -> None:
    plan = lc.plan(lc.read(folder), model=blind, store=False)
    (folder / "clip.mp4").unlink()
    with pytest.raises(SourceChangedError, match=r"clip\.mp4"):
        scripted([], "Yes.")(plan)


@pytest.mark.parametrize("wish", [{"frames": 0}, {"fps": 0}])
def test_no_frames_leave_the_subtitles_of_a_video_for_a_model_that_cannot_see(
    wish: dict[str, int], clips: dict[str, bytes], tmp_path: Path, blind: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(clips["short"])
    plan = lc.plan(lc.read(tmp_path / "clip.mp4"), model=blind, store=False, **wish)
    assert not plan.pending, "there is nothing to wait for"
    with scripted([], "Yes.")(plan) as session:
        text = "".join(segment.text for segment in session.corpus.segments.values())
        assert "Five attempts." in text
        assert "On screen" not in text


@pytest.mark.parametrize("kind", ["llama", "qwen3_5"])
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"fps": -1}, "fps=-1"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"frames": -1}, "frames=-1"),
        ({"frames": 1.5}, "frames=1.5"),
        ({"pixels": 0}, "pixels=0"),
        ({"pixels": -5}, "pixels=-5"),
        ({"picture_pixels": 0}, "picture_pixels=0"),
        ({"picture_pixels": -1}, "picture_pixels=-1"),
        ({"fps": 1, "frames": 4}, "frames=4"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_value(
    wish: dict[str, Any], words: str, kind: str, project: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        lc.plan(lc.read(project), model=tiny_models(kind), **wish)


def test_the_plan_shows_frames_rate_and_size_of_a_video_in_both_views(
    tmp_path: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    make_video(tmp_path / "a.mp4", [i / 4 for i in range(80)])
    plan = lc.plan(lc.read(tmp_path), model=tiny_models("qwen3_5"), fps=1)
    (row,) = plan.to_json()["sources"]
    assert (row["frames"], row["frame_size"]) == (20, [128, 96])
    assert row["fps"] == pytest.approx(1, abs=0.02)
    views = plan._repr_mimebundle_()
    for view in (views["text/plain"], views["text/html"]):
        assert "20 frames of 128×96, 1 a second" in view.replace("1.01 a second", "1 a second")
    assert json.loads(json.dumps(plan.to_json()))["sources"] == [row]


def test_what_is_shown_to_a_model_that_sees_is_what_the_file_shows(
    folder: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    """The frames that a look stands for are those of its time: the slide that was on the screen."""
    plan = lc.plan(lc.read(folder), model=tiny_models("qwen3_5"), fps=1, pixels=640 * 352)
    first, second = slide(WORDS[0]).astype(float), slide(WORDS[1]).astype(float)
    looks = [look for _, look in plan.stream.looks if look.kind == "video"]
    places = [place for look in looks for place in look.places]
    frames = list(looks[0].visual.medium.frames(places, 640, 360, lambda: None))
    assert [frame.place for frame in frames] == places
    for frame in frames:
        nearer = np.abs(frame.pixels - first).mean() < np.abs(frame.pixels - second).mean()
        assert nearer == (frame.place < CHANGE), frame.place


def test_a_cache_that_cannot_be_written_loses_no_picture(folder: Path, blind: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "ocr").write_text("a file stands where the folder would be")
    with scripted([], "Nothing.")(lc.plan(lc.read(folder), model=blind, store=False)) as session:
        assert not session.plan.pending
        assert said_on(session.plan, WORDS[0])
        assert said_on(session.plan, "Keep out")
        assert any("OCR" in note for note in session.plan.notes)
