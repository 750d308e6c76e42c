"""Documents made to harm: one row each, in bounded memory and time, and what can be read of them is read."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from longctx.sources import read

ROOT = Path(__file__).resolve().parents[3]
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
HELLO = b"BT /F1 12 Tf 72 700 Td (hello page) Tj ET"


def _objects(*objects):
    """A document of these objects, numbered from 1; the first is its catalogue."""
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, len(out),
    )  # fmt: skip


def _stream(data, keys=b""):
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (keys, len(data), data)


def _page(content=HELLO, box=b"0 0 595 842", keys=b"", resources=b"", more=(), catalogue=b"", packed=False):
    """A document of one page; further objects are numbered from 6."""
    data = zlib.compress(content, 9) if packed else content
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[%b]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>%b>>%b>>" % (
        box,
        resources,
        keys,
    )
    return _objects(
        b"<</Type/Catalog/Pages 2 0 R%b>>" % catalogue, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page,
        _stream(data, b"/Filter/FlateDecode" if packed else b""), FONT, *more,
    )  # fmt: skip


def _loop_in_the_xref():
    data = _page()
    return data.replace(b"trailer<<", b"trailer<</Prev %d" % data.index(b"xref\n0"))


def _deep_pages(depth):
    nodes = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (number + 3) for number in range(depth)]
    return _objects(b"<</Type/Catalog/Pages 2 0 R>>", *nodes, b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 9 9]>>" % (depth + 1))


def _deep_outline(depth):
    titles = [b"<</Title(%d)/Parent %d 0 R/First %d 0 R/Last %d 0 R>>" % (n, n + 6, n + 8, n + 8) for n in range(depth)]
    return _page(catalogue=b"/Outlines 6 0 R", more=(b"<</Type/Outlines/First 7 0 R/Last 7 0 R>>", *titles, b"<</Title(end)>>"))


def _damaged_font(pymupdf):
    with pymupdf.open() as document:
        document.new_page().insert_htmlbox((50, 50, 300, 100), "<p>日本語のテキスト</p>")
        for number in range(1, document.xref_length()):
            if document.xref_is_stream(number) and len(document.xref_stream(number) or b"") > 1000:
                data = bytearray(document.xref_stream(number))
                data[12::7] = bytes(255 - value for value in data[12::7])
                document.update_stream(number, bytes(data))
        return document.tobytes()


BOX = b"/XObject<</X 6 0 R>>"
READ = {
    "a page of 14,400 points": lambda: _page(box=b"0 0 14400 14400"),
    "a page of a million points": lambda: _page(box=b"0 0 1000000 1000000"),
    "a page of 1e30 points": lambda: _page(box=b"0 0 1e30 1e30"),
    "a page without area": lambda: _page(box=b"0 0 -5 0"),
    "a loop in the xref": _loop_in_the_xref,
    "an outline that is its own child": lambda: _page(
        catalogue=b"/Outlines 6 0 R",
        more=(b"<</First 7 0 R/Last 7 0 R>>", b"<</Title(a)/Parent 6 0 R/First 7 0 R/Next 7 0 R>>"),
    ),
    "an outline 2,000 deep": lambda: _deep_outline(2000),
    "a form that draws itself": lambda: _page(
        HELLO + b" /X Do", resources=BOX,
        more=(_stream(b"/X Do /X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>"),),
    ),
    "fields that are their own children": lambda: _page(
        keys=b"/Annots[6 0 R 6 0 R 99 0 R]", catalogue=b"/AcroForm<</Fields[6 0 R]>>",
        more=(b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/Parent 6 0 R/Kids[6 0 R]/Rect[0 0 9 9]>>",),
    ),
    "a highlight without corners": lambda: _page(
        keys=b"/Annots[6 0 R]", more=(b"<</Type/Annot/Subtype/Highlight/QuadPoints[1 2 3]/Rect[0 0 9 9]>>",)
    ),
}  # fmt: skip
NOT_READ = {
    "pages that are their own children": lambda: _objects(
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>"
    ),
    "two thousand million pages": lambda: _objects(
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 2000000000>>", b"<</Type/Page/Parent 2 0 R>>"
    ),
    "a page tree 5,000 deep": lambda: _deep_pages(5000),
}


@pytest.mark.parametrize("name", READ)
def test_the_text_of_an_odd_document_is_read(write, rows, name):
    corpus = read(write({"a.pdf": READ[name](), "other.txt": "still read\n"}))
    assert [segment.text for segment in corpus.segments.values() if "hello" in segment.text] == ["hello page"]
    assert rows(corpus)["a.pdf"].status in ("read", "truncated")


@pytest.mark.parametrize("name", NOT_READ)
def test_nonsense_has_a_row_and_the_next_document_is_read(write, rows, name):
    manifest = rows(read(write({"a.pdf": NOT_READ[name](), "b.pdf": _page()})))
    assert manifest["a.pdf"].status in ("failed", "skipped")
    assert "pages" in manifest["a.pdf"].reason or "page" in manifest["a.pdf"].reason
    assert "reader" not in manifest["a.pdf"].reason, "it is the document that is bad, and the worker that says so"
    assert manifest["b.pdf"].status == "read"


def test_a_damaged_font_has_one_row(write, rows, pymupdf):
    manifest = rows(read(write({"a.pdf": _damaged_font(pymupdf), "b.pdf": _page()})))
    assert set(manifest) == {"a.pdf", "b.pdf"}
    assert manifest["b.pdf"].status == "read"


def test_an_image_of_four_hundred_million_pixels_is_not_decoded_to_read_the_page(write, watch_memory):
    side = 20_000
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(side * 500)) for _ in range(side // 500)) + packer.flush()
    keys = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/FlateDecode" % (
        side,
        side,
    )
    bomb = _page(HELLO + b" q 300 0 0 300 50 50 cm /X Do Q", resources=BOX, more=(_stream(data, keys),))
    top = write({"a.pdf": bomb})
    with watch_memory() as peak:
        corpus = read(top)
    assert corpus.segments[1].text == "hello page"
    assert peak[0] < 350e6


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_page_that_unfolds_to_more_memory_than_it_may_take_fails_for_itself(write):
    bomb = _page(b"BT /F1 1 Tf " + b"(aaaaaaaaaa) Tj 1 0 Td " * 400_000 + b"ET", packed=True)
    top = write({"a.pdf": bomb})
    program = (
        "import json, sys; from longctx.sources.pdf import document, pages; document.MEMORY = 2**27; "
        "print(json.dumps(list(pages.pages(sys.argv[1]))))"
    )
    done = subprocess.run([sys.executable, "-c", program, top / "a.pdf"], capture_output=True, text=True, cwd=ROOT, check=True)
    head, page = json.loads(done.stdout)
    assert (head["pages"], page["page"]) == (1, 1)
    assert page["error"]
