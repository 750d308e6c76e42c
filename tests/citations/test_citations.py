"""A verified quote stands in the source at the lines given; whatever does not is said to be unverified or unsupported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longctx import citations, prompts
from longctx.citations import Citation, check, match, nearest, resolve
from longctx.corpus import Lines, Page, Segment, split_lines

RETRY = '"""Retries."""\n\nMAX_ATTEMPTS = 5\n\n\ndef wait(attempt):\n    """Seconds before the next try."""\n'
RETRY += "    return min(60, 2 ** attempt)\n"
WEATHER = "# Weather\n\nThe station sends a reading\nevery ten minutes.\n"
MANUAL = "The sensor promises an accu-\nracy of half a degree. It must be\ncalibrated yearly by the user."
BOX = (1.0, 2.0, 3.0, 4.0)
SEGMENTS = {
    1: Segment(RETRY, Lines("retry.py", 1, 8)),
    2: Segment(WEATHER, Lines("weather.md", 1, 4)),
    3: Segment(MANUAL, Page("manual.pdf", 2, BOX)),
    4: Segment("def first():\n    pass\n", Lines("long.py", 11, 12)),
    5: Segment("\ndef second():\r\n    return 'x'\r\n", Lines("long.py", 13, 15)),
    6: Segment("load()\nshow(frame)\n", Lines("book.ipynb", 1, 2, cell=3)),
}


def only(text: str, allowed: Any = None) -> Citation:
    (citation,) = resolve(text, SEGMENTS, allowed).citations
    return citation


def test_a_quote_narrows_the_citation_to_its_very_lines() -> None:
    citation = only('It allows "MAX_ATTEMPTS = 5" [1].')
    assert citation == Citation(1, 1, Lines("retry.py", 3, 3), "MAX_ATTEMPTS = 5", True)


@pytest.mark.parametrize(
    ("quote", "origin", "words"),
    [
        (
            '"The station sends a reading every ten minutes"',
            Lines("weather.md", 3, 4),
            "The station sends a reading\nevery ten minutes",
        ),
        ('"the STATION sends a reading"', Lines("weather.md", 3, 3), "The station sends a reading"),
        ('"the station sends a reading every ten minutes."', Lines("weather.md", 3, 4), None),
        ('"The **station** sends a reading,"', Lines("weather.md", 3, 3), None),
        ('"The station ... every ten minutes"', Lines("weather.md", 3, 4), "The station sends a reading\nevery ten minutes"),
        ("“sends a reading [...] ten minutes”", Lines("weather.md", 3, 4), None),
    ],
)
def test_a_quote_is_found_as_writers_change_it(quote: str, origin: Lines, words: str | None) -> None:
    citation = only(f"It says {quote} [2].")
    assert (citation.origin, citation.verified) == (origin, True)
    assert words is None or citation.quote == words


def test_code_is_found_whatever_its_white_space_and_quotation_marks() -> None:
    assert only("It runs `return   min(60, 2 ** attempt)` [1].").origin == Lines("retry.py", 8, 8)
    assert only("It returns `return ‘x’` [5].").origin == Lines("long.py", 15, 15)
    assert only('It is so [1]:\n```python\ndef wait(attempt):\n  """Seconds before\n```').origin == Lines("retry.py", 6, 7)


def test_code_of_the_models_own_making_is_no_false_quote() -> None:
    assert only("Wait as in `def wait(attempt)` [1]:\n```python\nfor _ in range(3): retry()\n```").origin == Lines(
        "retry.py", 6, 6
    )


def test_a_page_keeps_its_box_and_words_that_a_line_splits_are_whole() -> None:
    citation = only('It "promises an accuracy of half a degree" [3].')
    assert (citation.origin, citation.verified) == (Page("manual.pdf", 2, BOX), True)
    assert citation.quote == "promises an accu-\nracy of half a degree"


def test_a_cell_keeps_its_number() -> None:
    assert only("It calls `show(frame)` [6].").origin == Lines("book.ipynb", 2, 2, cell=3)


def test_a_quote_may_cross_the_border_of_two_segments() -> None:
    citation = only("It has `pass def second(): return 'x'` [5].")
    assert citation.origin == Lines("long.py", 12, 15)
    assert citation.verified


def test_a_quote_of_another_segment_leads_there_and_says_so() -> None:
    citation = only('It "must be calibrated yearly" [1].')
    assert (citation.segment, citation.verified) == (3, True)
    assert "segment 1" in citation.note


def test_a_quote_is_not_looked_for_in_what_the_model_did_not_see() -> None:
    citation = only('It "must be calibrated yearly" [1].', {1, 2})
    assert (citation.segment, citation.verified) == (1, False)


def test_a_quote_that_stands_nowhere_is_unverified_and_its_sentence_unsupported() -> None:
    resolved = resolve('It says "there are nine million attempts" [1].', SEGMENTS)
    assert [(c.verified, c.quote, c.note) for c in resolved.citations] == [
        (False, "there are nine million attempts", "the quoted words were not found")
    ]
    assert resolved.unsupported == (resolved.text,)


@pytest.mark.parametrize("quote", ['"art of war"', '"ation sends a read"', '"a reading every five minutes"'])
def test_parts_of_words_and_other_numbers_are_no_match(quote: str) -> None:
    assert not only(f"It says {quote} [2].").verified


def test_letters_that_grow_in_lower_case_do_not_shift_the_quote() -> None:
    segments = {1: Segment("İİİİ\nİİ The Station sends\nit\n", Lines("a", 1, 3))}
    (citation,) = resolve('"the station sends" [1]', segments).citations
    assert (citation.quote, citation.origin) == ("The Station sends", Lines("a", 2, 2))


def test_short_quotes_are_no_evidence() -> None:
    assert only('The "try" is `x` seconds before the next [1].').note == "line chosen by longctx"


def test_quotes_of_a_sentence_go_to_the_segments_that_hold_them() -> None:
    resolved = resolve('[1] says "MAX_ATTEMPTS = 5" and [2] says "every ten minutes".', SEGMENTS)
    assert [(c.segment, c.quote) for c in resolved.citations] == [(1, "MAX_ATTEMPTS = 5"), (2, "every ten minutes")]
    assert resolved.text.startswith("[1] says")
    assert not any(c.note for c in resolved.citations)


def test_a_segment_that_does_not_exist_has_no_place() -> None:
    resolved = resolve("It waits an hour [99].", SEGMENTS)
    (citation,) = resolved.citations
    assert (citation.origin, citation.verified, citation.note) == (None, False, "no segment 99")
    assert (citation.label, citation.where, citation.to_json()["path"]) == ("segment 99", "", None)
    assert resolved.unsupported


def test_a_segment_that_was_not_in_the_prompt_is_not_verified() -> None:
    citation = only('It allows "MAX_ATTEMPTS = 5" [1].', {2, 3})
    assert (citation.origin, citation.verified) == (None, False)
    assert "not in the prompt" in citation.note


def test_without_a_quote_the_nearest_line_is_chosen_and_said_to_be() -> None:
    citation = only("The most attempts are 5 [1].")
    assert (citation.origin, citation.quote, citation.verified) == (Lines("retry.py", 3, 3), "MAX_ATTEMPTS = 5", True)
    assert citation.note == "line chosen by longctx"


def test_a_citation_that_nothing_resembles_keeps_the_whole_place_unverified() -> None:
    resolved = resolve("Elephants paint portraits [2].", SEGMENTS)
    (citation,) = resolved.citations
    assert (citation.origin, citation.quote, citation.verified) == (SEGMENTS[2].origin, "", False)
    assert citation.note == "no quote to check"


def test_marks_become_numbers_in_the_order_of_the_text() -> None:
    text = 'Minutes: "every ten minutes" [2, 3]. Again "every ten minutes" [2]. Then `MAX_ATTEMPTS = 5`[1].'
    resolved = resolve(text, SEGMENTS)
    assert resolved.text == 'Minutes: "every ten minutes" [1][2]. Again "every ten minutes" [1]. Then `MAX_ATTEMPTS = 5`[3].'
    assert [(c.number, c.segment) for c in resolved.citations] == [(1, 2), (2, 3), (3, 1)]


def test_a_sentence_without_a_mark_is_supported_by_what_it_resembles() -> None:
    resolved = resolve(
        'A reading is sent every ten minutes. It is "MAX_ATTEMPTS = 5" [1]. Elephants paint portraits.', SEGMENTS
    )
    assert resolved.unsupported == ("Elephants paint portraits.",)


def test_matching_marks_each_sentence_that_a_line_supports() -> None:
    resolved = match(
        "Sure! A reading is sent every ten minutes. Elephants paint portraits [7]. It must be calibrated.", SEGMENTS
    )
    assert resolved.text == (
        "Sure! A reading is sent every ten minutes [1]. Elephants paint portraits. It must be calibrated [2]."
    )
    assert [(c.basis, c.verified, c.segment) for c in resolved.citations] == [("matched", True, 2), ("matched", True, 3)]
    assert resolved.citations[0].quote == "The station sends a reading\nevery ten minutes."
    assert resolved.citations[0].origin == Lines("weather.md", 3, 4)
    assert resolved.unsupported == ("Elephants paint portraits.",)


def test_a_block_of_code_is_no_claim_of_the_sentence_before_it() -> None:
    code = "\n```python\nfor number in range(9):\n    paint(elephants, moons)\n```"
    assert match(f"Elephants paint.{code}", SEGMENTS).unsupported == ("Elephants paint.",)
    resolved = match(f"A reading is sent every ten minutes.{code}", SEGMENTS)
    assert resolved.text == f"A reading is sent every ten minutes [1].{code}"
    assert not resolved.unsupported


def test_of_lines_that_share_as_much_the_shortest_is_the_nearest() -> None:
    told = Segment("It is told at length how `resolve_redirects` came to be.\n", Lines("HISTORY.md", 1, 1))
    made = Segment("def resolve_redirects(\n", Lines("sessions.py", 1, 1))
    (citation,) = nearest("Where are redirects resolved?", {1: told, 2: made})
    assert citation.origin == made.origin


@pytest.mark.parametrize(
    ("sentence", "line", "supported"),
    [
        ("It raises a NoneTypeError.", "raise_type(None, Error)", False),
        ("It raises a NoneTypeError.", "raise NoneTypeError", True),
        ("It has `maxAttempts` to wait.", "self.max_attempts = wait", True),
        ("`retry.py` has the seconds to wait.", "seconds = wait", True),
        ("`again.py` has the seconds to wait.", "seconds = wait", False),
    ],
)
def test_the_parts_of_a_name_are_not_the_name(sentence: str, line: str, supported: bool) -> None:
    resolved = match(sentence, {1: Segment(f"{line}\n", Lines("retry.py", 1, 1))})
    assert bool(resolved.citations) is supported


def test_another_number_is_not_supported() -> None:
    assert match(
        "It sends a reading every 15 minutes.", {1: Segment("It sends a reading every 10 minutes.\n", Lines("a", 1, 1))}
    ).unsupported


def test_check_matches_only_where_nothing_that_is_cited_exists() -> None:
    assert {c.basis for c in check('It is "every ten minutes" [2].', SEGMENTS).citations} == {"cited"}
    assert {c.basis for c in check("A reading comes every ten minutes [99].", SEGMENTS).citations} == {"matched"}


def test_unsupported_sentences_stand_in_the_text_as_they_are_given() -> None:
    for how in (resolve, match):
        resolved = how('1. **Elephants** [7] paint "huge portraits of moons" [2][8].\n2. No [9] more. [2]', SEGMENTS)
        assert resolved.unsupported
        assert all(sentence in resolved.text for sentence in resolved.unsupported)


def test_the_json_has_the_keys_of_the_contract() -> None:
    result = json.loads(json.dumps(only('It "promises an accuracy of half a degree" [3].').to_json()))
    assert {"path", "first_line", "last_line", "page", "box", "start", "end", "quote", "verified"} <= result.keys()
    assert (result["path"], result["page"], result["box"], result["first_line"]) == ("manual.pdf", 2, list(BOX), None)


def test_showing_goes_where_the_session_says(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[object] = []
    citation = Citation(1, 1, Lines("a", 1, 2), "words", True, shower=shown.append)
    citation.show()
    assert shown == [citation]
    Citation(1, 1, Lines("a", 1, 2), "words", True).show()
    assert capsys.readouterr().out == "[1] a:1-2: “words”\n"


PIECES = [
    "[1]",
    "[2, 3]",
    "[4-6]",
    "[99]",
    "[",
    "]",
    '"',
    "`",
    "```\n",
    "“",
    "”",
    ". ",
    "\n",
    "a b c",
    "every ten minutes",
    "\r\n",
    "…",
]
FILE = st.lists(
    st.sampled_from(["a b c ", "every ten", " minutes", "\n", "\r", "\r\n", "-\n", "x_y1 ", "ß", "İ", "’", "  ", "3.5 "]),
    max_size=30,
)


