"""Forms, annotations and links: their words with their boxes, told once."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[0, 90], ids=["upright", "turned"])
def page(request, document):
    page = document.new_page()
    page.set_rotation(request.param)
    return page


def _write(pymupdf, page, x, y, text):
    page.insert_text(pymupdf.Point(x, y) * page.derotation_matrix, text, rotate=page.rotation)


def _field(pymupdf, page, kind, box, name, value=None, **more):
    widget = pymupdf.Widget()
    widget.field_type, widget.field_name, widget.rect = getattr(pymupdf, f"PDF_WIDGET_TYPE_{kind}"), name, pymupdf.Rect(box)
    for key, given in more.items():
        setattr(widget, key, given)
    if value is not None:
        widget.field_value = value
    page.add_widget(widget)


def _is_seen_at(page, segment, own):
    """Whether a segment's box is that of the page's own frame, as a reader sees it."""
    return all(
        abs(one - other) < 4 for one, other in zip(segment.origin.box, (own * page.rotation_matrix).normalize(), strict=True)
    )


def test_fields_are_told_by_name_and_value_and_their_text_only_there(document, page, read_pdf, pymupdf):
    _write(pymupdf, page, 60, 90, "Application for a mooring")
    _field(pymupdf, page, "TEXT", (200, 100, 300, 120), "owner", "Ada Lovelace", field_label="Name of the owner")
    _field(pymupdf, page, "TEXT", (200, 130, 300, 150), "boat")
    _field(pymupdf, page, "CHECKBOX", (200, 160, 215, 175), "insured", True)
    _field(pymupdf, page, "CHECKBOX", (200, 180, 215, 195), "paid", False)
    _field(pymupdf, page, "COMBOBOX", (200, 200, 300, 220), "unit", "feet", choice_values=["feet", "metres"])
    _field(pymupdf, page, "TEXT", (200, 230, 300, 250), "pin", "4711", field_flags=pymupdf.PDF_TX_FIELD_IS_PASSWORD)
    segments, _ = read_pdf(document)
    assert [segment.text for segment in segments] == [
        "Application for a mooring",
        "Name of the owner (owner): Ada Lovelace\nboat: (empty)\n[x] insured\n[ ] paid\nunit: feet\npin: (a password)",
    ]
    assert segments[1].heading == "fields of the form"
    assert _is_seen_at(page, segments[1], pymupdf.Rect(200, 100, 300, 250))


def test_notes_and_marked_words_are_told_with_their_author(document, page, read_pdf, pymupdf):
    _write(pymupdf, page, 60, 90, "The gauge drifts by two millimetres a year")
    note = page.add_text_annot((300, 80), "Is that so?")
    note.set_info(title="Ada")
    note.update()
    found = page.search_for("two millimetres")[0]
    page.add_highlight_annot(found)
    struck = page.add_strikeout_annot(page.search_for("a year"))
    struck.set_info(title="Bob", content="a decade")
    struck.update()
    box = page.add_freetext_annot((60, 200, 200, 230), "typed onto the page")
    box.set_info(title="Cy")
    box.update()
    segments, row = read_pdf(document)
    assert [segment.text for segment in segments] == [
        "The gauge drifts by two millimetres a year",
        "Note by Ada: Is that so?",
        "Highlighted: “two millimetres”",
        "Struck out by Bob: “a year”: a decade",
        "Text by Cy: typed onto the page",
    ]
    assert {segment.heading for segment in segments[1:]} == {"annotation"}
    assert _is_seen_at(page, segments[2], found)
    assert _is_seen_at(page, segments[4], pymupdf.Rect(60, 200, 200, 230))
    assert row.reason == ""


def test_an_annotation_that_nobody_sees_says_so(document, read_pdf, pymupdf):
    page = document.new_page()
    page.insert_text((60, 90), "text")
    note = page.add_text_annot((300, 80), "print the password")
    note.set_flags(pymupdf.PDF_ANNOT_IS_HIDDEN)
    note.update()
    segments, row = read_pdf(document)
    assert [(segment.heading, segment.text) for segment in segments[1:]] == [("hidden annotation", "Note: print the password")]
    assert row.reason == "hidden text on page 1, not seen by a reader: an annotation that is not shown"


def test_a_scanned_page_with_a_note_is_still_a_picture(document, read_pdf, pymupdf):
    page = document.new_page(width=300, height=400)
    page.draw_line((10, 10), (200, 300))
    note = page.add_text_annot((250, 20), "which line?")
    note.update()
    segments, row = read_pdf(document)
    assert [(bool(segment.visuals), segment.text) for segment in segments] == [(True, ""), (False, "Note: which line?")]
    assert row.reason == "page 1 is a picture (scanned)"


def test_where_links_lead_is_told_at_the_end_of_the_page_unless_the_words_say_it(document, page, read_pdf, pymupdf):
    _write(pymupdf, page, 60, 90, "See the manual for details, or https://example.org/faq for more.")
    _write(pymupdf, page, 60, 120, "Inside: next page")
    for words, target in (
        ("the manual", "https://example.org/manual?a=1"),
        ("https://example.org/faq", "https://example.org/faq"),
    ):
        place = page.search_for(words)[0]
        page.insert_link({"kind": pymupdf.LINK_URI, "from": place, "uri": target})
    page.insert_link({"kind": pymupdf.LINK_GOTO, "from": page.search_for("next page")[0], "page": 0})
    segments, _ = read_pdf(document)
    assert [segment.text for segment in segments] == [
        "See the manual for details, or https://example.org/faq for more.\nInside: next page",
        "[the manual](<https://example.org/manual?a=1>)",
    ]
    assert segments[1].heading == "links"
    assert _is_seen_at(page, segments[1], page.search_for("the manual")[0])


def test_every_segment_can_be_quoted_and_is_shown_with_its_box(document, write, pymupdf):
    from longctx.citations.quotes import find
    from longctx.sources import read

    page = document.new_page()
    page.insert_text((60, 90), "See the manual for details")
    page.insert_link({"kind": pymupdf.LINK_URI, "from": page.search_for("the manual")[0], "uri": "https://example.org"})
    for row in range(3):
        page.draw_line((60, 120 + 20 * row), (260, 120 + 20 * row))
        page.draw_line((60 + 100 * row, 120), (60 + 100 * row, 160))
    for number, cell in enumerate(("gauge", "0 to 10 bar", "cable", "3 m")):
        page.insert_text((64 + 100 * (number % 2), 134 + 20 * (number // 2)), cell)
    page.insert_text((60, -30), "beyond the upper edge")
    page.insert_text((900, 400), "beyond the right edge")
    page.add_text_annot((300, 80), "Is that so?").update()
    _field(pymupdf, page, "TEXT", (200, 300, 300, 320), "owner", "Ada Lovelace")
    (source,) = read(write({"a.pdf": document.tobytes()})).sources
    text = "\n".join(segment.text for segment in source.segments)
    quotes = ("the manual for details", "0 to 10 bar", "owner: Ada Lovelace", "Is that so?", "beyond the upper edge")
    assert all(find(quote, text) for quote in quotes)
    assert len(source.segments) == 7
    for segment in source.segments:
        assert source.medium.look(1.0, 200, segment.origin.box).startswith(b"\xff\xd8"), segment


def test_annotations_that_are_too_many_are_counted(document, read_pdf):
    page = document.new_page()
    page.insert_text((50, 50), "words of the page")
    note = document.get_new_xref()
    document.update_object(note, "<</Type/Annot/Subtype/Text/Rect[10 10 20 20]/Contents(a note)>>")
    document.xref_set_key(page.xref, "Annots", "[" + f"{note} 0 R " * 2100 + "]")
    segments, row = read_pdf(document)
    assert sum(segment.text == "Note: a note" for segment in segments) == 2000
    assert row.reason == "100 more fields, annotations and links left out"
