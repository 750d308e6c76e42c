"""Pages in HTML: what a reader sees, on the very lines of the file; pages that are source stay source."""

from __future__ import annotations

import base64
import re

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.corpus import Lines
from longctx.sources import read
from longctx.sources.office.html import is_template
from longctx.sources.office.markup import Walker

PAGE = """<!DOCTYPE html>
<html><head><title>The sea</title>
<style>p { color: red }</style><script>
let hidden = "nothing to see";
</script></head>
<body>
<h1>Tides &amp; <em>currents</em></h1>
<p>The sea rises <a href="https://example.org/moon">twice
a day</a>, and falls again.</p>
<ol start="3"><li>ebb</li>
<li>flow <ul><li>inner</li></ul></li></ol>
<table>
<tr>
  <th>Port</th>
  <th>m</th>
</tr>
<tr><td>Brest</td><td>6.1</td></tr>
</table>
<pre>
x = 1
  y = 2
</pre>
<!-- nobody sees this -->
<blockquote>Call me Ishmael.</blockquote>
</body></html>
"""


def lines(source):
    return [line for segment in source.segments for line in segment.text.splitlines()]


def test_a_page_is_what_a_reader_sees_of_it(write, one):
    row, source = one(write({"a.html": PAGE}) / "a.html")
    assert (row.kind, row.status) == ("html", "read")
    assert row.reason == "left out: 1 remark, 1 script, 1 style sheet"
    assert lines(source) == [
        "The sea", "# Tides & currents", "The sea rises [twice", "a day](https://example.org/moon), and falls again.",
        "3. ebb", "4. flow", "  - inner", "| Port | m |", "| --- | --- |", "| Brest | 6.1 |",
        "```", "x = 1", "  y = 2", "```", "> Call me Ishmael.",
    ]  # fmt: skip


def test_file_and_line_hold_for_every_line(write, one):
    _, source = one(write({"a.html": PAGE}) / "a.html")
    file = PAGE.split("\n")
    seen = 0
    for segment in source.segments:
        assert segment.origin == Lines("a.html", segment.lines_at(0)[0], segment.lines_at(len(segment.made_of) - 1)[1])
        for index, line in enumerate(segment.text.splitlines()):
            first, last = segment.lines_at(index)
            text = lxml.html.fromstring(f"<div>{' '.join(file[first - 1 : last])}</div>").text_content()
            for word in re.findall(r"[\w.]+", re.sub(r"\(http[^)]*\)|^\d\. ", "", line)):
                assert word in text
                seen += 1
    assert seen == 27


MARKUP = re.split(
    " ",
    "<p> </p> <b> <br> <td> <table> </table> <tr> <pre> </pre> <li> <ul> </ul> <h2> </h2> &amp; <script> </script> < <!-- --> "
    "&#10; <svg> </svg> </a> <title>",
)
MARKUP += ["a", "b c", "\n", "<![foo[", "<![CDATA[", "]]>", "<![if x]>", "\r\n", "<div\nclass=x>", "<a href=x>"]


