"""The command line as a user has it: JSON contracts, exit codes, bad input."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longctx import cli
from tests.pictures import page_of_words
from tests.videos import make_video

ROOT = Path(__file__).parent.parent
CITATION = {"path", "first_line", "last_line", "page", "box", "start", "end", "quote", "verified"}


def run(*arguments: str | bytes | Path, cache: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    if cache is not None:
        environment["LONGCTX_CACHE"] = str(cache)
    command = [sys.executable, "-m", "longctx", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, text=True, env=environment, timeout=300, check=False, **options)


def test_read_keeps_the_contract(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "binary.bin").write_bytes(bytes(range(256)) * 10)
    assert cli.main(["read", str(project), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"files", "totals"}
    assert all(set(row) == {"path", "kind", "status", "reason", "bytes", "tokens"} for row in result["files"])
    statuses = {row["path"]: row["status"] for row in result["files"]}
    assert statuses == {"retry.py": "read", "README.md": "read", "binary.bin": "skipped"}
    assert result["totals"]["tokens"] == sum(row["tokens"] or 0 for row in result["files"]) > 20
    assert result["totals"]["counts"].startswith("exact")


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take no such names")
def test_read_surrogate_escapes_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))).write_text("coffee\n")
    done = run("read", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["files"]
    assert os.fsencode(row["path"]) == b"caf\xe9.txt"


def test_plan_keeps_the_contract(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", str(project), "--model", str(tiny_models("qwen3_5")), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    keys = {"model", "fits", "window", "native_window", "yarn_factor", "prompt_tokens", "memory", "disk", "chunk", "sources"}
    assert keys | {"left_out", "warnings"} <= set(result)
    memory = {"weights", "kv_cache", "state", "activations", "total", "available", "basis"}
    assert memory <= set(result["memory"])
    assert all(isinstance(result["memory"][key], int) for key in memory - {"basis"})
    assert isinstance(result["disk"], int)


def test_plan_without_paths_is_for_shopping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ROOT / "tests" / "planner" / "configs" / "Qwen3.5-4B" / "config.json"
    (tmp_path / "config.json").write_text(config.read_text())
    command = ["plan", "--model", str(tmp_path), "--window", "1000000", "--memory", "24GB", "--json"]
    assert cli.main(command) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["fits"], result["window"], result["mode"], result["sources"]) == (False, 1_000_000, "window", [])
    assert result["lacking"] > 10**10
    assert cli.main(["plan", "--model", "auto", "--device", "cuda", "--memory", "24GB", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["device"], result["fits"], result["memory"]["basis"]) == ("cuda", True, "computed")
    assert cli.main(["plan", "--memory", "24GB"]) == 2
    assert "a corpus or a model" in capsys.readouterr().err
    assert cli.main(["plan", "--model", "auto", "--exclude", "*.md"]) == 2
    assert "there is no PATH" in capsys.readouterr().err
    assert cli.main(["ask", "--model", "auto", "-q", "Why?"]) == 2


def test_read_and_plan_take_a_budget_for_all_that_is_read(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "long.md").write_text("Reading by reading.\n" * 400)
    assert cli.main(["read", str(project), "--budget", "300", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert 0 < result["totals"]["tokens"] <= 300
    assert "for the budget of 300 tokens" in result["files"][-1]["reason"]
    command = ["plan", str(project), "--model", str(tiny_models("llama")), "--json"]
    assert cli.main([*command, "--budget", "300", "--budget", "retry.py=0.5"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert {row["path"]: row for row in plan["sources"]}["retry.py"]["budget"]["asked"] == 0.5
    assert sum(row["tokens"] for row in plan["sources"]) < 1_500
    for wrong in (["read", str(project), "--budget", "src=300"], [*command, "--budget", "3", "--budget", "4"]):
        assert cli.main(wrong) == 2
    assert cli.main(["read", str(project), "--budget", "0"]) == 2
    assert "budget=0 is no number of tokens" in capsys.readouterr().err


def test_plan_takes_budgets_for_paths(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "a=b.md").write_text("Reading by reading.\n" * 200)
    command = ["plan", str(project), "--model", str(tiny_models("llama")), "--json"]
    assert cli.main([*command, "--budget", "a=b.md=300", "--budget", "retry.py=0.5"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = {row["path"]: row for row in result["sources"]}
    assert rows["a=b.md"]["tokens"] <= 300
    assert (rows["a=b.md"]["budget"]["asked"], rows["retry.py"]["budget"]["asked"]) == (300, 0.5)
    assert "budget" not in rows["README.md"]
    assert [way["way"] for way in result["ways"] if way["taken"]] == ["budgets"]
    for wrong in ("retry.py", "=0.5", "retry.py=", "retry.py=half", "retry.py=-1", "retry.py=nan", "no.py=0.5"):
        assert cli.main([*command, "--budget", wrong]) == 2
        assert wrong.partition("=")[0] in capsys.readouterr().err
    assert cli.main([*command, "--budget", "retry.py=0.5", "--budget", "retry.py=0.1"]) == 2
    assert "second one" in capsys.readouterr().err
    assert cli.main(["plan", "--model", "auto", "--budget", "retry.py=0.5"]) == 2
    assert "there is no PATH" in capsys.readouterr().err


def test_a_model_that_was_not_named_is_fetched_only_where_somebody_agrees(
    project: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # nobody to ask
    command = ["ask", str(project), "--model", "auto", "--memory", "8GB", "-q", "Why?"]
    assert cli.main(command) == 2
    assert "--yes agrees" in capsys.readouterr().err
    assert cli.main([*command, "--yes"]) == 1
    assert "the hub cannot be reached" in capsys.readouterr().err


def test_a_plan_that_does_not_fit_says_so_and_fails(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", str(project), "--model", str(tiny_models("llama")), "--memory", "1MB", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["fits"] is False
    assert result["warnings"]


def test_ask_keeps_the_contract_and_reuses_the_prefix(
    project: Path, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny_models("qwen3_5")
    command = ["ask", project, "--model", model, "-q", "How many?", "-q", "How long?", "--max-tokens", "8", "--json"]
    done = run(*command, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)["answers"]
    assert [answer["question"] for answer in answers] == ["How many?", "How long?"]
    keys = {"question", "answer", "reasoning", "stopped", "citations", "left_out", "usage", "memory"}
    assert all(keys <= set(answer) and answer["stopped"] is False for answer in answers)
    assert all(set(citation) >= CITATION for answer in answers for citation in answer["citations"])
    assert answers[1]["usage"]["reused_tokens"] > 60
    again = json.loads(run(*command, cache=tmp_path / "cache").stdout)["answers"]
    assert again[0]["answer"] == answers[0]["answer"]


def test_each_of_several_answers_says_which_question_it_is_to_and_nothing_is_printed_into_it(
    project: Path, tiny_models: Callable[[str], Path], tmp_path: Path
) -> None:
    command = ["ask", project, "--model", tiny_models("llama"), "--max-tokens", "4", "-q", "How many?", "-q", "How long?"]
    said = run(*command, cache=tmp_path / "cache", stderr=subprocess.STDOUT).stdout
    assert said.index("✓ load") < said.index("[1] How many?\n") < said.index("first token") < said.index("[2] How long?\n")


def test_a_summary_is_printed_once(project: Path, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    command = ["summarize", project, "--model", tiny_models("llama"), "--max-tokens", "8"]
    said = run(*command, cache=tmp_path / "cache", stderr=subprocess.STDOUT).stdout
    assert said.count("▸ README.md\n") == 1
    assert 0 <= said.index("✓ load") < said.index("✓ summarize") < said.index("▸ README.md\n")


def test_summarize_keeps_the_contract(project: Path, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    done = run("summarize", project, "--model", tiny_models("llama"), "--max-tokens", "8", "--json", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"summary", "parts", "usage"}
    assert all(set(part) == {"title", "text", "citations"} for part in result["parts"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask"], 2, "required"),
        (["read", "{missing}"], 2, "missing"),
        (["read", "https://github.com/psf/requests"], 2, "git clone"),
        (["read", "{empty}"], 1, "empty"),
        (["plan", "{project}", "--model", "no/such-model"], 1, "no/such-model"),
        (["plan", "{project}", "--model", "{empty}"], 1, "config.json"),
        (["plan", "{project}", "--model", "{damaged}"], 1, "config.json"),
        (["plan", "{project}", "--model", "{untokenised}"], 1, "tokenizer.json"),
        (["plan", "{project}", "--memory", "much", "--model", "{tiny}"], 2, "much"),
        (["plan", "{project}", "--window", "0", "--model", "{tiny}"], 2, "0"),
        (["ask", "{project}", "-q", " ", "--model", "{tiny}"], 2, "empty"),
        (["ask", "{project}", "-q", "Why?", "--temperature", "-1", "--model", "{tiny}"], 2, "temperature"),
        (["ask", "{project}", "-q", "Why?", "--memory", "1MB", "--model", "{tiny}"], 1, "needs"),
        (["plan", "{project}", "--fps", "-1", "--model", "{tiny}"], 2, "fps=-1"),
        (["plan", "{project}", "--fps", "fast", "--model", "{tiny}"], 2, "fast"),
        (["plan", "{project}", "--frames", "-1", "--model", "{tiny}"], 2, "frames=-1"),
        (["plan", "{project}", "--frames", "1.5", "--model", "{tiny}"], 2, "1.5"),
        (["plan", "{project}", "--fps", "1", "--frames", "2", "--model", "{tiny}"], 2, "give one of them"),
        (["plan", "{project}", "--pixels", "0", "--model", "{tiny}"], 2, "pixels=0"),
        (["plan", "{project}", "--picture-pixels", "0", "--model", "{tiny}"], 2, "picture_pixels=0"),
        (["read", "{project}", "--engine", "vlc"], 2, "vlc"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str],
    code: int,
    words: str,
    project: Path,
    tmp_path: Path,
    tiny_models: Callable[[str], Path],
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {name: tmp_path / name for name in ("empty", "damaged", "untokenised")}
    for folder in places.values():
        folder.mkdir()
    (places["damaged"] / "config.json").write_text("{not json")
    (places["untokenised"] / "config.json").write_text((tiny_models("llama") / "config.json").read_text())
    names = {**places, "project": project, "tiny": tiny_models("llama"), "missing": tmp_path / "missing"}
    assert cli.main([argument.format(**names) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err


# -- pictures and video ----------------------------------------------------------------------------------------------
@pytest.fixture
def seen(project: Path) -> Path:
    """The project with a video and a PDF."""
    make_video(project / "clip.mp4", [i / 4 for i in range(80)], subtitles=[(12.0, 14.0, "Five attempts.")])
    (project / "page.pdf").write_bytes(page_of_words("The tide gauge"))
    return project


@pytest.mark.parametrize("engine", ["av", "decord"])
def test_read_tells_what_is_in_a_video(engine: str, seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if engine == "decord":
        pytest.importorskip("decord")
    assert cli.main(["read", str(seen), "--engine", engine, "--json"]) == 0
    rows = {row["path"]: row for row in json.loads(capsys.readouterr().out)["files"]}
    assert (rows["clip.mp4"]["kind"], rows["clip.mp4"]["status"]) == ("video", "read")
    assert rows["clip.mp4"]["reason"] == "20 s, 128x96, 80 frames, subtitles"
    assert rows["clip.mp4"]["tokens"] > 100


def test_plan_shows_frames_and_pages_as_they_are_wished_for(
    seen: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(*wishes: str) -> dict[str, Any]:
        assert cli.main(["plan", str(seen), "--model", str(tiny_models("qwen3_5")), "--json", *wishes]) == 0
        return {row["path"]: row for row in json.loads(capsys.readouterr().out)["sources"]}

    usual, few, none = planned(), planned("--frames", "6"), planned("--frames", "0")
    assert (usual["clip.mp4"]["frames"], few["clip.mp4"]["frames"], none["clip.mp4"]["frames"]) == (40, 6, 0)
    assert planned("--fps", "0.5")["clip.mp4"]["frames"] == 10
    assert planned("--pixels", "4096")["clip.mp4"]["frame_size"] == [64, 64]
    assert planned("--pages-as-pictures")["page.pdf"]["tokens"] > usual["page.pdf"]["tokens"] + 50


def test_ask_cites_the_moment_of_a_video_and_both_engines_show_the_same_frames(
    seen: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("decord")
    command = ["ask", str(seen), "--model", str(tiny_models("qwen3_5")), "-q", "What is said at 13 seconds?", "--fps", "1"]
    command += ["--max-tokens", "6", "--temperature", "0", "--dtype", "float32", "--pages-as-pictures"]
    command += ["--picture-pixels", "4096", "--json"]
    said = []
    for engine in ("av", "decord"):
        assert cli.main([*command, "--engine", engine]) == 0
        (answer,) = json.loads(capsys.readouterr().out)["answers"]
        said.append(answer)
        assert any(c["path"] == "clip.mp4" and c["start"] <= 13 < c["end"] for c in answer["citations"])
        assert all(set(citation) >= CITATION for citation in answer["citations"])
    assert said[0]["usage"]["prompt_tokens"] == said[1]["usage"]["prompt_tokens"]
    assert said[1]["usage"]["reused_from"] == "none" or said[1]["usage"]["reused_tokens"] < 500


def test_summarize_of_a_video_has_entries_by_time(
    seen: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["summarize", str(seen / "clip.mp4"), "--model", str(tiny_models("qwen3_5")), "--max-tokens", "4", "--json"]
    assert cli.main(command) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert len(parts) == 2
    assert all(set(part) == {"title", "start", "end", "text", "citations"} for part in parts)


def test_an_interrupt_ends_with_130(project: Path, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LONGCTX_CACHE": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "longctx", "ask", project, "--model", tiny_models("llama"), "-q", "Talk."]
    process = subprocess.Popen(
        [*command, "--max-tokens", "3500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stdout.read(1), process.stderr
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def test_chat_is_a_conversation(project: Path, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    command = ["chat", project, "--model", tiny_models("llama"), "--max-tokens", "4"]
    done = run(*command, cache=tmp_path / "cache", input="How many?\nHow long?\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("question (") == 3


# -- conversations ---------------------------------------------------------------------------------------------------
@pytest.fixture
def chat(project: Path, tiny_models: Callable[[str], Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs ``longctx chat`` with these questions."""

    def run(questions: list[str], *options: str) -> int:
        lines = iter([*questions, ""])
        monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
        model = str(tiny_models("llama"))
        return cli.main(["chat", str(project), "--model", model, "--max-tokens", "4", "--temperature", "0", *options])

    return run


