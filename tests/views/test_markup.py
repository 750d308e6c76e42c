"""Markdown as models write it: what is rendered, what stays text, and what an unfinished text looks like."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.views.markup import markdown


def link(number: int) -> str | None:
    return f"<a>{number}</a>" if number < 4 else None


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", '<p dir="auto">one\ntwo</p><p dir="auto">three</p>'),
        ("**a** *b* `c < d` ``e`f``", '<p dir="auto"><strong>a</strong> <em>b</em> <code>c &lt; d</code> <code>e`f</code></p>'),
        ("2 * 3 * 4 and snake_case_name", '<p dir="auto">2 * 3 * 4 and snake_case_name</p>'),
        ("**unfinished and `open", '<p dir="auto">**unfinished and `open</p>'),
        ("a [1], [2][3], [1, 2] but [9] `[1]`", None),
        ("- a\n- b", '<ul><li dir="auto">a</li><li dir="auto">b</li></ul>'),
        ("3. a\n4. b", '<ol start="3"><li dir="auto">a</li><li dir="auto">b</li></ol>'),
        ("- a\n  - b\n- c", '<ul><li dir="auto">a<ul><li dir="auto">b</li></ul></li><li dir="auto">c</li></ul>'),
        ("text\n- a", '<p dir="auto">text</p><ul><li dir="auto">a</li></ul>'),
        ("```py\nif a:\n    **b**", '<pre class="code" tabindex="0"><code>if a:\n    **b**</code></pre>'),
        ("~~~\n```\n~~~\nc", '<pre class="code" tabindex="0"><code>```</code></pre><p dir="auto">c</p>'),
        ("## Head ##", '<h4 dir="auto">Head</h4>'),
        ("#hash and -dash", '<p dir="auto">#hash and -dash</p>'),
        ("---", "<hr>"),
        ("> a\n> b", '<blockquote><p dir="auto">a\nb</p></blockquote>'),
        ("|a|b|\n|-|:-:|\n|1|`2`|", None),
        ("![x](http://a) [y](javascript:z)", '<p dir="auto">![x](http://a) [y](javascript:z)</p>'),
    ],
)
def test_markdown_renders_as(text: str, html: str | None) -> None:
    expected = {
        "a [": '<p dir="auto">a <a>1</a>, <a>2</a><a>3</a>, <a>1</a><a>2</a> but [9] <code>[1]</code></p>',
        "|a|": "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
        "<tbody><tr><td>1</td><td><code>2</code></td></tr></tbody></table>",
    }
    assert markdown(text, reference=link) == (html or expected[text[:3]])


def test_a_marked_sentence_is_marked_through_bold_code_and_marks() -> None:
    html = markdown("Yes. It **never `x` fails** [1]. No.", reference=link, marked=["It **never `x` fails** [1]."])
    assert html.count("(no source)") == 1
    unmarked = (
        html.replace('<u class="unsupported">', "").replace("</u>", "").replace('<span class="hid"> (no source)</span>', "")
    )
    assert unmarked == '<p dir="auto">Yes. It <strong>never <code>x</code> fails</strong> <a>1</a>. No.</p>'
    assert '<u class="unsupported">It </u>' in html
    assert "</u> No.</p>" not in html
    assert html.endswith(" No.</p>")


def test_a_sentence_over_two_blocks_and_a_sentence_inside_another_keep_the_html_whole() -> None:
    html = markdown("- a b\n- c d\n\ne", marked=["b\n- c d\n\ne", "c d"])
    Balance(html)
    assert "<li" in html


class Balance(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "hr"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


PIECES = [
    "a",
    "b c",
    " ",
    "\n",
    "\n\n",
    "**",
    "*",
    "`",
    "```",
    "~~~",
    "- ",
    "1. ",
    "> ",
    "# ",
    "|",
    "|-|",
    "---",
    "[1]",
    "    ",
    "<",
    "&",
    "\t",
]
DOCUMENTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(deadline=None)
@given(DOCUMENTS, st.data())
def test_whatever_a_model_writes_is_well_formed_and_no_word_is_lost(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    marked = text[start : data.draw(st.integers(start, len(text)))]
    shown = Balance(markdown(text, reference=link, marked=[marked, "b c"])).text.replace("(no source)", "")
    if not re.search("```|~~~", text):  # what follows a fence names its language and is not shown
        assert (shown.count("a"), shown.count("b")) == (text.count("a"), text.count("b"))


@pytest.mark.parametrize("piece", ["**", "`a", "``", "*a ", "**a ", "> ", "- ", "[1", "|", "a|b\n|-|\n", "- a\n\n", "\t"])
def test_no_text_takes_more_than_the_square_of_its_length(piece: str) -> None:
    def cost(times: int) -> float:
        began = time.process_time()
        markdown(piece * times, reference=link, marked=["a"])
        return time.process_time() - began

    assert cost(2000) < 100 * (min(cost(500) for _ in range(3)) + 0.002)
