"""Documents made on the spot, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from longctx.corpus import Row, Segment
from longctx.sources import read
from tests.peaks import below, peak, resident


@pytest.fixture
def document(pymupdf):
    with pymupdf.open() as document:
        yield document


@pytest.fixture
def read_pdf(write) -> Callable[..., tuple[list[Segment], Row]]:
    """Write a document, read it, and hand back its segments and its row."""

    def _read(document, saved=None, **options):
        top = write({"a.pdf": document.tobytes(**(saved or {})), "other.txt": "still read\n"})
        corpus = read(top, **options)
        row = next(row for row in corpus.manifest if row.path == "a.pdf")
        return [segment for source in corpus.sources if source.kind == "pdf" for segment in source.segments], row

    return _read


@pytest.fixture
def in_box(pymupdf):
    """The words that stand on a page in the box of a segment, as MuPDF tells them by itself."""

    def _in_box(document, segment):
        page = document[segment.origin.number - 1]
        x0, y0, x1, y1 = segment.origin.box
        place = pymupdf.Rect(x0 - 1, y0 - 1, x1 + 1, y1 + 1) * page.derotation_matrix
        flags = pymupdf.TEXTFLAGS_WORDS & ~pymupdf.TEXT_PRESERVE_LIGATURES
        return sorted(word[4] for word in page.get_text("words", clip=place.normalize(), flags=flags))

    return _in_box


@pytest.fixture
def watch_memory():
    """The highest memory of any child of this process, in bytes; filled in at the end."""
    return lambda: peak(lambda: max(map(resident, below()), default=0))