def questions_in(path: Path) -> list[str]:
    return [turn["question"] for turn in json.loads(path.read_text(encoding="utf-8"))["turns"]]


def test_a_chat_is_saved_reopened_and_goes_on_in_its_file(
    chat: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, other = tmp_path / "talk.json", tmp_path / "other.json"
    assert chat(["How many?", "How long?"], "--save", str(talk)) == 0
    assert questions_in(talk) == ["How many?", "How long?"]
    capsys.readouterr()
    assert chat(["Why?"], "--reopen", str(talk)) == 0
    shown = capsys.readouterr().out
    assert "1 earlier turn" in shown
    assert "Q  How long?" in shown
    assert questions_in(talk) == ["How many?", "How long?", "Why?"]
    assert chat(["And?"], "--reopen", str(talk), "--save", str(other)) == 0
    assert (len(questions_in(talk)), len(questions_in(other))) == (3, 4)


def test_a_chat_that_could_not_be_saved_is_refused_before_a_model_is_loaded(
    chat: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_session", lambda options: pytest.fail("loaded"))
    (tmp_path / "notes.md").write_text("mine")
    missing = str(tmp_path / "missing.json")
    for wrong in (
        ["--save", str(tmp_path / "notes.md")],
        ["--save", str(tmp_path)],
        ["--save", str(tmp_path / "no" / "talk.json")],
        ["--reopen", missing],
        ["--reopen", str(tmp_path / "notes.md")],
    ):
        assert chat(["Why?"], *wrong) == 1
        error = capsys.readouterr().err
        assert error.startswith("longctx: ")
        assert wrong[1] in error
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_a_disk_that_fails_does_not_end_a_chat(
    chat: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = os.replace, []

    def once(source: Any, target: Any) -> None:
        if Path(target).name == "talk.json" and not failed:
            failed.append(target)
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", once)
    assert chat(["How many?", "How long?"], "--save", str(tmp_path / "talk.json")) == 0
    assert "No space left" in capsys.readouterr().err
    assert questions_in(tmp_path / "talk.json") == ["How many?", "How long?"]


def test_ask_goes_on_with_a_conversation_and_tells_what_has_changed(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = str(tmp_path / "talk.json")
    command = ["ask", str(project), "--model", str(tiny_models("llama")), "--max-tokens", "4", "--json", "-q"]
    assert cli.main([*command, "How many?", "--save", talk]) == 0
    (project / "new.txt").write_text("new\n")
    capsys.readouterr()
    assert cli.main([*command, "How long?", "--reopen", talk]) == 0
    captured = capsys.readouterr()
    assert "new: new.txt" in captured.err
    assert [answer["question"] for answer in json.loads(captured.out)["answers"]] == ["How long?"]
    assert questions_in(Path(talk)) == ["How many?", "How long?"]
    assert cli.main([*command, "One?", "-q", "Two?", "--reopen", talk]) == 2
    assert "longctx chat" in capsys.readouterr().err


def test_export_needs_the_file_alone(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, document = tmp_path / "talk.json", tmp_path / "talk.md"
    command = ["ask", str(project), "--model", str(tiny_models("llama")), "--max-tokens", "4", "--json"]
    assert cli.main([*command, "-q", "How many?", "--save", str(talk)]) == 0
    capsys.readouterr()
    code = f"import sys; from longctx import cli; cli.main(['export', {str(talk)!r}]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    assert done.stdout.startswith("# A conversation about ")
    assert "## 1. How many?" in done.stdout
    assert done.stdout.endswith("False\n")
    assert cli.main(["export", str(talk), "-o", str(document), "--title", "Mine", "--reasoning"]) == 0
    assert str(document) in capsys.readouterr().err
    assert document.read_text(encoding="utf-8").startswith("# Mine\n")
    assert cli.main(["export", str(talk), "-o", str(document)]) == 1
    assert "--force" in capsys.readouterr().err
    assert cli.main(["export", str(talk), "-o", str(document), "--force"]) == 0
    assert cli.main(["export", str(document)]) == 1
    assert "no conversation" in capsys.readouterr().err


def test_prefixes_are_listed_shown_and_pruned(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_models("qwen3_5"))
    asked = ["ask", str(project), "--model", model, "-q", "How many?", "--max-tokens", "2", "--json"]
    assert cli.main(asked) == 0
    capsys.readouterr()
    assert cli.main(["prefixes", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert set(row) == {"name", "model", "tokens", "bytes", "shared_bytes", "used", "snapshots"}
    assert (row["model"], row["snapshots"]) == (model, [row["tokens"]])
    assert cli.main(["prefixes", "show", row["name"][:8]]) == 0
    shown = capsys.readouterr().out
    assert row["name"] in shown
    assert "of state" in shown
    assert cli.main(["prefixes", "list"]) == 0
    assert str(cache / "prefixes") in capsys.readouterr().out
    assert cli.main(["prefixes", "prune", row["name"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed_bytes"] == row["bytes"]
    assert cli.main(["prefixes", "prune", "--most", "0"]) == 0
    capsys.readouterr()
    for wrong in (["show"], ["show", "abc"], ["prune"], ["prune", "abc", "--most", "5GB"], ["prune", "--most", "a lot"]):
        assert cli.main(["prefixes", *wrong]) != 0
        assert capsys.readouterr().err.startswith("longctx: ")
