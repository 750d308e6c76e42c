"""PowerPoint presentations: slides with their numbers, titles and notes, and what is hidden."""

from __future__ import annotations

import io

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches


def lines(segment):
    return segment.text.splitlines()


@pytest.fixture
def deck():
    return pptx.Presentation()


def slide_of(deck, layout, title):
    slide = deck.slides.add_slide(deck.slide_layouts[layout])
    slide.shapes.title.text = title
    return slide


def saved(deck, folder):
    deck.save(folder / "a.pptx")
    return folder / "a.pptx"


def test_slides_have_their_number_title_bullets_and_notes(deck, tmp_path, one):
    first = slide_of(deck, 1, "Plan")
    frame = first.placeholders[1].text_frame
    frame.text = "Measure"
    deeper = frame.add_paragraph()
    deeper.text, deeper.level = "at Brest", 1
    link = frame.add_paragraph().add_run()
    link.text, link.hyperlink.address = "site", "https://example.org"
    first.notes_slide.notes_text_frame.text = "Say hello"
    slide_of(deck, 5, "End")
    row, source = one(saved(deck, tmp_path))
    assert (row.kind, row.status, row.reason) == ("pptx", "read", "")
    assert [str(segment.origin) for segment in source.segments] == [
        "a.pptx, slide 1 paragraphs 1-5",
        "a.pptx, slide 2 paragraph 1",
    ]
    assert lines(source.segments[0]) == [
        "# Plan",
        "- Measure",
        "  - at Brest",
        "- [site](https://example.org)",
        "Notes: Say hello",
    ]
    assert [segment.heading for segment in source.segments] == ["Plan", "End"]


def test_every_line_of_a_slide_stands_there_for_another_reader(deck, tmp_path, one):
    for number in range(3):
        slide_of(deck, 1, f"Title {number}").placeholders[1].text = f"one {number}\ntwo {number}"
    file = saved(deck, tmp_path)
    _, source = one(file)
    for segment, slide in zip(source.segments, pptx.Presentation(file).slides, strict=True):
        texts = [p.text for shape in slide.shapes for p in shape.text_frame.paragraphs]
        assert segment.origin.part == f"slide {slide.part.partname.idx}"
        assert [line.lstrip("#- ") for line in lines(segment)] == texts
        assert [segment.lines_at(index)[0] for index in range(3)] == [1, 2, 3]


def test_a_hidden_slide_is_read_and_flagged(deck, tmp_path, one):
    slide_of(deck, 5, "Shown")
    slide_of(deck, 5, "Hidden")._element.set("show", "0")
    row, source = one(saved(deck, tmp_path))
    assert row.reason == "hidden: slide 2"
    assert [segment.origin.part for segment in source.segments] == ["slide 1", "slide 2 (hidden)"]


def test_tables_and_the_numbers_behind_charts_are_tables(deck, tmp_path, one):
    slide = slide_of(deck, 5, "Numbers")
    table = slide.shapes.add_table(2, 2, 0, 0, Inches(3), Inches(1)).table
    table.cell(0, 0).merge(table.cell(0, 1))
    table.cell(0, 0).text, table.cell(1, 0).text, table.cell(1, 1).text = "both", "a", "b"
    table.cell(0, 1).text = "left by the merge, and shown by nobody"
    data = CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("Sales", (1, 2.5))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(3), Inches(3), data)
    _, source = one(saved(deck, tmp_path))
    assert lines(source.segments[0]) == [
        "# Numbers", "| both |  |", "| --- | --- |", "| a | b |",
        "[Chart]", "|  | Sales |", "| --- | --- |", "| Q1 | 1 |", "| Q2 | 2.5 |",
    ]  # fmt: skip


def test_pictures_are_seen_on_their_slide_also_inside_of_groups(deck, tmp_path, one, png):
    slide = slide_of(deck, 5, "Look")
    picture = slide.shapes.add_picture(io.BytesIO(png(1)), 0, 0)
    picture._element.nvPicPr.cNvPr.set("descr", "A whale")
    slide.shapes.add_group_shape([slide.shapes.add_picture(io.BytesIO(png(2)), 0, 0)])
    slide_of(deck, 5, "Again").shapes.add_picture(io.BytesIO(png(1)), 0, 0)
    row, source = one(saved(deck, tmp_path))
    assert row.reason == "1 picture left out: repeated"
    assert [segment.origin.part for segment in source.segments if segment.visuals] == ["slide 1", "slide 1"]
    assert "[Picture: A whale]\n" in source.segments[0].text
