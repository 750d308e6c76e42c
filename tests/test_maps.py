"""The map of a repository: every line where it says, what is worth most first, no longer than it may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import longctx as lc
from longctx import cli, stream
from longctx.corpus import split_lines
from longctx.errors import UsageError
from longctx.maps import repository_map
from longctx.sources.programs import shapes
from tests.test_fitting import module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "core.py").write_text("class Station:\n    def send(self):\n        return 1\n\n\n" + module("core", 3))
    (tmp_path / "use.py").write_text(module("use", 4, "core"))
    (tmp_path / "tests" / "test_core.py").write_text(module("test", 9, "core"))
    (tmp_path / "README.md").write_text("# Station\n")
    return tmp_path


def files(text: str) -> list[str]:
    return [line.split("  ")[0] for line in text.splitlines() if not line.startswith((" ", "…", "("))]


@pytest.mark.parametrize("parser", [True, False])
def test_a_map_names_every_file_and_the_lines_of_what_it_defines(
    folder: Path, parser: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "installed", lambda: parser)
    shown = repository_map(lc.read(folder))
    assert files(shown)[-1] == "tests/test_core.py"
    assert set(files(shown)) == {"core.py", "use.py", "README.md", "tests/test_core.py"}
    assert "    1  class Station:\n    2      def send(self):" in shown
    path = ""
    for line in shown.splitlines():
        if found := re.fullmatch(r" *(\d+)  (.*)", line):
            assert split_lines((folder / path).read_text())[int(found[1]) - 1].rstrip("\n") == found[2]
        else:
            path = line


@pytest.mark.parametrize("budget", [1, 20, 60, 150, 300, 600])
def test_a_map_keeps_to_its_budget_and_says_how_many_files_it_leaves_out(folder: Path, budget: int) -> None:
    for n in range(40):
        (folder / f"more_{n}.py").write_text(module(f"more_{n}", 2, "core"))
    shown = repository_map(lc.read(folder), budget)
    assert len(stream.qwen().encode_data(shown)) <= max(budget, 16)
    left = re.search(r"… and (\d+) more", shown)
    assert len(files(shown)) + (int(left[1]) if left else 0) == 44


def test_of_a_file_that_defines_too_much_the_first_definitions_are_shown_and_how_many_more_there_are(folder: Path) -> None:
    (folder / "core.py").write_text(module("core", 300))
    shown = repository_map(lc.read(folder), 1_500)
    assert len(stream.qwen().encode_data(shown)) <= 1_500
    _, at, below = shown.partition("core.py\n")
    lines = below.splitlines()
    found = next(re.fullmatch(r" +… and (\d+) more definitions", line) for line in lines if "…" in line)
    defined = [line for line in lines[: next(n for n, line in enumerate(lines) if "…" in line)] if "def core_" in line]
    assert at
    assert found
    assert len(defined) > 5
    assert len(defined) + int(found[1]) == 300


def test_without_a_parser_the_map_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longctx.maps.installed", lambda: False)
    assert repository_map(lc.read(folder)).startswith("(definitions are found by their look")


def test_nothing_in_a_map_steers_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(x='\x1b[2K'): pass\n")
    assert "\x1b" not in repository_map(lc.read(tmp_path))


def test_the_command_prints_a_map_within_its_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["read", str(folder), "--map"]) == 0
    assert "class Station:" in capsys.readouterr().out
    assert cli.main(["read", str(folder), "--map", "--budget", "30"]) == 0
    assert "class Station:" not in capsys.readouterr().out
    assert cli.main(["read", str(folder), "--map", "--json"]) == 2
    with pytest.raises(UsageError, match="budget=0"):
        repository_map(lc.read(folder), 0)
