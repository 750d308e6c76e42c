"""PDF: text in reading order with its page and box, and a clear reason for every document that gives none or less."""

from __future__ import annotations

import os
import random

import pytest

from longctx.sources import read
from longctx.sources.pdf import document as documents
from longctx.sources.pdf.layout import PART
from longctx.sources.pdf.pages import page_parts, pages
from longctx.sources.pdf.parse import parse_pdf
from longctx.sources.reading_order import Placed, reading_order

WORDS = ["tide", "gauge", "level", "reading", "harbour", "storm", "log", "minute", "sensor", "battery", "cable", "datum"]


def _prose(count, seed=0):
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(count))


@pytest.fixture
def document(pymupdf):
    with pymupdf.open() as document:
        yield document


def _page(document, *texts, width=595, height=842, rotation=0, size=11):
    page = document.new_page(width=width, height=height)
    for place, text in texts:
        page.insert_text(place, text, fontsize=size)
    page.set_rotation(rotation)
    return page


def _wider(pymupdf, box):
    return pymupdf.Rect(box.x0 - 1, box.y0 - 1, box.x1 + 1, box.y1 + 1)


def _read(write, document, name="a.pdf", **options):
    return read(write({name: document.tobytes(**options), "other.txt": "still read\n"}))


def _pdf_segments(corpus):
    return [segment for source in corpus.sources if source.kind == "pdf" for segment in source.segments]


# -- text and places -------------------------------------------------------------------------------------------------
def test_every_segment_stands_where_its_box_says(write, document, pymupdf):
    for number in range(3):
        page = document.new_page()
        for band in range(4):
            page.insert_textbox((72, 60 + band * 190, 520, 240 + band * 190), f"P{number}B{band} " + _prose(90, band))
    segments = _pdf_segments(_read(write, document))
    assert {segment.origin.number for segment in segments} == {1, 2, 3}
    for segment in segments:
        page = document[segment.origin.number - 1]
        box = pymupdf.Rect(segment.origin.box)
        found = page.get_text(clip=_wider(pymupdf, box))
        assert segment.text.split() == found.split()
        assert segment.origin.box == tuple(round(value, 1) for value in segment.origin.box)
        assert len(segment.text) <= PART


def test_no_segment_reaches_over_pages_and_no_text_is_lost(write, document):
    for number in range(5):
        _page(document, ((72, 72), f"short page {number}"))
    texts = [(segment.origin.number, segment.text) for segment in _pdf_segments(_read(write, document))]
    assert texts == [(number + 1, f"short page {number}") for number in range(5)]


def test_more_pages_than_one_opening_sees_keep_their_numbers(write, document, monkeypatch):
    monkeypatch.setattr(documents, "PAGES_PER_OPENING", 2)
    for number in range(5):
        _page(document, ((72, 72), f"page {number + 1}"))
    folder = write({"a.pdf": document.tobytes()})
    replies = list(pages(str(folder / "a.pdf")))
    assert [(reply["page"], reply["parts"][0][1]) for reply in replies[1:]] == [
        (number, f"page {number}") for number in range(1, 6)
    ]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_of_a_turned_page_are_as_a_reader_sees_it(document, pymupdf, rotation):
    page = _page(document, ((40, 50), "first line"), ((40, 180), "second line"), width=300, height=400, rotation=rotation)
    ((box, text, _),), _ = page_parts(page)
    assert text.split("\n") == ["first line", "second line"]
    assert pymupdf.Rect(box) in _wider(pymupdf, page.rect)
    picture = page.get_pixmap(clip=box)
    outside = page.get_pixmap()
    dark = sum(sample < 128 for sample in picture.samples)
    assert dark == sum(sample < 128 for sample in outside.samples) > 0


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_text_that_stands_upright_on_a_turned_page_is_read_from_its_top(document, pymupdf, rotation):
    page = document.new_page(width=300, height=400)
    page.set_rotation(rotation)
    for line in reversed(range(4)):
        place = pymupdf.Point(40, 60 + 60 * line) * page.derotation_matrix
        page.insert_text(place, f"line {line}" + " word" * (3 * line % 5), rotate=rotation)
    lines = [line for _, text, _ in page_parts(page)[0] for line in text.split("\n")]
    assert [line[:6] for line in lines] == [f"line {line}" for line in range(4)]


