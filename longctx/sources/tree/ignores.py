"""The rules of .gitignore files, applied without git, and the user's own patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longctx.errors import UsageError
from longctx.sources.tree.wildmatch import compiled

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line of a .gitignore file.

    Args:
        regex: of a name, as bytes.
        hides: whether what it means is ignored; else it is not, whatever stands before.
        folders_only: whether it means folders alone.
        anywhere: whether it is about the last part of a path, in whatever folder; else about the path from its own folder.
    """

    regex: re.Pattern[bytes]
    hides: bool
    folders_only: bool
    anywhere: bool

    def means(self, name: bytes, *, folder: bool) -> bool:
        """Whether it says something of a path itself; of what lies in a folder it says nothing."""
        if self.folders_only and not folder:
            return False
        return self.regex.fullmatch(name.rpartition(b"/")[2] if self.anywhere else name) is not None


@dataclass(frozen=True)
class Ignores:
    """The .gitignore files that hold in a folder, outermost first; the innermost that says anything decides.

    Git's rules, byte for byte. pathspec, which reads the patterns of users, takes characters for bytes, knows no
    ``[[:alpha:]]``, strips other spaces, can take minutes for one name, and lets a rule for a folder decide over everything in
    it; git, and so a walk, looks at every folder on the way.

    Args:
        rules: each file's, last line first, with the folder in which it stands.
    """

    rules: tuple[tuple[str, tuple[_Rule, ...]], ...] = ()

    def within(self, folder: str, name: str = ".gitignore") -> Ignores:
        """The rules that hold in a folder below: these, and those of its own.

        Args:
            folder: its absolute path.
            name: of the file in it that has its rules.
        """
        rules = [rule for line in _lines(os.path.join(folder, name)) if (rule := _rule(line))]
        return Ignores((*self.rules, (folder, tuple(reversed(rules))))) if rules else self

    def hide(self, file: str, *, folder: bool) -> bool:
        """Whether a file or folder is ignored."""
        for base, rules in reversed(self.rules):
            name = os.fsencode(file[len(base) :].replace(os.sep, "/").lstrip("/"))
            for rule in rules:
                if rule.means(name, folder=folder):
                    return rule.hides
        return False


@dataclass(frozen=True)
class Patterns:
    """Patterns that the user gave, in the language of .gitignore.

    Args:
        spec: None where none were given.
    """

    spec: GitIgnoreSpec | None

    @classmethod
    def of(cls, patterns: Sequence[str] | str, name: str) -> Patterns:
        """Check and keep patterns.

        Args:
            patterns: one, or several of which the last that matches decides.
            name: of the argument, for the error.

        Raises:
            UsageError: one of them is no pattern.
        """
        given = [patterns] if isinstance(patterns, str) else list(patterns)
        if not given:
            return cls(None)
        from pathspec import GitIgnoreSpec  # takes a while to import, and most reads have no patterns

        try:
            return cls(GitIgnoreSpec.from_lines(given))
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{name}={given!r}: not a pattern: {error}",
                hint="write them as in a .gitignore file: '*.py', 'docs/', '!docs/api.md'",
            ) from error

    def __bool__(self) -> bool:
        return self.spec is not None

    def match(self, name: str) -> bool:
        """Whether a relative name, with ``/`` between its parts, is meant."""
        return self.spec is not None and self.spec.match_file(name, separators=())


def _lines(file: str) -> list[bytes]:
    """The lines of a .gitignore file without their ends; git follows no link here."""
    try:
        if os.path.islink(file) or not os.path.isfile(file):
            return []
        with open(file, "rb") as stream:
            lines = stream.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError:
        return []
    return [line.removesuffix(b"\r").partition(b"\0")[0] for line in lines]


def _rule(line: bytes) -> _Rule | None:
    """What a line says; None for a comment, and for what matches nothing."""
    pattern = b"" if line.startswith(b"#") else _trimmed(line)
    bare = pattern.removeprefix(b"!")
    path = bare.removesuffix(b"/")
    regex = compiled(path.removeprefix(b"/")) if path else None
    return _Rule(regex, bare == pattern, path != bare, b"/" not in path) if regex else None


def _trimmed(line: bytes) -> bytes:
    """A line without the spaces at its end; one behind a backslash counts."""
    bare = line.rstrip(b" ")
    escaped = (len(bare) - len(bare.rstrip(b"\\"))) % 2
    return bare + b" " if escaped and bare != line else bare
