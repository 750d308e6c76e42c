"""The shape of the house: arrows point down, the map is true, the door is narrow and light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import longctx

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "longctx"

#: Rooms from the ground up; those of one line do not know each other.
FLOORS = [
    ["errors"],
    ["arguments", "jobs", "places", "words"],
    ["corpus", "blocks"],
    ["sources", "stream", "planner", "models", "prefixes", "retrieval", "prompts", "views", "citations"],
    ["outcomes"],
    ["conversations"],
    ["answers"],
    ["backends"],
    ["summaries"],
    ["looking", "reading", "speech", "engines", "speeds", "keeping", "reopening"],
    ["choosing", "counting"],
    ["portions"],
    ["budgeting", "fitting", "maps"],
    ["plans", "intake"],
    ["planning"],
    ["assembly", "selection"],
    ["showing"],
    ["session"],
    ["terminal", "widgets"],
    ["demo", "calibration"],
    ["cli"],
    ["__main__", "entry"],
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
TORCH = {"torch", "torchvision", "transformers", "accelerate", "bitsandbytes"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of what a module imports, those for type checking alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    hidden = {id(inner) for node in typing for inner in ast.walk(node)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} if node.module != "longctx" else {f"longctx.{alias.name}" for alias in node.names}
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert rooms == set(FLOOR)


def test_imports_go_down_only() -> None:
    upward = []
    for path in modules():
        room = room_of(path)
        for name in imported(path):
            other = name.split(".")[1] if name.startswith("longctx.") else ""
            if room == "__init__" or other not in FLOOR or other == room:
                continue
            if FLOOR[other] >= FLOOR[room]:
                upward.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not upward


def test_only_the_transformers_backend_knows_torch() -> None:
    allowed = PACKAGE / "backends" / "transformers"
    knowing = [path for path in modules() if TORCH & {name.split(".")[0] for name in imported(path)}]
    assert [path for path in knowing if allowed not in path.parents] == []


def test_only_widgets_know_ipywidgets() -> None:
    knowing = [path for path in modules() if "ipywidgets" in {name.split(".")[0] for name in imported(path)}]
    assert {room_of(path) for path in knowing} == {"widgets"}


def test_the_map_in_the_readme_names_every_module_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"<!-- map -->\s*```\n(.*?)\n```", readme, re.S)
    assert tree, "the README has no map"
    named, folders = set(), [""]
    for line in tree[1].splitlines()[1:]:
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        folders = folders[: len(indent) // 2]
        if name.endswith("/"):
            folders.append(folders[-1] + name)
        else:
            named.add(folders[-1] + name)
    real = {str(path.relative_to(PACKAGE)) for path in modules() if path.name != "__init__.py" or path.parent == PACKAGE}
    assert named == real


def test_importing_longctx_imports_nothing_heavy() -> None:
    heavy = sorted({*TORCH, "numpy", "tokenizers", "pymupdf", "ipywidgets", "IPython", "bm25s", "jinja2", "huggingface_hub"})
    code = f"import sys, longctx; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_planning_imports_no_torch(project: Path, tiny_models: object, cache: Path) -> None:
    folder = tiny_models("llama")  # type: ignore[operator]
    plan = f"lc.plan({str(project)!r}, model={str(folder)!r})"
    code = f"import sys, longctx as lc; {plan}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there_and_there_are_few() -> None:
    assert len(longctx.__all__) <= 20
    assert all(hasattr(longctx, name) for name in longctx.__all__)
    assert sorted(longctx.__all__) == longctx.__all__


def test_the_version_is_the_one_of_the_distribution() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{longctx.__version__}"' in text


@pytest.mark.long(15)
def test_the_code_is_clean_and_typed() -> None:
    for tool in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        done = subprocess.run([sys.executable, "-m", *tool], capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
