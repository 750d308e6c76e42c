"""Definitions by tree-sitter: in every language of the table, in broken code, in lines that end in any way."""

from __future__ import annotations

import time

import pytest

from longctx.corpus import split_lines
from longctx.sources.programs.grammars import GRAMMARS, family_of, language_of
from longctx.sources.programs.syntax import definitions

#: A program, the names that it defines outside of functions, ascending, and words that its heads must not hold.
PROGRAMS = {
    "a.py": (
        "LIMIT = 3\n"
        "lower = 1\n"
        "\n"
        "class Station(Base):\n"
        '    """Sends.\n'
        "\n"
        '    Much."""\n'
        "    @property\n"
        "    def ready(self):\n"
        "        def inner(): pass\n"
        "        return hidden\n"
        "\n"
        "async def wait(\n"
        "    n,\n"
        "):\n"
        "    return hidden\n",
        "LIMIT Station ready wait",
        "lower inner hidden Much",
    ),
    "a.js": (
        "import x from './b';\n"
        "/** Sends. */\n"
        "export class Station {\n"
        "  send(a) {\n"
        "    hidden();\n"
        "  }\n"
        "}\n"
        "export const LIMIT = 3;\n"
        "const wait = (n) => {\n"
        "  const inner = () => 1;\n"
        "};\n"
        "function* all() {\n"
        "}\n"
        "module.exports.go = function () {\n"
        "};\n",
        "Station send LIMIT wait all module.exports.go",
        "hidden inner import",
    ),
    "a.ts": (
        "export interface Sends<T> {\n"
        "  a: string;\n"
        "  send(x: number): void;\n"
        "}\n"
        "export type Id = string | number;\n"
        "enum E { A }\n"
        "@Injectable()\n"
        "export abstract class Station {\n"
        "  private x = hidden;\n"
        "  abstract m(): void;\n"
        "}\n"
        "namespace N {\n"
        "  export function f() {\n"
        "    inner();\n"
        "  }\n"
        "}\n",
        "Sends a send Id E Station m N f",
        "hidden inner",
    ),
    "a.tsx": (
        "export const App = () => {\n  return <div>{hidden}</div>;\n};\nclass B {\n}\n",
        "App B",
        "hidden",
    ),
    "A.java": (
        "package a.b;\n"
        "\n"
        "@Deprecated\n"
        "public class Station<T> {\n"
        "    static final int LIMIT = 3;\n"
        "    int hidden;\n"
        "    Station() {\n"
        "    }\n"
        "\n"
        "    @Override\n"
        "    public int wait(int n,\n"
        "                    int m) {\n"
        "        return inner();\n"
        "    }\n"
        "    interface I {\n"
        "        void n();\n"
        "    }\n"
        "}\n"
        "enum E { A }\n"
        "record R(int a) {\n"
        "}\n",
        "Station LIMIT Station wait I n E R",
        "hidden inner package",
    ),
    "a.c": (
        '#include "b.h"\n'
        "#define LIMIT 3\n"
        "#define TWICE(x) (2 * (x))\n"
        "typedef struct station {\n"
        "    int hidden;\n"
        "} station_t;\n"
        "struct other {\n"
        "    int hidden;\n"
        "};\n"
        "int wait(int n, char *b);\n"
        "static int *go(int a)\n"
        "{\n"
        "    return inner;\n"
        "}\n",
        "LIMIT TWICE station_t station_t other wait go",
        "hidden inner include",
    ),
    "a.hpp": (
        "namespace n {\n"
        "template <class T>\n"
        "class Station : public B {\n"
        "public:\n"
        "  Station();\n"
        "  int wait(int) const;\n"
        "  int hidden;\n"
        "};\n"
        "}\n"
        "int n::Station<int>::wait(int n) const {\n"
        "  return inner;\n"
        "}\n"
        "using Id = int;\n"
        "enum class E { A };\n",
        "n Station Station wait n::Station<int>::wait Id E",
        "hidden inner public:",
    ),
    "a.cs": (
        "using A.B;\n"
        "namespace N {\n"
        "    [Serializable]\n"
        "    public class Station : D {\n"
        "        public const int Limit = 3;\n"
        "        int hidden;\n"
        "        public int P { get; set; }\n"
        "        public void Wait(int n) {\n"
        "            void Inner() { }\n"
        "        }\n"
        "    }\n"
        "    enum E { A }\n"
        "    delegate void Go();\n"
        "}\n",
        "N Station Limit P Wait E Go",
        "hidden Inner using",
    ),
    "a.go": (
        "package p\n"
        "\n"
        'import "a/b"\n'
        "\n"
        "const Limit = 3\n"
        "const lower = 1\n"
        "\n"
        "// Station sends.\n"
        "type Station struct {\n"
        "\thidden int\n"
        "}\n"
        "\n"
        "type Sends interface {\n"
        "\tSend(a int)\n"
        "}\n"
        "\n"
        "func (s *Station) Wait(n int) int {\n"
        "\treturn inner\n"
        "}\n"
        "\n"
        "func Go() {\n"
        "}\n",
        "Limit Station Sends Send Wait Go",
        "hidden inner lower import",
    ),
    "a.rs": (
        "use a::b;\n"
        "pub const LIMIT: i32 = 3;\n"
        "/// Sends.\n"
        "#[derive(Debug)]\n"
        "pub struct Station<T> {\n"
        "    hidden: T,\n"
        "}\n"
        "trait Sends {\n"
        "    fn send(&self);\n"
        "}\n"
        "impl<T> Sends for Station<T> {\n"
        "    fn send(&self) {\n"
        "        inner();\n"
        "    }\n"
        "}\n"
        "macro_rules! go {\n"
        "    () => {};\n"
        "}\n"
        "mod deep {\n"
        "    pub fn f() {}\n"
        "}\n",
        "LIMIT Station Sends send Station send go deep f",
        "hidden inner use",
    ),
    "a.rb": (
        "require 'b'\n"
        "module M\n"
        "  LIMIT = 3\n"
        "  # Sends.\n"
        "  class Station < Base\n"
        "    include hidden\n"
        "    def wait(n)\n"
        "      inner\n"
        "    end\n"
        "    def self.all\n"
        "    end\n"
        "  end\n"
        "end\n",
        "M LIMIT Station wait all",
        "hidden inner require",
    ),
    "a.php": (
        "<?php\n"
        "namespace A;\n"
        "const LIMIT = 3;\n"
        "interface I {\n"
        "    public function n();\n"
        "}\n"
        "abstract class Station extends B {\n"
        "    public $hidden;\n"
        "    public function wait($n) {\n"
        "        inner();\n"
        "    }\n"
        "}\n"
        "trait T {\n"
        "}\n"
        "function go() {\n"
        "}\n",
        "LIMIT I n Station wait T go",
        "hidden inner",
    ),
    "a.kt": (
        "package a\n"
        "\n"
        "const val LIMIT = 3\n"
        "\n"
        "class Station(val x: Int) : Base() {\n"
        "    val hidden = 1\n"
        "    fun wait(n: Int): Int {\n"
        "        return inner\n"
        "    }\n"
        "}\n"
        "interface I {\n"
        "    fun n()\n"
        "}\n"
        "object O {\n"
        "}\n"
        "fun go() = 1\n"
        "typealias Id = Int\n",
        "LIMIT Station wait I n O go Id",
        "hidden inner package",
    ),
    "a.swift": (
        "import A\n"
        "let limit = 3\n"
        "public class Station: Base {\n"
        "    var hidden = 1\n"
        "    func wait(n: Int) -> Int {\n"
        "        return inner\n"
        "    }\n"
        "}\n"
        "protocol P {\n"
        "    func n()\n"
        "}\n"
        "struct S {\n"
        "}\n"
        "func go() {\n"
        "}\n"
        "typealias Id = Int\n",
        "limit Station wait P n S go Id",
        "hidden inner import",
    ),
    "a.scala": (
        "package a\n"
        "\n"
        "class Station(x: Int) extends Base {\n"
        "  val hidden = 1\n"
        "  def wait(n: Int): Int = {\n"
        "    inner\n"
        "  }\n"
        "}\n"
        "trait I {\n"
        "  def n: Int\n"
        "}\n"
        "object O {\n"
        "  def s() = 1\n"
        "}\n"
        "case class D(a: Int)\n",
        "Station wait I n O s D",
        "hidden inner package",
    ),
    "a.sh": (
        "LIMIT=3\n# Sends.\nwait_for() {\n  inner\n}\nfunction go {\n  echo\n}\n",
        "wait_for go",
        "inner echo",
    ),
    "a.lua": (
        "local M = {}\n"
        "function M.wait(n)\n"
        "  return inner\n"
        "end\n"
        "local function go() end\n"
        "M.h = function()\n"
        "end\n"
        "function M:k()\n"
        "end\n",
        "M.wait go M.h M:k",
        "inner",
    ),
}


