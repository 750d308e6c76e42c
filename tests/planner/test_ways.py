from __future__ import annotations

import pytest

from longctx.planner import Device, plan
from tests.planner.test_allotments import CPU, GEOMETRY


def planned(tokens, device=CPU, **options):
    return plan(GEOMETRY, model="m", source_tokens=[("a.py", tokens)], overhead_tokens=100, device=device, **options)


def by_name(figures):
    return {way.way: way for way in figures.ways}


def test_what_is_read_whole_has_no_other_ways():
    assert planned(6_000).ways == ()
    assert planned(20_000).ways == ()


def test_a_corpus_past_the_maximum_has_every_way_with_its_cost_and_why_one_cannot_be_gone():
    figures = planned(40_000)
    ways = by_name(figures)
    assert list(ways) == ["whole", "retrieval", "budgets", "map-reduce"]
    assert [way.way for way in figures.ways if way.taken] == ["retrieval"]
    whole = ways["whole"]
    assert (whole.fits, whole.whole, whole.tokens_once) == (False, True, 40_000)
    assert whole.window == 40_000 + 100 + 1_024
    assert "reaches 32,768" in whole.words
    taken = ways["retrieval"]
    assert (taken.window, taken.tokens_once, taken.tokens_per_question) == (8_192, 0, figures.segment_budget)
    assert taken.memory == figures.memory.total
    assert (ways["budgets"].tokens_once, ways["budgets"].tokens_per_question) == (figures.segment_budget, 0)
    assert (ways["map-reduce"].tokens_once, ways["map-reduce"].whole) == (40_000, True)
    assert "6 parts" in ways["map-reduce"].words  # of 7,068 tokens


def test_a_larger_window_is_told_with_its_step_and_its_memory():
    figures = planned(20_000, window=8_192)
    whole = by_name(figures)["whole"]
    assert (whole.fits, whole.window, whole.yarn_factor) == (True, 32_768, 4)
    assert whole.memory > figures.memory.total
    assert whole.memory == planned(20_000).memory.total


def test_a_memory_that_is_too_small_for_all_of_it_is_told():
    whole = by_name(planned(20_000, Device("cpu", "CPU", 2 * 10**9, 1_100_000_000)))["whole"]
    assert not whole.fits
    assert "GB too much" in whole.words


def test_budgets_are_the_way_where_they_let_less_be_read():
    figures = planned(5_000, corpus_tokens=20_000)
    assert (figures.mode, figures.window) == ("whole", 8_192)
    ways = by_name(figures)
    assert [way.way for way in figures.ways if way.taken] == ["budgets"]
    assert (ways["budgets"].tokens_once, ways["budgets"].memory) == (5_000, figures.memory.total)
    assert ways["whole"].tokens_once == 20_000


def test_what_all_fits_into_one_window_is_neither_chosen_nor_summarised_for_lack_of_room():
    assert list(by_name(planned(3_000, corpus_tokens=4_000))) == ["whole", "budgets"]


def test_segments_are_chosen_where_that_is_asked_even_if_all_might_fit():
    figures = planned(5_000, per_question=True, corpus_tokens=9_000)
    assert (figures.mode, figures.window) == ("retrieval", 8_192)
    assert any("9,000 tokens) is not read whole" in warning for warning in figures.warnings)


def test_a_plan_that_does_not_fit_has_no_ways_but_its_alternatives():
    figures = planned(5_000, Device("cpu", "CPU", 10**6, 10**6))
    assert (figures.fits, figures.ways) == (False, ())


@pytest.mark.parametrize("tokens", [5_000, 40_000])
def test_ways_stand_in_the_contract_as_plain_values(tokens):
    ways = planned(tokens, corpus_tokens=50_000).to_json()["ways"]
    assert len(ways) == 4
    names = {"way", "taken", "fits", "whole", "window", "yarn_factor", "tokens_once", "tokens_per_question", "memory", "words"}
    assert all(set(way) == names and isinstance(way["memory"], int) for way in ways)
