"""The whole way with real files and tiny models that see: read, planned, loaded, asked, restored; logits are the judge."""

from __future__ import annotations

import base64
import io
import json
import os
import random
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import docx
import numpy as np
import pytest
import torch

import longctx as lc
from longctx import engines
from longctx import session as session_module
from longctx.assembly import Prompt, assemble
from longctx.corpus import Frame, Moment
from longctx.errors import SourceChangedError
from longctx.sources.process import ParserProcess
from tests.pictures import page_of_words, picture_of_words
from tests.videos import draw_index, make_video

KINDS = ["qwen3_5", "qwen3_5_moe"]
TOLERANCE = 1e-5
#: A frame rate that varies: times by number would be wrong.
TIMES = [round(0.11 * i + 0.004 * (i * i % 7), 3) for i in range(100)]
SUBTITLES = [(0.5, 2.0, "Welcome to the station."), (6.0, 7.5, "Five attempts, then an alarm.")]
SAYING = {"max_tokens": 4, "temperature": 0, "show": False}


@pytest.fixture
def folder(tmp_path: Path, project: Path) -> Path:
    """Code, prose, a PDF, a picture and a video with subtitles."""
    (project / "page.pdf").write_bytes(page_of_words("The tide gauge", "is read every minute."))
    (project / "sign.png").write_bytes(picture_of_words("Keep out"))
    make_video(project / "clip.mp4", TIMES, subtitles=SUBTITLES)
    return project


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, tiny_models: Callable[[str], Path], cache: Path) -> Path:
    return tiny_models(request.param)


@pytest.fixture
def tiny(tiny_models: Callable[[str], Path], cache: Path) -> Path:
    return tiny_models("qwen3_5")


def planned(paths: Path, model: Path, **options: Any) -> lc.Plan:
    return lc.plan(lc.read(paths), model=model, **{"dtype": "float32", "picture_pixels": 96 * 96, **options})


def places(plan: lc.Plan) -> list[float]:
    """The times of every frame that a plan shows of its videos."""
    return [place for _, look in plan.stream.looks if look.kind == "video" for place in look.places]


def prompt_of(session: lc.Session, question: str) -> Prompt:
    return assemble(session.plan, session.plan.stream, question)


def read(session: lc.Session, question: str) -> torch.Tensor:
    """The logits of the first token of an answer, from whatever state the session has."""
    answer = session.ask(question, max_tokens=1, temperature=0, show=False)
    assert answer.outcome.usage.new_tokens <= 1
    return session._engine.backend.logits  # type: ignore[attr-defined]


