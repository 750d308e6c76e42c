"""The shape of programs: with a parser, without one, and with one that dies, hangs or does not understand."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from longctx.corpus import Source
from longctx.errors import Stopped
from longctx.sources.process import ParserProcess
from longctx.sources.programs import looks, shapes
from longctx.sources.texts.text import parse_text

TEXT = "class A:\n    def f(self):\n        return 1\n\n\ndef g(x):\n    return helper(x)  # a word\n"


def code(path: str, text: str = TEXT) -> Source:
    data = text.encode()
    return Source(path, f"/{path}", "code", len(data), "", parse_text(path, "code", data, len(data)).segments)


def names(shape: shapes.Shape) -> list[tuple[str, int, int]]:
    return [(head.name, head.at, head.depth) for head in shape.heads]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch):
    """Puts another program in the place of the worker; tells how often it was started."""
    started = []

    def put(program: str) -> list[str]:
        @contextmanager
        def lent(key: str, *, silence: float) -> Iterator[ParserProcess]:
            class Counting(ParserProcess):
                def _started(self):
                    if self._process is None or self._process.poll() is not None:
                        started.append(key)
                    return super()._started()

            with Counting([sys.executable, "-c", program], silence=silence) as parser:
                yield parser

        monkeypatch.setattr(shapes, "lent", lent)
        return started

    return put


def test_definitions_are_the_same_with_a_parser_and_without_where_the_look_does_not_deceive(monkeypatch):
    parsed = shapes.shapes([code("a.py")], words=True)["a.py"]
    monkeypatch.setattr(shapes, "installed", lambda: False)
    looked = shapes.shapes([code("a.py")], words=True)["a.py"]
    assert (parsed.parsed, looked.parsed) == (True, False)
    assert names(parsed) == names(looked) == [("A", 0, 0), ("f", 1, 1), ("g", 5, 0)]
    assert "word" not in parsed.words
    assert parsed.words["helper"] == looked.words["helper"] == 1


def test_what_only_looks_like_a_definition_is_none_with_a_parser():
    text = 'TEXT = """\ndef fake(x):\n    pass\n"""\n\n\ndef real(x):\n    pass\n'
    assert [name for name, _, _ in names(shapes.shapes([code("a.py", text)])["a.py"])] == ["TEXT", "real"]


def test_a_file_of_a_language_without_a_grammar_is_taken_by_its_look():
    found = shapes.shapes([code("a.py"), code("b.zig", "pub fn wait(n: u8) void {\n}\n")])
    assert (found["a.py"].parsed, found["b.zig"].parsed) == (True, False)
    assert [name for name, _, _ in names(found["b.zig"])] == ["wait"]


def test_a_parser_that_dies_costs_its_files_the_parse_only_and_is_not_tried_for_ever(worker):
    started = worker("import os, sys; sys.stdin.readline(); os.abort()")
    found = shapes.shapes([code(f"{n}.py") for n in range(8)])
    assert [shape.parsed for shape in found.values()] == [False] * 8
    assert all(names(shape) == [("A", 0, 0), ("f", 1, 1), ("g", 5, 0)] for shape in found.values())
    assert len(started) == shapes.DEATHS
    assert found["0.py"].why.startswith("the parser of code crashed (signal 6")
    assert found["7.py"].why == "the parser of code had failed 3 times before"


def test_files_that_are_all_slow_take_a_bounded_time(worker, monkeypatch):
    monkeypatch.setattr(shapes, "SLOW", 0.2)
    monkeypatch.setattr(shapes, "PATIENCE", 0.5)
    reply = json.dumps({"heads": [], "broken": False, "words": {}})
    worker(
        "import sys, time\nfor line in sys.stdin:\n    time.sleep(0.3)\n"
        f"    print({reply!r} + chr(10) + '{{\"end\": true}}', flush=True)"
    )
    found = list(shapes.shapes([code(f"{n}.py") for n in range(8)]).values())
    assert [shape.parsed for shape in found[:1]] == [True]
    assert [shape.parsed for shape in found[2:]] == [False] * 6
    assert "slow files" in found[-1].why


def test_a_parser_that_hangs_is_stopped(worker, monkeypatch):
    monkeypatch.setattr(shapes, "SILENCE", 0.3)
    worker("import time; time.sleep(120)")
    began = time.monotonic()
    assert not shapes.shapes([code("a.py")])["a.py"].parsed
    assert time.monotonic() - began < 60, "its end was waited for"


def test_a_parser_whose_package_is_broken_is_gone_without(worker):
    worker('import sys\nfor line in sys.stdin:\n    print(\'{"missing": "no module"}\\n{"end": true}\', flush=True)')
    assert not shapes.shapes([code("a.py")])["a.py"].parsed


@pytest.mark.parametrize("broken", [True, False])
def test_only_of_a_text_that_the_parser_does_not_understand_the_look_is_believed(worker, broken):
    reply = json.dumps({"heads": [], "broken": broken, "words": {}})
    worker(f"import sys\nfor line in sys.stdin:\n    print({reply!r} + chr(10) + '{{\"end\": true}}', flush=True)")
    shape = shapes.shapes([code("a.py")])["a.py"]
    assert (shape.parsed, len(shape.heads)) == ((False, 3) if broken else (True, 0))


def test_a_very_large_text_is_not_parsed(monkeypatch):
    monkeypatch.setattr(shapes, "LARGEST", 10)
    assert not shapes.shapes([code("a.py")])["a.py"].parsed


def test_a_line_that_is_spread_over_segments_is_one_line():
    text = "x = '" + "y" * 5_000 + "'\ndef f(x):\n    return x\n"
    shape = shapes.shapes([code("a.py", text)])["a.py"]
    assert (shape.numbers, len(shape.lines)) == ([1, 2, 3], 3)
    assert names(shape) == [("f", 1, 0)]


def test_a_stop_ends_it():
    def check():
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        shapes.shapes([code("a.py")], check)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.cs", "class A\n{\n    public void Go()\n    {\n        Other(1);\n    }\n}\n", [("A", 0), ("Go", 1)]),
        ("a.php", "<?php\nclass A\n{\n    public function go()\n    {\n        x();\n    }\n}\n", [("A", 0), ("go", 1)]),
        ("a.rs", "impl A\nwhere\n    T: B,\n{\n    fn go() {\n    }\n}\n", [("A", 0), ("go", 1)]),
        (
            "a.js",
            "class A {\n  constructor(a = {}) {\n    go(1);\n  }\n  get size() { return 1; }\n  #own() {\n  }\n  x = f(1);\n}",
            [("A", 0), ("constructor", 1), ("size", 1), ("#own", 1)],
        ),
        (
            "A.java",
            "class A {\n  abstract int go(int n);\n  static A of() { return new A(); }\n  int x = f(1);\n}\n",
            [("A", 0), ("go", 1), ("of", 1)],
        ),
        (
            "a.hpp",
            "class A {\n public:\n  A() = default;\n  virtual ~A();\n  const B& go(int n) const;\n  int x;\n};\n",
            [("A", 0), ("A", 1), ("~A", 1), ("go", 1)],
        ),
        (
            "a.py",
            "try:\n    import x\nexcept ImportError:\n    def go(): pass\nif A:\n    class B:\n        def f(self): pass\n",
            [("go", 0), ("B", 0), ("f", 1)],
        ),
    ],
)
def test_braces_on_lines_of_their_own_and_conditions_hide_no_definition_from_the_look(path, text, expected):
    assert [(name, depth) for _, _, _, name, depth in looks.heads(text.splitlines(keepends=True), path)] == expected


def test_a_decorator_of_several_lines_belongs_to_its_function_by_the_look_too():
    text = "x = 1\n\n@route(\n    '/a',\n)\n@cache\ndef f(x):\n    return g(\n        x\n    )\n\ndef h(x): pass\n"
    found = [(first, stop, name) for first, stop, _, name, _ in looks.heads(text.splitlines(keepends=True), "a.py")]
    assert found == [(2, 7, "f"), (11, 12, "h")]
