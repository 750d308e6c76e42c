"""Documents made on the spot with the libraries that people make them with, and archives made by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from longctx.corpus import Corpus, Row, Source
from longctx.sources import read


@pytest.fixture
def png() -> Callable[..., bytes]:
    """A picture of noise; each seed has its own."""
    from PIL import Image

    def _png(seed: int = 0, width: int = 64, height: int = 48) -> bytes:
        stream = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    return _png


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[str, Mapping[str, str | bytes]], Path]:
    """A zip archive with these members, in their order."""

    def _archive(name: str, members: Mapping[str, str | bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as stream:
            for member, content in members.items():
                stream.writestr(member, content)
        return tmp_path / name

    return _archive


@pytest.fixture
def one() -> Callable[[Path], tuple[Row, Source]]:
    """What a file became: its row and its source."""

    def _one(file: Path) -> tuple[Row, Source]:
        corpus = read(file)
        (row,), (source,) = corpus.manifest, corpus.sources
        return row, source

    return _one


@pytest.fixture
def lone(tmp_path: Path) -> Callable[[Path], Row]:
    """The row of a file of which nothing is read, while what lies beside it is."""

    def _lone(file: Path) -> Row:
        (file.parent / "beside.txt").write_text("beside\n")
        corpus: Corpus = read(file, file.parent / "beside.txt")
        assert [segment.text for segment in corpus.segments.values()] == ["beside\n"]
        return next(row for row in corpus.manifest if row.path.endswith(file.name))

    return _lone
