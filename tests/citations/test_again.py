"""Citations checked again: only what stands in the sources as they are is verified."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.citations import Citation, again, check, referring, unmarked
from longctx.citations.again import CHANGED, GONE, NO_PLACE, NO_WORDS
from longctx.corpus import Lines, Moment, Origin, Page, Segment

CODE = "import time\n\nMAX = 5\n\n\ndef wait():\n    return MAX\n"


def lines(text: str, path: str = "a.py", first: int = 1) -> Segment:
    return Segment(text, Lines(path, first, first + text.count("\n") - 1))


def cited(origin: Origin | None, quote: str = "", verified: bool = True, **more: str) -> Citation:
    return Citation(1, 1, origin, quote, verified, **more)  # type: ignore[arg-type]


def test_words_at_their_place_stay_verified_and_get_the_segment_of_now() -> None:
    segments = {1: lines("other\n", "b.py"), 2: lines(CODE)}
    found = again(cited(Lines("a.py", 3, 3), "MAX = 5", note="line chosen by longctx"), segments)
    assert found == replace(cited(Lines("a.py", 3, 3), "MAX = 5", note="line chosen by longctx"), segment=2)


def test_the_very_line_counts_where_the_words_stand_twice() -> None:
    segments = {1: lines("return None\n" * 9)}
    assert again(cited(Lines("a.py", 7, 7), "return None"), segments).origin == Lines("a.py", 7, 7)


def test_words_over_the_border_of_two_segments_stand() -> None:
    segments = {1: lines("one two\nthree\n"), 2: lines("four\nfive\n", first=3)}
    found = again(cited(Lines("a.py", 2, 3), "three\nfour"), segments)
    assert (found.verified, found.segment) == (True, 1)


def test_words_that_moved_lead_to_the_nearest_place_that_has_them() -> None:
    segments = {1: lines("MAX = 5\n" + "\n" * 9), 2: lines("\n" * 9 + "MAX = 5\n", first=11)}
    found = again(cited(Lines("a.py", 18, 18), "MAX = 5", note="n"), segments)
    assert (found.origin, found.segment, found.verified) == (Lines("a.py", 20, 20), 2, True)
    assert found.note == "stood at a.py:18 before; n"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (cited(Lines("a.py", 3, 3), "MAX = 6"), NO_WORDS),
        (cited(Lines("b.py", 3, 3), "MAX = 5"), GONE),
        (cited(Lines("a.py", 99, 99)), NO_PLACE),
        (cited(Lines("a.py", 1, 1, 2)), NO_PLACE),
        (cited(Lines("a.py", 3, 3)), CHANGED),
        (cited(Page("a.py", 1), verified=False), NO_PLACE),
    ],
)
def test_what_is_lost_says_why_and_is_not_verified(place: Citation, why: str) -> None:
    lost = again(place, {1: lines(CODE)})
    assert (lost.lost, lost.remark, lost.verified, lost.segment) == (why, why, False, 0)
    assert (lost.origin, lost.quote, lost.note) == (place.origin, place.quote, place.note)
    assert lost.to_json()["note"] == why
    assert f"({why})" in str(lost)


def test_what_was_lost_is_verified_again_where_its_words_are_back() -> None:
    place = cited(Lines("a.py", 3, 3), "MAX = 5", note="line chosen by longctx")
    lost = again(place, {1: lines("x\n")})
    assert again(lost, {1: lines(CODE)}) == place


def test_a_quote_that_was_never_found_is_not_found_now() -> None:
    place = cited(Lines("a.py", 1, 1), "MAX = 5", verified=False, note="the quoted words were not found")
    found = again(place, {1: lines("x\n", "b.py"), 2: lines(CODE)})
    assert found == replace(place, segment=2)
    assert again(place, {1: lines("x\n", "b.py")}) == replace(place, segment=0)


def test_a_place_without_words_holds_while_its_source_is_the_same() -> None:
    segments = {1: lines("x\n"), 2: Segment("On screen", Moment("a.mp4", 4, 8))}
    place = cited(Moment("a.mp4", 6, 7))
    assert again(place, segments, unchanged={"a.mp4"}) == replace(place, segment=2)
    assert again(place, segments).lost == CHANGED


def test_a_renamed_source_keeps_its_citations() -> None:
    segments = {1: Segment("the tide gauge", Page("new.pdf", 3))}
    found = again(cited(Page("a.pdf", 3), "tide gauge"), segments, renamed={"a.pdf": "new.pdf"})
    assert (found.origin, found.verified, found.note) == (Page("new.pdf", 3), True, "stood at a.pdf, page 3 before")


def test_a_segment_that_never_was_stays_what_it_was() -> None:
    place = cited(None, verified=False, note="no segment 9")
    assert again(place, {1: lines(CODE)}) == place


def test_marks_of_an_answer_lead_back_to_segments() -> None:
    segments = {n: lines(f"Item {n} costs {n}00 euros.\n", f"{n}.txt") for n in range(1, 30)}
    said = 'It is "Item 12 costs 1200 euros" [12]. Then x[0], and "Item 3 costs 300 euros" [3, 12].'
    resolved = check(said, segments)
    numbers = {place.number: place.segment for place in resolved.citations}
    again_said = referring(resolved.text, numbers)
    assert {place.segment for place in check(again_said, segments).citations} == set(numbers.values())
    assert "x[0]" in again_said
    assert referring(resolved.text, dict.fromkeys(numbers, 0)).count("[") == 1


@given(st.text(alphabet='ab .[]1234,"`\n-', max_size=60))
def test_the_words_alone_are_the_same_in_what_is_written_and_in_what_is_shown(said: str) -> None:
    segments = {1: lines("a b ab.\n"), 2: lines("b b b a.\n", "b.py")}
    assert unmarked(check(said, segments).text) == unmarked(said)


# -- documents -------------------------------------------------------------------------------------------------------
def sheet(text: str, name: str, *rows: int) -> Segment:
    origin = Lines("a.xlsx", rows[0], rows[-1], part=f"sheet {name!r}", unit="row")
    return Segment(text, origin, made_of=tuple((row, row) for row in rows))


def test_a_row_stands_on_its_own_sheet_only() -> None:
    segments = {1: sheet("| Brest | 6.1 |\n", "Q1", 2), 2: sheet("| Brest | 7.5 |\n", "Q2", 2)}
    place = Lines("a.xlsx", 2, 2, part="sheet 'Q2'", unit="row")
    assert again(cited(place, "7.5"), segments).segment == 2
    moved = again(cited(place, "6.1"), segments)
    assert (moved.segment, moved.origin, moved.note) == (
        1,
        Lines("a.xlsx", 2, 2, part="sheet 'Q1'", unit="row"),
        "stood at a.xlsx, sheet 'Q2' row 2 before",
    )


def test_rows_between_which_nothing_stands_are_found_by_their_own_numbers() -> None:
    segments = {1: sheet("| one |\n| two |\n| three |\n", "Q1", 2, 50, 99)}
    place = Lines("a.xlsx", 50, 50, part="sheet 'Q1'", unit="row")
    assert again(cited(place, "two"), segments).note == ""
    assert again(cited(replace(place, first=3, last=3), "two"), segments).origin == place