def test_columns_are_read_one_after_the_other(document):
    page = document.new_page()
    page.insert_textbox((310, 80, 550, 400), "RIGHT " + _prose(60))
    page.insert_textbox((50, 500, 550, 800), "FULL " + _prose(100))
    page.insert_textbox((50, 80, 290, 400), "LEFT " + _prose(60))
    page.insert_text((50, 60), "A title that stands over both columns of it", fontsize=18)
    page.insert_text((50, 480), "A second title", fontsize=18)
    texts = " ".join(text for _, text, _ in page_parts(page)[0])
    order = [texts.index(word) for word in ("A title", "LEFT", "RIGHT", "A second", "FULL")]
    assert order == sorted(order)
    assert not any("LEFT" in text and "RIGHT" in text for _, text, _ in page_parts(page)[0]), "a box would span both"


def test_rows_of_a_table_stay_together():
    cells = [(50 + 150 * column, 100 + 30 * row) for row in range(3) for column in range(3)]
    assert reading_order([Placed((x, y, x + 60, y + 12), 1, 6) for x, y in cells]) == list(range(9))


def test_headings_are_told_by_their_size_and_hold_until_the_next(write, document):
    page = _page(document, ((72, 72), "1 Accuracy"), size=18)
    page.insert_textbox((72, 90, 520, 300), _prose(60))
    page.insert_text((72, 330), "2 Power", fontsize=18)
    page.insert_textbox((72, 350, 520, 600), _prose(60, 1))
    document.new_page().insert_textbox((72, 72, 520, 300), _prose(60, 2))
    headings = [(segment.origin.number, segment.heading) for segment in _pdf_segments(_read(write, document))]
    assert headings == [(1, "1 Accuracy"), (1, "2 Power"), (2, "2 Power")]


def test_page_labels_are_kept(write, document):
    for text in ("preface", "body"):
        _page(document, ((72, 72), text))
    document.set_page_labels(
        [{"startpage": 0, "style": "r", "firstpagenum": 4}, {"startpage": 1, "style": "D", "prefix": "A-"}]
    )
    assert [segment.origin.label for segment in _pdf_segments(_read(write, document))] == ["iv", "A-1"]


@pytest.mark.parametrize(
    ("prefix", "label"),
    [("<FEFF0033>", "3"), ("<FEFF05D0002D>", "א-"), ("<412D>", "A-"), ("(A-)", "A-"), ("<FEFF00>", "<FEFF00>")],
)
def test_a_label_in_another_encoding_is_decoded(write, document, pymupdf, prefix, label):
    _page(document, ((72, 72), "text"))
    document.xref_set_key(document.pdf_catalog(), "PageLabels", f"<</Nums[0<</P{prefix}>>]>>")
    assert _pdf_segments(_read(write, document))[0].origin.label == label


def test_words_side_by_side_that_are_no_table_stand_in_one_line(write, document):
    page = _page(document, ((72, 72), "2.1"))
    page.insert_text((120, 72), "Naming")
    page.insert_text((420, 72), "17")
    assert _pdf_segments(_read(write, document))[0].text == "2.1  Naming  17"


def test_a_document_without_labels_has_none(write, document):
    _page(document, ((72, 72), "text"))
    assert _pdf_segments(_read(write, document))[0].origin.label is None


def test_a_pdf_is_known_by_its_bytes_where_its_name_says_nothing(write, document):
    _page(document, ((72, 72), "text"))
    corpus = _read(write, document, name="manual")
    assert next(row.kind for row in corpus.manifest if row.path == "manual") == "pdf"


def test_a_pdf_whose_name_is_not_utf8_is_read(write, document, rows):
    _page(document, ((72, 72), "text"))
    assert rows(_read(write, document, name=b"m\xe9.pdf"))[os.fsdecode(b"m\xe9.pdf")].status == "read"


# -- what gives less, or nothing -------------------------------------------------------------------------------------
def test_pages_without_text_are_named(write, document, rows):
    for text in ("one", "", "", "four", ""):
        _page(document, *([((72, 72), text)] if text else []))
    row = rows(_read(write, document))["a.pdf"]
    assert (row.status, row.reason) == ("read", "pages 2-3, 5 have no text and no picture")


def test_a_document_without_any_text_is_skipped(write, document, rows):
    document.new_page()
    document.new_page()
    row = rows(_read(write, document))["a.pdf"]
    assert (row.status, row.reason) == ("skipped", "no text and no picture on 2 pages")


