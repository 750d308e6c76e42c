"""Live views on terminals and in logs: what stands on the screen, what stays, and that nobody waits for ever."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from longctx.views import terminal

WIDTH = 40
ROOT = Path(__file__).parents[2]


class Screen(io.StringIO):
    """A terminal that understands what the presenter sends, and remembers every picture it showed."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self.pictures: list[list[str]] = []
        self.writers: set[str] = set()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writers.add(threading.current_thread().name)
        for part in re.split(r"(\x1b\[\d+[A-Z]|\n)", text):
            if part == "\n":
                self.lines.append("")
            elif part.endswith("F") and part.startswith("\x1b["):
                self.row = len(self.lines) - 1 - int(part[2:-1])
                assert self.row >= 0
            elif part == "\x1b[0J":
                self.lines[self.row :] = [""]
            else:
                assert "\x1b" not in part
                self.lines[-1] += part
        self.pictures.append(list(self.lines))
        return len(text)


class Fake:
    """A live view, and an answer, that the test moves."""

    title = "fake"

    def __init__(self, text: str = "") -> None:
        self.said = text
        self.finished = False
        self.watchers: list[Callable[[], None]] = []

    def html(self) -> str:
        return self.said

    def text(self) -> str:
        return self.said

    def partial(self) -> str:
        return self.said

    def stop(self) -> None:
        self.end("stopped")

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)

    def say(self, text: str) -> None:
        self.said = text
        for watcher in tuple(self.watchers):
            watcher()

    def end(self, text: str) -> None:
        self.said, self.finished = text, True
        self.say(text)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("LINES", "10")
    yield Screen()
    until(lambda: not terminal._boards)


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def test_a_view_is_rewritten_in_place_and_its_end_is_printed_once(screen: Screen) -> None:
    live = Fake("one\nsecond line")
    shown = terminal.present(live, screen)
    until(lambda: screen.lines == ["one", "second line", ""])
    seen = len(screen.pictures)
    time.sleep(3 * terminal.TERMINAL_STEP)
    assert len(screen.pictures) == seen  # nothing new, nothing written
    live.say("two")
    until(lambda: screen.lines == ["two", ""])
    live.end("final\n  and more")
    assert shown.wait(10)
    assert screen.lines == ["final", "  and more", ""]
    assert live.watchers == []


def test_present_returns_at_once_and_never_writes_from_the_thread_that_works(screen: Screen) -> None:
    live = Fake("one")
    shown = terminal.present(live, screen)
    for number in range(500):
        live.say(f"step {number}")
    live.end("final")
    assert shown.wait(10)
    assert screen.writers == {"longctx-views"}
    assert len(screen.pictures) < 50


def test_two_views_stand_below_each_other_and_the_first_to_end_goes_up(screen: Screen) -> None:
    first, second = Fake("first runs"), Fake("second waits")
    one, two = terminal.present(first, screen), terminal.present(second, screen)
    until(lambda: screen.lines == ["first runs", "second waits", ""])
    second.end("second is done")
    assert two.wait(10)
    until(lambda: screen.lines == ["second is done", "first runs", ""])
    first.end("first is done")
    assert one.wait(10)
    assert screen.lines == ["second is done", "first is done", ""]


def test_lines_are_cut_to_the_terminal_and_cannot_steer_it(screen: Screen) -> None:
    live = Fake("x" * 200 + "\n\x1b[2Jevil")
    shown = terminal.present(live, screen)
    until(lambda: len(screen.lines) == 3)
    assert screen.lines == ["x" * (WIDTH - 2) + "…", "␛[2Jevil", ""]
    live.end("\x1b[31mend")
    assert shown.wait(10)
    assert screen.lines == ["␛[31mend", ""]


def test_a_view_higher_than_the_terminal_does_not_scroll_it(screen: Screen) -> None:
    live = Fake("\n".join(map(str, range(50))))
    shown = terminal.present(live, screen)
    until(lambda: len(screen.lines) == 10)
    live.end("end")
    assert shown.wait(10)


def test_a_log_gets_a_line_now_and_then_and_the_final_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LOG_STEP", 0.3)
    log = io.StringIO()
    live = Fake("one\nmore")
    shown = terminal.present(live, log)
    until(lambda: log.getvalue() == "one\n")
    time.sleep(0.5)
    assert log.getvalue() == "one\n"  # nothing new, nothing said
    live.say("two")
    until(lambda: log.getvalue() == "one\ntwo\n")
    live.end("final\nstate")
    assert shown.wait(10)
    assert log.getvalue() == "one\ntwo\nfinal\nstate\n"


