"""Notebooks: cells in order, outputs that say what they are, and nothing that poses as source."""

from __future__ import annotations

import base64
import io
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.corpus import Lines
from longctx.errors import SourceChangedError
from longctx.sources import read
from longctx.sources.texts import notebook
from longctx.sources.texts.notebook import OUTPUT_HEAD, OUTPUT_TAIL, parse_notebook


def _cell(source, outputs=(), kind="code", **more):
    return {"cell_type": kind, "source": source, "outputs": list(outputs), "metadata": {}, **more}


def _parsed(*cells):
    return _parse(json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}).encode())


def _parse(data):
    return parse_notebook("nb.ipynb", io.BytesIO(data))


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


@pytest.mark.parametrize("printed", ["x y " * 100_000, "\r" * 400_000, "x\r" * 200_000, "\x1b[" * 200_000, "\x1b]" * 200_000])
def test_no_output_takes_long(printed):
    before = time.process_time()
    assert _parsed(_cell("x", [_stream(f"{printed}\nend")])).segments[-1].text.endswith("\nend")
    assert time.process_time() - before < 2


def test_outputs_that_are_null_and_sheets_that_are_none_lose_no_cell():
    assert [segment.text for segment in _parsed(_cell("x") | {"outputs": None}, _cell("y")).segments] == ["x", "y"]
    (segment,) = _parse(json.dumps({"worksheets": [], "cells": [_cell("x")]}).encode()).segments
    assert segment.text == "x"


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
    parsed = _parse(json.dumps({"worksheets": [sheet]}).encode())
    assert [segment.text for segment in parsed.segments] == ["Old", "1", "Output of cell 2:\n1"]
    assert parsed.segments[1].heading == "Old"
    assert parsed.reason == "1 picture left out"


def test_lone_surrogates_in_its_json_do_not_come_out():
    cell = b'{"cell_type": "code", "source": "a\\ud800b\\u0000", "outputs": [{"output_type": "stream", "text": "\\udfff"}]}'
    parsed = _parse(b'{"cells": [' + cell + b"]}")
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
    parsed = _parse(data)
    assert (parsed.status, parsed.segments) == ("failed", ())
    assert parsed.reason.startswith(reason)


def test_a_notebook_without_text_is_empty():
    assert _parsed().reason == _parsed(_cell("")).reason == _parse(b"").reason == "empty"


# -- pictures --------------------------------------------------------------------------------------------------------
def _png(seed=0, width=64, height=48):
    from PIL import Image

    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _base64(data):
    return base64.b64encode(data).decode()


def _figure(data, mime="image/png"):
    return {"output_type": "display_data", "data": {mime: data, "text/plain": "<Figure size 640x480 with 1 Axes>"}}


def _frame(segment):
    (visual,) = segment.visuals
    (frame,) = visual.medium.frames(visual.places, visual.width, visual.height, lambda: None)
    return frame.pixels.tobytes()


def _pixels(data):
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_pictures_in_outputs_attachments_and_addresses_are_seen_behind_their_cell(write, rows):
    first, second, third = _png(1), _png(2), _png(3)
    cells = [
        _cell(["plot()\n", "show()"], [_figure(_base64(first)), _stream("done")]),
        _cell("![x](attachment:x.png)", kind="markdown", attachments={"x.png": {"image/png": _base64(second)}}),
        _cell(f"before\n![y](data:image/png;base64,{_base64(third)})\nafter", kind="markdown"),
    ]
    corpus = read(write({"nb.ipynb": json.dumps({"cells": cells, "nbformat": 4})}))
    assert (rows(corpus)["nb.ipynb"].status, rows(corpus)["nb.ipynb"].reason) == ("read", "")
    (source,) = corpus.sources
    assert [(segment.text, segment.origin, bool(segment.visuals)) for segment in source.segments] == [
        ("plot()\nshow()", Lines("nb.ipynb", 1, 2, 1), False),
        ("Output of cell 1:\ndone", Lines("nb.ipynb", 1, 2, 1), False),
        ("", Lines("nb.ipynb", 1, 2, 1), True),
        ("![x](attachment:x.png)", Lines("nb.ipynb", 1, 1, 2), False),
        ("", Lines("nb.ipynb", 1, 1, 2), True),
        (
            f"before\n![y](data:image/png;base64,[base64, {len(_base64(third).rstrip('=')):,} characters left out])\nafter",
            Lines("nb.ipynb", 1, 3, 3),
            False,
        ),
        ("", Lines("nb.ipynb", 1, 3, 3), True),
    ]
    seen = [_frame(segment) for segment in source.segments if segment.visuals]
    assert seen == [_pixels(one) for one in (first, second, third)]


