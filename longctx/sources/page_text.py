"""A document without the pictures of those pages whose text is read; pages without text stay pictures."""

from __future__ import annotations

from longctx.corpus import Page, Segment, Source


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
    said = {s.origin.number for s in source.segments if isinstance(s.origin, Page) and s.text}
    kept = tuple(s for s in source.segments if not (isinstance(s.origin, Page) and s.origin.number in said and not s.text))
    return kept if len(kept) < len(source.segments) else ()
