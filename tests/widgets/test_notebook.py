"""Views in real kernels, old and current: small notebooks are executed, and one kernel is driven message by message."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

pytestmark = pytest.mark.usefixtures("ipykernel")
WIDGET = "application/vnd.jupyter.widget-view+json"

SETUP = """
import os, threading, time
import ipykernel
assert ipykernel.__version__.startswith(os.environ["IPYKERNEL_UNDER_TEST"]), ipykernel.__version__
from longctx import widgets
from longctx.jobs import Job, Worker
from longctx.views import progress
from ipywidgets.widgets import widget as registry

class JobLive:
    def __init__(self, job):
        self.job, self.title = job, job.title
    def state(self):
        return progress.ProgressState(self.title, self.job.state, self.job.progress, stopping=self.job.stopping)
    def html(self):
        return progress.html(self.state())
    def text(self):
        return progress.text(self.state())
    @property
    def finished(self):
        return self.job.finished
    def stop(self):
        self.job.cancel()
    def watch(self, changed):
        return self.job.watch(changed)

def work(steps):
    def run(job):
        for step in range(steps):
            job.check()
            job.report("prefill", step + 1, steps)
            time.sleep(0.01)
    return run

def start(steps, title="read three files"):
    job = worker.submit(Job(work(steps), title=title))
    live = JobLive(job)
    presenters[0](live)
    return job, live

worker = Worker("test")
presenters = []
assert widgets.install(presenters.append)
"""


def environment(folder: Path) -> dict[str, str]:
    """A kernel's environment that leaves the user's own settings alone."""
    private = {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return {**os.environ, **private}


def run(folder: Path, *cells: str) -> list[Any]:
    """The code cells of a notebook after it was executed and saved, without the setup."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (SETUP, *cells)])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", store_widget_state=False)
    client.execute(env=environment(folder), cwd=str(folder))
    nbformat.write(notebook, folder / "saved.ipynb")
    saved = nbformat.read(folder / "saved.ipynb", as_version=4)
    assert not saved.metadata.get("widgets")
    return saved.cells[1:]


def streamed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def displayed(cell: Any) -> list[Any]:
    return [output.data for output in cell.outputs if output.output_type == "display_data"]


def test_a_saved_notebook_shows_the_final_state_and_no_widget(tmp_path: Path) -> None:
    (cell,) = run(tmp_path, "job, live = start(20)\njob.result()")
    (data,) = displayed(cell)
    assert set(data) == {"text/html", "text/plain"}
    assert '<span class="pill done">done</span>' in data["text/html"]
    assert data["text/plain"].startswith("✓ read three files")


def test_updates_of_a_cell_that_has_ended_land_in_that_cell(tmp_path: Path) -> None:
    first, second = run(tmp_path, "job, live = start(60)\nprint('the first')", "print('the second')\njob.result()")
    (data,) = displayed(first)
    assert "pill done" in data["text/html"]
    assert streamed(first) == "the first\n"
    assert displayed(second) == []
    assert streamed(second) == "the second\n"


def test_stop_in_the_next_cell_ends_the_work(tmp_path: Path) -> None:
    first, second = run(
        tmp_path,
        "job, live = start(100_000)",
        "live.stop()\nassert job.wait(10)\nprint(job.state, job.progress.done < 100_000)",
    )
    assert streamed(second) == "stopped True\n"
    (data,) = displayed(first)
    assert set(data) == {"text/html", "text/plain"}
    assert "pill stopped" in data["text/html"]


def test_the_button_stops_the_work(tmp_path: Path) -> None:
    click = "next(w for w in registry._instances.values() if w._model_name == 'ButtonModel').click()"
    first, second = run(tmp_path, "job, live = start(100_000)", f"{click}\nassert job.wait(10)\nprint(job.state)")
    assert streamed(second) == "stopped\n"
    assert "pill stopped" in displayed(first)[0]["text/html"]


