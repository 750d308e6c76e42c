"""Which sources of a corpus are worth most: those on which much is built, which are worked on, and which explain the rest.

A rank is a number above 0; that of a program on which nothing is built is about 1. Of a corpus without programs all
documents have the same rank, but for what git knows of them.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from longctx.corpus import Source
from longctx.sources.programs.references import references
from longctx.sources.programs.shapes import Shape, shapes
from longctx.sources.tree import git

#: Of L. Page, S. Brin et al., "The PageRank Citation Ranking" (1998): how far a reference leads on; rounds, more than enough.
DAMPING, ROUNDS = 0.85, 40
#: What a file holds on to besides all others, so that a few faint references do not carry all of its rank.
FAINT = 0.5
#: What a kind of source is worth beside a program: what others explain, what only holds data.
DOCUMENT, DATA = 0.6, 0.2
#: Tests, examples and documents about a program, beside the program.
ASIDE = 0.25
_FOLDERS_ASIDE = """
    test tests testing spec specs __tests__ fixtures example examples demo demos doc docs docs_src benchmark benchmarks bench
    samples scripts tools third_party vendor vendored
"""
_ASIDE = frozenset(_FOLDERS_ASIDE.split())
_TEST = re.compile(r"(?:^test_|^conftest\.|_tests?\.|[._]spec\.|[._-]test\.|^tests?\.)|Tests?\.\w+$")
_DATA = re.compile(r"\.(?:json5?|jsonc|csv|tsv|xml|svg|lock|sum|css|less|scss|sass|ya?ml|txt|po|pot|map|ini|cfg|sql)$", re.I)
_READ_FIRST = re.compile(r"^readme(?:\.\w+)?$", re.I)
_FORMAL = re.compile(r"^(?:\..*|licen[cs]e.*|copying.*|notice.*|authors.*|codeowners|manifest\.in|py\.typed)$", re.I)


def ranks(
    sources: Sequence[Source], check: Callable[[], None] = lambda: None, *, known: Mapping[str, Shape] | None = None
) -> dict[str, float]:
    """The rank of every source, by path.

    Args:
        sources: of a corpus.
        check: called often; what it raises ends the work.
        known: shapes of all that is code, with their words; None finds them.
    """
    known = shapes(sources, check, words=True) if known is None else known
    aside = {path: is_aside(path) for path in known}
    edges = {(one, other): weight for (one, other), weight in references(known).items() if aside[one] or not aside[other]}
    regard = page_rank({path: ASIDE if aside[path] else 1.0 for path in known}, edges)
    worked_on = _history(sources)
    highest = max(regard.values(), default=1.0)
    first = _read_first(sources)
    found = {}
    for source in sources:
        path = source.path
        worth = 0.5 + highest if path in first else (ASIDE if is_aside(path) else 1.0) * _worth(source, regard)
        found[path] = worth * worked_on[path]
    return found


def is_aside(path: str) -> bool:
    """Whether a path is one of tests, examples or documentation, by its name.

    >>> [is_aside(path) for path in ("tests/a.py", "src/a_test.go", "docs/b.md", "src/testing_tools.py", "README.md")]
    [True, True, True, False, False]
    """
    folders = PurePosixPath(path).parts[:-1]
    return any(part.lower() in _ASIDE or part.startswith(".") for part in folders) or bool(
        _TEST.search(PurePosixPath(path).name)
    )


def _read_first(sources: Iterable[Source]) -> frozenset[str]:
    """What explains all the rest: every README that lies as high as any does."""
    found = {s.path: len(PurePosixPath(s.path).parts) for s in sources if _READ_FIRST.match(PurePosixPath(s.path).name)}
    return frozenset(path for path, depth in found.items() if depth == min(found.values()))


def _worth(source: Source, regard: Mapping[str, float]) -> float:
    """What a source is worth by what it is; one that says of itself that it was cut, as junk is, holds data."""
    name = PurePosixPath(source.path).name
    if source.note or _DATA.search(name) or _FORMAL.match(name):
        return DATA
    return 0.5 + regard[source.path] if source.path in regard else DOCUMENT


def page_rank(nodes: Mapping[str, float], edges: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """How much is built on each node, 1 on average: the rank of its references' ends, by power iteration.

    Args:
        nodes: what each counts for by itself, whatever refers to it; above 0.
        edges: (from, to) and how much from holds on to it.

    >>> ranks = page_rank({"a": 1.0, "b": 1.0, "core": 1.0}, {("a", "core"): 1.0, ("b", "core"): 1.0})
    >>> ranks["core"] > 2 * ranks["a"], round(sum(ranks.values()), 6)
    (True, 3.0)
    """
    import numpy as np

    if not nodes:
        return {}
    place = {node: number for number, node in enumerate(nodes)}
    sources = np.array([place[one] for one, _ in edges], dtype=np.int64)
    targets = np.array([place[other] for _, other in edges], dtype=np.int64)
    weights = np.array(list(edges.values()), dtype=np.float64)
    given = np.bincount(sources, weights, minlength=len(nodes)) + FAINT
    shares, kept = weights / given[sources], FAINT / given
    own = np.array(list(nodes.values()), dtype=np.float64)
    rank = own = own / own.mean()
    for _ in range(ROUNDS):
        passed = np.bincount(targets, shares * rank[sources], minlength=len(nodes))
        rank = (1 - DAMPING) * own + DAMPING * (passed + own * (kept * rank).mean())
    return dict(zip(nodes, rank.tolist(), strict=True))


def _history(sources: Iterable[Source]) -> dict[str, float]:
    """From 1 for what never changes to nearly 2 for what changes most, by path."""
    below: dict[str, dict[str, str]] = defaultdict(dict)
    for source in sources:
        top = git.repository_top(os.path.dirname(source.file))
        below[top or ""][source.path] = os.path.relpath(source.file, top).replace(os.sep, "/") if top else ""
    found = {}
    for top, names in below.items():
        weights = git.changes(top, names.values())[0] if top else {}
        usual = sum(weights.values()) / len(weights) if weights else 0.0
        for path, name in names.items():
            weight = weights.get(name, 0.0)
            found[path] = 1 + (weight / (weight + usual) if weight else 0.0)
    return found
