"""Word documents: what a reader sees, and paragraphs whose numbers hold when another parser counts them."""

from __future__ import annotations

import io
import re
import zipfile
from xml.etree import ElementTree

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from longctx.corpus import Lines, Segment

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def saved(document, folder, name="a.docx"):
    document.save(folder / name)
    return folder / name


def lines(source):
    return [line for segment in source.segments for line in segment.text.splitlines()]


def paragraph(document, xml):
    element = parse_xml(f"<w:p {nsdecls('w', 'r')}>{xml}</w:p>")
    document.element.body.insert(len(document.element.body) - 1, element)
    return element


@pytest.fixture
def report():
    document = docx.Document()
    document.add_heading("Tides", 0)
    document.add_heading("Method", 1)
    document.add_paragraph("Measured at Brest.")
    document.add_paragraph("")
    document.add_heading("Results", 2)
    document.add_paragraph("Ebb", style="List Bullet")
    document.add_paragraph("Flow", style="List Bullet")
    table = document.add_table(3, 2)
    for row, cells in enumerate((("Port", "m"), ("Brest", "6.1"), ("Saint|Malo", "10.9"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.add_paragraph("שלום עולם")
    return document


def test_headings_lists_and_tables_stand_as_markdown_in_their_order(report, tmp_path, one):
    row, source = one(saved(report, tmp_path))
    assert (row.kind, row.status, row.reason) == ("docx", "read", "")
    assert lines(source) == [
        "# Tides", "# Method", "Measured at Brest.", "## Results", "- Ebb", "- Flow",
        "| Port | m |", "| --- | --- |", "| Brest | 6.1 |", "| Saint\\|Malo | 10.9 |", "שלום עולם",
    ]  # fmt: skip


def test_an_origin_names_the_heading_and_the_paragraphs(report, tmp_path, one):
    _, source = one(saved(report, tmp_path))
    assert [str(segment.origin) for segment in source.segments] == [
        "a.docx, “Method” paragraphs 1-3",
        "a.docx, “Results” paragraphs 5-11",
    ]
    assert source.segments[1].heading == "Results"


def test_paragraph_numbers_hold_when_another_parser_counts(report, tmp_path, one):
    file = saved(report, tmp_path)
    _, source = one(file)
    body = ElementTree.fromstring(zipfile.ZipFile(file).read("word/document.xml"))[0]
    counted = [
        "".join(node.text or "" for node in block.iter(W + "t"))
        for child in body
        for block in ([child] if child.tag == W + "p" else child.iter(W + "tr") if child.tag == W + "tbl" else [])
    ]
    for segment in source.segments:
        for index, line in enumerate(segment.text.splitlines()):
            first, last = segment.lines_at(index)
            assert first == last
            if not line.startswith("| ---"):
                assert re.sub(r"^#+ |^- |[| \\]", "", line).replace(" ", "") == re.sub(r"[| ]", "", counted[first - 1])


def test_numbered_lists_count_as_word_does(tmp_path, one):
    document = docx.Document()
    for style in ("List Number", "List Number", "List Number 2"):
        document.add_paragraph(f"in {style}", style=style)
    _, source = one(saved(document, tmp_path))
    assert lines(source)[:2] == ["1. in List Number", "2. in List Number"]


def test_links_footnotes_and_comments_say_what_they_say(tmp_path, one):
    document = docx.Document()
    start = document.add_paragraph("See ")
    run = start.add_run("this")
    document.add_comment(runs=[run], text="Really?", author="Ada")
    link = document.part.relate_to("https://example.org/x", docx.opc.constants.RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    paragraph(document, f'<w:hyperlink r:id="{link}"><w:r><w:t>the page</w:t></w:r></w:hyperlink>')
    _, source = one(saved(document, tmp_path))
    assert lines(source) == ["See this", "[Comment by Ada: Really?]", "[the page](https://example.org/x)"]
    assert source.segments[0].lines_at(1) == (1, 1)


def test_a_footnote_stands_below_the_paragraph_that_has_it(tmp_path, one):
    file = saved(docx.Document(), tmp_path, "plain.docx")
    notes = (
        f'<w:footnotes {nsdecls("w")}><w:footnote w:id="2"><w:p><w:r><w:t>By hand.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    )
    relation = '<Relationship Id="rX" Type="http://x/relationships/footnotes" Target="footnotes.xml"/></Relationships>'
    body = (
        '<w:p><w:r><w:t>Measured</w:t><w:footnoteReference w:id="2"/></w:r></w:p><w:p><w:r><w:t>Next</w:t></w:r></w:p><w:sectPr'
    )
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "a.docx", "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "word/document.xml":
                text = text.replace(b"<w:sectPr", body.encode(), 1)
            if name == "word/_rels/document.xml.rels":
                text = text.replace(b"</Relationships>", relation.encode())
            new.writestr(name, text)
        new.writestr("word/footnotes.xml", notes)
    _, source = one(tmp_path / "a.docx")
    assert lines(source) == ["Measured[^2]", "[^2]: By hand.", "Next"]
    assert [source.segments[0].lines_at(index) for index in range(3)] == [(1, 1), (1, 1), (2, 2)]


def test_tracked_changes_are_read_as_accepted_and_the_row_counts_them(tmp_path, one):
    document = docx.Document()
    paragraph(
        document,
        '<w:r><w:t xml:space="preserve">It rises </w:t></w:r>'
        '<w:ins w:id="1" w:author="A"><w:r><w:t>twice</w:t></w:r></w:ins>'
        '<w:del w:id="2" w:author="A"><w:r><w:delText>once</w:delText></w:r></w:del>'
        '<w:r><w:t xml:space="preserve"> a day</w:t></w:r>',
    )
    row, source = one(saved(document, tmp_path))
    assert lines(source) == ["It rises twice a day"]
    assert row.reason == "tracked changes: 1 insertion read, 1 deletion left out"


def test_text_that_was_moved_is_read_where_it_is_now(tmp_path, one):
    document = docx.Document()
    paragraph(document, '<w:moveFrom w:id="1" w:author="A"><w:r><w:t>High water</w:t></w:r></w:moveFrom>')
    paragraph(document, "<w:r><w:t>Low water</w:t></w:r>")
    paragraph(document, '<w:moveTo w:id="2" w:author="A"><w:r><w:t>High water</w:t></w:r></w:moveTo>')
    assert lines(one(saved(document, tmp_path))[1]) == ["Low water", "High water"]


def test_a_paragraph_is_a_heading_by_its_own_outline_level_too(tmp_path, one):
    document = docx.Document()
    paragraph(document, '<w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>Method</w:t></w:r>')
    paragraph(document, '<w:pPr><w:outlineLvl w:val="9"/></w:pPr><w:r><w:t>Measured at Brest.</w:t></w:r>')
    _, source = one(saved(document, tmp_path))
    assert lines(source) == ["## Method", "Measured at Brest."]
    assert source.segments[0].origin.part == "“Method”"


def test_merged_cells_leave_gaps_and_hidden_text_is_told(tmp_path, one):
    document = docx.Document()
    table = document.add_table(2, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "both"
    table.cell(0, 2).merge(table.cell(1, 2)).text = "down"
    table.cell(1, 0).text = "x"
    table._tbl.tr_lst[1].tc_lst[2].p_lst[0].add_r().text = "left below by the merge, and shown by nobody"
    document.add_paragraph().add_run("secret").font.hidden = True
    row, source = one(saved(document, tmp_path))
    assert lines(source) == ["| both |  | down |", "| --- | --- | --- |", "| x |  |  |", "secret"]
    assert row.reason == "1 hidden piece of text read"


def test_text_boxes_and_headers_are_not_lost_silently(tmp_path, one):
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Confidential"
    box = "<w:txbxContent><w:p><w:r><w:t>Boxed</w:t></w:r></w:p></w:txbxContent>"
    shape = f'<v:textbox xmlns:v="urn:schemas-microsoft-com:vml">{box}</v:textbox>'
    paragraph(document, f"<w:r><w:t>Text</w:t><w:pict>{shape}</w:pict></w:r>")
    row, source = one(saved(document, tmp_path))
    assert lines(source) == ["Text", "[Text box: Boxed]"]
    assert row.reason == "left out: 1 header or footer"


def test_a_picture_is_seen_where_it_stands_once_and_pixel_by_pixel(tmp_path, one, png):
    document = docx.Document()
    document.add_paragraph("before")
    document.add_picture(io.BytesIO(png(1)))
    document.add_picture(io.BytesIO(png(1)))
    document.add_picture(io.BytesIO(png(2, 20, 20)))
    document.add_paragraph("after")
    row, source = one(saved(document, tmp_path))
    assert row.reason == ("1 picture left out: repeated; 1 picture left out: too small to show anything")
    before, picture, after = source.segments
    assert (before.text, after.text) == ("before\n", "after\n")
    assert picture.origin == Lines("a.docx", 2, 2, unit="paragraph")
    (visual,) = picture.visuals
    (frame,) = visual.medium.frames(visual.places, 64, 48, lambda: None)
    from PIL import Image

    assert frame.pixels.tobytes() == Image.open(io.BytesIO(png(1))).tobytes()
    assert visual.medium.look(0.0, 64)[:2] == b"\xff\xd8"


def test_a_long_paragraph_is_spread_over_segments_of_one_number(tmp_path, one):
    document = docx.Document()
    document.add_paragraph("word " * 1000)
    _, source = one(saved(document, tmp_path))
    assert len(source.segments) > 1
    assert {segment.origin for segment in source.segments} == {Lines("a.docx", 1, 1, unit="paragraph")}
    assert "".join(segment.text for segment in source.segments) == ("word " * 1000).strip() + "\n"
    assert all(isinstance(segment, Segment) and segment.made_of == ((1, 1),) for segment in source.segments)


def test_powers_and_fractions_of_a_formula_are_no_plain_numbers_and_signs_are_told(tmp_path, one):
    import zipfile

    import docx

    formula = (
        '<w:p><m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:r><m:t>E=</m:t></m:r>'
        "<m:f><m:num><m:r><m:t>1</m:t></m:r></m:num><m:den><m:r><m:t>2+a</m:t></m:r></m:den></m:f>"
        "<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath></w:p>"
        '<w:p><w:r><w:sym w:font="Wingdings" w:char="F0FC"/><w:sym w:font="Arial" w:char="03C0"/><w:t>r</w:t></w:r></w:p>'
    )
    docx.Document().save(tmp_path / "plain.docx")
    with zipfile.ZipFile(tmp_path / "plain.docx") as old, zipfile.ZipFile(tmp_path / "a.docx", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(
                name, data.replace(b"<w:body>", b"<w:body>" + formula.encode()) if name.endswith("document.xml") else data
            )
    row, source = one(tmp_path / "a.docx")
    assert source.segments[0].text == "E=1/(2+a)x^2\nπr\n"
    assert row.reason == "left out: 1 sign of a font of its own"


def test_the_strict_form_of_the_format_says_what_to_do(tmp_path, lone):
    import zipfile

    import docx

    docx.Document().save(tmp_path / "plain.docx")
    loose, strict = b"schemas.openxmlformats.org/wordprocessingml/2006/main", b"purl.oclc.org/ooxml/wordprocessingml/main"
    with zipfile.ZipFile(tmp_path / "plain.docx") as old, zipfile.ZipFile(tmp_path / "a.docx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(loose, strict))
    (tmp_path / "plain.docx").unlink()
    assert lone(tmp_path / "a.docx").reason == "saved as Strict Open XML, which is not read: save it as a usual document"