def whole(session: lc.Session, question: str) -> torch.Tensor:
    """The same logits from one forward over everything, by the model's own positions, of frames that were decoded anew."""
    prompt = prompt_of(session, question)
    assert prompt.visuals is not None
    placed, vision = prompt.visuals.placed, prompt.visuals._vision
    frames: list[list[Frame]] = []
    for _, group in groupby(placed, key=lambda one: (one[1].visual.medium.identity, one[1].size)):
        looks = [look for _, look in group]
        wanted = [place for look in looks for place in look.places]
        decoded = iter(list(looks[0].visual.medium.frames(wanted, *looks[0].size, lambda: None)))
        frames += [[next(decoded) for _ in look.places] for look in looks]
    inputs = {name: torch.from_numpy(value) for name, value in vision.inputs([look for _, look in placed], frames).items()}
    kinds = np.zeros(len(prompt.ids), dtype=np.int64)
    for start, look in placed:
        kinds[start : start + look.count] = {"image": 1, "video": 2}[look.kind]
    engine_model = session._engine.backend._model  # type: ignore[attr-defined]
    engine_model.model.rope_deltas = None
    with torch.inference_mode():
        tokens, types = torch.tensor([prompt.ids]), torch.from_numpy(kinds)[None]
        return engine_model(input_ids=tokens, mm_token_type_ids=types, logits_to_keep=1, **inputs).logits[0, -1]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What workers are asked for, in order."""
    seen: list[str] = []
    ask = ParserProcess.ask

    def noted(self: ParserProcess, do: str, *args: Any, **options: Any) -> Any:
        seen.append(do)
        return ask(self, do, *args, **options)

    monkeypatch.setattr(ParserProcess, "ask", noted)
    return seen


# -- the main job ----------------------------------------------------------------------------------------------------
def test_a_folder_of_everything_is_read_planned_and_asked_with_the_logits_of_one_forward(folder: Path, model: Path) -> None:
    plan = planned(folder, model, fps=1.5)
    assert {source.path: source.kind for source in plan.corpus.sources} == {
        "retry.py": "code", "README.md": "markdown", "page.pdf": "pdf", "sign.png": "image", "clip.mp4": "video"
    }  # fmt: skip
    assert set(places(plan)) <= set(TIMES)
    assert len(places(plan)) == 16 == next(row["frames"] for row in plan.to_json()["sources"] if row["path"] == "clip.mp4")
    assert [look.kind for _, look in plan.stream.looks].count("image") == 1
    with lc.load(plan, show=False) as session:
        assert (read(session, "What?") - whole(session, "What?")).abs().max() < TOLERANCE
        head, answer = prompt_of(session, "").head, session.ask("And then?", **SAYING)
        assert (answer.usage.reused_tokens, answer.usage.reused_from, answer.usage.miss_reason) == (head, "memory", "")
        assert (read(session, "Why, though?") - whole(session, "Why, though?")).abs().max() < TOLERANCE
        subtitles = "".join(segment.text for segment in session.corpus.segments.values())
        assert all(f"Subtitles: {text}" in subtitles for _, _, text in SUBTITLES)


def test_pictures_inside_of_documents_are_seen_like_others(tmp_path: Path, tiny: Path) -> None:
    document = docx.Document()
    document.add_paragraph("The sign at the gate:")
    document.add_picture(io.BytesIO(picture_of_words("Keep out")))
    document.save(str(tmp_path / "report.docx"))
    figure = {"output_type": "display_data", "data": {"image/png": base64.b64encode(picture_of_words("Tides")).decode()}}
    cell = {"cell_type": "code", "source": "plot()", "outputs": [figure]}
    (tmp_path / "nb.ipynb").write_text(json.dumps({"cells": [cell]}))
    plan = planned(tmp_path, tiny)
    assert [look.kind for _, look in plan.stream.looks] == ["image", "image"]
    seen = {str(plan.stream.origin(place)) for place, _ in plan.stream.looks}
    assert seen == {"nb.ipynb:cell 1:1", "report.docx, paragraph 2"}
    with lc.load(plan, show=False) as session:
        assert (read(session, "What?") - whole(session, "What?")).abs().max() < TOLERANCE


def test_what_is_asked_for_in_between_moves_nothing(folder: Path, tiny: Path) -> None:
    with lc.load(planned(folder, tiny, frames=8), show=False) as session:
        first = read(session, "What?").clone()
        follow = session.ask("One?", **SAYING).ask("Two?", **SAYING)
        assert follow.usage.reused_from == "memory"
        assert (read(session, "What?") - first).abs().max() < TOLERANCE


def test_a_new_session_restores_from_disk_without_decoding_a_frame(folder: Path, model: Path, asked: list[str]) -> None:
    with lc.load(planned(folder, model, fps=1), show=False) as session:
        first = read(session, "What?").clone()
    lc.free()
    assert {"video_frames", "picture_frames"} <= set(asked)
    asked.clear()
    with lc.load(planned(folder, model, fps=1), show=False) as session:
        assert (read(session, "What?") - first).abs().max() < TOLERANCE
        usage = session.ask("Why?", **SAYING).usage
        assert usage.reused_from == "memory"
    assert not [do for do in asked if do.endswith("frames")]
    lc.free()
    with lc.load(planned(folder, model, fps=1), show=False) as session:
        usage = session.ask("Another?", **SAYING).usage
        assert (usage.reused_from, usage.reused_tokens, usage.miss_reason) == ("disk", prompt_of(session, "").head, "")


def test_another_video_of_the_same_length_is_read_anew_and_the_answer_says_why(folder: Path, tiny: Path) -> None:
    with lc.load(planned(folder, tiny, fps=1), show=False) as session:
        before = read(session, "What?").clone()
    lc.free()
    make_video(folder / "clip.mp4", TIMES, subtitles=SUBTITLES, pictures=[draw_index(i + 999) for i in range(len(TIMES))])
    with lc.load(planned(folder, tiny, fps=1), show=False) as session:
        usage = session.ask("What?", **SAYING).usage
        assert usage.reused_from == "none"
        assert usage.miss_reason == "not in the prefix store yet" or "before token" in usage.miss_reason
        after = read(session, "What?")
        assert (after - whole(session, "What?")).abs().max() < TOLERANCE
        assert (after - before).abs().max() > 100 * TOLERANCE, "what is seen makes no difference"


def test_while_its_engine_lives_an_edited_video_is_read_from_where_it_stands(folder: Path, tiny: Path) -> None:
    kept = lc.load(planned(folder, tiny, fps=1, store=False), show=False)
    make_video(folder / "clip.mp4", TIMES, subtitles=SUBTITLES, pictures=[draw_index(i + 999) for i in range(len(TIMES))])
    with lc.load(planned(folder, tiny, fps=1, store=False), show=False) as session:
        assert session._engine is kept._engine
        usage = session.ask("What?", **SAYING).usage
        first_frame = next(start for start, look in prompt_of(session, "").visuals.placed if look.kind == "video")  # type: ignore[union-attr]
        assert usage.reused_tokens <= first_frame
        assert "differs from token" in usage.miss_reason
        assert (read(session, "What?") - whole(session, "What?")).abs().max() < TOLERANCE


# -- damaged, changed, gone ------------------------------------------------------------------------------------------
def damaged(file: Path, number: int) -> None:
    """Noise over one packet of a video, behind its headers: lost with all that refers to it, though the index lists it."""
    with av.open(str(file)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    data = bytearray(file.read_bytes())
    start = data.find(bytes(packet))
    data[start + 40 : start + packet.size] = random.Random(0).randbytes(packet.size - 40)
    file.write_bytes(data)


@pytest.fixture(params=["clip.mkv", "clip.mp4"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A clip of 12 s of which two times 1.5 s cannot be decoded."""
    grain = np.random.default_rng(0)
    noisy = [draw_index(i).astype(int) + grain.integers(-20, 20, (96, 128, 1)) for i in range(96)]
    file = make_video(tmp_path / request.param, [i / 8 for i in range(96)], pictures=[p.astype(np.uint8) for p in noisy])
    damaged(file, 24)
    damaged(file, 60)
    return file


