"""Figures on pages with text are pictures that are cut out; decoration is counted; a scan with a stamp is still a scan."""

from __future__ import annotations

import random

import numpy as np
import pytest

TEXT = "Words around the figure, enough of them to be the text of this page and to fill a line or two. " * 4


def picture(pymupdf, seed, width=200, height=100):
    """A picture like no other."""
    return pymupdf.Pixmap(pymupdf.csRGB, width, height, random.Random(seed).randbytes(width * height * 3), False)


def looks(segments):
    return [(s.origin.number, s.origin.box, v.places, (v.width, v.height)) for s in segments for v in s.visuals]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_figure_is_cut_out_as_it_is_seen(document, read_pdf, pymupdf, rotation):
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    page.insert_image((100, 220, 300, 320), pixmap=picture(pymupdf, 1))
    page.set_rotation(rotation)
    segments, row = read_pdf(document)
    box = (pymupdf.Rect(100, 220, 300, 320) * page.rotation_matrix).normalize()
    size = (200, 100) if rotation % 180 == 0 else (100, 200)
    assert looks(segments) == [(1, tuple(box), (1.0,), size)]
    (figure,) = (segment for segment in segments if segment.visuals)
    assert (figure.heading, figure.text, row.reason) == ("figure", "", "")
    medium = figure.visuals[0].medium
    (frame,) = medium.frames([1.0], *size, lambda: None)
    drawn = page.get_pixmap(clip=box, alpha=False)
    assert frame.pixels.shape == (size[1], size[0], 3)
    assert np.abs(frame.pixels.astype(int).ravel() - np.frombuffer(drawn.samples, np.uint8)).max() == 0
    assert medium.look(1.0, 100).startswith(b"\xff\xd8")


