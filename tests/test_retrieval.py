from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import UsageError
from longctx.retrieval import Index, choose, terms

WORDS = ["retry", "policy", "parse", "HTTPServer", "max_retries", "the", "größe", "検索結果", "\x0c", "", "42"]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
corpora = st.lists(st.tuples(st.integers(1, 3), texts, st.integers(0, 40), st.sampled_from("abc")), max_size=25)


def numbered(rows):
    """Segments whose ids ascend with gaps, and their sources."""
    ids, number = [], 0
    for gap, *_ in rows:
        number += gap
        ids.append(number)
    return [(i, text, tokens) for i, (_, text, tokens, _) in zip(ids, rows, strict=True)], [row[3] for row in rows]


@given(corpora, texts, st.integers(0, 200), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_a_choice_keeps_its_budget_and_accounts_for_every_segment(rows, question, budget, neighbours):
    segments, sources = numbered(rows)
    choice = Index(segments, sources).choose(question, budget, neighbours=neighbours)
    cost = {number: tokens for number, _, tokens in segments}
    assert sum(cost[i] for i in choice.ids) == choice.tokens <= budget
    assert list(choice.ids) == sorted(set(choice.ids))
    assert sorted((*choice.ids, *choice.left_out)) == list(cost)
    assert set(choice.scores) <= set(choice.ids)
    assert all(score > 0 for score in choice.scores.values())


@given(corpora, texts, st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_the_same_question_gives_the_same_choice(rows, question, budget):
    segments, sources = numbered(rows)
    index = Index(segments, sources)
    assert index.choose(question, budget) == index.choose(question, budget) == Index(segments, sources).choose(question, budget)


def test_the_segment_that_holds_the_words_is_chosen_before_others():
    segments = [(i, f"line about subject{i}", 10) for i in range(1, 200)] + [(200, "the retry policy is decided here", 10)]
    assert choose("Where is the retry policy decided?", segments, budget=10).ids == (200,)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("retry policy", "def getRetryPolicy(self): ..."),
        ("max retries", "MAX_RETRIES = 3"),
        ("get_retry", "def get_retry(): ..."),
        ("policies", "one policy"),
        ("What is resolved?", "def resolve_redirects(self): ..."),
        ("What is cached?", "class Cache: ..."),
        ("Who retried it?", "retries = 5"),
        ("HTTP server", "class HTTPServer2: ..."),
        ("Größe", "die größe der Datei"),
        ("検索", "全文検索結果を返す"),
        ("where is __init__", "def __init__(self): ..."),
    ],
)
def test_a_question_finds_code_that_spells_it_otherwise(question, text):
    choice = choose(question, [(1, "nothing of that", 1), (2, text, 1)], budget=1, neighbours=0)
    assert choice.ids == (2,)
    assert list(choice.scores) == [2]


def test_neighbours_of_the_best_hit_are_kept_and_stay_within_their_source():
    segments = [(1, "tail of another file", 5), (2, "timeout", 5), (3, "what follows", 5), (4, "far away", 5)]
    choice = Index(segments, ["a", "b", "b", "b"]).choose("timeout", 20)
    assert choice.ids == (2, 3)
    assert choice.left_out == (1, 4)
    assert Index(segments, ["a", "b", "b", "b"]).choose("timeout", 20, neighbours=2).ids == (2, 3, 4)


def test_of_equal_hits_the_earlier_are_chosen():
    segments = [(i, "timeout" if i % 2 else "other", 1) for i in range(1, 5000)]
    assert choose("timeout", segments, budget=4, neighbours=0).ids == (1, 3, 5, 7)


def test_a_hit_too_large_for_what_is_left_does_not_end_the_choice():
    segments = [(1, "timeout timeout timeout", 100), (2, "x", 1), (3, "x", 1), (4, "a timeout of the connection pool", 6)]
    assert choose("timeout", segments, budget=10, neighbours=0).ids == (4,)


def test_a_question_without_a_matching_word_gets_the_opening_of_every_source_and_is_told():
    segments = [(i, "alpha beta", 10) for i in range(1, 7)]
    choice = Index(segments, ["a", "a", "a", "b", "b", "c"]).choose("zebra?", 40)
    assert choice.ids == (1, 2, 4, 6)
    assert "no word of the question" in choice.reason
    assert not choice.scores


@pytest.mark.parametrize("question", ["", "?!", "what is the", "Where are you?"])
def test_a_question_of_nothing_but_stopwords_falls_back_instead_of_failing(question):
    assert choose(question, [(1, "alpha", 1)], 1).ids == (1,)


def test_a_corpus_without_a_single_word_can_be_asked():
    assert choose("anything", [(1, "!!! --- ???", 3), (2, "", 0)], 3).ids == (1, 2)
    assert choose("anything", [], 3).ids == ()


@pytest.mark.parametrize(
    ("segments", "sources"), [([(2, "a", 1), (1, "b", 1)], None), ([(1, "a", -1)], None), ([(1, "a", 1)], ["x", "y"])]
)
def test_segments_that_make_no_sense_are_refused(segments, sources):
    with pytest.raises(UsageError):
        Index(segments, sources)


def test_a_negative_budget_is_refused_with_its_value():
    with pytest.raises(UsageError, match="-5"):
        choose("a", [(1, "a", 1)], -5)


def test_words_of_a_question_are_taken_apart_as_those_of_code():
    assert terms("HTTPServer2") == ["httpserver2", "http", "server", "2"]
    assert terms("snake_case") == ["snake_case", "snake", "case"]
    assert terms("retries of the bus") == ["retri", "bus"]


def test_building_and_asking_print_nothing(capfd):
    choose("retry", [(i, f"retry {i}", 1) for i in range(1, 2000)], 50)
    assert capfd.readouterr() == ("", "")


def test_importing_the_room_imports_no_heavy_package():
    code = "import sys, longctx.retrieval; print({'torch', 'bm25s', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_source_is_given_more_than_its_cap_and_the_others_have_what_is_left() -> None:
    segments = [(number, f"timeout {number}", 10) for number in range(1, 13)]
    sources = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    index = Index(segments, sources)
    caps = [(("a", "b"), 20), (("unknown",), 5)]
    choice = index.choose("timeout", 60, caps=caps)
    assert sum(sources[number - 1] in "ab" for number in choice.ids) == 2
    assert sum(sources[number - 1] == "c" for number in choice.ids) == 3, "35 tokens are left for what has no cap"
    assert len(index.choose("timeout", 60).ids) == 6
    assert index.choose("timeout", 10, caps=[(("a",), 20)]).tokens <= 10
    with pytest.raises(UsageError, match="cannot be negative"):
        index.choose("timeout", 10, caps=[(("a",), -1)])
