"""What holds for the text of every view, and the helpers that lay it out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.jobs import Progress
from longctx.views import answer, budget, citations, manifest, progress, timeline, units
from longctx.views.answer import AnswerState
from longctx.views.cells import bar, cells, cut, cut_path, wrap
from longctx.views.citations import CitationState, SourceLine
from longctx.views.progress import ProgressState
from longctx.views.safe import escape, oneline, visible
from longctx.views.timeline import PartState, SummaryState

LONG = "a sentence of several words with 漢字 and " * 9 + "\x1b[31m\u202e" + "x" * 300
LINES = [SourceLine(number, LONG, number == 50) for number in range(1, 99)]


def texts(width: int) -> dict[str, str]:
    """Every view as text, full of long words."""
    cites = [CitationState(1, LONG, "line 1", LONG, False, "cited", LINES), CitationState(2, LONG, basis="matched")]
    working = ProgressState(LONG, "running", Progress(LONG, 3, 9, "tokens", 2.0), 4.0, {"weights": 5}, {"weights": 9}, 9)
    said = AnswerState(
        LONG, LONG, LONG, "failed", cites, [LONG], {"prompt_tokens": 5, "miss_reason": LONG}, [LONG], [LONG], None, LONG
    )
    plan = {
        "model": LONG, "window": 9, "memory": {"weights": 5, "total": 5, "basis": LONG},
        "sources": [{"path": LONG, "tokens": 5, "frames": 10**9, "fps": 0.123, "frame_size": [10**6, 10**6]}],
        "left_out": [LONG], "warnings": [LONG], "notes": [LONG],
    }  # fmt: skip
    row = {"path": LONG, "kind": "code", "status": "failed", "reason": LONG, "bytes": 5, "tokens": 5}
    return {
        "progress": progress.text(working, width=width),
        "bars": progress.bars(working, width=width),
        "failed": progress.text(ProgressState(LONG, "failed", error=f"{LONG}\n{LONG}"), width=width),
        "plan": budget.text(plan, width=width),
        "manifest": manifest.text([row, {**row, "status": "read", "reason": ""}], width=width),
        "answer": answer.text(said, width=width),
        "citation": citations.text(cites[0], width=width),
        "summary": timeline.text(SummaryState(LONG, LONG, [PartState(LONG, LONG, cites)], "done", notes=[LONG]), width=width),
    }


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("name", texts(80))
def test_no_line_is_wider_than_it_may_be_and_none_steers_the_terminal(name: str, width: int) -> None:
    text = texts(width)[name]
    assert [line for line in text.split("\n") if cells(line) > width] == []
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)


@settings(deadline=None)
@given(st.text(alphabet="ab 漢\u0301", max_size=60), st.integers(9, 30))
def test_wrapped_lines_fit_and_lose_no_word(text: str, width: int) -> None:
    lines = wrap(text, width, indent="  ", first="- ")
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(line[2:].split()) for line in lines) == "".join(text.split())


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 40))
def test_cut_text_fits(text: str, width: int) -> None:
    clean = oneline(text)
    assert cells(cut(clean, width)) <= width
    assert cells(cut_path(clean, width)) <= width
    if cells(clean) <= width:
        assert cut(clean, width) == clean


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 40))
def test_a_bar_is_as_wide_as_asked_and_shows_what_there_is(part: int, whole: int, width: int) -> None:
    drawn = bar(part, whole, width)
    assert len(drawn) == width
    assert ("█" in drawn) == (part > 0 and whole > 0)


@settings(deadline=None)
@given(st.text())
def test_safe_text_can_be_encoded_and_holds_nothing_that_acts(text: str) -> None:
    for safe in (visible(text), escape(text), oneline(text)):
        safe.encode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", safe)
    assert "<" not in escape(text)
    assert '"' not in escape(text)


@settings(deadline=None)
@given(st.floats(0, 1e16))
def test_sizes_never_show_a_thousand_of_a_unit(number: float) -> None:
    figure = re.fullmatch(r"([\d,.]+) (B|kB|MB|GB|TB)", units.size(number))
    assert figure is not None
    assert figure[2] == "TB" or float(figure[1].replace(",", "")) < 1000


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(0, 0, "0 %"), (0, 9, "0 %"), (999_999, 10**6, "99 %"), (9, 9, "100 %"), (12, 10, "120 %")]
)
def test_a_share_is_complete_only_at_the_end(part: int, whole: int, shown: str) -> None:
    assert units.percent(part, whole) == shown


# -- progress ----------------------------------------------------------------------------------------------------------
PREFILL = Progress("prefill", 1536, 3012, "tokens", 2.56)
PLANNED = {"weights": 540_000_000, "kv_cache": 380_000_000, "activations": 190_000_000}
HELD = {"weights": 538_000_000, "kv_cache": 170_000_000, "activations": 240_000_000}


def test_progress_in_one_line_has_stage_share_speed_rest_and_memory() -> None:
    state = ProgressState("load", "running", PREFILL, 14.0, PLANNED, HELD)
    line = "prefill  1,536/3,012 tokens  51 %  600 tok/s  ETA 0:02  memory 0.9 of 1.1 GB planned"
    assert progress.text(state) == line


def test_a_progress_bar_says_its_values_to_screen_readers() -> None:
    html = progress.html(ProgressState("load", "running", PREFILL))
    assert 'role="progressbar" aria-label="prefill"' in html
    assert 'aria-valuemin="0" aria-valuemax="3012" aria-valuenow="1536"' in html
    assert 'aria-valuetext="1,536/3,012 tokens, 51 %, 600 tok/s, ETA 0:02"' in html


def test_a_bar_without_a_total_claims_no_value() -> None:
    html = progress.html(ProgressState("load", "running", Progress("load")))
    assert 'role="progressbar"' in html
    assert "aria-valuenow" not in html


def test_a_component_beyond_its_plan_is_named() -> None:
    html = progress.html(ProgressState("load", "running", PREFILL, 0, PLANNED, HELD))
    assert re.findall(r'(\d+ of \d+ MB)<b class="bad"> over plan</b>', html) == ["240 of 190 MB"]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_wish_to_stop_shows_before_it_is_fulfilled(state: str) -> None:
    wished = ProgressState("load", state, PREFILL, stopping=True)  # type: ignore[arg-type]
    assert "stopping" in progress.text(wished)
    assert f'<span class="pill {state}">stopping</span>' in progress.html(wished)


def test_the_final_states_say_what_happened() -> None:
    done = ProgressState("load", "done", PREFILL, 18.2, PLANNED, HELD, 10**9, summary="3,012 tokens read")
    assert progress.text(done) == "✓ load  3,012 tokens read  in 18 s\n  memory 0.9 of 1.1 GB planned  peak 1.0 GB"
    failed = ProgressState("load", "failed", error="no such model: 'x'\n  name a folder")
    assert progress.text(failed) == "✗ load  failed\n  no such model: 'x'\n  name a folder"
    assert progress.text(ProgressState("load", "stopped", error="load: stopped")) == "■ load  stopped"


def test_a_finished_job_shows_no_component_of_nothing_and_no_peak_below_what_is_held() -> None:
    planned, held = (
        {"weights": 269 * 10**6, "vision": 0, "activations": 14 * 10**6},
        {"weights": 269 * 10**6, "vision": 0, "other": 0},
    )
    done = ProgressState("load", "done", PREFILL, 18.2, planned, held, 46 * 10**6)
    assert done.components == ("weights", "activations")
    assert "vision" not in progress.html(done)
    assert "peak" not in progress.text(done) + progress.html(done)


def test_memory_that_was_never_measured_is_not_told_as_nothing() -> None:
    restored = progress.html(ProgressState("load", "done", PREFILL, 0.4, {"weights": 269 * 10**6}))
    assert "Memory 269 MB planned" in restored
    assert "0 of" not in restored


# -- plan --------------------------------------------------------------------------------------------------------------
def plan(**changes: object) -> dict[str, object]:
    sources = [{"path": f"f{number}.py", "tokens": 100 * number} for number in range(43)]
    memory = {
        "weights": 2 * 10**9,
        "kv_cache": 10**9,
        "state": 0,
        "total": 3 * 10**9,
        "available": 4 * 10**9,
        "basis": "computed",
    }
    base = {"model": "m", "fits": True, "window": 8192, "native_window": 8192, "yarn_factor": None, "prompt_tokens": 4096}
    return {
        **base,
        "memory": memory,
        "disk": 10**8,
        "chunk": 512,
        "sources": sources,
        "left_out": [],
        "warnings": [],
        **changes,
    }


def test_a_plan_shows_its_window_memory_and_largest_sources() -> None:
    lines = budget.text(plan()).split("\n")
    assert lines[:4] == [
        "plan      m · fits",
        "window    8,192 tokens (the model's own 8,192, no YaRN)",
        "prompt    4,096 tokens · 50 % of the window",
        "memory    3.0 of 4.0 GB available (computed)",
    ]
    listed = [line for line in lines if re.search(r" f\d+\.py ", line)]
    assert len(listed) == budget.MOST_SOURCES
    assert listed[0].split()[:2] == ["f42.py", "4,200"]
    assert "            and 31 more, 46,500 tokens" in lines


def test_a_plan_that_does_not_fit_says_what_is_needed() -> None:
    memory = {"weights": 9 * 10**9, "total": 9 * 10**9, "available": 10**9}
    text = budget.text(plan(fits=False, memory=memory, yarn_factor=2.0, window=16384, warnings=["take less"]))
    assert "m · does not fit" in text
    assert "9.0 GB needed, 1.0 GB available" in text
    assert "16,384 tokens (the model's own 8,192 × YaRN 2)" in text
    assert "warning   take less" in text
    assert 'class="limit"' in budget.html(plan(fits=False, memory=memory))
    assert 'class="limit"' not in budget.html(plan())


def test_what_a_plan_notes_is_no_warning() -> None:
    noted = plan(notes=["a.mp4: 60 frames"])
    assert budget.text(noted).endswith("\nnote      a.mp4: 60 frames")
    assert "a.mp4: 60 frames" in budget.html(noted)
    assert "⚠" not in budget.html(noted)


def test_a_plan_says_how_the_model_runs_and_reads() -> None:
    text = budget.text(plan(bits=4, dtype="bfloat16", device="cuda", mode="retrieval", counts_basis="estimated"))
    assert "runs in   4 bits, bfloat16, cuda\n" in text
    assert "prompt    4,096 tokens (estimated) · 50 % of the window · segments are chosen for each question\n" in text


def test_a_plan_without_a_corpus_tells_no_share_of_the_window() -> None:
    shopped = plan(mode="window", counts_basis="no corpus: what the window has room for", sources=[])
    assert "prompt    4,096 tokens (no corpus: what the window has room for)\n" in budget.text(shopped)
    assert "of the window" not in budget.text(shopped) + budget.html(shopped)


def test_a_plan_shows_what_is_seen_of_videos_and_which_tokens_are_estimates() -> None:
    video = {"path": "lecture.mp4", "tokens": 250_000, "frames": 3348, "fps": 0.9301, "frame_size": [448, 256]}
    clip = {"path": "clip.mp4", "tokens": 300, "frames": 1, "fps": 0.1, "frame_size": [64, 32]}
    rows = [video, clip, {"path": "scan.pdf", "tokens": 900, "estimated": True}, {"path": "mute.mp4", "tokens": 5, "frames": 0}]
    lines = [line.strip() for line in budget.text(plan(sources=rows)).split("\n")]
    assert lines[lines.index("3,348 frames of 448×256, 0.93 a second") - 1].startswith("lecture.mp4  250,000")
    assert lines[lines.index("1 frame of 64×32") - 1].startswith("clip.mp4")
    assert lines[lines.index("no frames") - 1].startswith("mute.mp4")
    assert any(line.startswith("scan.pdf ") and "≈900" in line for line in lines)
    assert "sources   4 files, ≈251,205 tokens" in lines
    assert any(line.startswith("prompt    ≈4,096 tokens") for line in lines)
    html = budget.html(plan(sources=rows))
    assert "3,348 frames of 448×256, 0.93 a second" in html
    assert ">≈900<" in html
    assert "≈" not in budget.html(plan(sources=rows[:2])) + budget.text(plan(sources=rows[:2]))


def test_a_plan_shows_budgets_and_what_other_ways_would_cost() -> None:
    given = {"key": "src", "asked": 0.5, "tokens": 5878, "of_tokens": 4709, "read": "signatures"}
    rows = [
        {"path": "src/a.py", "tokens": 900, "budget": given},
        {"path": "b.md", "tokens": 50, "budget": {"key": "b.md", "asked": 99, "tokens": 99, "of_tokens": 50, "read": ""}},
    ]
    way = {"way": "whole", "fits": False, "window": 524_288, "yarn_factor": 2.0, "tokens_once": 300_000, "memory": 9 * 10**9}
    ways = [
        {**way, "words": "1.0 GB too much"},
        {"way": "budgets", "taken": True, "window": 8192, "yarn_factor": 1.0, "tokens_per_question": 77, "words": "less"},
    ]
    lines = budget.text(plan(sources=rows, ways=ways)).split("\n")
    assert "              of 4,709: signatures · budget of src: 5,878" in lines
    assert "              whole · budget: 99" in lines
    head = next(number for number, line in enumerate(lines) if line.startswith("ways "))
    assert lines[head].split() == ["ways", "way", "window", "read", "once", "per", "question", "memory"]
    assert lines[head + 1].split() == ["whole", "524,288", "×2", "300,000", "0", "9.0", "GB"]
    assert lines[head + 2].strip() == "does not fit: 1.0 GB too much"
    assert lines[head + 3].split()[:3] == ["▸", "budgets", "8,192"]
    html = budget.html(plan(sources=rows, ways=ways))
    assert "of 4,709: signatures · budget of src: 5,878" in html
    assert "does not fit: 1.0 GB too much" in html
    assert "<h4>Ways to read it</h4>" in html
    assert "Ways" not in budget.html(plan())
    assert "\nways" not in budget.text(plan())


def test_a_plan_without_most_of_its_keys_still_shows() -> None:
    assert budget.text({"model": "m"}).startswith("plan      m · fits\nwindow    not known")
    assert "Plan for m" in budget.html({"model": "m"})


def test_everything_left_out_is_named_or_counted() -> None:
    text = budget.text(plan(left_out=[{"path": f"x{n}", "tokens": 5, "reason": f"too large by {n}"} for n in range(15)]))
    assert "left out  x0 · 5 tokens · too large by 0\n" in text
    assert "and 3 more" in text


def test_many_sources_left_out_for_one_reason_share_a_line_with_the_largest_named() -> None:
    rows = [{"path": f"x{n}", "tokens": n, "reason": "not chosen"} for n in range(100)]
    rows.insert(50, {"path": "y", "tokens": 7, "reason": "3 of 4 segments not chosen"})
    text = budget.text(plan(left_out=rows))
    assert "left out  x99, x98, x97 and 97 more · 4,950 tokens · not chosen\n" in text
    assert "          y · 7 tokens · 3 of 4 segments not chosen" in text
    said = answer.text(AnswerState("q", "a", state="done", left_out=rows), width=200)
    assert "Left out: x99, x98, x97 and 97 more · 4,950 tokens · not chosen; y · 7 tokens · 3 of 4 segments not chosen" in said


# -- manifest ----------------------------------------------------------------------------------------------------------
def row(path: str, status: str = "read", reason: str = "", tokens: int | None = 10) -> dict[str, object]:
    return {"path": path, "kind": "code", "status": status, "reason": reason, "bytes": 1000, "tokens": tokens}


def test_a_manifest_counts_by_status_and_lists_what_is_not_plain() -> None:
    rows = [row("a.py"), row("b.py", "failed", "no pages"), row("c", "skipped", "binary", None), row("d", "read", "as latin-1")]
    text = manifest.text({"files": rows, "totals": {"counts": "exact"}})
    assert text.startswith("2 read, 1 skipped, 1 failed · 2.0 kB · 20 tokens (exact)\n")
    lacking, noted = text.split("not read whole\n")[1].split("\nremarks\n")
    assert [line.split() for line in lacking.split("\n")] == [["failed", "b.py", "no", "pages"], ["skipped", "c", "binary"]]
    assert noted.split() == ["d", "as", "latin-1"]
    assert manifest.text(rows) == text.replace(" (exact)", "")


def test_a_remark_on_what_was_read_whole_does_not_stand_under_what_was_not() -> None:
    rows = [row("tour.mp4", "read", "30 s")]
    for shown in (manifest.text(rows), manifest.html(rows)):
        assert "not read whole" not in shown.lower()
        assert "remarks" in shown.lower()


def test_many_paths_of_one_fate_are_one_row_that_counts_them() -> None:
    rows = [row(f"{number}.bin", "skipped", "binary", None) for number in range(30)]
    assert "  skipped  0.bin, 1.bin, 2.bin and 27 more  binary" in manifest.text(rows)


def test_rows_beyond_the_cap_are_counted() -> None:
    rows = [row(f"{number}.pdf", "failed", f"error {number}") for number in range(manifest.MOST_REMARKS + 7)]
    assert manifest.text(rows).endswith("  and 7 more")
    assert '<p class="soft">and 7 more</p>' in manifest.html(rows)


def test_an_empty_manifest_says_so() -> None:
    assert manifest.text([]).startswith("nothing was met")


# -- answers -----------------------------------------------------------------------------------------------------------
SOURCE = [SourceLine(41, "total = self.total\n"), SourceLine(42, "total -= 1\n", True)]
CITED = CitationState(1, "src/retry.py:41-42", "lines 41-42", "total -= 1", True, "cited", SOURCE)


def test_an_answer_shows_its_citations_lines_checks_and_reuse() -> None:
    usage = {"prompt_tokens": 3051, "reused_tokens": 3012, "reused_from": "disk", "seconds_to_first_token": 0.3}
    state = AnswerState("Where?", "There [1]. Always.", "", "done", [CITED], ["Always."], usage)
    assert answer.text(state).split("\n") == [
        "Q  Where?",
        "",
        "There [1]. Always.",
        "",
        "⚠ 1 sentence has no source",
        "",
        "  ⚠ “Always.”",
        "",
        "[1] src/retry.py:41-42   ✓ quote checked",
        "        41 │ total = self.total",
        "  >     42 │ total -= 1",
        "",
        "3,012 of 3,051 tokens reused from disk · first token after 0.3 s",
        "A checked quote proves that the words stand there, not that they support the claim.",
    ]
    html = answer.html(state)
    assert "▍" not in html
    assert '<span class="ln hit"><span class="no">42</span><mark>total -= 1</mark>\n</span>' in html
    assert '<u class="unsupported">Always.</u>' in html


def test_colour_changes_nothing_but_colour() -> None:
    state = AnswerState("Where?", "There [1].", "", "failed", [CITED], ["x"], {"prompt_tokens": 5}, error="no")
    painted = answer.text(state, color=True)
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[\d+m", "", painted) == answer.text(state)


@pytest.mark.parametrize(
    ("citation", "words"),
    [
        (CitationState(1, "a:1", quote="q", verified=True), "✓ quote checked"),
        (CitationState(1, "a:1", verified=True), "✓ place checked"),
        (CitationState(1, "a:1", quote="q"), "⚠ quote not found there"),
        (CitationState(1, "a:1"), "⚠ place not found"),
        (CitationState(1, "a:1", verified=True, basis="matched"), "≈ matched by longctx, not cited by the model"),
    ],
)
def test_what_was_checked_is_said(citation: CitationState, words: str) -> None:
    assert words in citations.text(citation)
    assert words in citations.html(citation)


def test_a_quote_in_a_line_of_a_million_characters_is_found_and_the_line_cut() -> None:
    line = SourceLine(1, "x" * 500_000 + "needle" + "y" * 500_000, True)
    html = citations.html(CitationState(1, "a.min.js:1", quote="needle", verified=True, lines=[line]))
    assert "x<mark>needle</mark>y" in html
    assert len(html) < 20_000


def test_a_stopped_answer_says_so_and_why_nothing_was_reused() -> None:
    state = AnswerState("Q", "as far", "", "stopped", usage={"prompt_tokens": 9, "miss_reason": "the corpus has changed"})
    assert "■ Stopped on request; the answer is as far as it came." in answer.text(state)
    assert "0 of 9 tokens reused" in answer.text(state)
    assert "Not reused: the corpus has changed" in answer.html(state)


@pytest.mark.parametrize(
    ("text", "reasoning", "word"), [("", "", "reading"), ("", "hm", "thinking"), ("so", "hm", "answering")]
)
def test_a_running_answer_says_what_it_is_at(text: str, reasoning: str, word: str) -> None:
    html = answer.html(AnswerState("Q", text, reasoning, "running"))
    assert f'<span class="pill running">{word}</span>' in html
    assert ("▍" in html) == bool(text)


def test_a_sentence_that_cannot_be_marked_is_told() -> None:
    html = answer.html(AnswerState("Q", "Other words.", "", "done", unsupported=["Lost."]))
    assert "⚠ no source: “Lost.”" in html


def test_the_json_of_a_summary_shows_as_text() -> None:
    place = {"path": "a.py", "first_line": 3, "last_line": 5, "page": None, "box": None, "start": None, "end": None}
    page = {**place, "path": "b.pdf", "first_line": None, "last_line": None, "page": 2, "quote": "q", "verified": False}
    clip = {**place, "path": "c.mp4", "first_line": None, "start": 5.0, "end": 65.0, "verified": True}
    cites = [{**place, "quote": "q", "verified": True}, page, clip]
    text = timeline.text({"summary": "All.", "parts": [{"title": "One", "text": "Part [1].", "citations": cites}], "usage": {}})
    assert text.split("\n") == [
        "Summary",
        "",
        "All.",
        "",
        "▸ One",
        "  Part [1].",
        "  [1] a.py:3-5   ✓ quote checked",
        "  [2] b.pdf, page 2   ⚠ quote not found there",
        "  [3] c.mp4 at 00:00:05-00:01:05   ✓ place checked",
    ]


def test_the_json_of_a_citation_of_a_document_shows_its_part() -> None:
    place = {
        "path": "a.xlsx",
        "first_line": 3,
        "last_line": 5,
        "part": "sheet 'Q1'",
        "unit": "row",
        "quote": "q",
        "verified": True,
    }
    text = timeline.text(
        {"summary": "All.", "parts": [{"title": "One", "text": "Part [1].", "citations": [place]}], "usage": {}}
    )
    assert "[1] a.xlsx, sheet 'Q1' rows 3-5   ✓ quote checked" in text


def test_what_a_budget_did_to_all_is_told_whole_and_is_no_file() -> None:
    said = "of 2 sources, for the budget of 9,000 tokens: " + ", ".join(f"{n} in way {n}" for n in range(20)) + "; the end"
    rows = [
        {"path": "a.py", "kind": "code", "bytes": 9, "tokens": 3, "status": "read", "reason": ""},
        {"path": ".", "kind": "folder", "bytes": 0, "tokens": None, "status": "truncated", "reason": said},
    ]
    text = manifest.text(rows, width=60)
    assert said in " ".join(text.splitlines())
    assert text.startswith("1 read · ")
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "the end" in manifest.html(rows)
