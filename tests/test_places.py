"""What is kept on disk: whole, private, within a size, once."""

import os
import stat
import time

import pytest

from longctx.places import prune, put, settle


def test_a_file_is_kept_for_its_owner_alone_and_nothing_beside_it(tmp_path):
    put(tmp_path / "new" / "a", b"data")
    assert (tmp_path / "new" / "a").read_bytes() == b"data"
    assert os.listdir(tmp_path / "new") == ["a"]
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "new" / "a").stat().st_mode) == 0o600


def test_a_disk_that_is_full_leaves_what_was_there_and_no_half_file(tmp_path, monkeypatch):
    put(tmp_path / "a", b"before")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    put(tmp_path / "a", b"after")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    put(tmp_path / "file" / "a", b"data")
    prune(tmp_path / "file", 0)
    assert (tmp_path / "file").read_bytes() == b""


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for number in range(5):
        put(tmp_path / str(number), bytes(10))
        os.utime(tmp_path / str(number), (1000 + number, 1000 + number))
    prune(tmp_path, 25)
    assert sorted(os.listdir(tmp_path)) == ["3", "4"]


@pytest.mark.parametrize(("age", "left"), [(3600, [".half"]), (100_000, [])])
def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path, age, left):
    (tmp_path / ".half").write_bytes(b"x")
    os.utime(tmp_path / ".half", (time.time() - age,) * 2)
    prune(tmp_path, 1000)
    assert os.listdir(tmp_path) == left


def test_of_two_processes_that_made_the_same_the_first_is_kept_and_neither_fails(tmp_path):
    for who in ("first", "second"):
        (tmp_path / who).mkdir()
        (tmp_path / who / "by").write_text(who)
        settle(tmp_path / who, tmp_path / "kept")
    assert (tmp_path / "kept" / "by").read_text() == "first"


def test_a_folder_that_cannot_be_kept_is_an_error(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "kept").write_text("a file stands there")
    with pytest.raises(OSError, match="kept"):
        settle(tmp_path / "made", tmp_path / "kept")