@given(st.lists(st.sampled_from(MARKUP), max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_the_markup_lines_ascend_and_stand_in_the_file(pieces):
    text = "".join(pieces)
    count = text.count("\n") + 1
    for whole in (False, True):
        made = Walker(whole=whole).read(text)
        for line in made:
            assert 1 <= line.first <= line.last <= count
            assert "\n" not in line.text
    plain = [piece for piece in pieces if piece in ("a", "b c", "\n")]
    if len(plain) == len(pieces):
        assert [line.text for line in Walker().read(text)] == [line.strip() for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize(
    "text",
    [
        "{% extends 'base.html' %}" + "<p>Hello</p>" * 40,
        "<p>{{ user.name }} has written</p>" + "<p>Hello</p>" * 40,
        "<?php echo 1; ?>" + "<p>Hello</p>" * 40,
        '<li v-for="x in xs">Hello there</li>' + "<p>Hello</p>" * 40,
        '<!doctype html><html><body><div id="root"></div><script src="/main.js"></script></body></html>',
        "<p>short</p>",
    ],
)
def test_a_template_and_a_program_are_read_as_they_stand(write, one, text):
    row, source = one(write({"a.html": text}) / "a.html")
    assert (row.kind, row.reason) == ("text", "")
    assert "".join(segment.text for segment in source.segments) == text
    assert source.segments[0].origin == Lines("a.html", 1, 1)


def test_a_page_on_one_line_keeps_its_line(write, one):
    text = "<html><body>" + "".join(f"<p>Paragraph {number} of the page.</p>" for number in range(200)) + "</body></html>"
    _, source = one(write({"a.htm": text}) / "a.htm")
    assert {(segment.origin.first, segment.origin.last) for segment in source.segments} == {(1, 1)}
    joined = "".join(segment.text for segment in source.segments)
    assert joined.split("Paragraph ")[1:] == [f"{number} of the page.\n" for number in range(200)]


def test_pictures_in_the_page_are_seen_and_others_named_never_fetched(write, one, png):
    written = base64.b64encode(png(1)).decode()
    text = (
        f'<p>{"See the chart. " * 10}</p>\n<img alt="a chart" src="data:image/png;base64,{written}">\n'
        '<img alt="far" src="https://example.org/x.png"><p>After</p>'
    )
    _, source = one(write({"a.html": text}) / "a.html")
    (picture,) = [segment for segment in source.segments if segment.visuals]
    assert picture.origin == Lines("a.html", 2, 2)
    (visual,) = picture.visuals
    (frame,) = visual.medium.frames(visual.places, 64, 48, lambda: None)
    assert frame.pixels.shape == (48, 64, 3)
    assert written[:40] not in "".join(lines(source))
    assert "![far](https://example.org/x.png)" in lines(source)


def test_a_page_says_its_encoding(write, one):
    text = '<meta charset="windows-1251"><p>' + "Приливы и отливы. " * 8 + "</p>"
    row, source = one(write({"a.html": text.encode("cp1251")}) / "a.html")
    assert "Приливы" in source.segments[0].text
    assert row.reason == "decoded as windows-1251, as it says itself"


def test_what_is_hidden_is_read_and_told(write, one):
    text = "<p>" + "Open words. " * 10 + '</p><p style="display: none">secret</p><div hidden>more</div>'
    row, source = one(write({"a.html": text}) / "a.html")
    assert "secret" in lines(source)
    assert row.reason == "2 hidden elements read"


def test_what_an_unclosed_element_swallows_is_told(write, one):
    row, _ = one(write({"a.html": "<p>" + "Open words. " * 10 + "</p><iframe><p>gone</p>"}) / "a.html")
    assert "1 rest of the page, in an element that never ends" in row.reason


def test_a_deep_page_ends_and_nothing_runs(write):
    top = write({"deep.html": "<p>" + "Words of it. " * 20 + "<div>" * 10_000 + "deep", "beside.txt": "x\n"})
    corpus = read(top)
    assert {row.status for row in corpus.manifest} == {"read"}
    assert "deep\n" in "".join(segment.text for segment in corpus.segments.values())


@pytest.mark.timeout(30)
@pytest.mark.parametrize("tail", ["", "'>"])
@pytest.mark.parametrize(
    "piece",
    ["<a ", '<p a="', "<a b='", "<!-- ", "<table><tr><td>w ", "<svg><a ", "</a ", "<title>x&amp;", "x&amp;<b>y", "{#", "<?x "],
)
def test_what_never_ends_is_read_in_seconds_however_often_it_begins(write, one, piece, tail):
    words = "Words of a page that a reader sees, enough of them to be a document of its own. " * 3
    row, source = one(write({"a.html": f"<p>{words}</p>\n" + piece * 40_000 + tail}) / "a.html")
    assert row.status == "read"
    assert "as it stands" not in row.reason, "its reader has not failed"
    assert any("Words of a page" in line for line in lines(source))


def test_a_page_that_is_cut_off_inside_of_a_tag_keeps_what_stood_before_and_after(write, one):
    words = "Words of a page that a reader sees, enough of them to be a document of its own. " * 3
    _, source = one(write({"a.html": f"<p>{words}</p><p>The last.</p><a href='x"}) / "a.html")
    assert lines(source)[-1] == "<a href='x"
    row, source = one(write({"a.html": f"<p>{words}</p><p>The last.</p><!-- never <p>ends"}) / "a.html")
    assert lines(source)[-1] == "The last."
    assert row.reason == "left out: 1 rest of the page, in an element that never ends"


def test_tables_deeper_than_anybody_nests_them_keep_their_words(write, one):
    words = "Words of a page that a reader sees, enough of them to be a document of its own. " * 3
    page = f"<p>{words}</p>" + "".join(f"<table><tr><td>w{n} " for n in range(60)) + "</table>" * 60 + "<p>After.</p>"
    _, source = one(write({"a.html": page}) / "a.html")
    assert lines(source)[-1] == "After."
    assert all(re.search(rf"\bw{number}\b", "\n".join(lines(source))) for number in range(60))


def test_a_page_at_which_the_reader_fails_is_read_as_it_stands(write, one, tmp_path, monkeypatch):
    (tmp_path / "broken" / "html").mkdir(parents=True)
    (tmp_path / "broken" / "html" / "__init__.py").write_text("raise RuntimeError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    row, source = one(write({"a.html": PAGE}) / "a.html")
    assert row.status == "read"
    assert row.reason.startswith("read as it stands: the HTML reader failed: RuntimeError: broken")
    assert "".join(segment.text for segment in source.segments) == PAGE


def made(text):
    return [line.text for line in Walker().read(text)]


def test_a_link_without_words_leaves_nothing_and_one_around_paragraphs_stands_behind_them():
    assert made('<p>a <a href="x"><i class="icon"></i>\n</a> b</p>') == ["a", "b"]
    assert made('<a href="x"><h2>Title</h2><p>Text</p></a>') == ["## Title", "Text", "(x)"]
    assert made('<table><tr><td><a href="x"> word </a></td></tr></table>') == ["| [word ](x) |", "| --- |"]
    assert made('<p><a href="javascript:run()">do</a> <a href="#top">up</a> <a>name</a></p>') == ["do up name"]


def test_a_table_in_a_cell_stands_in_its_row():
    text = "<table>\n<tr><td>outer<table>\n<tr><td>in</td>\n<td>ner</td></tr></table></td>\n<td>b</td></tr></table>"
    rows = Walker().read(text)
    assert [(line.text, line.first, line.last) for line in rows] == [("| outer in; ner | b |", 2, 5), ("| --- | --- |", 2, 5)]


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("<p>Write</p><pre>{{ x }} <code>{% y %}</code></pre><p>so</p>", False),
        ("<PRE>{{ x }}</PRE>{{ y }}", True),
        ("<pre>{{ x }}", True),
        ("{{ x }}<pre></pre>", True),
        ("</pre><code>{{ x }}</code>", False),
    ],
)
def test_what_templates_write_counts_outside_of_code_only(text, template):
    assert is_template(text) == template
