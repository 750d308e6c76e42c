"""A conversation as Markdown, read by real renderers: what it says, and that no text of others can break it."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import mistune
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.views.answer import AnswerState
from longctx.views.citations import CHECK_NOTE, CitationState
from longctx.views.conversation import ConversationState, markdown
from longctx.views.markdown import code, fenced, inline, quoted, tamed

#: With HTML let through, as most renderers have it.
RENDERERS: dict[str, Callable[[str], str]] = {
    "mistune": mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])  # type: ignore[dict-item]
}
if importlib.util.find_spec("markdown_it"):
    from markdown_it import MarkdownIt

    RENDERERS["markdown-it"] = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render
OURS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "blockquote", "pre", "code", "hr", "br"),
    *("em", "strong", "del", "s"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Page(HTMLParser):
    """The tags of a page, and its words by the tag in which they stand."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.heard: dict[str, list[str]] = {}
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.heard.setdefault(tag, []).append("")
        if tag not in ("hr", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in ("hr", "br") or self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        for tag in set(self._open):
            self.heard[tag][-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment hides {data!r}")


def hostile(text: str) -> ConversationState:
    """A conversation in which everything that comes from others is this text."""
    cites = [
        CitationState(1, text or "a", "line 1", text, True),
        CitationState(2, text or "a", "line 1", text, False, note=text),
    ]
    row = {"path": text, "tokens": 3, "reason": text}
    turn = AnswerState(text or "Why?", text, text, "stopped", cites, [text], left_out=[row], notes=[text])
    last = AnswerState("The end?", "Yes.", citations=[CitationState(1, "end.py:1", "line 1", "the end", True)])
    return ConversationState(f"About {text}", text, [turn, last], text)


def check(document: str, render: Callable[[str], str]) -> None:
    page = Page(render(document))
    assert set(page.tags) <= OURS, document
    assert (page.tags["h1"], page.tags["h2"]) == (1, 2), document
    assert page.heard["h2"][1] == "2. The end?"
    assert page.heard["em"][-1] == CHECK_NOTE
    assert "end.py:1" in page.heard["code"][-2]
    assert page.heard["code"][-1] == "the end"


ATTACKS = [
    "```", "~~~", "````\n```\n`", "~~~ a`b\n<script>x</script>", "# One\n## 2. Fake?", "fake\n====", "fake\n---", "fake\n-",
    "- fake\n  ===", "<script>alert(1)</script>", "<!--", "<![CDATA[", "<?php", "<pre>", "<textarea>", "</details>",
    "<https://evil.example>", "[1]: https://evil.example", "[click](https://evil.example)", "![](https://evil.example/x.png)",
    "[1](https://evil.example)", "[^1]: note", "[1][2]\n\n[2]: https://evil.example", "a | b\n--- | ---\n`x|y` `<b>` | `z`",
    "| a |\n|---|\n| `a|b` `<script>` |", "`<b>` \\`<i>` ``<u>`", "`a\n<script>\n`", "> # quoted\n> ```", ">" * 3000,
    "- " * 3000, "1. " * 1000, "> - " * 500, "    <b>code</b>", "- a\n\n      <b>x</b>", "para\n    ```\n\n<script>\n    ```",
    "2. x\npara\n7. ```\n\n<script>", "- ```\n  <b>\n```\n<script>", "a\\", "\\", "&lt;script&gt; &#60;b&#62; &amp;", "*",
    "**a", "_a", "a\r# x", "a\r\n```\r\nb", "\u2028# x", "\x0b# x", "\x00\x1b[31m\u202ex", "\t- a\n\t\t```\n\t\t<b>\n\t\t```",
    "-\t# x", "+ + # x", "* * *", "***\n---\n===", "\ufeff# x", "\xa0# x", "---\ntitle: x\n---", "#", "##", "# a #",
    "1986. x", "-", "+", "=", ">", "a  \nb", "$$x$$", "@user #1", "{{ x }} {% y %}", "`", "``", "` `",
    "` `~~~", "a`", "`a", "\ue000",
    "x" * 5000, "\n\n\n", "   ", "", ":::note", "+++\nx = 1\n+++", "a\n: b", "- [ ] todo", "* a\n\n  # b\n\n  ---",
    "1)   ```py\n     x\n     ```\n     <b>", "> ```\nlazy <b>\n> ```", "> a\n===", "> a\n    <b>", "~~~\n> ```\n~~~",
    "```\n~~~\n```",
]  # fmt: skip


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_of_others_breaks_the_document(attack: str, name: str) -> None:
    check(markdown(hostile(attack), reasoning=True), RENDERERS[name])


PIECES = [
    "a", "b c", " ", "\n", "\n\n", "**", "*", "_", "`", "``", "```", "~~~", "- ", "1. ", "2) ", "> ", "# ", "|", "|-|", "---",
    "===", "[1]", "[", "](x)", "![", "]: x", "    ", "  ", "<", "<b>", "<!--", "&lt;", "&", "\t", "\\", "\r", "+ ", "-",
    "\n  ```\n", "\n    ",
]  # fmt: skip


@pytest.mark.parametrize("name", RENDERERS)
@settings(deadline=None, max_examples=400)
@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_mixture_breaks_it_either(name: str, text: str) -> None:
    check(markdown(hostile(text), reasoning=True), RENDERERS[name])


@pytest.mark.parametrize("name", RENDERERS)
@settings(deadline=None, max_examples=300)
@given(text=st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_what_stands_verbatim_is_read_verbatim(name: str, text: str) -> None:
    render = RENDERERS[name]
    if words := " ".join(text.split()):
        line = Page(render(f"- [1] {code(words)}: {inline(words)}")).words.strip()
        assert line == f"[1] {words}: {words}"
    body = text.replace("\r", "\n").expandtabs(4).rstrip()
    block = Page(render("\n".join(["- x", "", *fenced(body, indent="  ")])))
    assert _ended(block.heard["code"][0]) == _ended(body)


def _ended(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize(
    ("text", "words", "tags"),
    [
        ("# Yes\n\nIt is **5** [1].", "Yes It is 5 [1].", {"h3": 1, "p": 1, "strong": 1}),
        ("- a\n- `b < c`\n  1. d", "a b < c d", {"ul": 1, "ol": 1, "li": 3, "code": 1}),
        ("```python\nif a < b:\n    c\n```\nThen.", "if a < b: c Then.", {"pre": 1, "code": 1, "p": 1}),
        ("| a | b |\n|---|---|\n| `x` | y |", "a b x y", {"table": 1, "code": 1, "td": 2}),
        ("- a:\n  ```\n  x <y>\n  ```\n- b", "a: x <y> b", {"pre": 1, "li": 2}),
        ("a\n\n---\n\nb\n---\nc", "a b c", {"hr": 2, "p": 3, "h2": 0}),
        ("> as *said*\n> there", "as said there", {"blockquote": 1, "em": 1}),
        ("a <b> & [c](d) ![e](f) snake_case [1][2]", "a <b> & [c](d) ![e](f) snake_case [1][2]", {"p": 1}),
        ("arr[0] = x[i](y) and \\frac{1}{2}", "arr[0] = x[i](y) and \\frac{1}{2}", {"p": 1}),
    ],
)
def test_what_a_model_writes_keeps_its_form(text: str, words: str, tags: dict[str, int], name: str) -> None:
    page = Page(RENDERERS[name](tamed(text)))
    assert " ".join(page.words.split()) == words
    assert {tag: page.tags[tag] for tag in tags} == tags


def test_a_document_reads_like_this() -> None:
    cites = [
        CitationState(1, "retry.py:3", "line 3", "MAX_ATTEMPTS = 5", True),
        CitationState(2, "retry.py:6-7", "lines 6-7", "def wait(attempt):\n    ...", True, "matched"),
        CitationState(3, "paper.pdf, page 3", "page 3", "five", False, note="the quoted words were not found"),
    ]
    turn = AnswerState(
        "How many?", "It is 5 [1][2].\n\n- So it is [3].", "hm", "done", cites, ["Elephants paint."],
        left_out=[{"path": "b.py", "tokens": 1200, "reason": "too much"}], notes=["the answer was cut"],
    )  # fmt: skip
    stopped = AnswerState("And?", "", state="stopped")
    state = ConversationState("About retry.py", "Qwen/Qwen3.5-4B", [turn, stopped], "2026-11-28 at 09:03 UTC")
    assert markdown(state) == DOCUMENT
    assert "> hm" in markdown(state, reasoning=True)


DOCUMENT = """\
# About retry.py

Answered by `Qwen/Qwen3.5-4B` with longctx, saved on 2026-11-28 at 09:03 UTC.

## 1. How many?

It is 5 [1][2].

- So it is [3].

**Sources**

- [1] `retry.py:3` ✓ quote checked: `MAX_ATTEMPTS = 5`
- [2] `retry.py:6-7` ≈ matched by longctx, not cited by the model:

  ```
  def wait(attempt):
      ...
  ```

- [3] `paper.pdf, page 3` ⚠ the quoted words were not found: `five`

**Without a source**

- ⚠ “Elephants paint.”

**Left out**

- b.py · 1,200 tokens · too much

**Notes**

- the answer was cut

## 2. And?

*Stopped on request: nothing was said.*

***

*A checked quote proves that the words stand there, not that they support the claim.*
"""


def test_a_question_over_lines_follows_its_heading_as_a_whole() -> None:
    document = markdown(ConversationState("A", "m", [AnswerState("Why this?\n\n\tfor x in y:\n\t    z", "So.")]))
    assert "## 1. Why this? for x in y: z\n\n> Why this?\n>\n> for x in y:\\\n> z\n" in document
    assert quoted("a\nb") == ["> a\\", "> b"]
    long = markdown(ConversationState("A", "m", [AnswerState("why " * 200, "So.")]))
    assert re.search(r"## 1\. (why )+why…\n\n> why why", long)


def test_the_check_is_not_promised_where_nothing_was_checked() -> None:
    assert CHECK_NOTE not in markdown(ConversationState("A", "m", [AnswerState("Why?", "So.")]))
