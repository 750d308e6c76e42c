"""Documents, pictures and videos with bytes that were changed at random: each ends with one row, and what follows is read.

``LONGCTX_FUZZ=500`` tries more than 50. Seeds are fixed; a file that fails is made again by its number.
"""

from __future__ import annotations

import io
import os
import random
import re
from itertools import pairwise

import pytest

from longctx.errors import SourceChangedError
from longctx.sources import read
from tests.videos import make_video

FUZZ = int(os.environ.get("LONGCTX_FUZZ", "50"))
#: Every so many files that can be looked at are looked at; each takes a worker of its own.
LOOKED_AT = 5


@pytest.fixture(scope="module")
def originals(pymupdf, tmp_path_factory):
    """Whole files by their suffixes, PDFs more often than the rest."""
    folder = tmp_path_factory.mktemp("originals")
    make_video(folder / "a.mp4", [number / 10 for number in range(12)], (64, 48))
    made = {suffix: _picture(suffix) for suffix in ("png", "jpeg", "gif", "webp", "tiff", "bmp")}
    documents = [
        _document(pymupdf, **saved) for saved in ({}, {"deflate": True, "use_objstms": 1}, {"garbage": 3, "clean": True})
    ]
    return [("pdf", data) for data in documents * 4] + list(made.items()) + [("mp4", (folder / "a.mp4").read_bytes())]


def _document(pymupdf, **saved):
    """Prose, a table, a form, notes, links, a figure, hidden text, a picture of a page."""
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_textbox((50, 50, 500, 200), "Words of a paragraph that says something about the tide. " * 8)
        for row in range(4):
            page.draw_line((50, 250 + 20 * row), (350, 250 + 20 * row))
            page.draw_line((50 + 100 * row, 250), (50 + 100 * row, 310))
            for column in range(3 if row < 3 else 0):
                page.insert_text((55 + 100 * column, 264 + 20 * row), f"cell {row}.{column}")
        page.insert_text((50, 350), "unseen", color=(1, 1, 1))
        page.insert_link({"kind": pymupdf.LINK_URI, "from": pymupdf.Rect(50, 50, 100, 60), "uri": "https://example.org"})
        page.add_highlight_annot(pymupdf.Rect(50, 50, 150, 65))
        page.add_text_annot((400, 300), "a note")
        widget = pymupdf.Widget()
        widget.field_name, widget.field_type, widget.field_value = "name", pymupdf.PDF_WIDGET_TYPE_TEXT, "value"
        widget.rect = pymupdf.Rect(50, 400, 150, 420)
        page.add_widget(widget)
        page.insert_image((50, 450, 250, 550), stream=_picture("png"))
        document.new_page(width=200, height=150).insert_image((0, 0, 200, 150), stream=_picture("jpeg"))
        document.new_page().insert_htmlbox((50, 50, 400, 200), "<p>שלום עולם</p><p>日本語</p>")
        document.set_toc([[1, "one", 1], [2, "two", 2]])
        document.set_page_labels([{"startpage": 0, "style": "r"}])
        return document.tobytes(**saved)


def _picture(kind):
    from PIL import Image

    stream = io.BytesIO()
    Image.frombytes("RGB", (80, 60), random.Random(1).randbytes(80 * 60 * 3)).save(stream, kind)
    return stream.getvalue()


def _mutated(data, number):
    """Bytes changed, cut off, moved, doubled or overwritten."""
    chance = random.Random(number)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 20, 200))):
        at, length = chance.randrange(len(changed)), chance.randrange(1, 40)
        match chance.randrange(8):
            case 0 | 1 | 2 | 3:
                changed[at] = chance.randrange(256)
            case 4:
                changed[at : at + length] = chance.randbytes(length)
            case 5:
                changed[at : at + length] = changed[at : at + length] * 2
            case 6:
                digits = [place for place in range(at, min(len(changed), at + 400)) if chr(changed[place]).isdigit()]
                for place in digits[:3]:
                    changed[place] = ord(chance.choice("0123456789"))
            case 7:
                del changed[at : at + length]
        changed = changed or bytearray(b"%")
    return bytes(changed[: chance.randrange(1, len(changed) + 1)] if chance.random() < 0.1 else changed)


def _crossed(kin, number):
    """Stretches of files of one kind, put together in another order; whole numbers in them grown beyond all bounds."""
    chance = random.Random(number)
    pieces = []
    for data in chance.choices(kin, k=3):
        cuts = sorted(chance.sample(range(len(data)), k=4))
        pieces += [data[start:stop] for start, stop in pairwise([0, *cuts, len(data)])]
    first, *rest = pieces[: chance.randrange(4, len(pieces) + 1)]
    for _ in range(chance.randrange(3)):
        one, other = chance.randrange(len(rest)), chance.randrange(len(rest))
        rest[one], rest[other] = rest[other], rest[one]
    changed = first + b"".join(rest)
    for found in chance.choices(list(re.finditer(rb"(?<![\w.])\d{1,6}(?![\w.])", changed)) or [None], k=chance.randrange(4)):
        if found is not None:
            huge = chance.choice((b"-1", b"0", b"4294967296", b"99999999999999999999", b"nan", b"1e308"))
            changed = changed[: found.start()] + huge + changed[found.end() :]
    return changed


@pytest.mark.timeout(120 + 2 * FUZZ)
def test_mutated_files_end_with_a_row_each_and_what_follows_is_read(originals, write, rows):
    files = {}
    for number in range(FUZZ):
        suffix, data = originals[number % len(originals)]
        others = [other for kind, other in originals if kind == suffix]
        files[f"{number:04}.{suffix}"] = _crossed(others, number) if number % 3 == 2 else _mutated(data, number)
    corpus = read(write({**files, "~last.txt": "still read\n"}))
    manifest = rows(corpus)
    assert set(manifest) == {*files, "~last.txt"}
    assert manifest["~last.txt"].status == "read"
    for row in manifest.values():
        assert row.status in ("read", "truncated") or (row.status in ("failed", "skipped") and row.reason), row
        assert "crashed" not in row.reason or row.status == "failed", row
    for segment in corpus.segments.values():
        segment.text.encode()
    _look_at(corpus)


def _look_at(corpus):
    """Pixels, or an error of ours; never the end of this process."""
    shown = [visual for source in corpus.sources for segment in source.segments[:1] for visual in segment.visuals]
    for visual in shown[::LOOKED_AT]:
        list(visual.medium.frames(visual.places[:1], 32, 32, lambda: None))
        try:
            visual.medium.look(visual.places[0], 64)
        except SourceChangedError:
            continue
