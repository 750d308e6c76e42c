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
#: What is worked on most is worth beside what never changes, at most.
WORKED_ON = 2.0
#: Tests, examples and documents about a program, beside the program.
ASIDE = 0.25
_FOLDERS_ASIDE = """
    test tests testing testdata spec specs e2e __tests__ __mocks__ mocks __snapshots__ fixtures fuzz fuzzing example examples
    demo demos doc docs docs_src benchmark benchmarks bench benches sample samples scripts tools third_party vendor vendored
"""
_ASIDE = frozenset(_FOLDERS_ASIDE.split())
#: Folders such as ``unit_tests``, ``test-shrinker``, ``Station.Tests`` and ``androidTest``.
_FOLDER_ASIDE = re.compile(
    r"^(?:tests?|examples?|benchmarks?)[-_.]|(?i:[-_.](?:tests?|examples?|benchmarks?|mocks)$)|[a-z]Tests?$"
)
_TEST = re.compile(
    r"(?:^test_|^conftest\.|_tests?\.|[._]spec\.|[._-]test\.|^tests?\.|[._-](?:stories|bench|benchmark)\.)"
    r"|(?:Tests?|Benchmarks?|Spec)\.\w+$"
)
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
    first = _read_first(sources, regard)
    found = {}
    for source in sources:
        path = source.path
        found[path] = first[path] if path in first else worked_on[path] * _worth(source, regard)
    return found


def is_aside(path: str) -> bool:
    """Whether a path is one of tests, examples or documentation, by its name.

    >>> [is_aside(path) for path in ("tests/a.py", "src/a_test.go", "docs/b.md", "src/testing_tools.py", "README.md")]
    [True, True, True, False, False]
    """
    folders = PurePosixPath(path).parts[:-1]
    return any(part.lower() in _ASIDE or part.startswith(".") or _FOLDER_ASIDE.search(part) for part in folders) or bool(
        _TEST.search(PurePosixPath(path).name)
    )


def _read_first(sources: Iterable[Source], regard: Mapping[str, float]) -> dict[str, float]:
    """What explains the rest, and its worth: every README that lies as high as any does.

    None of the programs below it is worth more, however much it is worked on: a README is read first because it seldom changes.
    """
    depths = {s.path: len(PurePosixPath(s.path).parts) for s in sources if _READ_FIRST.match(PurePosixPath(s.path).name)}
    found = {}
    for path in (path for path, depth in depths.items() if depth == min(depths.values())):
        folder = path[: path.rfind("/") + 1]
        found[path] = WORKED_ON * (
            0.5 + max((value for other, value in regard.items() if other.startswith(folder)), default=1 - DAMPING)
        )
    return found


def _worth(source: Source, regard: Mapping[str, float]) -> float:
    """What a source is worth by what it is; one that says of itself that it was cut, as junk is, holds data.

    However much tests are built on one of them, such as the frame in which they run, it stays below what is tested.
    """
    name, aside, built_on = PurePosixPath(source.path).name, is_aside(source.path), regard.get(source.path)
    if source.note or _DATA.search(name) or _FORMAL.match(name):
        worth = DATA
    elif built_on is None:
        worth = DOCUMENT
    else:
        worth = 0.5 + (built_on / (1 + built_on) if aside else built_on)
    return worth * (ASIDE if aside else 1.0)


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
    """From 1 for what never changes to nearly ``WORKED_ON`` for what changes most, by path."""
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
            found[path] = 1 + ((WORKED_ON - 1) * weight / (weight + usual) if weight else 0.0)
    return found