def test_a_picture_of_format_3_with_line_breaks_in_its_base64_is_seen(write):
    data = base64.encodebytes(_png(4)).decode()
    assert "\n" in data.strip()
    sheet = {"cells": [{"cell_type": "code", "input": "1", "outputs": [{"output_type": "display_data", "png": data}]}]}
    (source,) = read(write({"nb.ipynb": json.dumps({"nbformat": 3, "worksheets": [sheet]})})).sources
    assert _frame(source.segments[-1]) == _pixels(_png(4))


def test_pictures_that_cannot_be_seen_are_counted_in_the_row(write, rows):
    damaged = _base64(b"\x89PNG\r\n\x1a\n" + bytes(500))
    figures = [
        _figure(damaged),
        _figure("iVBOR"),
        _figure(_base64(_png(1))),
        _figure(_base64(_png(1))),
        _figure(_base64(_png(2, 9, 9))),
    ]
    figures.append(_figure("<svg/>", "image/svg+xml"))
    corpus = read(write({"nb.ipynb": json.dumps({"cells": [_cell("plot()", figures)]})}))
    assert rows(corpus)["nb.ipynb"].reason == (
        "2 pictures left out; 1 picture left out: damaged or of a format that is not decoded; "
        "1 picture left out: repeated; 1 picture left out: too small to show anything"
    )
    assert sum(bool(segment.visuals) for segment in corpus.sources[0].segments) == 1


def test_a_picture_of_a_notebook_that_changed_is_no_longer_shown(write):
    top = write({"nb.ipynb": json.dumps({"cells": [_cell("plot()", [_figure(_base64(_png(1)))])]})})
    segment = read(top).sources[0].segments[-1]
    (top / "nb.ipynb").write_text("{}")
    with pytest.raises(SourceChangedError):
        _frame(segment)


def test_a_bomb_in_a_notebook_is_left_out_and_the_rest_is_read(write, rows):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(99999)))
    )
    cells = [_cell("plot()", [_figure(_base64(bomb)), _figure(_base64(_png(1)))])]
    corpus = read(write({"nb.ipynb": json.dumps({"cells": cells})}))
    assert rows(corpus)["nb.ipynb"].reason == "1 picture left out: damaged or of a format that is not decoded"
    assert _frame(corpus.sources[0].segments[-1]) == _pixels(_png(1))


def test_a_quote_of_an_output_leads_to_the_whole_cell():
    from longctx.citations.quotes import narrowed

    parsed = _parsed(_cell("x = 1\nprint(x)", [_stream("one\ntwo\nthree\nfour\n")]))
    output = parsed.segments[1]
    place = output.text.index("four")
    assert narrowed(output, place, place + 4) == Lines("nb.ipynb", 1, 2, 1)


def test_base64_in_text_is_left_out_with_its_size_and_short_runs_stay():
    long, short = "QUJD" * 2000, "=" * 100
    parsed = _parsed(_cell("print(x)", [_stream(f"{long}\n{short}\n")]))
    assert parsed.segments[1].text == f"Output of cell 1:\n[base64, 8,000 characters left out]\n{short}"


def test_markdown_that_was_displayed_is_read_instead_of_its_name():
    shown = {
        "output_type": "display_data",
        "data": {"text/markdown": "**High** tide", "text/plain": "<IPython.core.display.Markdown object>"},
    }
    assert _parsed(_cell("x", [shown])).segments[1].text == "Output of cell 1:\n**High** tide"


@pytest.mark.parametrize("mime", ["text/markdown", "text/latex"])
def test_words_that_are_the_only_form_of_an_output_are_read(mime):
    output = {"output_type": "display_data", "data": {mime: ["**so**\n", "$x$"], "text/html": "<b>so</b>"}}
    parsed = _parsed(_cell("show()", [output]))
    assert (parsed.segments[1].text, parsed.reason) == ("Output of cell 1:\n**so**\n$x$", "")


def test_a_notebook_that_is_too_long_without_its_base64_has_a_row(monkeypatch):
    monkeypatch.setattr(notebook, "LARGEST", 1000)
    parsed = _parsed(_cell("x " * 2000))
    assert (parsed.status, parsed.reason) == ("skipped", "too large: more than 1,000 bytes without base64")


def test_a_notebook_of_many_large_pictures_is_read_in_flat_memory(tmp_path):
    import tracemalloc

    pictures = ",".join(json.dumps(_figure("A" * 2_000_000)) for _ in range(4))
    with open(tmp_path / "nb.ipynb", "w") as stream:
        stream.write(
            '{"cells": ['
            + ",".join('{"cell_type": "code", "source": "x", "outputs": [' + pictures + "]}" for _ in range(6))
            + "]}"
        )
    assert (tmp_path / "nb.ipynb").stat().st_size > 45_000_000
    with open(tmp_path / "nb.ipynb", "rb") as stream:
        tracemalloc.start()
        parsed = parse_notebook("nb.ipynb", stream)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert parsed.reason == "24 pictures left out"
    assert peak < 24 * 2**20
