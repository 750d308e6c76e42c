"""A notebook in JupyterLab in Chromium, as a user has it: Stop, the keyboard, redraws that disturb nobody, no way out."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pymupdf
import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--no-proxy-server"]
ONLY_HERE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
NEWS_OFF = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
#: Milliseconds until something that must come is given up.
PATIENCE = 30_000

SETUP = """
import longctx as lc
corpus = lc.read("project")
plan = lc.plan(corpus, model={model!r}, store=False)
numbers = {{segment.origin.path: number for number, segment in corpus.segments.items()}}
endless = "It is decided in one place.\\n\\n" + "This goes on for as long as nobody stops it.\\n\\n" * 100
cited = f'There are "MAX_ATTEMPTS = 5" attempts [{{numbers["retry.py"]}}]. The moon is made of cheese. '
cited += f'The gauge is "read every ten minutes" [{{numbers["manual.pdf"]}}].'
replies = ["The file retry.py decides it, let me look.</think>\\n\\n" + endless, cited, cited, endless]
make = lc.ScriptedBackend.maker(plan.tokenizer.encode_template, *replies, delay=0.01)
session = lc.load(plan, backend=make)
"""
CELLS = (
    'first = session.ask("Who never ends?", thinking=True, max_tokens=9000)',
    'second = session.ask("Where is the retry policy decided?")',
    "summary = session.summarize(max_tokens=9000)",
    "second.citations[0].show()",
    "second.citations[1].show()",
)


@pytest.fixture
def playwright_api() -> Any:
    """Playwright; where it or Chromium is missing the test is skipped, but never where everything is to be tested."""
    missing = [] if shutil.which(CHROMIUM) else [f"{CHROMIUM} is missing (apt-get install chromium)"]
    for name in ("playwright.sync_api", "jupyterlab"):
        try:
            __import__(name)
        except ImportError as error:
            missing.append(f"{error} (pip install '.[test]')")
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("; ".join(missing))
    return sys.modules["playwright.sync_api"]


class Lab:
    """A JupyterLab of the test's own, on this machine, with a token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[None]:
        options = [f"--ServerApp.port={urlsplit(self.address).port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1"]
        options += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder}", "--allow-root"]
        options += ["--no-browser", "--expose-app-in-browser"]
        with (self.folder / "server.log").open("wb") as log:
            command = [sys.executable, "-m", "jupyterlab", *options]
            server = subprocess.Popen(command, cwd=self.folder, env=self._environment(), stdout=log, stderr=log)
            try:
                self._wait(server, lambda: isinstance(self.get("/api/status"), dict))
                yield
            finally:
                server.terminate()  # it ends its kernels first
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait(20)

    def kernel_idle(self) -> bool:
        """Whether the notebook has a kernel that waits for work."""
        try:
            return [kernel["execution_state"] for kernel in self.get("/api/kernels")] == ["idle"]
        except OSError:  # it is being started
            return False

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.address + path, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        settings = home / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(NEWS_OFF), encoding="utf-8")
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "run",
            "IPYTHONDIR": "ipython",
        }
        private = {name: str(home / folder) for name, folder in own.items()}
        private |= {"HOME": str(home), "LONGCTX_CACHE": str(home / "cache"), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **private, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

    def _wait(self, server: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < until and server.poll() is None:
            try:
                if ready():
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text(errors="replace")[-3000:])


class Screen:
    """The notebook as it is seen; cells are counted from 0."""

    def __init__(self, page: Any, lab: Lab) -> None:
        self.page, self.lab = page, lab

    def open(self, name: str) -> None:
        self.page.goto(f"{self.lab.address}/lab/tree/{name}?token={self.lab.token}")
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=PATIENCE)
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=PATIENCE)
        self.until(self.lab.kernel_idle)

    def run(self, number: int) -> Any:
        """Run a cell, which must end whatever its work does, and give its view."""
        self.cell(number).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Control+Enter")
        error = self.cell(number).locator('[data-mime-type="application/vnd.jupyter.stderr"]')
        self.view(number).or_(error).first.wait_for(timeout=PATIENCE)
        assert not error.count(), error.inner_text()
        self.cell(number).locator(".jp-InputPrompt", has_text=f"[{number + 1}]").wait_for(timeout=PATIENCE)
        return self.view(number)

    def cell(self, number: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def view(self, number: int) -> Any:
        return self.cell(number).locator(".lcx")

    def press(self, element: Any, key: str = "Enter") -> None:
        """Press a key on an element that has the focus, which must be seen."""
        element.focus()
        self.page.keyboard.press("Shift")  # a key, so that the browser shows the focus
        assert element.evaluate("e => getComputedStyle(e).outlineStyle") != "none"
        self.page.keyboard.press(key)

    def stop(self, view: Any) -> None:
        """Press the Stop button, and see the view end as stopped and the button go."""
        button = self.page.get_by_role("button", name="Stop")
        self.press(button)
        view.locator(".pill.stopped").wait_for(timeout=PATIENCE)
        button.wait_for(state="detached", timeout=PATIENCE)

    def theme(self, name: str) -> None:
        self.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
        light = "true" if name.endswith("Light") else "false"
        self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached", timeout=PATIENCE)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=PATIENCE)

    @staticmethod
    def until(true: Callable[[], Any]) -> None:
        until = time.monotonic() + PATIENCE / 1000
        while not true():
            assert time.monotonic() < until, "that did not come"
            time.sleep(0.1)


@pytest.fixture
def screen(playwright_api: Any, project: Path, tiny_models: Callable[[str], Path], tmp_path: Path) -> Iterator[Screen]:
    with pymupdf.open() as manual:
        page = manual.new_page(width=420, height=300)
        page.insert_text((40, 60), "Manual of the gauge", fontsize=20)
        page.insert_text((40, 100), "The gauge is read every ten minutes, day and night.", fontsize=12)
        manual.save(project / "manual.pdf")
    cells = [SETUP.format(model=str(tiny_models("llama"))), *CELLS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "ask.ipynb")
    lab, asked = Lab(tmp_path), []
    with lab.running(), playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, ONLY_HERE])
        page = browser.new_page(viewport={"width": 1200, "height": 1800})
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda opened: asked.append(opened.url))
        yield Screen(page, lab)
        browser.close()
    outside = [url for url in asked if urlsplit(url).hostname != "127.0.0.1" and urlsplit(url).scheme not in ("data", "blob")]
    assert len(asked) > 10
    assert not outside


