"""What an answer cites and quotes is read as it was meant, in the many ways in which models write it."""

from __future__ import annotations

import pytest

from longctx.citations.marks import sentences

KNOWN = range(1, 31)


def read(text: str) -> list[tuple[str, list[int], list[str]]]:
    return [(s.bare(text), s.ids, [quote.text for quote in s.quotes]) for s in sentences(text, KNOWN)]


@pytest.mark.parametrize(
    ("mark", "ids"),
    [
        ("[12]", [12]),
        ("[ 12 ]", [12]),
        ("[12, 15]", [12, 15]),
        ("[12; 15]", [12, 15]),
        ("[12 and 15]", [12, 15]),
        ("[12][15]", [12, 15]),
        ("[12] [12]", [12]),
        ("[seg 12]", [12]),
        ("[Segment 12, seg 15]", [12, 15]),
        ("[#12]", [12]),
        ("[12-14]", [12, 13, 14]),
        ("[12–14, 3]", [12, 13, 14, 3]),
        ("[29-40]", [29, 30]),
        ("[90-99]", [90]),
        ("[14-12]", [14]),
        ("[12, lines 3-9]", [12]),
        ("<seg 12 lines 3-9>", [12]),
        ("【12】", [12]),
        ("[99]", [99]),
    ],
)
def test_a_mark_names_its_segments(mark: str, ids: list[int]) -> None:
    assert read(f"It waits {mark}.") == [("It waits .", ids, [])]


@pytest.mark.parametrize(
    "text",
    [
        "The code `items[0]` and `a[12]` is run.",
        "It reads items[0] first.",
        "It reads f(x)[0] first.",
        "See [12](https://example.org) for it.",
        "See [the manual] for it.",
        "See [12.5] for it.",
        "```\na[12]\n [12]\n```",
    ],
)
def test_what_only_looks_like_a_mark_is_none(text: str) -> None:
    assert [ids for _, ids, _ in read(text)] == [[]]


def test_a_mark_right_after_a_word_counts_where_its_segment_exists() -> None:
    assert [ids for _, ids, _ in read("It waits[12].")] == [[12]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is so. Two is so.", ["One is so.", "Two is so."]),
        ("It is e.g. This one. And so on.", ["It is e.g. This one.", "And so on."]),
        ("It is 2.5 or v1.2 now. Yes.", ["It is 2.5 or v1.2 now.", "Yes."]),
        ("- one\n- two\n\n## Three\n1. **four**", ["one", "two", "Three", "four"]),
        ('He said "Stop now. Then go." and left.', ['He said "Stop now. Then go." and left.']),
        ('He said "Stop now." Then he left.', ['He said "Stop now."', "Then he left."]),
        ("这是一。那是二。", ["这是一。", "那是二。"]),
        ("Cut off in the middle of a mark [1", ["Cut off in the middle of a mark"]),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, expected: list[str]) -> None:
    assert [bare for bare, _, _ in read(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "It is so [3].",
        "It is so. [3]",
        "It is so.[3]",
        "It is so.\n[3]",
        "[3] It is so.",
        "It is so. [3] \n\nNext.",
        "It is so. [3] Next.",
    ],
)
def test_a_mark_belongs_to_its_sentence_wherever_it_stands(text: str) -> None:
    first, *rest = read(text)
    assert first[1] == [3]
    assert first[0].startswith("It is so")
    assert all(ids == [] for _, ids, _ in rest)


def test_a_mark_that_opens_a_sentence_is_its_own_where_the_one_before_has_one() -> None:
    assert [ids for _, ids, _ in read("It is so [3]. [4] says more.")] == [[3], [4]]


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ('It says "a b c" there', ["a b c"]),
        ("It says “a b c” and «d e f» there", ["a b c", "d e f"]),
        ("It calls `wait(1)` and ``x`y`` there", ["wait(1)", "x`y"]),
        ('It says "a b c [3]" there', ["a b c"]),
        ('It says "call `f` now" there', ["call `f` now"]),
        ("See:\n```py\nx = 1\ny = 2\n```", ["x = 1\ny = 2\n"]),
        ('A 5" disk and a 3" one', []),
    ],
)
def test_quotes_are_found_however_they_are_set(text: str, quotes: list[str]) -> None:
    assert [quote for _, _, found in read(text) for quote in found] == quotes


def test_a_block_of_code_belongs_to_the_sentence_before_it() -> None:
    ((_, ids, quotes),) = read("It is this:\n\n```\nx = 1\n```\n[3]")
    assert (ids, quotes) == ([3], ["x = 1\n"])


def test_a_line_that_a_model_wrapped_ends_no_sentence() -> None:
    wrapped = 'It waits two seconds, and\nthen "tries it again" [3].'
    assert read(wrapped) == [('It waits two seconds, and then "tries it again" .', [3], ["tries it again"])]
    assert len(read("It waits\n\nand tries.\n- one\n- two\n1. three")) == 5
    assert len(read("It waits\r\n\r\nand tries.")) == 2