def test_quick_work_leaves_only_its_final_state_in_a_log() -> None:
    log = io.StringIO()
    live = Fake("working")
    shown = terminal.present(live, log)
    live.end("done")
    assert shown.wait(10)
    assert log.getvalue() == "done\n"


def test_a_stream_that_was_closed_does_not_end_the_wait() -> None:
    log = io.StringIO()
    log.close()
    live = Fake("working")
    shown = terminal.present(live, log)
    live.end("done")
    assert shown.wait(10)


def test_a_view_that_fails_does_not_make_others_wait_for_ever(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: failed.append(str(arguments.exc_value)))

    class Broken(Fake):
        def text(self) -> str:
            raise RuntimeError("broken")

    other = Fake("other")
    shown = [terminal.present(other, screen), terminal.present(Broken(), screen)]
    assert all(view.wait(10) for view in shown)
    assert failed == ["broken"]
    again = terminal.present(other, screen)
    other.end("end")
    assert again.wait(10)
    assert "end" in screen.lines


def test_wait_gives_up_after_its_time(screen: Screen) -> None:
    live = Fake("working")
    shown = terminal.present(live, screen)
    assert not shown.wait(0.1)
    live.end("done")
    assert shown.wait(10)


def test_a_stream_without_utf8_gets_plain_characters() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    live = Fake()
    shown = terminal.present(live, stream)
    live.end("✓ done ███░ · 漢")
    assert shown.wait(10)
    assert raw.getvalue() == b"+ done ###. - ?\n"


def test_a_script_that_ends_with_its_work_still_prints_the_final_state() -> None:
    script = """
import time
from longctx.jobs import Job, Worker
from longctx.views import terminal
worker = Worker("test")
job = worker.submit(Job(lambda job: time.sleep(0.3), title="nap"))
class Live:
    title = "nap"
    def text(self): return f"nap {job.state}"
    html = text
    finished = property(lambda self: job.finished)
    def stop(self): job.cancel()
    def watch(self, changed): return job.watch(changed)
terminal.present(Live())
job.result()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert done.stderr == "nap done\n"


# -- answers -----------------------------------------------------------------------------------------------------------
def test_an_answer_is_only_ever_added_to() -> None:
    log = io.StringIO()
    answer = Fake()
    shown = terminal.stream_text(answer, log)
    text = ""
    for word in ("The ", "answer ", "is\n", "42"):
        text += word
        answer.say(text)
        until(lambda: log.getvalue() == text)  # noqa: B023
    answer.end("The answer is\n42.")
    assert shown.wait(10)
    assert log.getvalue() == "The answer is\n42.\n"
    assert answer.watchers == []


def test_an_answer_that_is_there_already_is_printed_whole_and_safely() -> None:
    log = io.StringIO()
    answer = Fake()
    answer.end("a\x1b[2Jb\n")
    assert terminal.stream_text(answer, log).wait(10)
    assert log.getvalue() == "a␛[2Jb\n"


def test_an_answer_that_was_changed_at_its_end_is_printed_again() -> None:
    log = io.StringIO()
    answer = Fake()
    shown = terminal.stream_text(answer, log)
    answer.say("see #12")
    until(lambda: log.getvalue() == "see #12")
    answer.end("see [1]")
    assert shown.wait(10)
    assert log.getvalue() == "see #12\n\nsee [1]\n"


def test_the_status_stands_where_the_answer_will_and_goes_when_it_comes(screen: Screen) -> None:
    answer = Fake()
    shown = terminal.stream_text(answer, screen, status=lambda: "prefill 51 %")
    until(lambda: screen.lines == ["prefill 51 %", ""])
    answer.say("The")
    until(lambda: screen.lines == ["The"])
    answer.end("The end")
    assert shown.wait(10)
    assert screen.lines == ["The end", ""]


def test_an_answer_that_never_came_leaves_nothing_behind(screen: Screen) -> None:
    answer = Fake()
    shown = terminal.stream_text(answer, screen, status=lambda: "prefill 51 %")
    until(lambda: screen.lines == ["prefill 51 %", ""])
    answer.end("")
    assert shown.wait(10)
    assert screen.lines == [""]
