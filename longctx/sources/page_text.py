"""A document without the pictures of those pages whose text is read; pages that only a picture tells of stay pictures."""

from __future__ import annotations

from longctx.corpus import Page, Segment, Source

#: The headings of what there is to look at in a document besides whole pages that also have text: a page of which only the
#: picture tells what it says, though a stamp or a page number may stand on it; a part of a page; one whose words are text.
SCANNED, FIGURE, DRAWING = "scanned page", "figure", "drawing"
#: How that of text begins which a reader does not see, before the reason.
HIDDEN = "hidden text"


def page_text(source: Source) -> tuple[Segment, ...]:
    """The segments of a document, its pages by their text; empty where no page is there as a picture besides its text.

    Args:
        source: whole.

    >>> from longctx.corpus import Visual
    >>> picture = Segment("", Page("a.pdf", 1, (0, 0, 595, 842), None), visuals=(Visual(None, (1.0,), 595, 842),))
    >>> text = Segment("Minutes", Page("a.pdf", 1, (72, 72, 300, 90), None))
    >>> [segment.text for segment in page_text(Source("a.pdf", "/a.pdf", "pdf", 9, "", (picture, text)))]
    ['Minutes']
    """
    said = said_on(source)
    kept = tuple(segment for segment in source.segments if not is_said(segment, said))
    return kept if len(kept) < len(source.segments) else ()


def said_on(source: Source) -> set[int]:
    """The pages of a document whose text says what they say."""
    return {s.origin.number for s in source.segments if isinstance(s.origin, Page) and s.text}


def is_said(segment: Segment, said: set[int]) -> bool:
    """Whether a segment is the picture of a page, or of a part of it, beside the text of that page.

    Args:
        segment: of a document.
        said: of :func:`said_on`.
    """
    return (
        isinstance(segment.origin, Page) and segment.origin.number in said and not segment.text and segment.heading != SCANNED
    )
