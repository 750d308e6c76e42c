"""Charts and diagrams that are drawn are cut out as pictures; rules, frames, shades and underlines are not."""

from __future__ import annotations

import math
import random

import pytest

TEXT = "Words around the drawing, enough of them to be the text of this page and to fill a line or two. " * 4


def line_chart(page, x, y, seed=0):
    """Axes with ticks and labels, and two curves of 60 points; 200 x 120."""
    chance = random.Random(seed)
    page.draw_rect((x, y, x + 200, y + 120), color=(0, 0, 0))
    for tick in range(5):
        page.draw_line((x + 40 * tick, y + 120), (x + 40 * tick, y + 124))
        page.insert_text((x + 40 * tick - 4, y + 134), f"{10 * tick + seed}", fontsize=7)
    for colour in ((0, 0, 1), (1, 0, 0)):
        points = [(x + 200 * at / 59, y + 60 + 50 * math.sin(at / 9) * chance.random()) for at in range(60)]
        page.draw_polyline(points, color=colour)


def bar_chart(page, x, y, seed=0):
    for number, height in enumerate((40, 90, 60 + seed, 110)):
        page.draw_rect((x + 50 * number, y + 120 - height, x + 50 * number + 35, y + 120), fill=(0.2, 0.4, 0.8), color=None)
        page.insert_text((x + 50 * number, y + 130), f"Q{number + seed}", fontsize=7)
    page.draw_line((x - 2, y + 120), (x + 200, y + 120))


def pie_chart(page, x, y, seed=0):
    for number, share in enumerate((90, 120, 150)):
        edge = (x + 100 + 60 * math.cos(number * 2), y + 60 + 60 * math.sin(number * 2))
        page.draw_sector((x + 100, y + 60), edge, share, fill=(number / 3, 0.5, 0.5))


def flow_chart(page, x, y, seed=0):
    for number in range(3):
        left = x + 70 * number
        page.draw_rect((left, y + 30, left + 48, y + 90), color=(0, 0, 0))
        page.insert_text((left + 6, y + 60), f"step {number}", fontsize=8)
        page.draw_line((left + 48, y + 60), (left + 70, y + 60))
        page.draw_polyline([(left + 64, y + 56), (left + 70, y + 60), (left + 64, y + 64)], closePath=True, fill=(0, 0, 0))


def heat_map(page, x, y, seed=0):
    chance = random.Random(seed)
    for row in range(8):
        for column in range(10):
            box = (x + 20 * column, y + 15 * row, x + 20 * column + 20, y + 15 * row + 15)
            page.draw_rect(box, fill=(chance.random() * 0.9, 0.3, 0.5), color=None)


CHARTS = (line_chart, bar_chart, pie_chart, flow_chart, heat_map)


def shown(segments):
    return [(s.heading, s.origin.number, s.origin.box) for s in segments if s.visuals]


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_a_drawn_chart_is_cut_out_with_its_labels(document, read_pdf, pymupdf, chart, rotation):
    page = document.new_page()
    page.insert_textbox((50, 50, 545, 200), TEXT)
    chart(page, 100, 250)
    page.insert_textbox((50, 450, 545, 600), TEXT)
    page.set_rotation(rotation)
    segments, row = read_pdf(document)
    ((_, _, box),) = shown(segments)
    x0, y0, x1, y1 = (pymupdf.Rect(box) * page.derotation_matrix).normalize()
    clusters = page.cluster_drawings(x_tolerance=8, y_tolerance=8)
    around = clusters[0]
    for other in clusters[1:]:
        around |= other
    assert pymupdf.Rect(x0 - 2, y0 - 2, x1 + 2, y1 + 2).contains(around), "all of it is seen"
    assert 200 < y0 < y1 < 450, "no prose is"
    labels = [word for word in page.get_text("words") if 245 < word[1] < 440]
    assert all(x0 <= word[0] and word[2] <= x1 and y0 <= word[1] and word[3] <= y1 + 1 for word in labels)
    assert row.reason == ""


