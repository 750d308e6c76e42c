"""Base64 put aside: nothing is lost, nothing moves, wherever a file is cut into pieces, and little is held."""

from __future__ import annotations

import io
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.sources.texts import aside
from longctx.sources.texts.aside import LEAST, Aside, TooLongError

PIECES = st.lists(
    st.sampled_from(
        [
            "A" * 50,
            "b" * 90,
            "C/+" * 40,
            "=",
            "==",
            "\\n",
            "\\n",
            "\\\\n",
            '"',
            '\\"',
            " ",
            "é",
            "\\u00e9",
            "D" * 300,
            ",",
            "\n",
        ]
    ),
    max_size=30,
)


@given(PIECES, st.integers(1, 70), st.integers(100, 400))
@settings(max_examples=400, deadline=None)
def test_marks_replaced_by_their_runs_are_the_file_again(pieces, chunk, held):
    data = "".join(pieces).encode()
    before = aside.CHUNK, aside.HELD
    aside.CHUNK, aside.HELD = chunk, held
    try:
        kept = Aside(io.BytesIO(data))
        rest = kept.rest(10**6)
    finally:
        aside.CHUNK, aside.HELD = before
    whole = re.sub(rb"@%b:(\d+)@" % kept.token.encode(), lambda m: data[slice(*span(kept.runs[int(m[1])]))], rest)
    assert whole == data
    assert all(re.fullmatch(rb"[A-Za-z0-9+/]+(?:\\n[A-Za-z0-9+/]+)*", data[slice(*span(run))]) for run in kept.runs)
    one_piece = Aside(io.BytesIO(data))
    one_piece.rest(10**6)
    assert kept.runs == one_piece.runs


def span(run):
    return run[0], run[0] + run[1]


def test_short_runs_come_back_and_long_ones_are_told_with_their_size():
    data = b'"' + b"a" * LEAST + b'", "' + b"b" * 5000 + b'"'
    kept = Aside(io.BytesIO(data))
    rest = kept.rest(1000).decode()
    assert "aaaa" not in rest
    met = []
    assert kept.restored(rest, lambda before, run: met.append(run)) == (
        '"' + "a" * LEAST + '", "[base64, 5,000 characters left out]"'
    )
    assert met == [(LEAST + 5, 5000)]


def test_marks_of_the_file_itself_mean_nothing():
    kept = Aside(io.BytesIO(b"x"))
    kept.rest(10)
    assert kept.run("@0123456789abcdef:0@") is None
    assert kept.run(f"@{kept.token}:0@") is None
    assert kept.restored(f"@{kept.token}:7@") == f"@{kept.token}:7@"


def test_what_is_too_long_without_its_base64_is_refused():
    with pytest.raises(TooLongError, match="more than 100 bytes"):
        Aside(io.BytesIO(b"word " * 100)).rest(100)


def test_a_long_run_is_never_held(tmp_path):
    with open(tmp_path / "a", "wb") as stream:
        for _ in range(64):
            stream.write(b"A" * 2**20)
    with open(tmp_path / "a", "rb") as stream:
        tracemalloc.start()
        kept = Aside(stream)
        kept.rest(1000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert kept.runs == [(0, 64 * 2**20)]
    assert peak < 24 * 2**20
