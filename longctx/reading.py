"""What ``longctx read`` says: a corpus with its tokens counted, as the JSON contract has it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from longctx import models, stream
from longctx.corpus import Corpus
from longctx.errors import MissingPackageError
from longctx.views import manifest


def counted(corpus: Corpus, model: str | None = None) -> tuple[Corpus, str]:
    """A corpus with its tokens counted, and how: exactly for a named model, else with the Qwen3.5 vocabulary, else estimated.

    Args:
        corpus: from :func:`longctx.read`.
        model: a hub id or a folder; None takes the vocabulary of the extra ``tokens``.
    """
    counts, basis = stream.count(corpus, tokenizer(model), stream.Counts(models.cache_folder() / "counts.sqlite"))
    return corpus.with_tokens(counts), basis


def tokenizer(model: str | None) -> stream.Encoder | None:
    """What counts: the tokenizer of a named model, else the Qwen3.5 vocabulary; None where that is not installed.

    It is not opened yet where it can be told apart without: nearly all was counted before.

    Args:
        model: a hub id or a folder.
    """
    if model is not None:
        return stream.Tokenizer.unopened(models.find(model).folder)
    try:
        return stream.qwen_counter()
    except MissingPackageError:
        return None  # estimates, and the basis says so


def html(corpus: Corpus) -> str:
    """What was read as HTML; tokens only where they were counted."""
    return manifest.html(read_json(corpus, "exact" if any(row.tokens for row in corpus.manifest) else ""))


def read_json(corpus: Corpus, basis: str) -> dict[str, Any]:
    """The manifest with totals, as the JSON contract of ``longctx read`` has it."""
    rows = [row.to_json() for row in corpus.manifest]
    statuses = Counter(row.status for row in corpus.manifest)
    totals = {
        "files": len(rows),
        **{status: statuses[status] for status in ("read", "truncated", "skipped", "failed", "redacted")},
        "bytes": sum(row.size for row in corpus.manifest),
        "tokens": sum(row.tokens or 0 for row in corpus.manifest),
        "counts": basis,
    }
    return {"files": rows, "totals": totals}
