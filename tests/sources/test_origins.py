"""Slicing the original file by an origin gives the segment, whatever stands in it: junk, secrets, any encoding and line end."""

from __future__ import annotations

import codecs
import re
import tempfile
from itertools import groupby
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.sources import read
from tests.sources.secret_samples import TOKENS, armour

MARK = re.compile(r"\[redacted: [^\]]+\]")
KEY = armour(lines=50).rstrip("\n")
KEY_LINES = KEY.splitlines()

words = st.text(st.sampled_from("ab \t#=x(:,\"'é漢\x0c\u2028\x85"), max_size=60)
plain = st.one_of(
    words, st.sampled_from(["def f(x):", "# Title", "Title", "=====", "", "1,2,3", '{"a": 1}', "<svg>", "x" * 4500])
)
secret = st.one_of(st.sampled_from([token for _, token in TOKENS]).map("key = {}".format), st.just(KEY))
lines = st.lists(st.tuples(st.one_of(plain, plain, plain, secret), st.integers(1, 40)), max_size=25)
names = st.sampled_from(
    ["a.py", "a.md", "a.txt", "a.rst", "a.csv", "a.tsv", "a.json", "a.svg", "uv.lock", "a.min.js", "a_pb2.py"]
)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le"])
ends = st.sampled_from(["\n", "\r\n", "\r"])
MARKS = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE, "utf-32-le": codecs.BOM_UTF32_LE}


def _lines(text):
    """Lines as an editor counts them: an independent way to cut at \\n, \\r\\n and \\r."""
    return [part for part in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text) if part]


def _read(name, text, encoding, **options):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(MARKS.get(encoding, b"") + text.encode(encoding))
        Path(folder, "other.txt").write_text("other\n")
        corpus = read(folder, **options)
    (row,) = [row for row in corpus.manifest if row.path == name]
    return row, [segment for source in corpus.sources if source.path == name for segment in source.segments]


@given(lines, names, encodings, ends, st.booleans(), st.sampled_from([1_000_000, 3001]))
@settings(max_examples=150, deadline=None)
def test_slicing_a_file_by_an_origin_gives_what_the_segment_says(parts, name, encoding, end, redact, most):
    text = "".join((line.replace("\n", end) + end) * times for line, times in parts)
    row, segments = _read(name, text, encoding, redact=redact, max_file_bytes=most)
    if not segments:
        assert row.status in ("skipped", "read")
        assert row.reason
        return
    original = _lines(text)
    reached = 0
    for (first, last), pieces in groupby(segments, key=lambda segment: (segment.origin.first, segment.origin.last)):
        assert first == reached + 1, "no line is left out between two segments"
        there, said = original[first - 1 : last], _lines("".join(piece.text for piece in pieces))
        is_cut = row.status == "truncated" and last == segments[-1].origin.last
        assert len(said) == len(there)
        for was, now in zip(there, said, strict=True):
            _check_line(was, now, is_cut=is_cut)
        reached = last
    assert reached == len(original) or row.status == "truncated"


def _check_line(was, now, *, is_cut):
    """A line is as it was, but for what was redacted; of the last one that is read the end may be missing."""
    if was.strip() in KEY_LINES and not now.strip():
        assert was.endswith(now)
        return
    if "[redacted: " not in now:
        assert was == now or (is_cut and was.startswith(now))
        return
    kept = MARK.split(now)
    assert was.startswith(kept[0].rstrip("\r\n"))
    assert was.rstrip("\r\n").endswith(kept[-1].rstrip("\r\n")) or is_cut
    assert re.search(r"[\r\n]*$", was)[0] == re.search(r"[\r\n]*$", now)[0] or is_cut


@given(lines, names, ends)
@settings(max_examples=60, deadline=None)
def test_no_secret_is_left_in_what_is_read(parts, name, end):
    text = "".join((line.replace("\n", end) + end) * times for line, times in parts)
    row, segments = _read(name, text, "utf-8")
    told = "".join(segment.text for segment in segments)
    assert not [token for _, token in TOKENS if token in told]
    assert not [line for line in KEY_LINES[1:-1] if line in told]
    assert row.status in ("redacted", "truncated") or "[redacted: " not in told


@given(lines, names, ends)
@settings(max_examples=60, deadline=None)
def test_with_junk_and_secrets_wanted_the_segments_are_the_file(parts, name, end):
    text = "".join((line.replace("\n", end) + end) * times for line, times in parts)
    _, segments = _read(name, text, "utf-8", junk=True, redact=False, max_file_bytes=10_000_000)
    assert "".join(segment.text for segment in segments) == text
