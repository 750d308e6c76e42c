"""The forms of a word meet, and words that only look alike do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.words import stem


@pytest.mark.parametrize(
    "forms",
    [
        "retry retries retried retrying",
        "resolve resolves resolved resolving",
        "cache caches cached caching",
        "file files filed",
        "set sets setting settings",
        "log logs logged logging",
        "name names named naming",
        "pipe pipes piped piping",
        "class classes",
        "box boxes",
        "match matches matched matching",
        "add adds added adding",
        "call calls called calling",
        "try tries tried trying",
        "need needs needed",
        "open opens opened opening",
        "delay delays delayed",
        "process processes processed processing",
        "raise raises raised raising",
    ],
)
def test_the_forms_of_a_word_are_one(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "words", ["pip pipe", "string str", "plan plane", "mod mode", "status state", "bus bu", "need ne", "red re"]
)
def test_words_that_only_look_alike_stay_two(words: str) -> None:
    first, second = words.split()
    assert stem(first) != stem(second)


@given(st.text())
def test_whatever_the_word_something_of_it_stays(word: str) -> None:
    assert bool(stem(word)) == bool(word)