def test_a_running_answer_is_stopped_by_its_button_and_keeps_what_was_said(
    tmp_path: Path, project: Path, tiny_models: Callable[[str], Path]
) -> None:
    asking = f"""
import longctx as lc
plan = lc.plan({str(project)!r}, model={str(tiny_models("llama"))!r}, store=False)
said = lc.ScriptedBackend.maker(plan.tokenizer.encode_template, "word " * 3000, delay=0.01)
answer = lc.load(plan, backend=said).ask("Talk.")
for words in answer:  # the first piece may be a part of a word; nbclient loses what ends between two cells, as loading might
    if answer.partial.startswith("word"):
        break
"""
    stopping = """
next(w for w in registry._instances.values() if getattr(w, "tooltip", "") == "Stop: Talk.").click()
print(answer.job.wait(5), answer.outcome.stopped, answer.text.startswith("word"), answer.usage.new_tokens < 1000)
"""
    first, second = run(tmp_path, asking, stopping)
    assert streamed(second) == "True True True True\n"
    views = displayed(first)
    assert all(set(data) == {"text/html", "text/plain"} for data in views)
    assert "pill stopped" in views[-1]["text/html"]


def test_fifty_views_leave_no_widget_thread_or_hook_behind(tmp_path: Path) -> None:
    present = """
before = len(registry._instances), threading.active_count()
hooks = len(get_ipython().events.callbacks["post_run_cell"])
for number in range(50):
    job, live = start(1)
job.result()
"""
    check = """
until = time.monotonic() + 10
while (len(registry._instances), threading.active_count()) != before and time.monotonic() < until:
    time.sleep(0.05)
print(len(registry._instances) - before[0], threading.active_count() - before[1])
print(len(get_ipython().events.callbacks["post_run_cell"]) - hooks)
print(len(job._watchers))
"""
    first, second = run(tmp_path, present, check)
    assert streamed(second) == "0 0\n0\n0\n"
    assert all(set(data) == {"text/html", "text/plain"} for data in displayed(first))
    assert len(displayed(first)) == 50


def test_show_html_displays_what_does_not_change(tmp_path: Path) -> None:
    (cell,) = run(tmp_path, "widgets.show_html('<p>four</p>', '4')")
    assert displayed(cell) == [{"text/html": "<p>four</p>", "text/plain": "4"}]


def test_a_view_that_fails_says_so_and_closes_its_widget(tmp_path: Path) -> None:
    broken = """
class Broken(JobLive):
    def html(self):
        if self.job.progress.done > 3:
            raise RuntimeError("the view is broken")
        return ""
before = len(registry._instances)
threading.excepthook = lambda failed: caught.append(str(failed.exc_value))
caught = []
job = worker.submit(Job(work(50), title="broken"))
widgets.present(Broken(job))
job.result()
"""
    _, second = run(tmp_path, broken, "time.sleep(0.2)\nprint(caught, len(registry._instances) - before)")
    assert streamed(second) == "['the view is broken'] 0\n"


def test_an_error_in_the_cell_does_not_lose_the_final_state(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(SETUP),
            nbformat.v4.new_code_cell("job, live = start(100_000)\njob.cancel()\njob.result()"),
        ]
    )
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", store_widget_state=False)
    with pytest.raises(CellExecutionError, match="Stopped"):
        client.execute(env=environment(tmp_path), cwd=str(tmp_path))
    assert "pill stopped" in displayed(notebook.cells[1])[0]["text/html"]


