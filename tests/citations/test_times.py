"""Times that a question names lead to what a recording holds there."""

from __future__ import annotations

import pytest

from longctx.citations import Citation, at_times
from longctx.citations.times import held, named
from longctx.corpus import Lines, Moment, Segment
from longctx.retrieval import Index


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("What does the slide at 12 seconds show?", [12]),
        ("at 0:12", [12]),
        ("between 00:01:05 and 1:02:03.5", [65, 3723.5]),
        ("at 12s or 12.5 s", [12, 12.5]),
        ("2 min 5 s; 1 hour 2 minutes 3 seconds", [125, 3723]),
        ("in minute 3, at second 7", [180, 7]),
        ("after 4 minutes", [240]),
        ("version 3.12 has 12 functions at src/a.py:12:30?", []),
        ("lines 12-14, 5 steps, ratio 16:9, 10:99", []),
        ("", []),
    ],
)
def test_times_are_found_as_people_write_them(text: str, times: list[float]) -> None:
    assert named(text) == times


SEGMENTS = {
    1: Segment("twelve seconds\n", Lines("a.py", 1, 1)),
    2: Segment("first", Moment("a.mp4", 0, 10)),
    3: Segment("second", Moment("a.mp4", 10, 15)),
    4: Segment("third", Moment("a.mp4", 15, 20)),
}


def test_a_time_lies_in_one_stretch_of_a_recording() -> None:
    assert [list(held(time, SEGMENTS, SEGMENTS)) for time in (0, 9.9, 10, 15, 20, 21)] == [[2], [2], [3], [4], [4], []]


def test_a_time_just_past_the_end_means_the_end_and_one_in_a_gap_means_nothing() -> None:
    gap = {**SEGMENTS, 5: Segment("fourth", Moment("a.mp4", 22, 25.96)), 6: Segment("other", Moment("b.mp4", 0, 90))}
    assert [sorted(held(time, gap, gap)) for time in (20.5, 26, 26.9, 27)] == [[6], [5, 6], [5, 6], [6]]
    assert held(26, gap, {1, 2, 3, 4}) == []


def test_the_time_that_was_asked_about_is_cited_where_the_answer_does_not() -> None:
    (place,) = at_times("What is shown at 12 seconds?", SEGMENTS, SEGMENTS, ())
    assert (place.origin, place.quote, place.verified, place.basis) == (Moment("a.mp4", 10, 15), "second", True, "matched")
    cited = (Citation(1, 3, Moment("a.mp4", 10, 15)),)
    assert at_times("What is shown at 12 seconds?", SEGMENTS, SEGMENTS, cited) == cited
    assert at_times("What is shown at 12 seconds?", SEGMENTS, {1, 2}, ()) == ()


def test_a_named_time_is_chosen_before_what_shares_words() -> None:
    index = Index([(number, segment.text, 5) for number, segment in SEGMENTS.items()])
    assert index.choose("twelve", 5, neighbours=0, first=[4]).ids == (4,)
