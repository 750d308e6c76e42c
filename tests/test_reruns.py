"""Running the same cells again and again does not fill the memory: measured with the real embedded model in a real kernel."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import longctx as lc
from longctx import planner
from longctx.backends.base import Memory

ROOT = Path(__file__).parent.parent
TIMES = 11
MOST_BYTES = 100_000_000

SETUP = """
import longctx as lc
from longctx import planner
from longctx.backends.base import Memory
from longctx.backends.transformers.measure import process_memory
"""
#: As a user leaves it: names are bound anew, nothing is closed, and IPython keeps the value of the last line.
CELL = """
plan = lc.plan(lc.read({folder!r}), model={model!r}, store=False)
session = lc.load(plan, show=False)
answer = session.ask("How many attempts are made?", max_tokens=4, show=False)
answer
"""
MEASURE = "assert answer.usage.new_tokens == 4\nprint(process_memory())"


@pytest.mark.long(20)
@pytest.mark.parametrize("ipykernel", ["7."], indirect=True)  # IPython keeps the values, and is the same on both
def test_ten_reruns_of_the_same_cells_end_within_100_mb_of_the_first(
    embedded_model: Path, ipykernel: None, tmp_path: Path
) -> None:
    cell = CELL.format(folder=str(ROOT / "examples" / "demo" / "project"), model=str(embedded_model))
    cells = [nbformat.v4.new_code_cell(text) for text in (SETUP, *(cell, MEASURE) * TIMES)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=300, kernel_name="python3", store_widget_state=False).execute(cwd=str(tmp_path))
    held = [int(cell.outputs[0].text) for cell in notebook.cells[2::2]]
    assert len(held) == TIMES
    assert held[-1] - held[0] < MOST_BYTES, held


def test_plans_for_one_model_share_its_tokenizer_until_its_file_changes(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_models("llama"), tmp_path / "model"))
    first, second = (lc.plan(project, model=folder) for _ in range(2))
    assert second.tokenizer is first.tokenizer
    with (folder / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert lc.plan(project, model=folder).tokenizer is not first.tokenizer


def test_a_model_that_is_loaded_does_not_stand_in_its_own_way_when_it_is_planned_again(
    project: Path, tiny_models: Callable[[str], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Large(lc.ScriptedBackend):
        def memory(self) -> Memory:
            return Memory(now=7_000_000_000)

    here = replace(planner.detect("cpu"), memory_total=64_000_000_000, memory_available=10_000_000_000)
    monkeypatch.setattr(planner.devices, "detect", lambda kind: here)

    def free_for(kind: str) -> int:
        return lc.plan(project, model=tiny_models(kind)).request.device.memory_available

    with lc.load(lc.plan(project, model=tiny_models("llama")), backend=lambda spec: Large([[70]])):
        assert (free_for("llama"), free_for("qwen3_5")) == (17_000_000_000, 10_000_000_000)
    assert free_for("llama") == 10_000_000_000
