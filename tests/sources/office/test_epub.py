"""EPUB books: chapters in the order of the spine with their titles, paragraphs with their numbers."""

from __future__ import annotations

import zipfile

import lxml.html
import pytest

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/c.opf"/></rootfiles></container>'
)
CHAPTERS = {
    "b.xhtml": "<h2>Second</h2><p>Then he sailed.</p>",
    "a.xhtml": (
        "<h1>First</h1><p>Call me\n  Ishmael.</p><table><tr><td>x</td><td>y</td></tr></table>"
        '<img src="pics/w%20h.png" alt="whale"/>'
    ),
    "c.xhtml": "<p>No heading here.</p>",
}


def package(more="", spine=("a", "b", "c")):
    items = "".join(f'<item id="{name[0]}" href="{name}" media-type="application/xhtml+xml"/>' for name in CHAPTERS)
    refs = "".join(f'<itemref idref="{one}"/>' for one in spine)
    lists = f'<manifest>{items}{more}</manifest><spine toc="n">{refs}</spine>'
    return f'<package xmlns="http://www.idpf.org/2007/opf">{lists}</package>'


def page(body):
    return f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>t</title></head><body>{body}</body></html>'


@pytest.fixture
def book(archive, png):
    def _book(**changes):
        nav = '<item id="n" properties="nav" href="nav.xhtml" media-type="application/xhtml+xml"/>'
        members = {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OEBPS/c.opf": package(nav),
            "OEBPS/nav.xhtml": page('<nav><a href="a.xhtml#top">Loomings</a></nav>'),
            "OEBPS/pics/w h.png": png(1),
        }
        members |= {f"OEBPS/{name}": page(body) for name, body in CHAPTERS.items()}
        members |= changes
        return archive("a.epub", {name: text for name, text in members.items() if text is not None})

    return _book


def test_chapters_follow_the_spine_with_their_titles(book, one):
    row, source = one(book())
    assert (row.kind, row.status, row.reason) == ("epub", "read", "")
    texts = [(str(segment.origin), segment.text) for segment in source.segments if segment.text]
    assert texts == [
        (
            "a.epub, chapter 1 (Loomings) paragraphs 1-4",
            "# First\nCall me Ishmael.\n| x | y |\n| --- | --- |\n![whale](pics/w%20h.png)\n",
        ),
        ("a.epub, chapter 2 (Second) paragraphs 1-2", "## Second\nThen he sailed.\n"),
        ("a.epub, chapter 3 (t) paragraph 1", "No heading here.\n"),
    ]


def test_paragraph_numbers_hold_when_another_parser_counts(book, one):
    file = book()
    _, source = one(file)
    with zipfile.ZipFile(file) as archive:
        for name, segment in zip("abc", (one for one in source.segments if one.text), strict=True):
            body = lxml.html.fromstring(archive.read(f"OEBPS/{name}.xhtml")).find("body")
            blocks = [" ".join(block.text_content().split()) for block in body]
            for index, line in enumerate(segment.text.splitlines()):
                words = blocks[segment.lines_at(index)[0] - 1]
                assert line.lstrip("# ") == words or line.startswith(("|", "!["))


def test_a_picture_of_the_book_is_seen_where_it_stands(book, one):
    _, source = one(book())
    (picture,) = [segment for segment in source.segments if segment.visuals]
    assert str(picture.origin) == "a.epub, chapter 1 (Loomings) paragraph 4"
    (visual,) = picture.visuals
    assert (visual.width, visual.height) == (64, 48)
    assert len(list(visual.medium.frames(visual.places, 64, 48, lambda: None))) == 1


def test_titles_come_from_an_old_table_of_contents_too(book, one):
    ncx = (
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>Third</text></navLabel>'
        '<content src="c.xhtml"/></navPoint></navMap></ncx>'
    )
    item = '<item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    _, source = one(book(**{"OEBPS/c.opf": package(item), "OEBPS/toc.ncx": ncx}))
    assert source.segments[-1].origin.part == "chapter 3 (Third)"


def test_a_missing_chapter_is_told_and_the_others_are_read(book, one):
    row, source = one(book(**{"OEBPS/b.xhtml": None}))
    assert row.reason == "left out: 1 chapter that is missing in the file"
    assert {segment.origin.part for segment in source.segments} == {"chapter 1 (Loomings)", "chapter 3 (t)"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"META-INF/container.xml": None}, "damaged: META-INF/container.xml is missing"),
        ({"META-INF/container.xml": "<container/>"}, "damaged: it does not say where the book begins"),
        ({"OEBPS/c.opf": package(spine=())}, "damaged: it lists no chapters"),
        ({"OEBPS/c.opf": '<!DOCTYPE x [<!ENTITY a "aaaa">]><package>&a;</package>'}, "refused: it declares entities"),
        (
            {"META-INF/encryption.xml": '<e><EncryptedData><EncryptionMethod Algorithm="http://x/aes"/></EncryptedData></e>'},
            "encrypted: the book is protected (DRM)",
        ),
    ],
)
def test_a_book_that_cannot_be_read_has_a_row_that_says_why(book, lone, changes, reason):
    row = lone(book(**changes))
    assert (row.kind, row.status) == ("epub", "failed")
    assert row.reason.startswith(reason)
