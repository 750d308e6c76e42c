"""A budget for reading: never exceeded, nothing cut silently, every line where it says it is; more room never shows less."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import longctx as lc
from longctx import fitting, reading, sources, stream
from longctx.corpus import Corpus, Lines, split_lines
from longctx.errors import UsageError
from longctx.fitting import fit
from longctx.sources.programs import shapes
from longctx.sources.programs.ranking import ranks
from tests.pictures import picture_of_words
from tests.videos import make_video


def module(name: str, functions: int, uses: str = "") -> str:
    """A module of functions, each of which says something that no other says."""
    return (f"from {uses} import {uses}_0\n\n\n" if uses else "") + "".join(
        f'def {name}_{n}(attempt, base={n}):\n    """Waits for {name} number {n}."""\n'
        + "".join(f"    total_{n}_{line} = base ** attempt + {line}\n" for line in range(8))
        + f"    return total_{n}_7\n\n\n"
        for n in range(functions)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fitting") / "project"
    for name, text in {
        "core.py": module("core", 14),
        "use.py": module("use", 12, "core"),
        "more.py": module("more", 9, "core"),
        "tests/test_core.py": module("test", 12, "core"),
        "README.md": "# Station\n\n" + "It sends readings at noon.\n" * 20,
        "notes.md": "# Notes\n\n" + "".join(f"Reading {n} was sent at noon.\n" for n in range(200)),
        "data.json": "[" + ",\n".join(map(str, range(900))) + "]\n",
        "empty.txt": "",
    }.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "binary.bin").write_bytes(bytes(range(256)))
    return made


@pytest.fixture(scope="module")
def whole(folder: Path) -> Corpus:
    return lc.read(folder)


def tokens(corpus: Corpus) -> int:
    """As ``longctx read`` tells them."""
    return int(reading.read_json(*reading.counted(corpus))["totals"]["tokens"])


def rows(corpus: Corpus) -> dict[str, Any]:
    return {row.path: row for row in corpus.manifest}


def lines_of(corpus: Corpus, path: str) -> set[int]:
    origins = [segment.origin for source in corpus.sources if source.path == path for segment in source.segments]
    return {line for origin in origins if isinstance(origin, Lines) for line in range(origin.first, origin.last + 1)}


def in_place(corpus: Corpus) -> None:
    """Every segment is the slice of its file that its origin names, and they ascend."""
    for source in corpus.sources:
        lines, last = split_lines(Path(source.file).read_bytes().decode()), 0
        for segment in source.segments:
            assert isinstance(segment.origin, Lines)
            assert last < segment.origin.first
            assert segment.text == "".join(lines[segment.origin.first - 1 : segment.origin.last])
            last = segment.origin.last


# -- what is read --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("parser", [True, False])
@pytest.mark.parametrize("budget", [60, 300, 1_000, 2_500, 4_000, 6_000, 8_000])
def test_a_budget_holds_by_the_count_of_read_and_every_line_is_where_it_says(
    folder: Path, budget: int, parser: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "installed", lambda: parser)
    corpus = lc.read(folder, budget=budget)
    assert tokens(corpus) <= budget
    in_place(corpus)


def test_most_of_a_budget_is_used(folder: Path) -> None:
    for budget in (2_500, 4_000, 6_000):
        assert tokens(lc.read(folder, budget=budget)) > budget - 600


def with_names(corpus: Corpus) -> int:
    """Each text and each name by the tokenizer itself."""
    texts = [text for source in corpus.sources for text in (source.path, *(segment.text for segment in source.segments))]
    return sum(len(stream.qwen().encode_data(text)) for text in texts)


def test_what_fits_with_its_names_is_read_whole_and_nothing_is_said(folder: Path, whole: Corpus) -> None:
    assert lc.read(folder, budget=with_names(whole)) == whole
    less = lc.read(folder, budget=with_names(whole) - 1)
    assert less != whole
    assert tokens(less) < tokens(whole)
    assert f"; all would take {with_names(whole):,}, names included" in rows(less)["."].reason


def test_names_count_however_long_they_are(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*[f"a_rather_long_folder_{n}" for n in range(12)])
    deep.mkdir(parents=True)
    for n in range(10):
        (deep / f"file_{n}.py").write_text("def f(x):\n    return x\n" * 5)
    whole = lc.read(tmp_path)
    for budget in (tokens(whole), tokens(whole) + 1, with_names(whole) // 2, with_names(whole) - 1):
        assert with_names(lc.read(tmp_path, budget=budget)) <= budget


def test_code_gives_way_by_signatures_and_then_by_name_and_its_row_says_so(folder: Path, whole: Corpus) -> None:
    found = rows(lc.read(folder, budget=3_500))
    cut = {path: row for path, row in found.items() if row.status == "truncated" and path != "."}
    assert cut
    assert any(re.fullmatch(r"by its signatures, [\d,]+ of [\d,]+ tokens, for the budget", row.reason) for row in cut.values())
    assert found["data.json"].reason.endswith("for the budget")
    assert found["core.py"].status == "read"
    said = found["."].reason
    assert said.startswith("of 7 sources, for the budget of 3,500 tokens: ")
    assert "by signatures" in said
    assert set(found) == {*rows(whole), "."}
    of = {row.path: row.tokens for row in reading.counted(whole)[0].manifest}
    read = {row.path: row.tokens for row in reading.counted(lc.read(folder, budget=3_500))[0].manifest}
    for path, row in cut.items():
        if numbers := re.search(r"([\d,]+) of ([\d,]+) tokens", row.reason):
            assert [int(number.replace(",", "")) for number in numbers.groups()] == [read[path], of[path]]


def test_the_model_knows_the_names_of_what_it_does_not_read(folder: Path, whole: Corpus) -> None:
    corpus = lc.read(folder, budget=60)
    assert [source.path for source in corpus.sources] == [source.path for source in whole.sources]
    assert any(not source.segments for source in corpus.sources)
    assert rows(corpus)["notes.md"].reason == "its name only, for the budget"


def test_the_order_stays_as_it_was_listed(folder: Path, whole: Corpus) -> None:
    assert [s.path for s in lc.read(folder, budget=4_000).sources] == [s.path for s in whole.sources]


def test_too_little_for_all_names_keeps_those_that_are_worth_most_and_says_of_the_others_that_they_are_left_out(
    folder: Path,
) -> None:
    corpus = lc.read(folder, budget=8)
    assert 0 < len(corpus.sources) < 7
    left = [row for row in corpus.manifest if row.reason.endswith("not even its name, for the budget")]
    assert {row.status for row in left} == {"skipped"}
    assert len(left) + len(corpus.sources) == 7
    assert "the names of all would take" in rows(corpus)["."].reason


def test_too_little_for_a_single_name_is_an_error_that_says_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "a_file_with_a_rather_long_name.py").write_text("def f(x): return x\n" * 9)
    with pytest.raises(UsageError, match="budget=2 has no room for the name of a single file") as caught:
        lc.read(tmp_path, budget=2)
    assert re.search(r"those of all files take \d+", caught.value.hint)


def test_the_names_of_thousands_of_files_leave_room_for_what_is_worth_most(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Station\n\n" + "It sends readings at noon.\n" * 20)
    for n in range(900):
        (tmp_path / f"reading_number_{n:03}_at_noon.py").write_text(
            f"from station import noon\n\ndef reading_{n}(x):\n    return noon(x) + {n}\n"
        )
    (tmp_path / "station.py").write_text("def noon(x):\n    return x\n")
    whole = lc.read(tmp_path)
    assert sum(len(stream.qwen().encode_data(source.path)) for source in whole.sources) > 6_000
    before: Corpus | None = None
    for budget in (1_000, 3_000, 4_000, 6_000, 9_000, 20_000):
        corpus = fit(whole, budget)
        assert budget - 300 < with_names(corpus) <= budget
        if budget >= 3_000:
            assert rows(corpus)["README.md"].status == "read"
            assert tokens(corpus) > 0.7 * (budget - 2_000) - 300
        if before is not None:
            assert {source.path for source in before.sources} <= {source.path for source in corpus.sources}
            assert all(lines_of(before, source.path) <= lines_of(corpus, source.path) for source in whole.sources)
        before = corpus


@pytest.mark.parametrize("budget", [0, -5, 0.5, True, "many"])
def test_what_is_no_number_of_tokens_is_refused_before_anything_is_read(budget: Any) -> None:
    with pytest.raises(UsageError, match="is no number of tokens"):
        lc.read("/nowhere", budget=budget)


def test_without_a_vocabulary_a_budget_holds_by_estimates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "tokenizer", lambda model: None)
    corpus = lc.read(folder, budget=2_000)
    counted, basis = reading.counted(corpus)
    assert basis == "estimated"
    assert 1_000 < sum(row.tokens or 0 for row in counted.manifest) <= 2_000


def test_without_a_parser_the_manifest_says_that_definitions_were_found_by_their_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "by their look" not in rows(lc.read(folder, budget=3_500))["."].reason
    monkeypatch.setattr(shapes, "installed", lambda: False)
    monkeypatch.setattr(fitting, "installed", lambda: False)
    assert "[code]' has them parsed" in rows(lc.read(folder, budget=3_500))["."].reason


def test_a_row_says_where_the_parser_failed_and_the_look_was_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "LARGEST", 10)
    cut = [row for path, row in rows(lc.read(folder, budget=3_500)).items() if "signatures" in row.reason and path != "."]
    assert cut
    assert {row.reason.split("; ")[-1] for row in cut} == {
        "found by their look (a text of more than 10 characters is not parsed)"
    }


def test_the_signature_names_all_that_sources_take() -> None:
    own = inspect.signature(lc.read).parameters
    assert {"budget", "model", *inspect.signature(sources.read).parameters} == set(own)
    with pytest.raises(TypeError, match="colour"):
        lc.read(".", colour=1)


# -- documents, pictures, videos -----------------------------------------------------------------------------------------
def test_pictures_and_videos_come_whole_after_all_text_and_else_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("".join(f"Reading {n} was sent at noon.\n" for n in range(100)))
    (tmp_path / "a.png").write_bytes(picture_of_words(["Noon"]))
    make_video(tmp_path / "b.mp4", [n / 4 for n in range(40)], subtitles=[(1.0, 2.0, "Attempt one at the gauge.")])
    whole = reading.counted(lc.read(tmp_path))[0]
    of = {row.path: row.tokens or 0 for row in whole.manifest}
    text = lc.read(tmp_path, budget=of["notes.md"] + 20)
    assert rows(text)["notes.md"].status == "read"
    assert rows(text)["a.png"].reason == "its name only, for the budget"
    picture = lc.read(tmp_path, budget=of["notes.md"] + of["a.png"] + 40)
    assert rows(picture)["a.png"].status == "read"
    assert rows(picture)["b.mp4"].reason.split("; ")[-1].startswith("by its subtitles, ")
    assert [source.footage for source in picture.sources if source.path == "b.mp4"] == [None]
    for budget in range(20, sum(of.values()) + 40, 90):
        assert tokens(lc.read(tmp_path, budget=budget)) <= budget


def test_of_a_document_the_first_pages_are_read_and_the_row_says_to_which(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        for number in range(1, 9):
            page = document.new_page()
            for line in range(30):
                page.insert_text((72, 72 + 20 * line), f"Line {line} of page {number} was written at noon.")
        document.save(tmp_path / "a.pdf")
    whole = lc.read(tmp_path)
    corpus = lc.read(tmp_path, budget=tokens(whole) // 2)
    (row,) = [row for row in corpus.manifest if row.path == "a.pdf"]
    assert re.search(r"its first \d+ of \d+ segments, the last of them page [3-5], [\d,]+ of [\d,]+ tokens", row.reason)
    (source,) = corpus.sources
    assert source.segments == whole.sources[0].segments[: len(source.segments)]


def test_a_source_that_was_redacted_is_told_to_be_so_where_it_is_cut_too(whole: Corpus) -> None:
    marked = Corpus(whole.sources, tuple(replace(row, status="redacted", reason="1 key") for row in whole.manifest))
    row = rows(fit(marked, 2_000))["notes.md"]
    assert (row.status, row.reason.split("; ")[0]) == ("redacted", "1 key")
    assert row.reason.endswith("for the budget")


# -- properties ----------------------------------------------------------------------------------------------------------
_NAMES = st.sampled_from(
    ["a.py", "b.py", "src/c.py", "tests/test_d.py", "e.js", "f.rs", "g.md", "README.md", "h.json", "i.txt"]
)
_LINES = st.sampled_from(
    [
        "def wait(attempt, base=2):\n",
        '    """Seconds."""\n',
        "    return base ** attempt\n",
        "class Station:\n",
        "    def send(self): return wait(3)\n",
        "LIMIT = 3\n",
        "export const go = (n) => {\n",
        "fn main() {\n",
        "}\n",
        "# A comment.\n",
        "import a\n",
        "\n",
        "x = '" + "y" * 400 + "'\n",
        "x = '" + "y" * 2_500 + "'\r\n",
        "é ü \u2028 \x0c\n",
    ]
)
_TREES = st.dictionaries(_NAMES, st.lists(_LINES, min_size=1, max_size=120).map("".join), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_TREES, budgets=st.lists(st.integers(20, 4_000), min_size=2, max_size=3))
def test_budgets_of_random_trees_hold_and_a_larger_one_never_reads_less_of_any_source(
    tree: dict[str, str], budgets: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for name, text in tree.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    whole = lc.read(folder)
    best = max(ranks(whole.sources).items(), key=lambda one: one[1])[0]
    before: Corpus | None = None
    for budget in sorted(budgets):
        corpus = fit(whole, budget)
        assert tokens(corpus) <= budget
        for source in corpus.sources:
            text = split_lines(tree[source.path])
            for segment in source.segments:
                assert isinstance(segment.origin, Lines)
                there = "".join(text[segment.origin.first - 1 : segment.origin.last])
                assert segment.text == there or (segment.origin.first == segment.origin.last and segment.text in there)
        if before is not None:
            assert lines_of(before, best) <= lines_of(corpus, best)
            assert all(lines_of(before, path) <= lines_of(corpus, path) for path in tree)
        before = corpus
