"""Tables as Markdown, once, with their boxes; and nothing that is no table as one."""

from __future__ import annotations

from itertools import pairwise

import pytest

CELLS = [
    ["Sensor", "Range", "Accuracy"],
    ["T-100", "-40 to 85 C", "0.1 K"],
    ["P-200", "0 to 10 bar", "0.5 %"],
    ["L-300", "0 to 6 m", "2 mm"],
]
MARKDOWN = (
    "| Sensor | Range | Accuracy |\n| --- | --- | --- |\n| T-100 | -40 to 85 C | 0.1 K |\n| P-200 | 0 to 10 bar | 0.5 % |\n"
    "| L-300 | 0 to 6 m | 2 mm |"
)
PROSE = "Some prose around the table which is long enough to be a sentence of its own, and then some more. " * 3


def _table(
    page, across=True, down=True, rectangles=False, top=130, left=60, cells=CELLS, widths=(120, 100, 110), height=20, turn=None
):
    """A table; ``turn`` is the rotation of a page on which it stands upright for the reader."""
    place = turn or _as_it_is
    xs = [left]
    for width in widths:
        xs.append(xs[-1] + width)
    bottom = top + height * len(cells)
    for number, row in enumerate(cells):
        for x, cell in zip(xs, row, strict=False):
            page.insert_text(place(x + 4, top + height * number + 14), cell, rotate=page.rotation if turn else 0)
    shape = page.new_shape()
    for y in range(top, bottom + 1, height) if across else ():
        shape.draw_line(place(left, y), place(xs[-1], y))
    for x in xs if down else ():
        shape.draw_line(place(x, top), place(x, bottom))
    for y in range(top, bottom, height) if rectangles else ():
        for x0, x1 in pairwise(xs):
            shape.draw_rect((x0, y, x1, y + height))
    if across or down or rectangles:
        shape.finish()
        shape.commit()


def _as_it_is(x, y):
    return (x, y)


def _around(page):
    page.insert_textbox((60, 40, 500, 120), PROSE)
    page.insert_textbox((60, 250, 500, 400), PROSE)


@pytest.mark.parametrize(
    "ruled",
    [{}, {"down": False}, {"across": False, "down": False}, {"across": False, "down": False, "rectangles": True}],
    ids=["grid", "across", "nothing", "frames"],
)
def test_a_table_is_one_segment_of_markdown_with_its_box_and_its_text_is_not_told_twice(document, read_pdf, in_box, ruled):
    page = document.new_page()
    _around(page)
    _table(page, **ruled)
    segments, row = read_pdf(document)
    assert (row.status, row.reason) == ("read", "")
    assert [segment.text for segment in segments if "|" in segment.text] == [MARKDOWN]
    assert [segment.text.count("T-100") for segment in segments] == [0, 1, 0]
    table = segments[1]
    assert in_box(document, table) == sorted(word for cells in CELLS for cell in cells for word in cell.split())
    assert all(" ".join(segment.text.split()) in " ".join(PROSE.split()) for segment in (segments[0], segments[2]))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_table_that_stands_upright_on_a_turned_page_is_read(document, read_pdf, pymupdf, in_box, rotation):
    page = document.new_page()
    page.set_rotation(rotation)
    _table(page, turn=lambda x, y: pymupdf.Point(x, y) * page.derotation_matrix)
    (table,), _ = read_pdf(document)
    assert table.text == MARKDOWN
    x0, y0, x1, y1 = table.origin.box
    assert (x0, y0, x1, y1) == pytest.approx((60, 130, 390, 210), abs=2)


def test_a_cell_of_several_lines_is_one_cell(document, read_pdf):
    page = document.new_page()
    for y, row in (
        (100, ("Name", "What it does", "Since")),
        (120, ("open", "takes a path and", "1.0")),
        (134, ("", "gives a file", "")),
    ):
        for x, text in zip((60, 160, 320), row, strict=True):
            if text:
                page.insert_text((x, y), text)
    for x, text in zip((60, 160, 320), ("close", "ends it", "1.2"), strict=True):
        page.insert_text((x, 156), text)
    (table,), _ = read_pdf(document)
    assert table.text.split("\n")[2:] == ["| open | takes a path and gives a file | 1.0 |", "| close | ends it | 1.2 |"]


