"""Tables: shape and first rows, in flat memory, whatever stands in them."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from longctx.sources import read
from longctx.sources.texts import table
from longctx.sources.texts.table import delimiter_of, shape_of


def test_the_first_rows_of_a_table_are_read_and_its_shape_is_told(write, rows):
    lines = ["a,b,c,d,e,f,g,h\n", *(f"{number},2,3,4,5,6,7,8\n" for number in range(12_030))]
    corpus = read(write({"t.csv": "".join(lines)}))
    row = rows(corpus)["t.csv"]
    assert (row.status, row.reason) == ("truncated", "12,031 rows × 8 columns; its first 40 rows")
    assert "".join(segment.text for segment in corpus.sources[0].segments) == "".join(lines[:40])
    assert corpus.sources[0].note == row.reason


def test_a_small_table_is_read_whole_and_has_a_shape(write, rows):
    manifest = rows(read(write({"t.tsv": "a, so, so\tb\n1, and\t2, and 3\n", "one.csv": "alone\n"})))
    assert (manifest["t.tsv"].status, manifest["t.tsv"].reason) == ("read", "2 rows × 2 columns")
    assert manifest["one.csv"].reason == "1 row × 1 column"


def test_a_row_with_line_ends_inside_stays_whole(write, rows):
    text = "".join(f'{number},"first\nsecond\nthird"\n' for number in range(3000))
    corpus = read(write({"t.csv": text}))
    assert rows(corpus)["t.csv"].reason == "3,000 rows × 2 columns; its first 40 rows"
    kept = "".join(segment.text for segment in corpus.sources[0].segments)
    assert kept == "".join(f'{number},"first\nsecond\nthird"\n' for number in range(40))


def test_rows_are_counted_beyond_what_is_read(write, rows):
    text = "".join(f"{number};2;3\r\n" for number in range(40_000))
    assert (
        rows(read(write({"t.csv": text}), max_file_bytes=5000))["t.csv"].reason == "40,000 rows × 3 columns; its first 40 rows"
    )


@pytest.mark.parametrize(("delimiter", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\r"), ("|", "\n")])
def test_rows_are_the_same_however_the_bytes_are_cut(delimiter, end):
    text = end.join(f"{number}{delimiter}two{delimiter}three" for number in range(500))
    lines = text.replace(end, "\n").splitlines(keepends=True)
    assert delimiter_of("t.csv", lines) == delimiter
    draw = random.Random(3)
    data, chunks = text.encode(), []
    while data:
        size = draw.randrange(1, 40)
        chunks, data = [*chunks, data[:size]], data[size:]
    assert str(shape_of(chunks, delimiter)) == "500 rows × 3 columns"


def test_a_quote_that_is_never_closed_ends_the_count_and_that_is_told(write, rows):
    text = "a,b\n" * 500 + '1,"' + "x,y\n" * 100_000
    row = rows(read(write({"t.csv": text})))["t.csv"]
    assert row.reason == "more than 500 rows × 2 columns; its first 40 rows"


def test_a_line_of_twelve_megabytes_is_one_row_in_flat_memory(write, rows):
    top = write({"t.csv": "1,2,3,4;" * 1_500_000})
    tracemalloc.start()
    corpus = read(top)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    row = rows(corpus)["t.csv"]
    assert row.status == "truncated"
    assert "its first 1 line, 8,000 characters of a file of 12,000,000 bytes" in row.reason
    assert peak < 60e6, "a large file was held as a whole"


def test_a_table_too_long_to_count_says_more_than(monkeypatch):
    monkeypatch.setattr(table, "COUNTED", 1000)
    assert str(shape_of([b"a,b\n" * 100] * 10, ",")) == "more than 300 rows × 2 columns"


def test_a_table_in_utf16_is_cut_by_lines(write, rows):
    text = "".join(f"{number},zwei,drei\n" for number in range(3000))
    row = rows(read(write({"t.csv": text.encode("utf-16")})))["t.csv"]
    assert row.reason == "table: its first 40 lines of 3,000; decoded as utf-16-le by its byte order mark"