ZERO = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj
trailer<</Root 1 0 R/Size 3>>
%%EOF
"""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a PDF: the file is empty"),
        (b"<html>not found</html>", "not a PDF: it begins with b'<html>not fo'"),
        (b"%PDF-1.7\n%%EOF\n", "damaged: it cannot be opened"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 40, "damaged: it cannot be opened"),
        (ZERO, "0 pages: the file is cut off or damaged"),
    ],
)
def test_what_is_no_document_fails_with_a_reason_and_the_rest_is_read(write, rows, data, reason):
    manifest = rows(read(write({"bad.pdf": data, "other.txt": "still read\n"})))
    assert (manifest["bad.pdf"].status, manifest["bad.pdf"].reason) == ("failed", reason)
    assert manifest["other.txt"].status == "read"


def test_a_document_with_a_password_fails_and_one_with_an_owner_only_is_read(write, document, rows, pymupdf):
    _page(document, ((72, 72), "secret"))
    locked = {"encryption": pymupdf.PDF_ENCRYPT_AES_256, "owner_pw": "owner"}
    row = rows(_read(write, document, user_pw="user", **locked))["a.pdf"]
    assert (row.status, row.reason) == ("failed", "encrypted: it opens with a password only")
    assert rows(_read(write, document, **locked))["a.pdf"].status == "read"


def test_a_document_that_is_cut_off_never_passes_as_whole(write, document, rows):
    for number in range(6):
        document.new_page().insert_textbox((72, 72, 520, 700), f"page {number} " + _prose(200, number))
    data = document.tobytes()
    for share in (0.05, 0.3, 0.6, 0.9, 0.99):
        row = rows(read(write({"a.pdf": data[: int(len(data) * share)], "other.txt": "still read\n"})))["a.pdf"]
        assert row.status in ("truncated", "failed"), share
        assert any(word in row.reason for word in ("cut off", "damaged")), row


def test_a_repaired_document_says_that_something_may_be_missing(write, document, rows):
    _page(document, ((72, 72), "text"))
    data = document.tobytes().replace(b"startxref\n", b"startxref\n9", 1)
    row = rows(read(write({"a.pdf": data})))["a.pdf"]
    assert (row.status, row.reason) == ("read", "damaged and repaired: something may be missing")


def test_a_page_that_cannot_be_read_is_named():
    replies = [
        {"pages": 3, "repaired": False, "attached": [], "off": []},
        {
            "page": 1, "label": None, "shown": True, "size": [9, 9], "parts": [[[0, 0, 1, 1], "text", ""]],
            "scan": False, "hidden": [], "figures": [], "small": 0, "lost": False, "unknown": 0, "more": 0,
        },
    ]  # fmt: skip
    replies += [{"page": 2, "error": "bad"}, {"page": 3, "error": "bad"}]
    parsed = parse_pdf("a.pdf", iter(replies), ends_early=False)
    assert (parsed.status, parsed.reason) == ("truncated", "pages 2-3 cannot be read: damaged")


def test_what_the_font_maps_to_nothing_is_no_lone_surrogate_and_no_nul(document):
    _page(document, ((72, 72), "a\x00b \ud83d c".encode("utf-8", "replace").decode()))
    for _, text, _ in page_parts(document[0])[0]:
        text.encode()
        assert "\x00" not in text


def test_mutated_documents_end_with_a_row_each(write, document, rows):
    for number in range(2):
        document.new_page().insert_textbox((72, 72, 520, 700), f"page {number} " + _prose(100, number))
    data = document.tobytes(deflate=True)
    chance = random.Random(7)
    files = {}
    for number in range(40):
        mutated = bytearray(data)
        for _ in range(chance.choice((1, 5, 40))):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        files[f"{number}.pdf"] = bytes(mutated)
    manifest = rows(read(write({**files, "other.txt": "still read\n"})))
    assert set(manifest) == {*files, "other.txt"}
    assert manifest["other.txt"].status == "read"


def test_a_footer_far_below_does_not_stretch_the_box_of_the_text_above(document):
    page = _page(document, ((72, 100), "body"), ((72, 800), "footer"))
    assert [text for _, text, _ in page_parts(page)[0]] == ["body", "footer"]


def test_a_title_alone_is_no_segment(document):
    page = _page(document, ((72, 72), "The Manual"), size=24)
    page.insert_text((72, 105), "1 Accuracy", fontsize=16)
    page.insert_textbox((72, 120, 520, 300), _prose(60))
    ((_, text, heading),), _ = page_parts(page)
    assert text.startswith("The Manual\n1 Accuracy\n")
    assert heading == "1 Accuracy"


# -- pages as pictures -----------------------------------------------------------------------------------------------
def scanned(pymupdf, document, text, rotation=0):
    """A page that is nothing but the picture of a page with this text."""
    with pymupdf.open() as original:
        page = original.new_page(width=300, height=400)
        page.insert_textbox((30, 40, 270, 380), text, fontsize=16)
        picture = page.get_pixmap(dpi=144)
    page = document.new_page(width=300, height=400)
    page.insert_image(page.rect, pixmap=picture)
    page.set_rotation(rotation)
    return page


def seen(source):
    """Page number, size and box of every segment with something to look at."""
    return [
        (segment.origin.number, visual.places, (visual.width, visual.height), segment.origin.box)
        for segment in source.segments
        for visual in segment.visuals
    ]


def test_a_page_without_text_that_shows_something_is_a_picture_and_a_blank_one_is_not(write, document, rows, pymupdf):
    _page(document, ((72, 72), "text"))
    scanned(pymupdf, document, "scanned words")
    document.new_page()
    document.new_page(width=200, height=100).draw_line((10, 10), (150, 90))
    sheet = document.new_page()
    sheet.draw_rect(sheet.rect, color=(0.9, 0.9, 0.8), fill=(0.9, 0.9, 0.8))
    corpus = _read(write, document)
    assert rows(corpus)["a.pdf"].reason == "pages 3, 5 have no text and no picture; pages 2, 4 are pictures (scanned)"
    source = next(source for source in corpus.sources if source.kind == "pdf")
    assert seen(source) == [
        (2, (2.0,), (300, 400), (0.0, 0.0, 300.0, 400.0)),
        (4, (4.0,), (200, 100), (0.0, 0.0, 200.0, 100.0)),
    ]
    assert [segment.text for segment in source.segments] == ["text", "", ""]


def test_every_page_is_a_picture_before_its_text_where_that_is_asked_for(write, document):
    for number in range(2):
        _page(document, ((72, 72), f"page {number + 1}"))
    document.new_page()
    source = read(write({"a.pdf": document.tobytes()}), pages_as_pictures=True).sources[0]
    found = [(segment.origin.number, segment.text, len(segment.visuals)) for segment in source.segments]
    assert found == [(1, "", 1), (1, "page 1", 0), (2, "", 1), (2, "page 2", 0)]
    assert source.segments[0].visuals[0].medium is source.medium


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_page_is_drawn_at_exactly_the_wanted_size_as_a_reader_sees_it(write, document, pymupdf, rotation):
    page = scanned(pymupdf, document, "words", rotation)
    source = read(write({"a.pdf": document.tobytes()})).sources[0]
    width, height = (300, 400) if rotation % 180 == 0 else (400, 300)
    assert seen(source)[0][2] == (width, height)
    for size in ((width, height), (33, 517), (448, 256)):
        (frame,) = source.medium.frames([1.0], *size, lambda: None)
        assert frame.pixels.shape == (size[1], size[0], 3)
    drawn = page.get_pixmap(matrix=pymupdf.Matrix(448 / width, 256 / height), alpha=False)
    assert frame.pixels.tobytes() == drawn.samples


def test_a_page_is_looked_at_with_its_box_set_off(write, document):
    import io

    import numpy as np
    from PIL import Image

    _page(document, ((40, 50), "a line"), width=300, height=400, rotation=90)
    (source,) = read(write({"a.pdf": document.tobytes()})).sources
    box = source.segments[0].origin.box
    plain = np.asarray(Image.open(io.BytesIO(source.medium.look(1.0, 800)))).astype(int)
    framed = np.asarray(Image.open(io.BytesIO(source.medium.look(1.0, 800, box)))).astype(int)
    assert plain.shape == (600, 800, 3)
    rows, columns = np.nonzero(np.abs(plain - framed).max(axis=2) > 60)
    x0, y0, x1, y1 = (2 * value for value in box)
    assert abs(columns.min() - x0) < 10
    assert abs(columns.max() - x1) < 10
    assert abs(rows.min() - y0) < 10
    assert abs(rows.max() - y1) < 10


def test_pages_of_a_document_that_changed_are_no_longer_shown(write, document):
    from longctx.errors import SourceChangedError

    _page(document, ((72, 72), "text"))
    top = write({"a.pdf": document.tobytes()})
    (source,) = read(top).sources
    (top / "a.pdf").write_bytes(b"%PDF-")
    with pytest.raises(SourceChangedError, match=r"a\.pdf: changed"):
        source.medium.look(1.0, 100)
    with pytest.raises(SourceChangedError, match=r"a\.pdf: changed"):
        list(source.medium.frames([1.0], 32, 32, lambda: None))
