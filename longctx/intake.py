"""``lc.read``: paths in, a corpus out; within a budget of tokens, where one is given."""

from __future__ import annotations

import inspect
import os
from typing import Any

from longctx import sources
from longctx.corpus import Corpus
from longctx.jobs import Job


def read(
    *paths: str | os.PathLike[str],
    budget: int | None = None,
    model: str | None = None,
    job: Job[Any] | None = None,
    **options: Any,
) -> Corpus:
    """Read folders and files into a corpus. Loads no model; one bad file never ends it.

    A folder is read as git lists it, or by the .gitignore files in it. A file that is named itself is read even if ignored.

    Args:
        paths: folders and files, at least one; ``~`` is the home folder. Names are relative to a single folder; with several
            paths they begin with the name of theirs.
        budget: tokens that all of it may take, names of files included; None reads all. What does not fit is read by its
            signatures (code), by the text of its pages, by its first segments, or its name stands there alone; what many
            others use, what is worked on, and the README come first. The manifest says of each source what was cut.
        model: whose tokenizer counts, a hub id or a folder; None takes the vocabulary of the extra ``tokens``, without which
            tokens are estimated.
        job: told about progress; its stop ends the reading.
        options: what else :func:`longctx.sources.read` takes: ``include`` and ``exclude`` (patterns as in a .gitignore file),
            ``max_file_bytes``, ``pages_as_pictures``, ``figures_as_pictures``, ``engine``, ``junk``, ``redact``, ``password``,
            ``submodules``, ``behind``.

    Returns:
        the corpus, with what changes rarely first, and a row in its manifest for every path met.

    Raises:
        UsageError: no path, a pattern that is none, no such engine, a password that is no text; a budget that is no number of
            tokens, or too small for a single name.
        MissingPackageError: the engine that was asked for is not installed.
        SourceNotFoundError: a path does not exist, or is an address: nothing is fetched.
        EmptyCorpusError: nothing readable was found.
        Stopped: the job was stopped.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "wait.py").write_text("def wait(n):\\n    return " + "2 ** n + 1 - 1 " * 40 + "\\n")
    ...     corpus = read(folder, budget=20)
    >>> corpus.segments[1].text, corpus.segments[1].origin.first
    ('def wait(n):\\n', 1)
    """
    if budget is None:
        return sources.read(*paths, job=job, **options)
    from longctx import fitting  # what counts tokens takes as long to import as a small folder takes to read

    fitting.check(budget)
    return fitting.fit(sources.read(*paths, job=job, **options), budget, model, job)


def _signature() -> inspect.Signature:
    """That of :func:`read` with the names of all its options, for whoever completes them."""
    own, options = inspect.signature(read), inspect.signature(sources.read)
    kept = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    return own.replace(parameters=[*kept, *(one for name, one in options.parameters.items() if name not in own.parameters)])


read.__signature__ = _signature()  # type: ignore[attr-defined]