def test_two_figures_of_a_page_are_told_apart_by_their_identity(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    for number in range(2):
        page.insert_image((100, 220 + 150 * number, 300, 320 + 150 * number), pixmap=picture(pymupdf, number))
    segments, _ = read_pdf(document)
    identities = {visual.medium.identity for segment in segments for visual in segment.visuals}
    assert len(identities) == 2


def test_figures_come_from_top_to_bottom_in_whatever_order_they_were_painted(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    for number in (1, 2, 0):
        page.insert_image((100, 220 + 150 * number, 300, 320 + 150 * number), pixmap=picture(pymupdf, number))
    segments, _ = read_pdf(document)
    assert [round(segment.origin.box[1]) for segment in segments if segment.visuals] == [220, 370, 520]


def test_small_and_repeated_pictures_are_left_out_and_counted(document, read_pdf, pymupdf):
    logo = picture(pymupdf, 0, 80, 80)
    xref = 0
    for number in range(4):
        page = document.new_page()
        page.insert_textbox((50, 150, 500, 300), TEXT)
        xref = (
            page.insert_image((450, 20, 530, 100), pixmap=logo, xref=xref)
            if xref
            else page.insert_image((450, 20, 530, 100), pixmap=logo)
        )
        page.insert_image((50, 400, 62, 412), pixmap=picture(pymupdf, 50 + number, 30, 30))
    page.insert_image((100, 500, 300, 600), pixmap=picture(pymupdf, 9))
    segments, row = read_pdf(document)
    assert [(number, box) for number, box, _, _ in looks(segments)] == [(4, (100.0, 500.0, 300.0, 600.0))]
    assert row.reason == "8 small or repeated pictures left out"


def test_stripes_of_one_picture_are_one_figure(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    for number in range(5):
        page.insert_image(
            (100, 220 + 20 * number, 300, 240 + 20 * number), pixmap=picture(pymupdf, number, 200, 20), keep_proportion=False
        )
    segments, _ = read_pdf(document)
    assert [box for _, box, _, _ in looks(segments)] == [(100.0, 220.0, 300.0, 320.0)]


def test_whole_pages_as_pictures_show_the_figures_already(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    page.insert_image((100, 220, 300, 320), pixmap=picture(pymupdf, 1))
    segments, _ = read_pdf(document, pages_as_pictures=True)
    assert [size for *_, size in looks(segments)] == [(595, 842)]


def _scan(pymupdf, document, text, stamp=""):
    with pymupdf.open() as original:
        page = original.new_page(width=300, height=400)
        page.insert_textbox((30, 60, 270, 380), text, fontsize=16)
        drawn = page.get_pixmap(dpi=200)
    page = document.new_page(width=300, height=400)
    page.insert_image(page.rect, pixmap=drawn)
    if stamp:
        page.insert_text((20, 20), stamp, fontsize=9)
    return page


def test_a_scan_with_a_stamp_and_a_page_number_is_a_scan(document, read_pdf, pymupdf):
    _scan(pymupdf, document, "what the paper says", stamp="RECEIVED 3 May, page 1 of 2")
    document.new_page().insert_textbox((50, 50, 500, 200), TEXT)
    segments, row = read_pdf(document)
    assert looks(segments) == [(1, (0.0, 0.0, 300.0, 400.0), (1.0,), (300, 400))]
    assert [segment.text for segment in segments][:2] == ["", "RECEIVED 3 May, page 1 of 2"]
    assert row.reason == "page 1 is a picture (scanned)"


def test_for_a_model_that_cannot_see_a_stamped_scan_and_a_figure_are_read_as_text(document, write, pymupdf, tmp_path):
    from longctx.sources import read
    from longctx.sources.ocr.timeline import HEADING
    from longctx.sources.promises import fulfil

    _scan(pymupdf, document, "harbour board", stamp="RECEIVED")
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    with pymupdf.open() as original:
        chart = original.new_page(width=300, height=100)
        chart.insert_text((20, 60), "Pressure gauge", fontsize=30)
        page.insert_image((100, 300, 400, 400), pixmap=chart.get_pixmap(dpi=200))
    page.insert_image((100, 500, 300, 600), pixmap=picture(pymupdf, 3, 20 * 10, 100))
    corpus = read(write({"a.pdf": document.tobytes()}))
    told, done = fulfil(corpus, cache_folder=tmp_path / "cache")
    segments = told.sources[0].segments
    assert (done.pages, done.pictures) == (1, 2)
    assert not any(segment.visuals for segment in segments)
    read_as = [(s.origin.number, s.text, s.origin.box) for s in segments if s.heading == HEADING]
    assert [(number, text.split("\n")[-1]) for number, text, _ in read_as][:2] == [(1, "harbour board"), (2, "Pressure gauge")]
    x0, y0, x1, y1 = read_as[1][2]
    assert (100 < x0 < 140, 300 < y0 < 345, 300 < x1 < 400, 345 < y1 < 400) == (True,) * 4, "its box is on the page"
    assert "1 figure without text left out for a model that cannot see" in told.manifest[0].reason


def test_a_document_by_the_text_of_its_pages_keeps_its_scans_and_drops_its_figures(document, write, pymupdf):
    from longctx.sources import read
    from longctx.sources.page_text import page_text

    _scan(pymupdf, document, "what the paper says", stamp="RECEIVED")
    page = document.new_page()
    page.insert_textbox((50, 50, 500, 200), TEXT)
    page.insert_image((100, 300, 400, 400), pixmap=picture(pymupdf, 1))
    (source,) = read(write({"a.pdf": document.tobytes()})).sources
    assert [(s.origin.number, bool(s.visuals)) for s in page_text(source)] == [(1, True), (1, False), (2, False)]


def test_a_picture_over_most_of_a_page_of_words_is_a_figure_and_a_background_is_not(document, read_pdf, pymupdf):
    page = document.new_page(width=300, height=400)
    page.insert_image((0, 0, 300, 330), pixmap=picture(pymupdf, 5, 300, 330), keep_proportion=False)
    page.insert_textbox((10, 335, 290, 395), TEXT[:200], fontsize=8)
    segments, row = read_pdf(document)
    assert [box for _, box, _, _ in looks(segments)] == [(0.0, 0.0, 300.0, 330.0)]
    xref = page.get_images()[0][0]
    for _ in range(3):
        page = document.new_page(width=300, height=400)
        page.insert_image(page.rect, xref=xref, keep_proportion=False)
        page.draw_rect((10, 10, 290, 390), color=(1, 1, 1), fill=(1, 1, 1))
        page.insert_textbox((20, 20, 280, 380), TEXT)
    segments, row = read_pdf(document)
    assert looks(segments) == []
    assert row.reason == "4 small or repeated pictures left out"
