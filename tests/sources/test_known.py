import gc
import os
from pathlib import Path

import pytest

import longctx as lc
from longctx.sources import known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"def {name[0]}():\n    pass\n")
    return tmp_path


def _sources(folder: Path, **options: object) -> dict[str, object]:
    return {source.path: source for source in lc.read(folder, **options).sources}


def test_what_has_not_changed_is_the_same_source_and_what_has_is_read_again(folder: Path) -> None:
    before = lc.read(folder)
    (folder / "b.py").write_text("def other():\n    pass\n")
    after = lc.read(folder)
    one, two = ({source.path: source for source in corpus.sources} for corpus in (before, after))
    assert two["a.py"] is one["a.py"]
    assert two["b.py"].segments[0].text == "def other():\n    pass\n"
    assert [row.path for row in after.manifest] == [row.path for row in before.manifest]


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen(folder: Path) -> None:
    before = _sources(folder)
    status = (folder / "b.py").stat()
    (folder / "b.py").write_text("def c():\n    pass\n")
    os.utime(folder / "b.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = _sources(folder)
    assert (folder / "b.py").stat().st_size == status.st_size
    assert after["a.py"] is before["a.py"]
    assert after["b.py"].segments[0].text == "def c():\n    pass\n"


def test_another_way_to_read_reads_again(folder: Path) -> None:
    (folder / "b.py").write_text("key = 'AKIA" + "Q3EGRIJ7ZV5TXKWB'\n")
    hidden = _sources(folder)
    shown = _sources(folder, redact=False)
    assert "[redacted: " in hidden["b.py"].segments[0].text
    assert "[redacted: " not in shown["b.py"].segments[0].text


def test_a_corpus_that_nobody_holds_leaves_nothing_behind(folder: Path) -> None:
    gc.collect()
    count = len(known._entries)
    corpus = lc.read(folder)
    assert len(known._entries) == count + 2
    del corpus
    gc.collect()
    assert len(known._entries) == count
