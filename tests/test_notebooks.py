"""Every notebook and every example runs top to bottom with the embedded default; a saved notebook shows the final state."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.long(15)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MEASURING = ROOT / "notebooks" / "04_long_context.ipynb"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


CHECK = """
import os, ipykernel
assert ipykernel.__version__.startswith(os.environ["IPYKERNEL_UNDER_TEST"]), ipykernel.__version__
"""


def run_notebook(path: Path, folder: Path) -> Any:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    if "IPYKERNEL_UNDER_TEST" in os.environ:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(CHECK))
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.store_widget_state = False
    client.execute()
    return notebook


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path != MEASURING], ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_saved_outputs_are_final(path: Path, embedded_model: Path, ipykernel: None) -> None:
    check_outputs(run_notebook(path, ROOT / "notebooks"))


@pytest.mark.long(120)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_that_measures_shows_what_yarn_is_worth(embedded_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGCTX_NLL_TOKENS", "2048")  # all of it takes minutes, and SmolLM2 breaks far past its window only
    notebook = run_notebook(MEASURING, ROOT / "notebooks")
    check_outputs(notebook)
    results = [
        output.data for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs if "data" in output
    ]
    assert sum("image/png" in data for data in results) == 3
    recall, nll = (ast.literal_eval(data["text/plain"]) for data in results if data["text/plain"].startswith("{"))
    assert min(recall["with YaRN"]) > 0.4
    assert sum(recall["with YaRN"]) > sum(recall["without"])
    assert nll[1] < nll[4] < 3, "inside the native window a factor costs a little"


def check_outputs(notebook: Any) -> None:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    views = [output.data for output in outputs if "data" in output and "text/html" in output.data]
    assert len(views) >= 3, "the plan, the load and the answer are shown"
    assert all("text/plain" in data for data in views)
    assert not any("application/vnd.jupyter.widget-view+json" in data for data in views), "a live widget was saved"
    answers = [data["text/html"] for data in views if "reused" in data["text/html"]]
    assert answers, "no answer shows what was reused"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, embedded_model: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
