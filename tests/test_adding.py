"""More is put behind what a session has read: nothing of that is prefilled again, and what goes wrong changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import longctx as lc
from longctx.errors import ClosedError, DoesNotFitError, EmptyCorpusError, ModelDamagedError, SourceNotFoundError, UsageError
from longctx.jobs import Job
from tests.videos import make_video

MORE = "# Moon\n\nThe moon station sends a reading every two hours.\n"


@pytest.fixture
def more(tmp_path: Path) -> Path:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "README.md").write_text(MORE, encoding="utf-8")
    (folder / "moon.py").write_text("MOONS = 1\n", encoding="utf-8")
    return folder


@pytest.fixture
def plan(project: Path, tiny_models: Callable[[str], Path], cache: Path) -> lc.Plan:
    return lc.plan(lc.read(project), model=tiny_models("llama"), store=False)


def recorded(plan: lc.Plan, *texts: str) -> tuple[lc.Session, list[lc.ScriptedBackend]]:
    """A session with scripted engines, and these in the order in which they were made."""
    made: list[lc.ScriptedBackend] = []
    maker = lc.ScriptedBackend.maker(plan.tokenizer.encode_template, *texts)

    def make(spec: Any) -> lc.ScriptedBackend:
        made.append(maker(spec))
        return made[-1]

    return lc.load(plan, backend=make), made


def paths(session: lc.Session) -> list[str]:
    return [source.path for source in session.corpus.sources]


@pytest.mark.parametrize("kind", ["llama", "qwen3_5"])
def test_nothing_of_the_corpus_so_far_is_prefilled_again(
    kind: str, project: Path, more: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    plan = lc.plan(lc.read(project), model=tiny_models(kind), device="cpu")
    with lc.load(plan) as session:
        session.ask("First?", max_tokens=2)
        head = len(session._head().ids)
        usage = session.add(more).ask("Second?", max_tokens=2).usage
        grown = len(session._head().ids)
        alone = usage.prompt_tokens - usage.reused_tokens
    assert (usage.reused_from, usage.miss_reason) == ("memory", "")
    assert usage.reused_tokens >= head
    assert alone <= grown - head + 100
    lc.free()
    joined = lc.read(more, behind=lc.read(project))
    with lc.load(lc.plan(joined, model=tiny_models(kind), device="cpu")) as session:
        assert session.ask("Third?", max_tokens=2).usage.reused_tokens >= head, "what add() read is kept on disk, too"


def test_an_answer_after_it_is_that_of_a_session_that_read_all_at_once(
    project: Path, more: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    model, options = tiny_models("qwen3_5"), {"store": False, "dtype": "float32", "bits": 16, "device": "cpu"}
    with lc.load(lc.plan(lc.read(project), model=model, **options)) as session:
        added = session.add(more).ask("Where?", max_tokens=8, temperature=0)
        ids = added.outcome.ids
    lc.free()
    with lc.load(lc.plan(lc.read(more, behind=lc.read(project)), model=model, **options)) as session:
        assert session.ask("Where?", max_tokens=8, temperature=0).outcome.ids == ids


def test_what_is_added_is_cited_and_names_that_clash_are_told_apart(plan: lc.Plan, more: Path, project: Path) -> None:
    number = len(plan.corpus.segments) + 1
    session, _ = recorded(plan, "one", f'It says "a reading every two hours" [{number}].', "three")
    with session:
        session.ask("First?")
        (citation,) = session.add(more).ask("How often?").citations
        assert (str(citation.origin), citation.verified) == ("more/README.md:3", True)
        (project.parent / "other").mkdir()
        (project.parent / "other" / "retry.py").write_text("other = 1\n")
        session.add(project.parent / "other" / "retry.py")
    assert paths(session) == ["README.md", "retry.py", "more/README.md", "more/moon.py", "retry.py~2"]
    assert session.plan.corpus is session.corpus
    rows = [row.path for row in session.corpus.manifest]
    assert len(rows) == len(set(rows))


def test_a_follow_up_goes_on_across_it(plan: lc.Plan, more: Path) -> None:
    session, made = recorded(plan, "Five.", "Two.")
    with session:
        first = session.ask("How many?")
        first.job.wait()
        session.add(more)
        assert first.ask("And now?").text.startswith("Two")
    text = plan.tokenizer.decode(made[0].prompts[-1], skip_special=False)
    assert text.index("MOONS") < text.index("How many?") < text.index("Five.") < text.index("And now?")


def test_what_was_read_already_is_not_read_twice_and_what_has_changed_is_read_as_it_is(plan: lc.Plan, project: Path) -> None:
    session, made = recorded(plan, "one")
    with session:
        session.add(project)
        assert paths(session) == ["README.md", "retry.py"]
        (project / "retry.py").write_text("MAX_ATTEMPTS = 6\n")
        session.add(project)
    assert paths(session) == ["README.md", "retry.py", "project/retry.py"]
    row = next(row for row in session.corpus.manifest if row.path == "project/retry.py")
    assert row.reason == "this file as it is now; retry.py is what it was"
    assert len(made[0].prompts) == 2


def test_a_corpus_that_outgrows_the_window_that_was_asked_for_is_chosen_from(
    project: Path, tmp_path: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    plan = lc.plan(lc.read(project), model=tiny_models("llama"), store=False, window=2048)
    (tmp_path / "long.txt").write_text("".join(f"line {n} of a long text about nothing\n" for n in range(2000)))
    session, _ = recorded(plan, "one")
    with session:
        assert session.plan.whole
        outcome = session.add(tmp_path / "long.txt").ask("What is line 7 about?").outcome
    assert not session.plan.whole
    assert session.plan.window == 2048
    assert any("segments were chosen for this question" in note for note in outcome.notes)


def grown(tmp_path: Path) -> Path:
    """More than the window of a tiny model holds before YaRN."""
    (tmp_path / "long.txt").write_text("".join(f"line {n} of a long text about nothing\n" for n in range(250)))
    return tmp_path / "long.txt"


def test_a_yarn_step_that_more_sources_need_is_announced_and_taken(
    project: Path, tmp_path: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    plan = lc.plan(lc.read(project), model=tiny_models("llama"), store=False, max_window=16_384)
    assert plan.figures.yarn_factor == 1.0
    session, made = recorded(plan, "one", "two")
    with session:
        session.ask("First?")
        usage = session.add(grown(tmp_path)).ask("Second?").usage
        assert session.plan.whole
        assert session.plan.figures.yarn_factor > 1
        assert any("YaRN" in words for words in (*session.plan.figures.notes, *session.plan.figures.warnings))
    assert [backend.closed for backend in made] == [True, True]
    assert usage.prompt_tokens > 4096
    assert usage.reused_from == "none"


def test_weights_that_another_session_uses_are_not_taken_from_it(
    project: Path, tmp_path: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    plan = lc.plan(lc.read(project), model=tiny_models("llama"), store=False, max_window=16_384)
    make = lc.ScriptedBackend.maker(plan.tokenizer.encode_template, "one")
    with lc.load(plan, backend=make) as first, lc.load(plan, backend=make) as second:
        first.add(grown(tmp_path))
        assert first.plan.figures.yarn_factor == 1.0
        assert (first.plan.window, first.plan.whole) == (plan.window, False)
        assert second.ask("Still there?").text == "one"


@pytest.mark.parametrize("error", [DoesNotFitError("too small"), ModelDamagedError("gone")])
def test_what_goes_wrong_leaves_the_session_as_it_was(
    error: Exception, plan: lc.Plan, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    session, made = recorded(plan, "one", "two")
    with session:
        before = session.plan
        with monkeypatch.context() as patched:
            if isinstance(error, DoesNotFitError):
                patched.setattr(lc.Plan, "require_fit", fail)
            else:
                patched.setattr(made[0], "load", fail)
            with pytest.raises(type(error)):
                session.add(more)
        assert session.plan is before
        assert session.ask("Still there?").text == "one"
        session.add(more)
        assert paths(session) == ["README.md", "retry.py", "more/README.md", "more/moon.py"]


def test_a_budget_is_refused_before_anything_is_read(plan: lc.Plan, more: Path) -> None:
    with lc.load(plan, show=False) as session, pytest.raises(UsageError, match="add takes no budget="):
        session.add(more, budget=100)


def test_what_cannot_be_read_is_an_error_at_once(plan: lc.Plan, tmp_path: Path) -> None:
    session, made = recorded(plan, "one")
    (tmp_path / "empty").mkdir()
    with session:
        with pytest.raises(SourceNotFoundError):
            session.add("/no/such/place")
        with pytest.raises(EmptyCorpusError):
            session.add(tmp_path / "empty")
        assert len(made[0].prompts) == 1
    with pytest.raises(ClosedError):
        session.add(tmp_path)


def test_a_new_read_after_an_edit_keeps_the_head_before_it(
    project: Path, tiny_models: Callable[[str], Path], cache: Path
) -> None:
    (project / "a.md").write_text("# First\n\n" + "A line that stays.\n" * 60)

    def asked() -> Any:
        with lc.load(lc.plan(lc.read(project), model=tiny_models("llama"), device="cpu", chunk=64)) as session:
            found = session.ask("What?", max_tokens=1).usage
        lc.free()
        return found

    asked()
    (project / "retry.py").write_text("MAX_ATTEMPTS = 6\n")
    usage = asked()
    assert usage.reused_tokens > usage.prompt_tokens // 2
    assert "other text" in usage.miss_reason


def test_the_frames_that_were_chosen_of_a_video_stay_though_there_is_less_room(
    project: Path, more: Path, tiny_models: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    make_video(project / "clip.mp4", [n / 10 for n in range(100)])
    plan = lc.plan(lc.read(project), model=tiny_models("qwen3_5"), store=False, window=2048)
    (more / "long.txt").write_text("a line about nothing\n" * 32)
    make_video(more / "other.mp4", [n / 10 for n in range(50)])
    joined = lc.read(more, behind=lc.read(project))
    afresh = lc.plan(joined, model=tiny_models("qwen3_5"), store=False, window=2048)
    session, _ = recorded(plan, "one", "two")
    with session:
        session.ask("First?")
        head = session._head().ids
        usage = session.add(more).ask("Second?").usage
        assert session._head().ids[: len(head)] == head
        assert usage.reused_tokens >= len(head)
    assert afresh.stream.ids.tolist()[: len(plan.stream)] != plan.stream.ids.tolist(), "a new plan would choose fewer frames"
    assert session.plan.whole


def test_an_answer_that_was_asked_for_while_it_runs_shows_the_lines_of_what_was_added(
    plan: lc.Plan, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    number = len(plan.corpus.segments) + 1
    session, _ = recorded(plan, f'It says "a reading every two hours" [{number}].')
    monkeypatch.setattr("longctx.session.in_kernel", lambda: True)
    monkeypatch.setattr("longctx.showing._presenter", shown.append)
    with session:
        waiting = threading.Event()
        session._submit(Job(lambda job: waiting.wait(30), title="busy"))
        answer = session.add(more).ask("How often?")
        waiting.set()
        answer.job.wait()
        (citation,) = shown[-1].state().citations
    assert any("a reading every two hours" in line.text for line in citation.lines)