def ruled_table(page):
    for row in range(6):
        page.draw_line((60, 250 + 20 * row), (360, 250 + 20 * row))
        for column in range(3 if row < 5 else 0):
            page.insert_text((65 + 100 * column, 264 + 20 * row), f"cell {row}.{column}", fontsize=9)
    for column in range(4):
        page.draw_line((60 + 100 * column, 250), (60 + 100 * column, 350))


def shaded_rows(page):
    for row in range(6):
        page.draw_rect((60, 250 + 20 * row, 360 + 20 * (row % 2), 270 + 20 * row), fill=(0.8, 0.9, 1 - row / 20), color=None)
        page.insert_text((65, 264 + 20 * row), f"a line on a shade of its own, number {row}", fontsize=10)


def underlines(page):
    for row in range(12):
        page.insert_text((60, 260 + 16 * row), "underlined words, as they stand in forms and laws", fontsize=10)
        page.draw_line((60, 262 + 16 * row), (300, 262 + 16 * row))


def page_border(page):
    page.draw_rect((20, 20, 575, 822), color=(0, 0, 0), width=2)
    page.draw_rect((26, 26, 569, 816), color=(0, 0, 0))


def background(page):
    page.draw_rect(page.rect, fill=(0.9, 0.95, 1), color=None, overlay=False)


def callout(page):
    page.draw_rect((60, 250, 400, 420), fill=(1, 0.95, 0.8), color=(1, 0.6, 0), radius=0.1)
    page.insert_textbox((70, 255, 390, 415), TEXT)


def code(page):
    page.draw_rect((60, 250, 400, 420), fill=(0.93, 0.93, 0.93), color=None)
    page.insert_textbox((66, 254, 390, 415), "def wait(n):\n    return 2 ** n\n" * 5, fontsize=9)


def empty_form(page):
    for row in range(5):
        page.insert_text((60, 264 + 24 * row), f"Field {row}:", fontsize=10)
        page.draw_rect((120, 250 + 24 * row, 300, 268 + 24 * row), color=(0, 0, 0))
        page.draw_rect((310, 250 + 24 * row, 322, 262 + 24 * row), color=(0, 0, 0))


def bullets(page):
    for row in range(8):
        page.draw_circle((64, 257 + 14 * row), 2, fill=(0, 0, 0))
        page.insert_text((72, 260 + 14 * row), "what is listed", fontsize=10)


def rules(page):
    for row in (240, 245, 500):
        page.draw_rect((50, row, 545, row + 2), fill=(0, 0, 0.5), color=None)
    page.draw_line((300, 250), (300, 500))


def small_logo(page):
    for number in range(6):
        page.draw_circle((500 + 4 * number, 30), 12, fill=(number / 6, 0, 0), color=None)


NO_CHARTS = (
    ruled_table,
    shaded_rows,
    underlines,
    page_border,
    background,
    callout,
    code,
    empty_form,
    bullets,
    rules,
    small_logo,
)


@pytest.mark.parametrize("drawn", NO_CHARTS, ids=lambda drawn: drawn.__name__)
def test_what_only_orders_or_adorns_a_text_is_no_picture(document, read_pdf, drawn):
    page = document.new_page()
    drawn(page)
    page.insert_textbox((50, 550, 545, 700), TEXT)
    segments, row = read_pdf(document)
    assert shown(segments) == []
    assert row.reason == ""


def test_a_chart_inside_of_a_frame_on_a_coloured_page_is_still_cut_out(document, read_pdf):
    page = document.new_page()
    background(page)
    page_border(page)
    page.insert_textbox((50, 50, 545, 200), TEXT)
    line_chart(page, 100, 250)
    segments, _ = read_pdf(document)
    ((_, _, (x0, y0, x1, y1)),) = shown(segments)
    assert (75 < x0 <= 100, 220 < y0 <= 250, 300 <= x1 < 330, 370 <= y1 < 400) == (True,) * 4


