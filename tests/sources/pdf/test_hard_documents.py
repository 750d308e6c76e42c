"""Documents as they are met: odd columns, upright writing, letters without meaning, pages at which the reader dies."""

from __future__ import annotations

import sys

import pytest

from longctx.sources import process, read

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()  # noqa: SIM905


def prose(count, tag):
    return " ".join(f"{tag}{number}{WORDS[number % len(WORDS)]}" for number in range(count))


def spread(segments):
    return " ".join(" ".join(segment.text for segment in segments).split())


def test_a_title_in_the_middle_of_three_columns_comes_first_and_the_number_of_the_page_last(document, read_pdf):
    page = document.new_page()
    page.insert_text((50, 30), "The journal")
    page.insert_text((235, 60), "A title above", fontsize=20)
    for column in range(3):
        box = (40 + 175 * column, 90, 200 + 175 * column, 640 - 120 * column)
        page.insert_textbox(box, prose(120 - 30 * column, "abc"[column]), fontsize=9)
    page.insert_text((287, 820), "17")
    segments, _ = read_pdf(document)
    text = spread(segments)
    wanted = ["The journal", "A title above", "a0alpha", "a119kappa", "b0alpha", "b89kappa", "c0alpha", "c59kappa", "17"]
    assert [text.count(words) for words in wanted[:-1]] == [1] * 8
    assert sorted(wanted[:-1], key=text.index) == wanted[:-1]
    assert text.endswith(" 17")
    assert "17" not in {segment.heading for segment in segments}


def test_columns_that_are_written_downwards_are_lines_from_right_to_left(document, read_pdf):
    page = document.new_page()
    columns = ["吾輩は猫である。名前はまだ無い。", "どこで生れたかとんと見当がつかぬ。", "何でも薄暗い所で泣いていた。"]
    font = document.get_new_xref()
    descendant = document.get_new_xref()
    document.update_object(
        descendant,
        "<</Type/Font/Subtype/CIDFontType0/BaseFont/HeiseiMin-W3"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>"
        "/FontDescriptor<</Type/FontDescriptor/FontName/HeiseiMin-W3/Flags 4/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 723"
        "/Descent -241/CapHeight 709/StemV 69>>/DW 1000>>",
    )
    document.update_object(
        font, f"<</Type/Font/Subtype/Type0/BaseFont/HeiseiMin-W3/Encoding/UniJIS-UCS2-V/DescendantFonts[{descendant} 0 R]>>"
    )
    document.xref_set_key(page.xref, "Resources", f"<</Font<</V {font} 0 R>>>>")
    drawn = [
        f"BT /V 16 Tf {500 - 30 * number} 780 Td <{column.encode('utf-16-be').hex()}> Tj ET"
        for number, column in enumerate(columns)
    ]
    stream = document.get_new_xref()
    document.update_object(stream, "<<>>")
    document.update_stream(stream, "\n".join(drawn).encode())
    document.xref_set_key(page.xref, "Contents", f"{stream} 0 R")
    segments, _ = read_pdf(document)
    (segment,) = segments
    assert segment.text.split("\n") == columns
    x0, y0, x1, y1 = segment.origin.box
    assert (x0 < 450, y0 < 80, x1 > 490, y1 > 300) == (True,) * 4


