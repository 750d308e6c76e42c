import argparse
import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longctx.corpus import Corpus, Lines, Segment, Source
from longctx.stream import Counts, Tokenizer, Unopened, count
from longctx.stream.counts import MOST_ROWS, key
from longctx.stream.vocabulary import convert, qwen, qwen_counter

RANKS = b"YQ== 0\nYg== 1\nYWI= 2\nCg== 3\n"
DATA = convert(RANKS)


class Counting:
    """A tokenizer that tells what it encoded."""

    def __init__(self) -> None:
        self.name, self.fingerprint = "small", Tokenizer.from_json(DATA).fingerprint
        self.texts: list[str] = []

    def encode_data_batch(self, texts):
        self.texts += texts
        return Tokenizer.from_json(DATA).encode_data_batch(texts)


def _corpus(**texts: str) -> Corpus:
    return Corpus(
        tuple(
            Source(path, f"/{path}", "text", len(text), "", (Segment(text, Lines(path, 1, 1)),)) for path, text in texts.items()
        ),
        (),
    )


def test_a_second_read_counts_only_what_changed(tmp_path: Path) -> None:
    kept, first, second = Counts(tmp_path / "deep" / "counts.sqlite"), Counting(), Counting()
    assert count(_corpus(x="ab", y="abab\n"), first, kept)[0] == {"x": 1, "y": 3}
    again = Counts(tmp_path / "deep" / "counts.sqlite")
    assert count(_corpus(x="ab", y="aba", z="ab"), second, again)[0] == {"x": 1, "y": 2, "z": 1}
    assert (first.texts, second.texts) == (["ab", "abab\n"], ["aba"])


def test_what_was_counted_is_known_without_opening_the_tokenizer(tmp_path: Path) -> None:
    kept = Counts(tmp_path / "counts.sqlite")
    whole = count(_corpus(x="abab"), Tokenizer.from_json(DATA), kept)
    never = Unopened(DATA, "tokenizer.json", lambda: pytest.fail("it was opened"))
    assert count(_corpus(x="abab"), never, kept) == whole


def test_another_vocabulary_counts_anew(tmp_path: Path) -> None:
    kept = Counts(tmp_path / "counts.sqlite")
    other = Tokenizer.from_json(convert(b"YQ== 0\nYg== 1\nCg== 2\n"))
    assert count(_corpus(x="abab"), Counting(), kept)[0] == {"x": 2}
    assert count(_corpus(x="abab"), other, kept)[0] == {"x": 4}


@given(st.lists(st.text("ab\n\ud800é", max_size=6), max_size=4), st.lists(st.text("ab\n\ud800é", max_size=6), max_size=4))
def test_texts_that_are_cut_otherwise_have_another_key(one: list[str], other: list[str]) -> None:
    assert (key("f", one) == key("f", other)) == (one == other)
    assert key("f", one) != key("g", one)


@pytest.mark.parametrize("damage", ["foreign", "cut", "folder"])
def test_a_file_that_cannot_be_used_costs_only_time(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "counts.sqlite"
    if damage == "foreign":
        file.write_bytes(b"not a database" * 1000)
    elif damage == "folder":
        file.mkdir()
    else:
        Counts(file).keep({bytes([number]) * 20: number for number in range(200)})
        file.write_bytes(file.read_bytes()[:5000])
    for _ in range(2):
        assert count(_corpus(x="abab"), Counting(), Counts(file))[0] == {"x": 2}
    if damage != "folder":  # what was damaged was begun anew
        seen = Counting()
        count(_corpus(x="abab"), seen, Counts(file))
        assert seen.texts == []


def test_another_process_that_holds_the_file_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "counts.sqlite"
    count(_corpus(x="ab"), Counting(), Counts(file))
    monkeypatch.setattr("longctx.stream.counts._PATIENCE", 0.01)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert count(_corpus(x="abab"), Counting(), Counts(file))[0] == {"x": 2}
    other.execute("ROLLBACK")
    other.close()
    assert len(Counts(file).known([key(Counting().fingerprint, ["ab"])])) == 1


def test_the_oldest_counts_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ROWS > 100_000
    monkeypatch.setattr("longctx.stream.counts.MOST_ROWS", 3)
    kept = Counts(tmp_path / "counts.sqlite")
    for number in range(5):
        kept.keep({bytes([number]): number})
    assert kept.known([bytes([number]) for number in range(5)]) == {b"\x02": 2, b"\x03": 3, b"\x04": 4}


@settings(deadline=None)  # the first example opens both
@given(st.text(max_size=30))
@example("<|im_start|>a<think>\n\n  b\r\n\ud800\x00e\u0301 123456 ﷽ 人力资源")
def test_the_counter_of_the_family_gives_the_ids_of_its_tokenizer(text: str) -> None:
    assert qwen_counter().encode_data_batch([text, ""]) == [qwen().encode_data(text), []]


def test_the_counter_of_the_family_gives_its_ids_for_real_code() -> None:
    texts = [Path(module.__file__ or "").read_text(encoding="utf-8") for module in (json.decoder, argparse, sqlite3)]
    assert qwen_counter().encode_data_batch(texts) == qwen().encode_data_batch(texts)
