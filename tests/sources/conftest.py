"""Real folders, repositories and PDFs, made small."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from longctx.corpus import Corpus, Row

Files = Mapping[str | bytes, str | bytes]


@pytest.fixture(autouse=True)
def own_git_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Files], Path]:
    """Write files below a new folder; names may be bytes that are not UTF-8."""

    def _write(files: Files, folder: str = "tree") -> Path:
        top = tmp_path / folder
        top.mkdir(exist_ok=True)
        for name, content in files.items():
            file = os.path.join(os.fsencode(top), os.fsencode(name))
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "wb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
        return top

    return _write


@pytest.fixture
def git() -> Callable[..., bytes]:
    """Run git in a folder, as somebody, at a time of choice."""

    def _git(folder: Path, *arguments: str | bytes, when: int = 1_700_000_000) -> bytes:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO}
        times = {f"GIT_{role}_DATE": f"{when} +0000" for role in ("AUTHOR", "COMMITTER")}
        return subprocess.run(
            ["git", "-C", folder, *arguments], check=True, capture_output=True, env={**os.environ, **who, **times}
        ).stdout

    return _git


_WHO = (("NAME", "Ada"), ("EMAIL", "ada@example.org"))


@pytest.fixture
def repository(write: Callable[[Files], Path], git: Callable[..., bytes]) -> Callable[..., Path]:
    """A repository with these files committed."""

    def _repository(files: Files) -> Path:
        top = write(files)
        git(top, "init", "-q")
        git(top, "add", "-A")
        git(top, "commit", "-q", "--allow-empty", "-m", "first")
        return top

    return _repository


@pytest.fixture(scope="session")
def pymupdf():
    """PyMuPDF without the warnings of its bindings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pymupdf

    return pymupdf


@pytest.fixture
def rows() -> Callable[[Corpus], dict[str, Row]]:
    """The manifest by path; every path has exactly one row."""

    def _rows(corpus: Corpus) -> dict[str, Row]:
        by_path = {row.path: row for row in corpus.manifest}
        assert len(by_path) == len(corpus.manifest)
        return by_path

    return _rows
