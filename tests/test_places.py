"""Folders that several processes make at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx.places import settle


def test_of_two_processes_that_made_the_same_the_first_is_kept_and_neither_fails(tmp_path: Path) -> None:
    for who in ("first", "second"):
        (tmp_path / who).mkdir()
        (tmp_path / who / "by").write_text(who)
        settle(tmp_path / who, tmp_path / "kept")
    assert (tmp_path / "kept" / "by").read_text() == "first"


def test_a_folder_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "kept").write_text("a file stands there")
    with pytest.raises(OSError, match="kept"):
        settle(tmp_path / "made", tmp_path / "kept")
