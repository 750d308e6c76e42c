"""Code by its signatures: what is kept is what stands in the file, where it stands; with a parser and without."""

from __future__ import annotations

import pytest

from longctx.corpus import Lines, Segment, Source, split_lines
from longctx.sources.programs import shapes
from longctx.sources.programs.looks import LONGEST
from longctx.sources.programs.outline import outline
from longctx.sources.texts.text import parse_text

PYTHON = '''"""A module."""

import os


@cache
def wait(
    attempt,
    base=2,
):
    """Seconds before the next try.

    Doubles.
    """
    def inner(x):
        return x
    return base ** attempt


class Station:
    """Sends readings."""

    def __init__(self, name):
        self.name = name
        self.sent = 0

    @property
    def ready(self):
        return True


later = [wait(
    1)]
'''
JAVA = """public class Station {
    private int sent = 0;

    @Override
    public int wait(int attempt,
                    int base) {
        if (attempt > 3) {
            return twice(attempt);
        }
        send(1,
             2);
        return base;
    }
}
"""
RUST = """#[derive(Debug)]
pub struct Station {
    sent: i32,
}

impl Station {
    pub fn ready(&self) -> bool {
        let f = |x| x + 1;
        true
    }
}
"""
TYPESCRIPT = """export class Station {
  sent = 0

  async send(url: string): Promise<number> {
    return fetch(url, {
      a: 1,
    })
  }
}

export const wait = (attempt) => {
  return 2 ** attempt
}
"""


@pytest.fixture(autouse=True, params=["parsed", "by look"])
def parser(request, monkeypatch):
    monkeypatch.setattr(shapes, "installed", lambda: request.param == "parsed")
    return request.param


def source(path: str, text: str, kind: str = "code") -> Source:
    data = text.encode()
    return Source(path, f"/{path}", kind, len(data), "", parse_text(path, kind, data, len(data)).segments)


def shown(path: str, text: str) -> str:
    return "".join(segment.text for segment in outline(source(path, text)))


@pytest.mark.parametrize(
    ("path", "text", "kept", "left"),
    [
        (
            "a.py",
            PYTHON,
            ["@cache\ndef wait(\n", "    base=2,\n):\n", "before the next try.", "class Station:", "def __init__(self, name):"],
            ["Doubles", "inner", "return", "self.sent", "later", "import"],
        ),
        ("a.py", PYTHON, ['"""Sends readings."""', "    @property\n    def ready(self):\n"], ["self.name"]),
        ("A.java", JAVA, ["class Station {", "    @Override\n", "int wait(int attempt,\n", "int base) {"], ["twice", "send("]),
        ("a.rs", RUST, ["#[derive(Debug)]\npub struct Station {", "impl Station {", "fn ready(&self)"], ["|x|", "true"]),
        ("a.ts", TYPESCRIPT, ["class Station {", "async send(url: string)", "const wait = (attempt)"], ["fetch", "a: 1"]),
    ],
)
def test_definitions_and_members_are_kept_and_what_they_do_is_not(path, text, kept, left):
    found = shown(path, text)
    assert [words for words in kept if words not in found] == []
    assert [words for words in left if words in found] == []


@pytest.mark.parametrize(("path", "text"), [("a.py", PYTHON), ("A.java", JAVA), ("a.rs", RUST), ("a.ts", TYPESCRIPT)])
def test_every_segment_is_the_very_lines_that_its_origin_names(path, text):
    lines = split_lines(text)
    segments = outline(source(path, text))
    assert segments
    last = 0
    for segment in segments:
        assert isinstance(segment.origin, Lines)
        assert last < segment.origin.first <= segment.origin.last
        assert segment.text == "".join(lines[segment.origin.first - 1 : segment.origin.last])
        assert segment.heading
        last = segment.origin.last


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("a.json", '{"class": "x"}\n', "code"),
        ("a.py", "x = 1\n", "code"),
        ("a.txt", "def f(x):\n", "text"),
        ("a.js", "function f(){" + "x" * LONGEST + "}\n", "code"),
        ("empty.py", "", "code"),
    ],
)
def test_what_defines_nothing_has_no_outline(path, text, kind):
    assert outline(source(path, text, kind)) == ()


def test_a_bracket_that_never_closes_costs_its_line_only():
    text = "def f(\n" + "    x,\n" * 40
    (segment,) = outline(source("a.py", text))
    assert segment.text == "def f(\n"


def test_of_a_long_comment_above_a_definition_the_first_words_are_kept(parser):
    text = "/**\n * Waits.\n *\n * Long.\n * Longer.\n * Longest.\n */\nint wait(int n) {\n  return n;\n}\n"
    found = [(segment.origin.first, segment.origin.last) for segment in outline(source("a.c", text))]
    assert found == ([(1, 2), (8, 8)] if parser == "parsed" else [(8, 8)])


def test_no_signature_reaches_over_the_end_of_a_segment_of_the_whole_source():
    text = "".join(f"def f_{n}(\n    x,\n    y,\n): return x\n" for n in range(60))
    whole = source("a.py", text)
    ends = {segment.origin.last for segment in whole.segments}
    shown = outline(whole)
    assert len(ends) > 3
    assert not [s for s in shown if any(s.origin.first <= end < s.origin.last for end in ends)]
    assert "".join(segment.text for segment in shown) == text


def test_lines_that_were_not_read_do_not_move_the_others():
    lines = [f"def f_{n}(x): return x\n" for n in range(9)]
    parts = [(1, 3), (7, 9)]
    made = tuple(Segment("".join(lines[first - 1 : last]), Lines("a.py", first, last)) for first, last in parts)
    shown = outline(Source("a.py", "/a.py", "code", 9, "", made))
    assert [(segment.origin.first, segment.origin.last) for segment in shown] == parts
    assert "".join(segment.text for segment in shown) == "".join(lines[:3] + lines[6:])
