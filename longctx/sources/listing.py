"""What is in a folder: exactly what git lists, or what a walk by the rules of .gitignore finds; what changes rarely first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from longctx.sources import git
from longctx.sources.ignores import Ignores

#: Bytes that a file takes in the context besides its own: its name in a heading.
_HEADING = 64


@dataclass(frozen=True, slots=True)
class Found:
    """One path below a folder.

    Args:
        name: relative to the folder, ``/`` between its parts; bytes that are not UTF-8 are surrogate-escaped.
        file: the absolute path.
        trouble: why a folder could not be looked into; empty for everything else.
    """

    name: str
    file: str
    trouble: str = ""


@dataclass(frozen=True)
class Listing:
    """The paths below a folder in reading order, and what there is to say about how they were found."""

    found: tuple[Found, ...]
    note: str = ""


def listing(folder: str) -> Listing:
    """List a folder.

    Args:
        folder: its absolute path, without links.
    """
    names, note = git.files(folder)
    if names is None:
        return Listing(tuple(sorted(_walk(folder), key=lambda found: found.name)), note)
    weights, note = git.changes(folder, names)
    found = [Found(name, os.path.join(folder, *name.split("/"))) for name in names]
    return Listing(tuple(sorted(found, key=lambda one: (_rate(one, weights[one.name]), one.name))), note)


def _rate(found: Found, weight: float) -> float:
    """How much a file changes for its size: in the order of this ratio the least is read again, expectedly.

    An edit costs the file and all that follows it, as a job delays all after it: W. E. Smith, "Various optimizers for
    single-stage production", Naval Research Logistics Quarterly 3 (1956). A large file that changes as often as a small one
    comes before it.
    """
    try:
        return weight / (_HEADING + os.lstat(found.file).st_size)
    except OSError:
        return weight / _HEADING


def _walk(top: str) -> Iterator[Found]:
    """Every path that no .gitignore hides. Links are met, not followed; ``.git`` is passed over."""
    open_folders = [(top, _rules_above(top))]
    while open_folders:
        folder, above = open_folders.pop()
        ignores = above.within(folder)
        try:
            with os.scandir(folder) as scan:
                entries = list(scan)
        except OSError as error:
            yield Found(_relative(folder, top), folder, f"the folder cannot be listed: {error.strerror}")
            continue
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or ignores.hide(entry.path, folder=is_folder):
                continue
            if is_folder:
                open_folders.append((entry.path, ignores))
            else:
                yield Found(_relative(entry.path, top), entry.path)


def _rules_above(top: str) -> Ignores:
    """The rules that hold before the folder itself is looked at: those of its repository, if git itself could not be asked."""
    repository = git.repository_top(top)
    ignores = Ignores()
    if repository is None or repository == top:
        return ignores
    parts = os.path.relpath(os.path.dirname(top), repository).split(os.sep)
    for depth in range(len(parts) + 1):
        ignores = ignores.within(os.path.normpath(os.path.join(repository, *parts[:depth])))
    return Ignores() if ignores.hide(top, folder=True) else ignores


def _relative(file: str, top: str) -> str:
    return os.path.relpath(file, top).replace(os.sep, "/")
