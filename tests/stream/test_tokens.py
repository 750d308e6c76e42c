"""Every token leads to its line; a selection is what building from these segments alone would give."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.corpus import Corpus, Lines, Page, Segment, Source, split_lines
from longctx.errors import Stopped, UsageError
from longctx.jobs import Job
from longctx.stream import Tokenizer, TokenStream, build, count, qwen


class Frame:
    """A frame of few characters, whose escape adds characters before others on the line."""

    def open(self, source: Source) -> str:
        return f"<file {source.path}>"

    def mark(self, number: int, segment: Segment) -> str:
        return f"\n[{number}]\n"

    def escape(self, text: str) -> str:
        return text.replace("<", "<\\\\\\")

    def close(self, source: Source) -> str:
        return "</file>\n"


def of_lines(path: str, text: str, size: int = 3, kind: str = "code") -> Source:
    lines = split_lines(text)
    segments = tuple(
        Segment("".join(lines[i : i + size]), Lines(path, i + 1, min(i + size, len(lines)))) for i in range(0, len(lines), size)
    )
    return Source(path, f"/{path}", kind, len(text), "", segments)


def corpus_of(*sources: Source) -> Corpus:
    return Corpus(sources, ())


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: str) -> Tokenizer:
    return Tokenizer.from_json(tiny_tokenizer, name="tiny")


TEXT = st.lists(
    st.sampled_from(["a", "bc d", "<", "\n", "\r", "\r\n", "\x0c", "\u2028", "é", "e\u0301", "日本", "🎉", "<|im_end|>"]),
    max_size=40,
)


def lines_by_bytes(text: str, pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """On which line each stretch of bytes begins and ends, counted from 1, in the plainest way."""
    line_of = [
        number for number, line in enumerate(re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text.encode()), 1) for _ in line
    ]
    found, at = [], 0
    for piece in pieces:
        found.append((line_of[at], line_of[at + len(piece) - 1]))
        at += len(piece)
    assert at == len(line_of)
    return found


def piece_bytes(tokenizer: Tokenizer, ids: Sequence[int]) -> list[bytes]:
    """The bytes of each token of a byte-level vocabulary."""
    from longctx.stream.vocabulary import _byte_letters

    letters = {letter: byte for byte, letter in enumerate(_byte_letters())}
    return [bytes(letters[letter] for letter in tokenizer._template.id_to_token(number)) for number in ids]


@settings(deadline=None)
@given(text=TEXT.map("".join), size=st.integers(1, 4))
def test_every_token_leads_to_its_very_lines(tokenizer: Tokenizer, text: str, size: int) -> None:
    source = of_lines("a.py", text, size)
    frame = Frame()
    stream = build(corpus_of(source), tokenizer, frame)
    inside = [index for index in range(len(stream)) if stream.origin(index) is not None]
    escaped = frame.escape(text)
    expected = lines_by_bytes(escaped, piece_bytes(tokenizer, [int(stream.ids[index]) for index in inside]))
    found = [stream.origin(index) for index in inside]
    assert [(place.first, place.last) for place in found if isinstance(place, Lines)] == expected


def test_normalising_does_not_shift_lines() -> None:
    text = "".join(f"e\u0301e\u0301a\u0308 ﬁ {number} <x>\r\n" for number in range(40))
    stream = build(corpus_of(of_lines("a.txt", text, 7)), qwen(), Frame())
    for index in range(len(stream)):
        place = stream.origin(index)
        number = qwen().decode([int(stream.ids[index])])
        if isinstance(place, Lines) and number.isdigit() and place.first <= 10:
            assert int(number) == place.first - 1


def test_a_cell_keeps_its_number_and_a_page_its_box() -> None:
    cell = Segment("x = 1\ny = 2\n", Lines("n.ipynb", 4, 5, cell=2))
    page = Segment("two\nlines\n", Page("p.pdf", 3, (1, 2, 3, 4)))
    corpus = corpus_of(Source("n.ipynb", "/n", "notebook", 1, "", (cell,)), Source("p.pdf", "/p", "pdf", 1, "", (page,)))
    stream = build(corpus, qwen(), Frame())
    origins = {stream.origin(index) for index in range(len(stream))}
    assert origins == {None, Lines("n.ipynb", 4, 4, 2), Lines("n.ipynb", 5, 5, 2), page.origin}


def test_a_token_of_a_line_that_was_made_of_others_leads_to_those() -> None:
    made = Segment("# Tides\n| a | 1 |\n", Lines("a.html", 3, 9), made_of=((3, 3), (6, 9)))
    row = Segment("| x |\n", Lines("b.xlsx", 7, 7, part="sheet 'Q1'", unit="row"), made_of=((7, 7),))
    corpus = corpus_of(Source("a.html", "/a", "html", 1, "", (made,)), Source("b.xlsx", "/b", "xlsx", 1, "", (row,)))
    stream = build(corpus, qwen(), Frame())
    origins = {stream.origin(index) for index in range(len(stream))}
    assert origins == {None, Lines("a.html", 3, 3), Lines("a.html", 6, 9), row.origin}


def stream_of(tokenizer: Tokenizer, *texts: str) -> TokenStream:
    return build(corpus_of(*(of_lines(f"f{i}", text, 2) for i, text in enumerate(texts))), tokenizer, Frame())


def test_a_frame_leads_to_the_path_but_to_no_line(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, "one\n", "two\n")
    assert (stream.span(0).path, stream.span(0).segment, stream.origin(0)) == ("f0", None, None)
    assert stream.span(len(stream) - 1).path == "f1"


@pytest.mark.parametrize("index", [-1, 10_000])
def test_a_token_that_is_not_there_is_an_index_error(tokenizer: Tokenizer, index: int) -> None:
    with pytest.raises(IndexError, match=str(index)):
        stream_of(tokenizer, "one\n").origin(index)


def test_a_path_cannot_open_a_control_token(tokenizer: Tokenizer) -> None:
    source = of_lines("<|im_end|><think>\udcff", "text\n")
    stream = build(corpus_of(source), tokenizer, Frame())
    assert set(tokenizer.added.values()).isdisjoint(stream.ids.tolist())


@settings(deadline=None)
@given(data=st.data())
def test_a_selection_is_what_these_segments_alone_would_give(tokenizer: Tokenizer, data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.sampled_from(["", "a\n", "b\nc\nd\n", "e\nf\ng\nh\ni\n"]), min_size=1, max_size=4))
    stream = stream_of(tokenizer, *texts)
    everything = sorted(stream.corpus.segments)
    chosen = data.draw(st.sets(st.sampled_from(everything))) if everything else set()
    frame = Frame()
    expected: list[int] = []
    for source, numbered in stream.corpus.numbered():
        kept = [(number, segment) for number, segment in numbered if number in chosen]
        if kept:
            expected += tokenizer.encode_data(frame.open(source))
            for number, segment in kept:
                expected += tokenizer.encode_data(frame.mark(number, segment)) + tokenizer.encode_data(segment.text)
            expected += tokenizer.encode_data(frame.close(source))
    selected = stream.select(chosen)
    assert selected.ids.tolist() == expected
    assert {span.segment for span in selected.spans} - {None} == chosen
    assert all(selected.tokens_per_segment[number] == stream.tokens_per_segment[number] for number in chosen)
    assert sum(selected.tokens_per_source.values()) == len(selected)
    again = selected.select(chosen)
    assert again.ids.tolist() == expected


def test_selecting_everything_changes_nothing(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, "a\nb\nc\n", "d\n")
    selected = stream.select(stream.corpus.segments)
    assert selected.ids.tolist() == stream.ids.tolist()
    assert [selected.origin(i) for i in range(len(selected))] == [stream.origin(i) for i in range(len(stream))]


def test_selecting_what_is_not_there_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="segment 99"):
        stream_of(tokenizer, "a\n").select([1, 99])


def test_spans_lie_end_to_end_and_count_every_token(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, "a\nb\nc\n", "", "d\n")
    ends = [0, *(span.stop for span in stream.spans)]
    assert [span.start for span in stream.spans] == ends[:-1]
    assert ends[-1] == len(stream) == sum(stream.tokens_per_source.values())
    assert stream.ids.dtype == "int32"


def test_batches_change_nothing_but_progress(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stream_of(tokenizer, "a\nb\nc\n", "d\ne\n")
    monkeypatch.setattr("longctx.stream.tokens.BATCH", 5)
    seen: list[tuple[int, int]] = []
    job: Job[TokenStream] = Job(lambda job: build(whole.corpus, tokenizer, Frame(), job), title="tokenise")
    job.watch(lambda: seen.append((job.progress.done, job.progress.total)))
    job.run()
    assert job.result().ids.tolist() == whole.ids.tolist()
    assert len(seen) > 5
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_stop_ends_tokenising(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longctx.stream.tokens.BATCH", 5)
    corpus = stream_of(tokenizer, "a\nb\nc\n" * 20).corpus
    job: Job[TokenStream] = Job(lambda job: build(corpus, tokenizer, Frame(), job), title="tokenise")
    job.watch(lambda: job.cancel() if job.progress.done else None)
    job.run()
    with pytest.raises(Stopped):
        job.result()


def test_an_empty_corpus_is_an_empty_stream(tokenizer: Tokenizer) -> None:
    stream = build(corpus_of(), tokenizer, Frame())
    assert len(stream) == 0
    assert len(stream.select([])) == 0


def test_counts_say_how_they_were_made(tokenizer: Tokenizer) -> None:
    corpus = corpus_of(
        of_lines("a.py", "x = 1\n" * 50), of_lines("b.md", "some words\n" * 50, kind="markdown"), of_lines("c", "")
    )
    exact, basis = count(corpus, tokenizer)
    assert basis == "exact, tiny"
    assert exact == {s.path: sum(len(tokenizer.encode_data(part.text)) for part in s.segments) for s in corpus.sources}
    estimated, basis = count(corpus, None)
    assert basis == "estimated"
    assert estimated["c"] == 0 < estimated["a.py"] < 300


def test_estimates_are_near_the_truth_on_real_code() -> None:
    import argparse
    from pathlib import Path

    text = Path(argparse.__file__).read_text(encoding="utf-8")
    corpus = corpus_of(of_lines("argparse.py", text, 40))
    exact, estimated = count(corpus, qwen())[0]["argparse.py"], count(corpus, None)[0]["argparse.py"]
    assert 0.9 * exact < estimated < 1.5 * exact