@settings(deadline=None, max_examples=300)
@given(
    text=st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=25).map("".join),
    file=FILE.map("".join),
    size=st.integers(1, 4),
    allowed=st.none() | st.sets(st.integers(0, 8)),
)
@example(text='"every ten minutes" [1]', file="every ten\r\n minutes", size=1, allowed=None)
def test_every_verified_quote_stands_at_the_lines_given(text: str, file: str, size: int, allowed: set[int] | None) -> None:
    lines = split_lines(file)
    stretches = range(0, len(lines), size)
    segments = {
        number: Segment("".join(lines[i : i + size]), Lines("f", i + 1, min(i + size, len(lines))))
        for number, i in enumerate(stretches, start=1)
    }
    for how in (resolve, match, check):
        resolved = how(text, segments, allowed)
        assert [citation.number for citation in resolved.citations] == list(range(1, len(resolved.citations) + 1))
        assert all(sentence in resolved.text for sentence in resolved.unsupported)
        for citation in resolved.citations:
            if citation.verified:
                assert isinstance(citation.origin, Lines)
                there = lines[citation.origin.first - 1 : citation.origin.last]
                assert citation.quote
                assert citation.quote in "".join(there)
                assert len(there) == 1 or citation.quote not in "".join(there[1:])
                assert allowed is None or citation.segment in allowed


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet=st.sampled_from('[]1,-"`“”.!? \n\\<>seg*_~[(){}#:…。ab'), max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    for how in (resolve, match, check):
        how(text, SEGMENTS)


