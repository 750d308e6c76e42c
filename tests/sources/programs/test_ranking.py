"""Which file is worth most: what others import and name, what is worked on, what explains the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import longctx as lc
from longctx.sources.programs import shapes
from longctx.sources.programs.ranking import page_rank, ranks
from longctx.sources.programs.references import references

FILES = {
    "README.md": "# Station\n\nSends readings.\n",
    "src/station/__init__.py": "from .core import Station\n",
    "src/station/core.py": "from station.wait import seconds\n\n\nclass Station:\n"
    "    def send(self):\n        return seconds(3)\n",
    "src/station/wait.py": "def seconds(attempt):\n    return 2 ** attempt\n",
    "src/station/cli.py": "from station import core\n\n\ndef main():\n    core.Station().send()\n",
    "tests/test_core.py": "from station.core import Station\n\n\ndef test_send():\n    assert Station().send() == 8\n",
    "tests/test_wait.py": "from station.wait import seconds\n\n\ndef test_seconds():\n    assert seconds(1) == 2\n",
    "examples/send.py": "from station.core import Station\n\nStation().send()\n",
    "docs/use.md": "# Use\n\nCall send.\n",
    "data.json": '{"a": [1, 2, 3]}\n',
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def referring(files: dict[str, str], tmp_path: Path) -> dict[tuple[str, str], float]:
    return references(shapes.shapes(lc.read(written(tmp_path, files)).sources, words=True))


def test_what_is_built_upon_stands_above_tests_examples_documents_and_data(tmp_path: Path) -> None:
    found = ranks(lc.read(written(tmp_path, FILES)).sources)
    core = [found[path] for path in FILES if path.startswith("src/")]
    aside = [found[path] for path in FILES if path.startswith(("tests/", "examples/", "docs/", "data"))]
    assert min(core) > max(aside)
    assert found["src/station/core.py"] > found["src/station/cli.py"]
    assert found["README.md"] >= max(core)


def test_it_does_so_without_a_parser_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "installed", lambda: False)
    test_what_is_built_upon_stands_above_tests_examples_documents_and_data(tmp_path)


def test_a_file_that_is_worked_on_stands_above_its_like(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        settings = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True)

    written(tmp_path, {"a.py": "A = 1\n", "b.py": "B = 1\n"})
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    before = ranks(lc.read(tmp_path).sources)
    assert before["a.py"] == before["b.py"]
    for n in range(4):
        written(tmp_path, {"b.py": f"B = {n}\n"})
        git("commit", "-qam", "more")
    after = ranks(lc.read(tmp_path).sources)
    assert before["a.py"] <= after["b.py"] > after["a.py"]


def test_documents_alone_rank_alike(tmp_path: Path) -> None:
    found = ranks(lc.read(written(tmp_path, {"a.md": "# A\n", "b.md": "# B\n"})).sources)
    assert found["a.md"] == found["b.md"] > 0


@pytest.mark.parametrize(
    ("files", "user", "used"),
    [
        ({"a/b.py": "x = 1\n", "c.py": "import a.b as d\n"}, "c.py", "a/b.py"),
        ({"a/__init__.py": "x = 1\n", "c.py": "from a import x\n"}, "c.py", "a/__init__.py"),
        ({"a/b.py": "x = 1\n", "a/c.py": "from . import (\n    b,\n)\n"}, "a/c.py", "a/b.py"),
        ({"a/b.py": "x = 1\n", "a/d/c.py": "from ..b import x\n", "d/b.py": ""}, "a/d/c.py", "a/b.py"),
        ({"a/b.ts": "export const x = 1\n", "a/c.tsx": "import { x } from './b'\n"}, "a/c.tsx", "a/b.ts"),
        ({"a/b/index.js": "1\n", "c.js": "const b = require('./a/b');\n"}, "c.js", "a/b/index.js"),
        ({"a/b.ts": "export const x = 1\n", "c.ts": "export * from './a/b.js'\n"}, "c.ts", "a/b.ts"),
        ({"inc/b.h": "int f(int a);\n", "src/c.c": '#include "b.h"\n'}, "src/c.c", "inc/b.h"),
        ({"x/a/B.java": "class B {}\n", "x/C.java": "import a.B;\nclass C {}\n"}, "x/C.java", "x/a/B.java"),
        ({"src/b.rs": "pub fn f() {}\n", "src/main.rs": "use crate::b::f;\n"}, "src/main.rs", "src/b.rs"),
        ({"lib/b.rb": "def f; end\n", "c.rb": "require_relative 'lib/b'\n"}, "c.rb", "lib/b.rb"),
        ({"src/A/B.php": "<?php class B {}\n", "c.php": "<?php\nuse A\\B;\n"}, "c.php", "src/A/B.php"),
    ],
)
def test_a_plain_import_leads_to_its_file(tmp_path: Path, files: dict[str, str], user: str, used: str) -> None:
    found = referring(files, tmp_path)
    assert found.get((user, used), 0) >= 1
    assert [pair for pair in found if pair[0] == user] == [(user, used)]


def test_a_name_that_is_imported_is_meant_and_its_namesakes_are_not(tmp_path: Path) -> None:
    files = {
        "a.py": "def wait(): pass\n",
        "b.py": "def wait(): pass\n",
        "c.py": "from a import wait\nwait()\nwait()\n",
        "d.go": "func wait() {\n}\n",
    }
    found = referring(files, tmp_path)
    assert found["c.py", "a.py"] > 1
    assert ("c.py", "b.py") not in found
    assert ("c.py", "d.go") not in found


def test_a_name_that_everyone_defines_says_of_nobody_that_he_is_meant(tmp_path: Path) -> None:
    files = {f"m{n}.py": "def get(): pass\n" for n in range(20)} | {"c.py": "x.get()\n"}
    assert referring(files, tmp_path) == {}


def test_references_in_a_ring_and_of_nobody_end_in_finite_ranks() -> None:
    found = page_rank(dict.fromkeys("abcd", 1.0), {("a", "b"): 1.0, ("b", "a"): 1e9, ("c", "c"): 1.0})
    assert sum(found.values()) == pytest.approx(4)
    assert min(found.values()) > 0
    assert page_rank({}, {}) == {}