def test_cells_that_are_joined_are_told_in_the_first_of_them(document, read_pdf):
    page = document.new_page()
    shape = page.new_shape()
    for y in (100, 120, 140):
        shape.draw_line((60, y), (260, y))
    for x in (60, 260):
        shape.draw_line((x, 100), (x, 140))
    shape.draw_line((160, 120), (160, 140))
    shape.finish()
    shape.commit()
    page.insert_text((70, 114), "one head over both columns")
    page.insert_text((70, 134), "left")
    page.insert_text((170, 134), "right")
    (table,), _ = read_pdf(document)
    assert table.text.split("\n") == ["| one head over both columns |  |", "| --- | --- |", "| left | right |"]


def test_a_bar_in_a_cell_does_not_end_it(document, read_pdf):
    page = document.new_page()
    _table(page, cells=[["a|b", "c"], ["d", "e"]], widths=(100, 100))
    (table,), _ = read_pdf(document)
    assert table.text.split("\n")[0] == "| a\\|b | c |"


def test_a_long_table_is_cut_between_rows(document, read_pdf, in_box):
    page = document.new_page()
    cells = [[f"row {number}", f"what row {number} says", f"{number * 7}"] for number in range(36)]
    _table(page, cells=cells, widths=(80, 200, 60), top=60)
    segments, _ = read_pdf(document)
    assert len(segments) > 1
    lines = "\n".join(segment.text for segment in segments).split("\n")
    assert [line for line in lines if "---" not in line] == ["| " + " | ".join(row) + " |" for row in cells]
    for segment in segments:
        assert in_box(document, segment) == sorted(segment.text.replace("|", " ").replace("---", " ").split())


def test_two_tables_below_each_other_stay_two(document, read_pdf):
    page = document.new_page()
    _table(page, cells=[["a", "b"], ["c", "d"]], widths=(100, 100), top=100)
    _table(page, cells=[["e", "f"], ["g", "h"]], widths=(100, 100), top=160)
    segments, _ = read_pdf(document)
    assert [segment.text.split("\n")[0] for segment in segments] == ["| a | b |", "| e | f |"]


def test_columns_of_prose_an_index_and_a_chart_are_no_tables(document, read_pdf):
    page = document.new_page()
    for x in (50, 230, 410):
        page.insert_textbox((x, 50, x + 150, 300), PROSE * 2)
    page = document.new_page()
    for column, x in enumerate((50, 230, 410)):
        for row in range(12):
            page.insert_text((x, 60 + 14 * row), f"entry {column}.{row}, 12")
    page = document.new_page()
    for number in range(6):  # the lines of a chart, with its labels outside
        page.draw_line((100, 100 + 30 * number), (400, 100 + 30 * number))
        page.draw_line((100 + 60 * number, 100), (100 + 60 * number, 250))
        page.insert_text((100 + 60 * number, 265), f"{number}")
    segments, _ = read_pdf(document)
    assert not [segment.text for segment in segments if "|" in segment.text]
    index = [segment.text for segment in segments if segment.origin.number == 2]
    assert "\n".join(index).split("\n") == [f"entry {column}.{row}, 12" for column in range(3) for row in range(12)]


def test_rows_between_lines_across_are_rows_however_many_lines_their_cells_have(document, read_pdf):
    page = document.new_page()
    rows = [
        ("Port", "Note", "Height"),
        ("Brest", "tide", "6.1"),
        ("Lorient", "of several\nlines that wrap\naround", "7.0"),
        ("Roscoff", "", "8.8"),
    ]
    y = 100.0
    page.draw_line((50, y), (450, y))
    for row in rows:
        height = 16.0 * (1 + row[1].count("\n"))
        for column, text in enumerate(row):
            lines = text.split("\n")
            for number, line in enumerate(lines):
                middle = y + height / 2 + 16 * (number - (len(lines) - 1) / 2) + 4
                page.insert_text((54 + 150 * column, middle), line, fontsize=10)
        y += height
        for column in range(3):
            page.draw_line((50 + 400 / 3 * column, y), (50 + 400 / 3 * (column + 1), y))
    segments, _ = read_pdf(document)
    table = "\n".join(segment.text for segment in segments)
    assert table == (
        "| Port | Note | Height |\n| --- | --- | --- |\n| Brest | tide | 6.1 |\n"
        "| Lorient | of several lines that wrap around | 7.0 |\n| Roscoff |  | 8.8 |"
    )


def test_prose_between_lines_across_is_no_table(document, read_pdf):
    page = document.new_page()
    for number in range(5):
        page.draw_line((50, 100 + 60 * number), (545, 100 + 60 * number))
        page.insert_textbox(
            (50, 105 + 60 * number, 545, 155 + 60 * number), "Words of a rule of the house that all must keep. " * 4
        )
    segments, _ = read_pdf(document)
    assert not any("---" in segment.text for segment in segments)
