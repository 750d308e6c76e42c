"""Headings of reStructuredText, and cuts before them."""

from __future__ import annotations

import pytest

from longctx.corpus import split_lines
from longctx.sources import read
from longctx.sources.texts.rst import headings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Title\n=====\n", [(0, "Title")]),
        ("=====\nTitle\n=====\n\nPart\n~~~~\n", [(0, "Title"), (4, "Part")]),
        ("======\n Title\n======\n", [(0, "Title")]),
        ("a\r\n\r\nTitle\r\n-----\r\n", [(2, "Title")]),
        ("漢字の題\n========\n", [(0, "漢字の題")]),
        ("A long title\n----\n", [(0, "A long title")]),
        ("A long title\n---\n", []),
        ("words\nwords\n-----\n", []),
        ("words\n\n-----\n\nwords\n", []),
        ("=====  =====\nA      B\n=====  =====\n1      2\n=====  =====\n", []),
        ("Code::\n\n    Title\n    =====\n", []),
        ("+---+\n| a |\n+---+\n", []),
        ("=====\n", []),
        ("", []),
    ],
)
def test_what_is_a_heading(text, found):
    assert headings(split_lines(text)) == found


def test_a_guide_is_cut_at_its_headings(write):
    text = "".join(f"Part {number}\n------\n\n" + "words\n" * 21 + "\n" for number in range(3))
    corpus = read(write({"guide.rst": text, "guide.txt": text}))
    told = {source.path: [segment.heading for segment in source.segments] for source in corpus.sources}
    assert told["guide.rst"] == ["Part 0", "Part 1", "Part 2"]
    assert set(told["guide.txt"]) == {""}
