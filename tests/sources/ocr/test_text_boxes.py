"""Lines found in a picture: columns one after the other, rows together, parts that no column ends in the middle of."""

from __future__ import annotations

from longctx.sources.ocr.boxes import PART, Line, blocks_in_order, parts, union


def line(x, y, text, width=200, height=20, level=None):
    box = (float(x), float(y), float(x + width), float(y + height))
    return Line(level or box, box, text)


def texts(lines):
    return [[line.text for line in block] for block in blocks_in_order(lines)]


PROSE = "the gauge was read again before the tide"


def test_columns_are_read_one_after_the_other_below_the_title_of_both():
    title = line(40, 10, "A title over both columns", width=460, height=34)
    left = [line(40, 60 + 24 * n, f"left {n} {PROSE}") for n in range(8)]
    right = [line(300, 63 + 24 * n, f"right {n} {PROSE}") for n in range(8)]
    interleaved = [title, *(one for pair in zip(right, left, strict=True) for one in pair)]
    read = [one for block in texts(interleaved) for one in block]
    assert read == [one.text for one in (title, *left, *right)]


def test_columns_of_a_page_with_very_many_lines_are_read_one_after_the_other():
    left = [line(40, 24 * n, f"left {n} {PROSE}") for n in range(210)]
    right = [line(300, 24 * n + 3, f"right {n} {PROSE}") for n in range(210)]
    interleaved = [one for pair in zip(left, right, strict=True) for one in pair]
    assert [one for block in texts(interleaved) for one in block] == [one.text for one in (*left, *right)]


def test_words_of_one_line_that_jump_a_little_are_joined_from_left_to_right():
    pieces = [line(250, 101, "minutes", width=80), line(40, 99, "every", width=60), line(112, 102, "ten", width=130)]
    assert texts(pieces) == [["every ten minutes"]]


def test_a_row_of_far_cells_is_read_from_left_to_right_although_it_jumps():
    cells = [
        line(400 * column, 40 * row + 3 * (2 - column), f"{row}{column}", width=60) for row in range(3) for column in range(3)
    ]
    read = [one for block in texts(cells) for one in block]
    assert read == [f"{row}{column}" for row in range(3) for column in range(3)]


def test_nothing_and_blank_lines_give_nothing():
    assert blocks_in_order([]) == []
    assert blocks_in_order([line(0, 0, "  "), line(0, 0, "flat", height=0)]) == []


def test_parts_hold_about_a_thousand_characters_and_lose_none():
    block = [((0.0, 20.0 * n, 400.0, 20.0 * n + 18), f"{n} {PROSE}") for n in range(100)]
    found = parts([block])
    assert "\n".join(text for _, text in found) == "\n".join(text for _, text in block)
    assert all(len(text) <= PART + 60 for _, text in found)
    assert len(found) == 5
    for box, text in found:
        lines = [box for box, words in block if words in text.split("\n")]
        assert box == union(lines)


def test_a_part_ends_with_its_column_and_before_a_wide_gap():
    left, right = ((0.0, 500.0, 200.0, 520.0), "left"), ((300.0, 20.0, 500.0, 40.0), "right")
    footer = ((300.0, 900.0, 500.0, 920.0), "footer")
    assert [text for _, text in parts([[left], [right], [footer]])] == ["left", "right", "footer"]