def told(path: str, text: str, *, words: bool = False) -> dict:
    (reply,) = definitions(language_of(path), text, words)
    return reply


def test_every_language_of_the_table_is_tried():
    assert {language_of(path) for path in PROGRAMS} == set(GRAMMARS)


@pytest.mark.parametrize("path", PROGRAMS)
def test_definitions_are_found_with_their_names_and_lines_and_what_they_do_is_not(path):
    text, names, hidden = PROGRAMS[path]
    reply = told(path, text)
    assert not reply["broken"]
    assert [name for *_, name, _, _ in reply["heads"]] == names.split()
    lines = split_lines(text)
    shown = "".join("".join(lines[first:stop]) for first, stop, *_ in reply["heads"])
    assert [word for word in hidden.split() if word in shown] == []
    for first, stop, at, name, _, _ in reply["heads"]:
        assert name.split(".")[-1].split(":")[-1] in lines[at] or "typedef" in lines[at]
        assert first <= at < stop


@pytest.mark.parametrize("path", PROGRAMS)
def test_lines_are_counted_as_everywhere_where_they_end_in_two_characters(path):
    text = PROGRAMS[path][0]
    there = [(first, stop, name) for first, stop, _, name, _, _ in told(path, text)["heads"]]
    found = told(path, text.replace("\n", "\r\n"))["heads"]
    assert [(first, stop, name) for first, stop, _, name, _, _ in found] == there