def test_many_segments_are_no_burden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the segments that share most with a sentence are looked at line by line."""
    looked: list[int] = []
    real = citations.support._nearest_lines
    monkeypatch.setattr(citations.support, "_nearest_lines", lambda number, *rest: looked.append(number) or real(number, *rest))
    segments = {n: Segment(f"Line of item {n} with a code.\n" * 3, Lines(f"f{n}", 1, 3)) for n in range(1, 5001)}
    resolved = match("The item 4321 has a code.", segments)
    assert resolved.citations[0].segment == 4321
    assert len(looked) <= citations.support.MOST_SEGMENTS


def test_an_answer_that_nothing_states_is_given_no_line_that_resembles_it() -> None:
    segments = {1: Segment("The old keeper of kufiki is ill.\n", Lines("a.txt", 1, 1))}
    text = "The keeper of kufiki is not stated. The sources do not say."
    assert check(text.replace(" The sources do not say.", ""), segments).citations, "the line resembles the sentence"
    for said in (text, f"{text}\n", text.replace("stated.", "stated [9].")):
        found = check(said, segments)
        assert found.citations == ()
        assert found.text.strip() == text
    assert check("The code is 905 [1]. The sources do not say.", segments).citations[0].basis == "cited"


def test_what_the_prompt_asks_for_is_what_is_recognised() -> None:
    assert prompts.SYSTEM.endswith(citations.NOT_STATED)


# -- documents -------------------------------------------------------------------------------------------------------
def test_a_quote_in_a_document_leads_to_the_places_of_its_lines() -> None:
    first = Segment("# Tides\n| a | 1 |\n", Lines("a.html", 3, 9), made_of=((3, 3), (6, 9)))
    second = Segment("It rises twice.\n", Lines("a.html", 14, 15), made_of=((14, 15),))
    segments = {1: first, 2: second}
    assert resolve('It says "| a | 1 |" [1].', segments).citations[0].origin == Lines("a.html", 6, 9)
    over = resolve('It says "| a | 1 | It rises twice." [1].', segments).citations[0]
    assert (over.origin, over.verified) == (Lines("a.html", 6, 15), True)


def test_a_quote_does_not_go_from_one_sheet_into_the_next() -> None:
    one = Segment("| one |\n", Lines("a.xlsx", 1, 1, part="sheet 'A'", unit="row"), made_of=((1, 1),))
    two = Segment("| two |\n", Lines("a.xlsx", 2, 2, part="sheet 'B'", unit="row"), made_of=((2, 2),))
    assert not resolve('It says "| one | | two |" [1].', {1: one, 2: two}).citations[0].verified


def test_of_a_long_paragraph_the_sentence_is_matched() -> None:
    text = "The sea is wide. The pump delivers ninety litres an hour. Nobody knows why.\n"
    segment = Segment(text, Lines("a.docx", 4, 4, part="“Pumps”", unit="paragraph"), made_of=((4, 4),))
    (citation,) = match("The pump delivers ninety litres.", {1: segment}).citations
    assert (citation.quote, citation.label) == ("The pump delivers ninety litres an hour.", "a.docx, “Pumps” paragraph 4")


def test_the_json_of_a_citation_names_part_and_unit() -> None:
    place = Citation(1, 1, Lines("a.xlsx", 2, 3, part="sheet 'Q1'", unit="row")).to_json()
    assert (place["part"], place["unit"], place["first_line"], place["last_line"]) == ("sheet 'Q1'", "row", 2, 3)
    assert (Citation(1, 1, Page("a.pdf", 2)).to_json()["part"], Citation(1, 1, None).to_json()["unit"]) == (None, None)
