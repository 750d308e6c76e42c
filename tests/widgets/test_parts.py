"""A view in parts: what did not change is not sent, so that what is opened, selected or being read there stays."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest

from longctx.jobs import Progress
from longctx.views import answer, progress, timeline
from longctx.views.answer import AnswerState
from longctx.views.citations import CitationState, SourceLine
from longctx.views.live import Parted
from longctx.views.progress import ProgressState
from longctx.views.timeline import PartState, SummaryState
from longctx.widgets import notebook


class FakeComm(comm.base_comm.BaseComm):  # type: ignore[misc]
    """Keeps what would be sent to the front end."""

    sent: list[tuple[str, dict[str, Any]]]

    def publish_msg(self, msg_type: str, data: Any = None, **rest: Any) -> None:
        if msg_type == "comm_msg":
            self.sent.append((self.comm_id, data["state"]))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Messages to widgets: the id of each and what is new of its state."""
    FakeComm.sent = []
    monkeypatch.setattr(comm, "create_comm", FakeComm)
    return FakeComm.sent


class Scripted:
    """A view whose parts are set from outside."""

    title = "scripted"
    finished = False

    def __init__(self, *parts: str) -> None:
        self.now = list(parts)

    def parts(self) -> list[str]:
        return self.now

    def html(self) -> str:
        return "".join(self.now)

    text = html

    def stop(self) -> None:
        pass

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


def test_only_what_changed_is_sent_and_what_is_new_comes_at_the_end(sent: list[Any]) -> None:
    live = Scripted("<style></style>", "head", "one")
    picture = notebook._Picture(live)
    style, head, last = picture.box.children
    assert "lcx" in picture.box._dom_classes
    sent.clear()
    picture.draw()
    assert sent == []
    live.now = ["<style></style>", "head", "one and more"]
    picture.draw()
    assert sent == [(last.model_id, {"value": "one and more"})]
    sent.clear()
    live.now += ["two"]
    picture.draw()
    assert picture.box.children[:3] == (style, head, last)
    assert [identity for identity, _ in sent] == [picture.box.model_id]
    sent.clear()
    live.now = live.now[:2]
    picture.draw()
    assert [state for _, state in sent] == [{"value": ""}, {"value": ""}]


def test_a_view_without_parts_is_redrawn_as_a_whole(sent: list[Any]) -> None:
    class Whole:
        title, finished, shown = "whole", False, "<p>1</p>"

        def html(self) -> str:
            return self.shown

    live = Whole()
    assert not isinstance(live, Parted)
    picture = notebook._Picture(live)  # type: ignore[arg-type]
    sent.clear()
    live.shown = "<p>2</p>"
    picture.draw()
    assert [state for _, state in sent] == [{"value": "<p>2</p>"}]
    assert picture.html() == "<p>2</p>"
    assert "lcx" not in picture.box._dom_classes


# -- what the views hand out -------------------------------------------------------------------------------------------
SAID = "It is **here** [1].\n\n- one\n- two\n\n```py\nx = 1\n\ny = 2\n```\n\n|a|b|\n|-|-|\n|c|d|\n\n> quoted\n\nThe end."


def changed(before: list[str], after: list[str]) -> list[int]:
    return [place for place, part in enumerate(after) if place >= len(before) or part != before[place]]


def test_while_an_answer_grows_only_its_last_block_changes() -> None:
    states = [AnswerState("q", SAID[:length], "because", "running") for length in range(1, len(SAID) + 1)]
    drawn = [answer.parts(state) for state in states]
    for before, after in itertools.pairwise(drawn):
        blocks = len(before) - before[-1].endswith("> ▍</p></div>")  # where the cursor stands alone it is no block
        assert min(changed(before, after), default=blocks) >= blocks - 1
    assert len(drawn[-1]) == 3 + 6


def test_reasoning_that_ended_stays_as_it_is_while_the_answer_grows() -> None:
    thinking, first, later = (answer.parts(AnswerState("q", text, "because", "running")) for text in ("", "a", "a\n\nb\n\nc"))
    assert "<details" not in thinking[2]
    assert "<details" in first[2]
    assert first[2] == later[2]
    assert first[:3] == later[:3]


def test_an_answer_that_ended_changes_nothing_that_could_be_opened() -> None:
    running = answer.parts(AnswerState("q", "One.\n\nTwo.", "because", "running"))
    done = answer.parts(AnswerState("q", "One.\n\nTwo.", "because", "done", [CitationState(1, "a.py:1")], notes=["cut"]))
    assert changed(running, done) == [1, 4]  # the state and the cursor
    assert len(done) == len(running)


def test_parts_that_are_finished_stay_as_they_are_while_a_summary_grows() -> None:
    made = [PartState(f"{n}.py", "So [1].", [CitationState(1, f"{n}.py:1", lines=[SourceLine(1, "x")])]) for n in range(3)]
    work = ProgressState("summarize", "running", Progress("summarize", 1, 3, "parts"))
    drawn = [timeline.parts(SummaryState("t", "", made[:n], "running", progress=work)) for n in (1, 2, 3)]
    assert changed(drawn[0], drawn[1]) == [4, 5]
    assert changed(drawn[1], drawn[2]) == [5, 6]
    ended = timeline.parts(SummaryState("t", "All.", made, "done"))
    assert changed(drawn[2], ended)[:2] == [1, 2]
    assert ended[3:6] == drawn[2][3:6]


@pytest.mark.parametrize("view", ["answer", "progress", "timeline"])
def test_the_style_comes_first_and_the_rest_stands_in_the_frame_of_the_whole(view: str) -> None:
    work = ProgressState("t", "running", Progress("prefill", 1, 3), 2.0, {"weights": 5}, {"weights": 3})
    parts, html = {
        "answer": lambda: (
            f(AnswerState("t", "a [1]\n\nb", "r", "stopped", [CitationState(1, "a:1")], progress=work))
            for f in (answer.parts, answer.html)
        ),
        "progress": lambda: (f(work) for f in (progress.parts, progress.html)),
        "timeline": lambda: (
            f(SummaryState("t", "a", [PartState("p", "b")], "running", progress=work)) for f in (timeline.parts, timeline.html)
        ),
    }[view]()
    style, head, *rest = parts
    assert re.fullmatch(r"<style>[^<]*</style>", style)
    assert html.startswith(style)
    assert head.replace(' role="status"', "") + "".join(rest) in html
    assert 'role="status"' in head
    assert 'role="status"' not in html


def test_a_view_that_will_not_change_is_shown_once_it_is_made_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    done = threading.Event()

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle)
            done.set()

    def display(bundle: dict[str, str], **options: Any) -> Handle:
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(notebook, "_display", display)
    live = Scripted("quick")
    live.finished = True
    notebook.present(live)
    assert shown == [{"text/html": "quick", "text/plain": "quick"}]

    shown.clear()
    go = threading.Event()
    monkeypatch.setattr(notebook, "LINGER", 0.05)
    monkeypatch.setattr(live, "html", lambda: "slow" if go.wait(10) else "")
    notebook.present(live)
    assert shown == [{"text/plain": "quick"}]
    go.set()
    assert done.wait(10)
    assert shown[1:] == [{"text/html": "slow", "text/plain": "quick"}]