def test_a_page_whose_fonts_do_not_say_what_their_letters_are_is_a_picture_and_told(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_font(fontname="F0", fontbuffer=pymupdf.Font("cjk").buffer)
    page.insert_text((50, 50), "the meaning of these words is lost here", fontname="F0")
    document.new_page().insert_text((50, 50), "plain words")
    changed = pymupdf.open("pdf", document.tobytes())
    for xref in range(1, changed.xref_length()):
        if changed.xref_get_key(xref, "ToUnicode")[0] != "null":
            changed.xref_set_key(xref, "ToUnicode", "null")
    assert "meaning" not in changed[0].get_text()
    segments, row = read_pdf(changed)
    assert [(s.origin.number, bool(s.visuals), s.text) for s in segments] == [(1, True, ""), (2, False, "plain words")]
    assert row.reason.startswith("fonts on page 1 do not say which letters they draw")


def test_attached_files_and_layers_that_are_switched_off_are_told(document, read_pdf):
    page = document.new_page()
    page.insert_text((50, 50), "the page")
    page.insert_text((50, 80), "a layer", oc=document.add_ocg("French", on=False))
    document.embfile_add("data.csv", b"a,b\n1,2\n")
    segments, row = read_pdf(document)
    assert [segment.text for segment in segments] == ["the page"]
    assert row.reason == "left out: 1 attached file, 'data.csv'; left out: what stands on 1 layer switched off, 'French'"


# -- a reader that dies --------------------------------------------------------------------------------------------------
DYING = """
import os, sys, signal
import longctx.sources.pdf.pages as pages
plain = pages.page_reply
def dying(page, heading=""):
    if page.number in {numbers}:
        os.kill(os.getpid(), signal.SIGSEGV)
    return plain(page, heading)
pages.page_reply = dying
from longctx.sources.worker import main
main()
"""


@pytest.fixture
def reader_dies_at(monkeypatch):
    def _at(*numbers):
        command = (sys.executable, "-W", "ignore", "-c", DYING.format(numbers=set(numbers)))
        monkeypatch.setattr(process, "COMMAND", command)

    return _at


@pytest.mark.parametrize(
    ("deaths", "pages", "unread"),
    [((2,), [1, 2, 4, 5, 6], "page 3"), ((0, 5), [2, 3, 4, 5], "pages 1, 6"), ((1, 2, 3), [1], "pages 2-6")],
)
def test_a_page_at_which_the_reader_dies_costs_itself_and_not_the_others(
    write, document, reader_dies_at, deaths, pages, unread
):
    for number in range(6):
        document.new_page().insert_text((50, 50), f"page {number + 1}")
    top = write({"a.pdf": document.tobytes(), "b.txt": "still read\n"})
    reader_dies_at(*deaths)
    corpus = read(top)
    assert [s.text for s in corpus.sources[0].segments] == [f"page {number}" for number in pages]
    row = next(row for row in corpus.manifest if row.path == "a.pdf")
    assert row.status == "truncated"
    assert row.reason == f"{unread} cannot be read: the PDF reader crashed (signal 11, Segmentation fault)"
    assert corpus.manifest[-1].status == "read"


def test_a_document_of_which_no_page_survives_has_failed(write, document, reader_dies_at):
    document.new_page().insert_text((50, 50), "page 1")
    top = write({"a.pdf": document.tobytes(), "b.txt": "still read\n"})
    reader_dies_at(0)
    row = next(row for row in read(top).manifest if row.path == "a.pdf")
    assert (row.status, row.reason) == ("failed", "the PDF reader crashed (signal 11, Segmentation fault)")


# -- places ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_hold_on_a_turned_and_cut_page_with_a_unit_of_its_own(document, read_pdf, pymupdf, rotation):
    page = document.new_page()
    page.insert_textbox((150, 150, 400, 300), prose(30, "a"), fontsize=10)
    page.set_cropbox(pymupdf.Rect(100, 100, 550, 700))
    page.set_rotation(rotation)
    document.xref_set_key(page.xref, "UserUnit", "2")
    again = pymupdf.open("pdf", document.tobytes())
    segments, _ = read_pdf(again)
    drawn = again[0].get_pixmap(colorspace=pymupdf.csGRAY)
    dark = [at for at, grey in enumerate(drawn.samples) if grey < 128]
    xs, ys = [at % drawn.width for at in dark], [at // drawn.width for at in dark]
    (x0, y0, x1, y1) = segments[0].origin.box
    assert (x0 - 2 <= min(xs), y0 - 2 <= min(ys), max(xs) <= x1 + 2, max(ys) <= y1 + 2) == (True,) * 4
    assert (x1 - x0) * (y1 - y0) < 1.6 * (max(xs) - min(xs)) * (max(ys) - min(ys))


def test_columns_of_a_page_written_from_right_to_left_begin_at_the_right(document, read_pdf):
    page = document.new_page()
    for column, left in enumerate((40, 305)):
        words = " ".join(f"שורה{'אב'[column]}{number}" for number in range(120))
        page.insert_htmlbox((left, 50, left + 250, 700), f"<p dir=rtl style='font-size:10px'>{words}</p>")
    segments, _ = read_pdf(document)
    text = spread(segments)
    wanted = ["שורהב0 ", "שורהב119", "שורהא0 ", "שורהא119"]
    assert sorted(wanted, key=text.index) == wanted


def test_a_line_that_is_struck_twice_to_look_bold_is_read_once_and_lines_that_are_alike_all(document, read_pdf):
    page = document.new_page()
    for moved in (0, 0.3, 0.6):
        page.insert_text((50 + moved, 100), "Bold by striking")
    for row in range(3):
        page.insert_text((50, 200 + 14 * row), "the same words")
    segments, _ = read_pdf(document)
    assert spread(segments) == "Bold by striking the same words the same words the same words"