def test_a_lone_carriage_return_ends_a_line_and_a_form_feed_does_not():
    text = "int a(int n) { return 1; }\rint b(int n) { return 1; }\n\x0c\u2028\nint c(int n) { return 1; }\n"
    assert [(first, name) for first, _, _, name, _, _ in told("a.c", text)["heads"]] == [(0, "a"), (1, "b"), (3, "c")]


def test_the_first_line_of_a_docstring_and_a_short_comment_above_are_kept():
    reply = told("a.py", "# Waits.\n@cache\ndef wait(\n    n,\n):\n    '''\n    Seconds.\n\n    More.'''\n    return n\n")
    assert [head[:2] for head in reply["heads"]] == [(0, 7)]


def test_of_a_long_comment_above_a_definition_its_place_is_told():
    text = "/**\n * Waits.\n *\n * Long.\n * Longer.\n */\nint wait(int n) {\n  return n;\n}\n"
    (head,) = told("a.c", text)["heads"]
    assert (head[0], head[1], head[5]) == (6, 7, 6)


def test_words_in_comments_and_strings_name_nothing():
    words = told("a.py", "# wait\nx = 'wait'\ngo(x, x)\n", words=True)["words"]
    assert words == {"x": 3, "go": 1}


@pytest.mark.parametrize(
    "text",
    [
        "def f(:\n  x\nclass A(:\n    def g(self):\n        pass\n",
        "(" * 20_000,
        "def f(" + "a, " * 20_000 + "): pass\n",
        "\x00\x01\ufffd def f(): pass",
        "x = [" + "[" * 3_000 + "]" * 3_000 + "]\n",
        "    " * 5_000 + "def f(): pass\n",
        "".join(" " * depth + "if x:\n" for depth in range(300)),
        "",
    ],
)
@pytest.mark.parametrize("path", ["a.py", "a.js", "a.cpp", "a.rs"])
def test_text_that_is_not_of_the_language_ends_in_time_and_in_a_reply(path, text):
    began = time.process_time()
    lines = split_lines(text)
    for first, stop, at, _, _, _ in told(path, text)["heads"]:
        assert 0 <= first <= stop <= len(lines)
        assert at < len(lines)
    assert time.process_time() - began < 10


def test_files_of_one_family_use_each_other():
    assert family_of("a.ts") == family_of("b/c.jsx") != family_of("a.py")
