"""Notebooks: cells in order, outputs that say what they are, and nothing that poses as source."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.corpus import Lines
from longctx.sources import read
from longctx.sources.notebook import OUTPUT_HEAD, OUTPUT_TAIL, parse_notebook


def _cell(source, outputs=(), kind="code", **more):
    return {"cell_type": kind, "source": source, "outputs": list(outputs), "metadata": {}, **more}


def _parsed(*cells):
    return parse_notebook("nb.ipynb", json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}).encode())


def _stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def test_cells_come_in_order_with_their_number_and_lines(write):
    cells = [_cell("# Tides\n\ntext", kind="markdown"), _cell(""), _cell(["import math\n", "x = 1"]), _cell("raw", kind="raw")]
    corpus = read(write({"nb.ipynb": json.dumps({"cells": cells})}))
    (source,) = corpus.sources
    assert source.kind == "notebook"
    assert [(segment.origin, segment.text, segment.heading) for segment in source.segments] == [
        (Lines("nb.ipynb", 1, 3, 1), "# Tides\n\ntext", "Tides"),
        (Lines("nb.ipynb", 1, 2, 3), "import math\nx = 1", "Tides"),
        (Lines("nb.ipynb", 1, 1, 4), "raw", "Tides"),
    ]


@given(st.lists(st.text(st.sampled_from("ab\n\r é\u2028"), max_size=300), max_size=4))
@settings(max_examples=80, deadline=None)
def test_slicing_a_cell_by_an_origin_gives_the_segment(sources):
    import re

    parsed = _parsed(*(_cell(source) for source in sources))
    for segment in parsed.segments:
        lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", sources[segment.origin.cell - 1])
        assert "".join(lines[segment.origin.first - 1 : segment.origin.last]) == segment.text
    for number, source in enumerate(sources, start=1):
        assert "".join(segment.text for segment in parsed.segments if segment.origin.cell == number) == source


def test_an_output_says_that_it_is_one_and_points_to_the_cell_that_made_it():
    parsed = _parsed(
        _cell("a = 1\nprint(a)", [_stream(["1\n", "2\n"]), {"output_type": "execute_result", "data": {"text/plain": "'x'"}}])
    )
    source, output = parsed.segments
    assert source.text == "a = 1\nprint(a)"
    assert output.text == "Output of cell 1:\n1\n2\n'x'"
    assert (output.origin, output.heading) == (Lines("nb.ipynb", 1, 2, 1), "output of cell 1")


def test_tracebacks_lose_their_colours_and_progress_bars_their_past():
    error = {
        "output_type": "error",
        "ename": "E",
        "evalue": "v",
        "traceback": ["\x1b[0;31mKeyError\x1b[0m", "\x1b]8;;x\x07'tide'"],
    }
    parsed = _parsed(_cell("x", [_stream(" 10%|#\r 50%|##\r100%|###\ndone\r\n"), error]))
    assert parsed.segments[1].text == "Output of cell 1:\n100%|###\ndone\nKeyError\n'tide'"


def test_pictures_and_rich_outputs_are_left_out_and_counted():
    picture = {"output_type": "display_data", "data": {"image/png": "iVBOR" * 1000, "text/plain": "<Figure size 1x1>"}}
    table = {"output_type": "execute_result", "data": {"text/html": "<table>", "text/plain": "a  b"}}
    widget = {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}}
    note = _cell("![x](attachment:x.png)", kind="markdown", attachments={"x.png": {"image/png": "iVBOR"}})
    parsed = _parsed(_cell("plot()", [picture, table, widget]), note)
    assert parsed.status == "read"
    assert parsed.reason == "2 pictures and 1 rich output left out"
    assert [segment.text for segment in parsed.segments] == ["plot()", "Output of cell 1:\na  b", "![x](attachment:x.png)"]


def test_a_long_output_keeps_both_ends_and_the_row_says_so():
    parsed = _parsed(_cell("x", [_stream("start " + "." * 5000 + " end")]))
    output = parsed.segments[1].text
    assert "start" in output
    assert output.endswith(" end")
    over = 5010 - OUTPUT_HEAD - OUTPUT_TAIL
    assert f"[{over:,} characters left out]" in output
    assert (parsed.status, parsed.reason) == ("truncated", f"1 output shortened by {over:,} characters")


def test_a_notebook_of_format_3_is_read():
    sheet = {
        "cells": [
            {"cell_type": "heading", "source": "Old", "level": 1},
            {"cell_type": "code", "input": "1", "outputs": [{"output_type": "pyout", "text": "1", "png": "iVBOR"}]},
        ]
    }
    parsed = parse_notebook("nb.ipynb", json.dumps({"worksheets": [sheet]}).encode())
    assert [segment.text for segment in parsed.segments] == ["Old", "1", "Output of cell 2:\n1"]
    assert parsed.segments[1].heading == "Old"
    assert parsed.reason == "1 picture left out"


def test_lone_surrogates_in_its_json_do_not_come_out():
    cell = b'{"cell_type": "code", "source": "a\\ud800b\\u0000", "outputs": [{"output_type": "stream", "text": "\\udfff"}]}'
    parsed = parse_notebook("nb.ipynb", b'{"cells": [' + cell + b"]}")
    assert [segment.text for segment in parsed.segments] == ["a\ufffdb\ufffd", "Output of cell 1:\n\ufffd"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not a notebook: Expecting property name"),
        (b"[]", "not a notebook: an object expected, but found list"),
        (b"{}", "not a notebook: cells expected, but found NoneType"),
        (b'{"cells": [1]}', "not a notebook: a cell expected, but found int"),
        (b'{"cells": [{"source": 5}]}', "not a notebook: a list expected, but found int"),
        (b'{"cells": [{"source": "", "outputs": {"a": 1}}]}', "not a notebook: a list expected, but found dict"),
        (b"\x00\x01\x02", "not a notebook: it is no text"),
        (b"[" * 100_000, "not a notebook: its JSON is nested too deeply"),
    ],
)
def test_a_broken_notebook_has_a_failed_row_that_says_why(data, reason):
    parsed = parse_notebook("nb.ipynb", data)
    assert (parsed.status, parsed.segments) == ("failed", ())
    assert parsed.reason.startswith(reason)


def test_a_notebook_without_text_is_empty():
    assert _parsed().reason == _parsed(_cell("")).reason == parse_notebook("nb.ipynb", b"").reason == "empty"