def test_charts_side_by_side_stay_apart_and_stand_before_what_is_below_them(document, read_pdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 545, 200), TEXT)
    line_chart(page, 60, 250)
    bar_chart(page, 320, 250)
    page.insert_text((50, 440), "Below", fontsize=20)
    page.insert_textbox((50, 450, 545, 600), TEXT)
    segments, _ = read_pdf(document)
    kinds = ["chart" if s.visuals else s.text.split()[0] for s in segments]
    assert [kind for kind in kinds if kind in ("chart", "Words", "Below")] == ["Words", "chart", "chart", "Below"]


def test_an_ornament_on_every_page_is_left_out_and_a_chart_like_another_is_not(document, read_pdf):
    for number in range(5):
        page = document.new_page()
        page.draw_bezier((0, 0), (200, 120), (400, 0), (595, 100), color=(0, 0.5, 0), fill=(0.6, 0.9, 0.6))
        page.insert_text((60, 40), f"Chapter {number}", fontsize=18)
        page.insert_textbox((50, 150, 545, 250), TEXT)
        line_chart(page, 100, 300, number)
    segments, row = read_pdf(document)
    assert [number for _, number, _ in shown(segments)] == [1, 2, 3, 4, 5]
    assert row.reason == "5 small or repeated pictures left out"


def test_figures_are_not_shown_where_nobody_wants_them_and_counted(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 545, 200), TEXT)
    line_chart(page, 100, 250)
    samples = random.Random(1).randbytes(200 * 100 * 3)
    page.insert_image((100, 450, 300, 550), pixmap=pymupdf.Pixmap(pymupdf.csRGB, 200, 100, samples, False))
    assert len(shown(read_pdf(document)[0])) == 2
    segments, row = read_pdf(document, figures_as_pictures=False)
    assert (shown(segments), row.status, row.reason) == ([], "read", "2 figures not shown")
    segments, row = read_pdf(document, figures_as_pictures=False, pages_as_pictures=True)
    assert [box for _, _, box in shown(segments)] == [(0.0, 0.0, 595.0, 842.0)]
    assert row.reason == ""


def test_arrows_on_a_photograph_are_one_figure_with_it(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 545, 200), TEXT)
    samples = random.Random(1).randbytes(200 * 100 * 3)
    page.insert_image((100, 250, 300, 350), pixmap=pymupdf.Pixmap(pymupdf.csRGB, 200, 100, samples, False))
    for number in range(4):
        page.draw_line((120 + 30 * number, 260), (180 + 10 * number, 340), color=(1, 0, 0))
    segments, _ = read_pdf(document)
    ((heading, _, box),) = shown(segments)
    assert heading == "figure"
    assert all(abs(one - other) < 12 for one, other in zip(box, (100, 250, 300, 350), strict=True))


def test_a_model_that_cannot_see_is_told_that_a_chart_is_left_out_whose_words_it_reads(document, write, tmp_path):
    from longctx.sources import read
    from longctx.sources.promises import fulfil

    page = document.new_page()
    page.insert_textbox((50, 50, 545, 200), TEXT)
    line_chart(page, 100, 250)
    corpus = read(write({"a.pdf": document.tobytes()}))
    told, done = fulfil(corpus, cache_folder=tmp_path / "cache")
    assert not any(segment.visuals for segment in told.sources[0].segments)
    assert done.pictures == 0, "nothing is recognised that is text already"
    assert "1 drawing left out for a model that cannot see" in told.manifest[0].reason


@pytest.mark.timeout(60)
def test_a_page_of_thirty_thousand_lines_is_read_quickly(document, read_pdf):
    page = document.new_page()
    page.insert_textbox((50, 50, 545, 200), TEXT)
    chance = random.Random(2)
    shape = page.new_shape()
    for _ in range(30_000):
        x, y = chance.uniform(50, 540), chance.uniform(220, 800)
        shape.draw_line((x, y), (x + chance.uniform(-3, 3), y + chance.uniform(-3, 3)))
        shape.finish(width=0.1)
    shape.commit()
    segments, _ = read_pdf(document)
    assert any(segment.text.startswith("Words around") for segment in segments)
