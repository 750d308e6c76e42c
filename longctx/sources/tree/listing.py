"""What is in a folder: exactly what git lists, or what a walk by the rules of .gitignore finds; what changes rarely first."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from longctx.sources.parsed import Parsed
from longctx.sources.tree import git
from longctx.sources.tree.ignores import Ignores

#: Bytes that a file takes in the context besides its own: its name in a heading.
_HEADING = 64


@dataclass(frozen=True, slots=True)
class Found:
    """One path below a folder.

    Args:
        name: relative to the folder, ``/`` between its parts; bytes that are not UTF-8 are surrogate-escaped.
        file: the absolute path.
        settled: what became of it, where that is known already: a folder that is not looked into.
    """

    name: str
    file: str
    settled: Parsed | None = None


@dataclass(frozen=True)
class Listing:
    """The paths below a folder in reading order, and what there is to say about how they were found.

    Args:
        found: every path.
        notes: by the name of the folder that they are about; of the folder itself it is ``"."``.
    """

    found: tuple[Found, ...]
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Block:
    """Paths that stand together: one file, or a repository inside another."""

    name: str
    found: Sequence[Found]


def listing(folder: str, *, submodules: bool = False) -> Listing:
    """List a folder.

    Args:
        folder: its absolute path, without links.
        submodules: whether the files of submodules that are checked out are listed with it.
    """
    return _Lister(folder, submodules).listing()


def walked(folder: str, *, rules: bool = True) -> Listing:
    """List a folder by itself, whatever stands above it and whatever repositories are in it.

    Args:
        folder: its absolute path, without links.
        rules: whether the .gitignore files in it hold.
    """
    lister = _Lister(folder, submodules=False, repositories=False, rules=rules)
    return Listing(tuple(found for block in _by_name(lister.walk(folder, Ignores())) for found in block.found))


@dataclass
class _Lister:
    """The state of one listing."""

    top: str
    submodules: bool
    repositories: bool = True
    rules: bool = True

    def __post_init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def listing(self) -> Listing:
        found = self.tracked(self.top)
        if found is None:
            blocks = self.walk(self.top, _rules_above(self.top))
            found = [one for block in _by_name(blocks) for one in block.found]
        return Listing(tuple(found), tuple(self.notes))

    def tracked(self, folder: str) -> list[Found] | None:
        """What git lists below a folder, what changes rarely first; None where git does not know the folder."""
        listed = git.files(folder)
        self.note(folder, listed.note)
        if listed.names is None:
            return None
        weights, note = git.changes(folder, listed.names)
        self.note(folder, note)
        blocks = [*self.blocks(folder, listed.names), *self.closed(folder, listed.closed)]
        return [found for block in _by_change(blocks, weights) for found in block.found]

    def blocks(self, folder: str, names: Sequence[str]) -> Iterator[_Block]:
        modules: frozenset[str] | None = None
        for name in names:
            file = _join(folder, name)
            if not _is_folder(file):
                yield _Block(name, [Found(self.name(file), file)])
                continue
            modules = git.submodules(folder) if modules is None else modules
            yield _Block(name, self.inner(name, file, is_submodule=name in modules))

    def inner(self, name: str, file: str, *, is_submodule: bool) -> list[Found]:
        """What is found where git lists a folder: another repository, a submodule, or a file that is one no longer."""
        reason = "deleted: a folder stands in its place now"
        if name.endswith("/"):
            reason = "a git repository of its own: name it to read it"
        elif is_submodule and not os.path.lexists(os.path.join(file, ".git")):
            reason = "a submodule that is not checked out (git submodule update --init)"
        elif is_submodule and self.submodules:
            return [found for block in _by_name(self.walk(file, Ignores())) for found in block.found]
        elif is_submodule:
            reason = "a submodule: submodules=True (--submodules) reads it with the rest, and so does naming it"
        return [Found(self.name(file), file, Parsed("folder", status="skipped", reason=reason))]

    def closed(self, folder: str, closed: Mapping[str, str]) -> Iterator[_Block]:
        for name, why in closed.items():
            yield _Block(name, [self.shut(_join(folder, name), why)])

    def shut(self, folder: str, why: str) -> Found:
        """A folder that cannot be looked into."""
        return Found(self.name(folder), folder, Parsed("folder", status="failed", reason=f"the folder cannot be listed: {why}"))

    def walk(self, top: str, rules: Ignores) -> Iterator[_Block]:
        """Every path that no .gitignore hides. Links are met, not followed; ``.git`` is passed over; a repository inside is
        listed by its own git."""
        open_folders = [(top, rules)]
        while open_folders:
            folder, above = open_folders.pop()
            try:
                with os.scandir(folder) as scan:
                    entries = list(scan)
            except OSError as error:
                yield _Block(self.name(folder), [self.shut(folder, error.strerror or str(error))])
                continue
            own = self.repositories and folder != self.top and any(entry.name == ".git" for entry in entries)
            if own and (found := self.tracked(folder)) is not None:
                yield _Block(self.name(folder), found)
                continue
            ignores = above.within(folder) if self.rules else above
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.name == ".git" or ignores.hide(entry.path, folder=is_folder):
                    continue
                if is_folder:
                    open_folders.append((entry.path, ignores))
                else:
                    yield _Block(self.name(entry.path), [Found(self.name(entry.path), entry.path)])

    def name(self, file: str) -> str:
        return file[len(self.top) :].replace(os.sep, "/").lstrip("/") or "."

    def note(self, folder: str, words: str) -> None:
        if words:
            self.notes.append((self.name(folder), words))


def _by_change(blocks: Iterable[_Block], weights: Mapping[str, float]) -> list[_Block]:
    """Blocks by how much they change for their size; those of which git knows the same by name, wherever they come as a group.

    In the order of this ratio the least is read again, expectedly: an edit costs the file and all that follows it, as a job
    delays all after it (W. E. Smith, "Various optimizers for single-stage production", Naval Research Logistics Quarterly 3,
    1956). A large file that changes as often as a small one comes before it. A submodule counts as one file, since its parent
    moves it as a whole.
    """
    alike: dict[float, list[_Block]] = defaultdict(list)
    for block in sorted(blocks, key=lambda block: block.name):
        alike[weights.get(block.name, 0.0)].append(block)
    rates = {weight: weight * len(group) / sum(map(_bytes, group)) for weight, group in alike.items()}
    return [block for weight in sorted(alike, key=lambda weight: (rates[weight], weight)) for block in alike[weight]]


def _bytes(block: _Block) -> int:
    return sum(_HEADING + _size(found.file) for found in block.found) or 1


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, *name.rstrip("/").split("/"))


def _size(file: str) -> int:
    try:
        return os.lstat(file).st_size
    except OSError:
        return 0


def _is_folder(file: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(file).st_mode)
    except OSError:
        return False


def _by_name(blocks: Iterator[_Block]) -> list[_Block]:
    return sorted(blocks, key=lambda block: block.name)


def _rules_above(top: str) -> Ignores:
    """The rules that hold before the folder itself is looked at: those of its repository, if git itself could not be asked."""
    repository = git.repository_top(top)
    if repository is None:
        return Ignores()
    ignores = Ignores().within(repository, os.path.join(".git", "info", "exclude"))
    if repository == top:
        return ignores
    parts = os.path.relpath(os.path.dirname(top), repository).split(os.sep)
    for depth in range(len(parts) + 1):
        ignores = ignores.within(os.path.normpath(os.path.join(repository, *parts[:depth])))
    return Ignores() if ignores.hide(top, folder=True) else ignores