def test_frames_that_are_lost_are_left_out_of_the_plan_at_one_stroke_and_counted(
    broken: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(broken, tiny, fps=2)
    chosen, footage = places(made), made.request.corpus.sources[0].footage
    assert footage is not None
    there = {frame.place for frame in footage.medium.frames(footage.times, 128, 96, lambda: None)}
    lost = [place for place in chosen if place not in there]
    assert 4 <= len(lost) < len(chosen)
    rounds = []
    without = session_module.without_frames
    monkeypatch.setattr(session_module, "without_frames", lambda *args: rounds.append(args) or without(*args))
    with lc.load(made, show=False) as session:
        assert len(rounds) == 1, "each round reads the video again"
        assert places(session.plan) == [place for place in chosen if place in there]
        row = session.plan.to_json()["sources"][0]
        assert row["frames"] == len(chosen) - len(lost)
        note = f"{broken.name}: {len(lost)} frames cannot be decoded, left out"
        answer = session.ask("What?", **SAYING)
        assert note in answer.outcome.notes
        assert note in session.plan.text
        assert (read(session, "What?") - whole(session, "What?")).abs().max() < TOLERANCE


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
@pytest.mark.parametrize("name", ["clip.mp4", "sign.png", "page.pdf"])
def test_a_file_that_is_gone_or_changed_between_plan_and_load_is_one_error_and_frees_the_engine(
    gone: bool, name: str, folder: Path, tiny: Path
) -> None:
    plan = lc.plan(lc.read(folder, pages_as_pictures=True), model=tiny, fps=1, picture_pixels=64 * 64)
    if gone:
        (folder / name).unlink()
    else:
        os.utime(folder / name, ns=(1, 1))
    with pytest.raises(SourceChangedError, match=name):
        lc.load(plan, show=False)
    assert not engines._engines


# -- what is asked to be seen ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("wish", [{"frames": 0}, {"fps": 0}])
def test_no_frames_leave_the_subtitles_with_their_times(wish: dict[str, int], folder: Path, tiny: Path) -> None:
    plan = planned(folder, tiny, **wish)
    assert not places(plan)
    assert "no frames" in plan.text
    with lc.load(plan, show=False) as session:
        (citation,) = session.ask("What is said at 6 seconds?", **SAYING).citations
        assert isinstance(citation.origin, Moment)
        assert "Five attempts" in citation.quote


def test_a_video_alone_without_frames_and_subtitles_is_no_crash(tmp_path: Path, tiny: Path) -> None:
    plan = planned(make_video(tmp_path / "a.mp4", TIMES[:10]), tiny, frames=0)
    assert "no frame of it is looked at" in plan.text
    assert plan.corpus.manifest[0].reason.endswith("; no frame of it is shown")
    with lc.load(plan, show=False) as session:
        answer = session.ask("What?", **SAYING)
        assert answer.text is not None
        assert not answer.citations


def test_a_video_of_one_frame_is_seen(tmp_path: Path, tiny: Path) -> None:
    plan = planned(make_video(tmp_path / "a.mp4", [0.0]), tiny)
    assert places(plan) == [0.0]
    with lc.load(plan, show=False) as session:
        assert (read(session, "What?") - whole(session, "What?")).abs().max() < TOLERANCE


def test_a_video_larger_than_the_window_is_asked_by_choice_of_its_segments(tmp_path: Path, tiny: Path) -> None:
    make_video(
        tmp_path / "long.mp4", [i / 2 for i in range(400)], subtitles=[(150.0, 152.0, "The password is marzipan.")], gop=50
    )
    plan = planned(tmp_path, tiny, fps=2, window=2048)
    assert not plan.whole
    assert plan.to_json()["left_out"]
    assert "as asked, which is more than the window of 2,048 allows" in " ".join(plan.figures.warnings)
    with lc.load(plan, show=False) as session:
        answer = session.ask("What is shown at 150 seconds?", **SAYING)
        assert answer.usage.prompt_tokens <= plan.window
        assert [row["path"] for row in answer.outcome.left_out] == ["long.mp4"]
        assert any("segments were chosen" in note for note in answer.outcome.notes)
        assert any(c.origin.start <= 150 < c.origin.end for c in answer.citations if isinstance(c.origin, Moment))  # type: ignore[union-attr]
        stream, _ = session._segments_for("What is shown at 150 seconds?")
        prompt = assemble(session.plan, stream, "What is shown at 150 seconds?")
        assert prompt.visuals is not None
        assert any(150 <= place < 152 for _, look in prompt.visuals.placed for place in look.places)
        followed = session.ask("Which password is it?", **SAYING)
        assert any(c.origin.start <= 150 < c.origin.end for c in followed.citations if isinstance(c.origin, Moment))  # type: ignore[union-attr]


def test_damage_that_is_met_only_while_parts_are_summarised_is_no_crash(broken: Path, tiny: Path) -> None:
    plan = planned(broken, tiny, fps=8, window=1536)
    assert not plan.whole
    with lc.load(plan, show=False) as session:
        summary = session.summarize(max_tokens=4, show=False)
        assert [part.moment for part in summary.parts]
        assert session.plan.notes


def test_a_smaller_window_takes_fewer_frames_and_says_so(tmp_path: Path, tiny: Path) -> None:
    make_video(tmp_path / "long.mp4", [i / 2 for i in range(400)], gop=50)
    plan = planned(tmp_path, tiny, window=2048)
    assert plan.whole
    assert 0 < len(places(plan)) < 400
    assert "which is what the window of 2,048 allows" in " ".join(plan.figures.warnings)
    assert plan.figures.prompt_tokens <= plan.window


# -- times that a question names -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "second"), [("at 12 seconds", 12), ("at 0:31", 31), ("at 0 seconds", 0), ("at 40 seconds", 39.8)]
)
def test_a_question_that_names_a_time_always_cites_that_moment(words: str, second: float, tmp_path: Path, tiny: Path) -> None:
    file = make_video(tmp_path / "a.mp4", [i / 5 for i in range(200)], gop=50)
    with lc.load(planned(file, tiny, fps=1), show=False) as session:
        answer = session.ask(f"What is on the slide {words}?", **SAYING)
        moments = [c.origin for c in answer.citations if isinstance(c.origin, Moment)]
        assert [m for m in moments if m.start <= second < m.end], moments
        result = answer.to_json()["citations"]
        assert any(c["path"] == "a.mp4" and c["start"] <= second < c["end"] for c in result)