# -- one kernel, message by message ------------------------------------------------------------------------------------
class Kernel:
    """A kernel and what it said so far."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.said: list[Any] = []

    def send(self, code: str) -> str:
        identity: str = self.client.execute(code, stop_on_error=False)  # else what is sent soon after an error is dropped
        return identity

    def hear(self, wanted: Callable[[Any], bool], seconds: float = 20) -> Any:
        """The next message that is wanted."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                message = self.client.get_iopub_msg(timeout=0.5)
            except queue.Empty:
                continue
            self.said.append(message)
            if wanted(message):
                return message
        raise AssertionError([(message["msg_type"], str(message["content"])[:300]) for message in self.said[-12:]])

    def run(self, code: str) -> str:
        """Execute a cell to its end and give what it printed."""
        identity, start = self.send(code), len(self.said)
        self.hear(lambda message: idle(message, identity))
        own = [m for m in self.said[start:] if m["parent_header"].get("msg_id") == identity]
        assert not [m for m in own if m["msg_type"] == "error"], own
        return "".join(m["content"]["text"] for m in own if m["msg_type"] == "stream")

    def widget(self, model: str) -> str:
        """The id of the last widget of a kind that was opened."""
        opened = [m["content"] for m in self.said if m["msg_type"] == "comm_open"]
        identity: str = [c["comm_id"] for c in opened if c["data"]["state"]["_model_name"] == model][-1]
        return identity


def idle(message: Any, identity: str) -> bool:
    ended = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
    return bool(ended and message["parent_header"].get("msg_id") == identity)


def picture(message: Any) -> bool:
    """Whether a message redraws a progress bar."""
    return bool(message["msg_type"] == "comm_msg" and "aria-valuenow" in str(message["content"]["data"]))


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=environment(folder), cwd=str(folder))
    started = Kernel(manager)
    try:
        started.run(SETUP)
        yield started
    finally:
        started.client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_a_front_end_sees_a_widget_with_its_text_beside_it_and_its_click_stops_the_work(tmp_path: Path) -> None:
    with kernel(tmp_path) as started:
        started.run("job, live = start(100_000)")
        (first,) = [m["content"] for m in started.said if m["msg_type"] == "display_data"]
        assert set(first["data"]) == {WIDGET, "text/html", "text/plain"}
        assert first["data"][WIDGET]["model_id"] == started.widget("VBoxModel")
        button = [m["content"]["data"]["state"] for m in started.said if m["msg_type"] == "comm_open"]
        (tooltip,) = [state["tooltip"] for state in button if state["_model_name"] == "ButtonModel"]
        assert tooltip == "Stop: read three files"

        html = started.widget("HTMLModel")
        started.hear(lambda m: m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == html)  # it moves after its cell
        click = {"comm_id": started.widget("ButtonModel"), "data": {"method": "custom", "content": {"event": "click"}}}
        started.client.shell_channel.send(started.client.session.msg("comm_msg", click))
        last = started.hear(lambda m: m["msg_type"] == "update_display_data")
        assert last["content"]["transient"] == first["transient"]
        assert set(last["content"]["data"]) == {"text/html", "text/plain"}
        assert "pill stopped" in last["content"]["data"]["text/html"]
        assert started.run("print(job.wait(5), job.state)") == "True stopped\n"


def test_an_interrupt_while_a_cell_waits_stops_the_work(tmp_path: Path) -> None:
    with kernel(tmp_path) as started:
        waiting = started.send("job, live = start(100_000)\nprint('now')\njob.result()")
        started.hear(lambda m: m["msg_type"] == "stream")  # not earlier: an interrupt stops what the cell waits for
        started.hear(picture)
        started.manager.interrupt_kernel()
        error = started.hear(lambda m: m["msg_type"] == "error")
        assert error["content"]["ename"] == "KeyboardInterrupt"
        assert error["parent_header"]["msg_id"] == waiting
        started.hear(lambda m: idle(m, waiting))
        assert started.run("print(job.wait(5), job.state)") == "True stopped\n"
        shown = [m["content"]["data"]["text/plain"] for m in started.said if m["msg_type"] == "update_display_data"]
        assert shown[-1].startswith("■ read three files  stopped")


def test_pictures_come_no_faster_than_eight_a_second(tmp_path: Path) -> None:
    with kernel(tmp_path) as started:
        began = time.monotonic()
        started.run("job, live = start(150)\njob.result()")
        spent = time.monotonic() - began
        assert 2 <= sum(map(picture, started.said)) <= 8 * spent + 2
