from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import UsageError
from longctx.planner import Claim, check_budgets, divide
from longctx.planner.allotments import LEAST_REST
from tests.planner.published import CPU, GEOMETRY

#: Of the native window: 8,192 less 1,024 for the conversation and 100 around the sources.
ROOM = 7_068


def divided(claims, others=0, device=CPU, **asked):
    return divide(GEOMETRY, claims, others, device=device, overhead_tokens=100, **asked)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.0, "0.0"),
        (-0.5, "-0.5"),
        (-7, "-7"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, "True"),
        ("half", "'half'"),
        (None, "None"),
        ([0.5], "[0.5]"),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_what_is_neither_a_share_nor_tokens_is_refused_with_key_and_value(value, said):
    with pytest.raises(UsageError) as caught:
        check_budgets({"fine.py": 0.25, "lecture.mp4": value})
    assert "'lecture.mp4'" in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("key", ["", "  ", None, 3])
def test_a_budget_must_be_for_something(key):
    with pytest.raises(UsageError, match="is for nothing"):
        check_budgets({key: 0.5})


def test_budgets_must_be_a_mapping():
    with pytest.raises(UsageError, match="no mapping"):
        check_budgets([("a.py", 0.5)])


def test_shares_above_one_together_are_named_one_by_one():
    with pytest.raises(UsageError, match=r"sum to 1\.1: 'a': 0\.6, 'b': 0\.5"):
        check_budgets({"a": 0.6, "b": 0.5, "c": 3_000})
    assert check_budgets({"a": 0.1, "b": 0.2, "c": 0.7, "d": 3_000}) == {"a": 0.1, "b": 0.2, "c": 0.7, "d": 3_000}


def test_one_is_all_of_the_room_and_two_are_tokens():
    found = check_budgets({"a": 1})
    assert found == {"a": 1.0}
    assert isinstance(found["a"], float)
    assert divided([Claim("a", found["a"], 10**6)]).rooms == {"a": ROOM}
    assert divided([Claim("a", 2, 10**6)]).rooms == {"a": 2}


def test_shares_are_of_the_room_that_the_native_window_leaves():
    found = divided([Claim("a", 0.5, 10**6), Claim("b", 1_000, 10**6)], 2_000)
    assert (found.window, found.room, found.whole) == (8_192, ROOM, True)
    assert found.rooms == {"a": ROOM // 2, "b": 1_000}
    assert found.rest == ROOM - ROOM // 2 - 1_000


def test_others_take_the_smallest_step_of_yarn_in_which_they_are_whole_beside_the_budgets():
    found = divided([Claim("a", 0.5, 10**6)], 7_000)
    assert (found.window, found.whole) == (16_384, True)
    assert found.rooms["a"] == (16_384 - 1_124) // 2
    assert found.rest >= 7_000


def test_a_budget_that_is_not_used_up_leaves_its_room_to_the_others():
    found = divided([Claim("a", 0.9, 500)], ROOM - 500)
    assert (found.window, found.rest, found.whole) == (8_192, ROOM - 500, True)
    assert divided([Claim("a", 0.9, 500)], ROOM - 499).window == 16_384


def test_others_that_no_window_holds_are_chosen_for_each_question_in_the_native_one():
    found = divided([Claim("a", 0.5, 10**6)], 40_000)
    assert (found.window, found.room, found.whole) == (8_192, ROOM, False)
    assert found.rest == ROOM - ROOM // 2


def test_memory_holds_less_than_the_window():
    small = replace(CPU, memory_available=900_000_000)
    found = divided([Claim("a", 1.0, 10**6)], device=small)
    assert 0 < found.room < ROOM
    assert found.whole


def test_an_asked_window_is_the_only_one():
    found = divided([Claim("a", 0.5, 10**6)], 7_000, window=8_192)
    assert (found.window, found.whole) == (8_192, False)
    assert divided([Claim("a", 0.5, 10**6)], window=32_768).room == 32_768 - 1_124


def test_shares_of_everything_leave_nothing_for_the_others_and_nothing_is_chosen():
    found = divided([Claim("a", 0.4, 10**6), Claim("b", 0.6, 10**6)], 40_000)
    assert (found.whole, found.alone) == (True, True)
    assert found.rest <= 1  # each share is rounded down
    assert not divided([Claim("a", 1.0, 10**6)]).alone, "there are no others"
    assert not divided([Claim("a", 0.5, 10**6)], 100).alone


@pytest.mark.parametrize("claims", [[("a", 33_000)], [("a", 4_000), ("b", 29_000)], [("a", 1.0), ("b", 100)]])
def test_more_tokens_than_any_window_has_room_for_are_refused(claims):
    with pytest.raises(UsageError, match="the budgets ask for") as caught:
        divided([Claim(key, budget, 10**6) for key, budget in claims])
    assert all(f"'{key}': {budget:,}" in caught.value.message for key, budget in claims)


def test_tokens_that_the_sources_do_not_have_are_not_asked_for():
    assert divided([Claim("a", 33_000, 500)]).whole


def test_what_no_memory_holds_is_left_to_the_plan_to_refuse():
    tiny = replace(CPU, memory_available=10**6)
    assert divided([Claim("a", 0.5, 10**6)], 100, device=tiny).rooms["a"] > 0


@given(
    st.lists(st.tuples(st.integers(1, 25), st.integers(0, 60_000)), min_size=1, max_size=4),
    st.integers(0, 60_000),
    st.sampled_from([None, 2_048, 8_192, 32_768]),
)
@settings(max_examples=200, deadline=None)
def test_what_is_taken_never_is_more_than_the_room(shares, others, window):
    claims = [Claim(str(number), percent / 100, tokens) for number, (percent, tokens) in enumerate(shares)]
    found = divided(claims, others, window=window)
    taken = sum(min(found.rooms[claim.key], claim.tokens) for claim in claims)
    assert taken + found.rest == found.room
    assert found.whole == (others <= found.rest or found.rest < LEAST_REST)
    assert found.room + 100 <= found.window
