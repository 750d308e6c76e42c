"""The order in which a page is read, and the writing in which it is."""

from __future__ import annotations

from pathlib import Path

import pytest

TEXT = "and words that fill the lines of this column so that it looks like prose and nothing else at all "
DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"


def _order(segments, *words):
    text = "\n".join(segment.text for segment in segments)
    places = [text.index(word) for word in words]
    assert places == sorted(places), text


def test_three_columns_are_read_one_after_the_other_below_their_headline(document, read_pdf):
    page = document.new_page()
    page.insert_text((50, 60), "A headline over all three columns of it", fontsize=20)
    for name, x in (("THIRD", 400), ("FIRST", 40), ("SECOND", 220)):
        page.insert_textbox((x, 90, x + 160, 700), f"{name} {TEXT * 5}{name}-END")
    segments, _ = read_pdf(document)
    _order(segments, "A headline", "FIRST", "FIRST-END", "SECOND", "SECOND-END", "THIRD", "THIRD-END")


def test_a_sidebar_a_footnote_a_running_head_and_a_page_number_keep_their_places(document, read_pdf):
    page = document.new_page()
    page.insert_text((50, 30), "RUNNING HEAD", fontsize=8)
    page.insert_textbox((50, 60, 350, 600), f"BODY {TEXT * 9}BODY-END")
    page.insert_textbox((380, 60, 550, 300), f"SIDEBAR {TEXT * 3}SIDEBAR-END", fontsize=9)
    page.insert_textbox((50, 700, 550, 760), f"FOOTNOTE {TEXT * 3}", fontsize=7)
    page.insert_text((300, 820), "17", fontsize=9)
    segments, _ = read_pdf(document)
    _order(segments, "RUNNING HEAD", "BODY", "BODY-END", "SIDEBAR", "SIDEBAR-END", "FOOTNOTE", "17")
    assert not any("BODY" in segment.text and "SIDEBAR" in segment.text for segment in segments)
    assert segments[-1].text.split("\n")[-1] == "17"


def test_a_caption_stands_by_its_figure(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 60, 500, 200), f"BEFORE {TEXT * 3}")
    picture = pymupdf.Pixmap(pymupdf.csRGB, (0, 0, 200, 100), False)
    picture.clear_with(90)
    page.insert_image((150, 220, 350, 320), pixmap=picture)
    page.insert_text((150, 340), "Figure 1: a grey field", fontsize=9)
    page.insert_textbox((50, 380, 500, 600), f"AFTER {TEXT * 3}")
    segments, _ = read_pdf(document)
    kinds = ["picture" if segment.visuals else segment.text.split()[0] for segment in segments]
    assert kinds in (["BEFORE", "picture", "Figure"], ["BEFORE", "picture", "Figure", "AFTER"])


HEBREW = "הלוח מציג את גובה המים בנמל בכל דקה, 456 מדידות ביום (test run) ועוד מילים"
JAPANESE = "日本語のテキストです。"
KOREAN = "한국어 텍스트"


def test_hebrew_comes_in_logical_order_and_in_whole_lines(document, read_pdf):
    page = document.new_page()
    page.insert_htmlbox((50, 50, 500, 200), f"<p dir='rtl'>{HEBREW}</p>")
    (segment,), _ = read_pdf(document)
    assert segment.text == HEBREW


@pytest.mark.parametrize("words", ["שלום עולם", "مرحبا بالعالم"])
def test_words_that_are_painted_from_left_to_right_come_in_logical_order(document, read_pdf, words):
    matplotlib = pytest.importorskip("matplotlib")
    page = document.new_page()
    page.insert_font(fontname="dejavu", fontfile=str(Path(matplotlib.__file__).parent / DEJAVU))
    page.insert_text((50, 100), words[::-1], fontname="dejavu")
    (segment,), _ = read_pdf(document)
    assert segment.text == words


@pytest.mark.parametrize("words", [JAPANESE, "中文文本，没有空格。", KOREAN])
def test_chinese_japanese_and_korean_are_kept(document, read_pdf, words):
    page = document.new_page()
    page.insert_htmlbox((50, 50, 500, 200), f"<p>{words}</p>")
    (segment,), _ = read_pdf(document)
    assert segment.text == words


def test_ligatures_are_letters_and_hyphens_at_line_ends_stay_as_they_stand(document, read_pdf):
    from longctx.citations.quotes import find

    page = document.new_page()
    page.insert_htmlbox((50, 50, 500, 90), "<p>The oﬃce is ﬁne</p>")
    page.insert_text((50, 120), "This is the infor-")
    page.insert_text((50, 134), "mation desk")
    segments, _ = read_pdf(document)
    text = "\n".join(segment.text for segment in segments)
    assert "The office is fine" in text
    assert "infor-\nmation desk" in text
    assert find("the information desk", text, joined=True), "a quote with the word joined is still found"