@pytest.mark.timeout(240)
def test_a_notebook_in_a_browser(screen: Screen, tmp_path: Path) -> None:
    screen.open("ask.ipynb")
    assert "load" in screen.run(0).inner_text()

    # what was opened and selected stays so while the answer grows
    view = screen.run(1)
    view.locator(".answer-text").nth(2).wait_for(timeout=PATIENCE)
    assert view.locator(".pill").get_attribute("role") == "status"
    thought = view.locator("details.think")
    screen.press(thought.locator("summary"))
    view.locator(".answer-text").first.evaluate("e => getSelection().selectAllChildren(e)")
    view.locator(".answer-text").nth(6).wait_for(timeout=PATIENCE)
    assert thought.get_attribute("open") is not None
    assert "let me look" in thought.inner_text()
    assert thought.locator("summary").evaluate("e => e === document.activeElement")
    assert screen.page.evaluate("getSelection().toString()") == "It is decided in one place."
    screen.page.screenshot(path=tmp_path / "running.png")

    # Stop, while it streams
    screen.stop(view)
    assert "Stopped on request" in view.inner_text()
    assert "This goes on" in view.inner_text()

    # a citation, by keyboard: its lines, and what its page looks like
    view = screen.run(2)
    view.locator("details.cite").nth(1).wait_for(timeout=PATIENCE)
    code, page = view.locator("details.cite").all()
    screen.press(code.locator("summary"))
    code.get_by_text("MAX_ATTEMPTS = 5").wait_for(timeout=PATIENCE)
    screen.press(code.locator("summary"), "Space")
    assert code.get_attribute("open") is None
    screen.press(view.locator("a.ref").first)
    code.get_by_text("MAX_ATTEMPTS = 5").wait_for(timeout=PATIENCE)
    screen.press(page.locator("summary"))
    picture = page.get_by_role("img", name="Page 1 of manual.pdf")
    screen.until(lambda: picture.evaluate("e => e.naturalWidth") in range(300, 361))

    # a citation of a finished part of a summary stays open while the next part is made
    view = screen.run(3)
    cite = view.locator(".part details.cite").first
    cite.wait_for(timeout=PATIENCE)
    screen.press(cite.locator("summary"))
    before = view.get_by_role("progressbar").get_attribute("aria-valuenow")
    screen.until(lambda: view.get_by_role("progressbar").get_attribute("aria-valuenow") != before)
    assert cite.get_attribute("open") is not None
    screen.stop(view)
    assert "finished are kept" in view.inner_text()

    # places alone, in light and dark
    assert "MAX_ATTEMPTS" in screen.run(4).inner_text()
    picture = screen.run(5).get_by_role("img", name="Page 1 of manual.pdf")
    screen.until(lambda: picture.evaluate("e => e.naturalWidth") in range(1200, 1281))
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        screen.theme(theme)
        screen.page.screenshot(path=tmp_path / f"{theme}.png")
