"""The rules of .gitignore files, applied without git, and the user's own patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longctx.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


@dataclass(frozen=True)
class Ignores:
    """The .gitignore files that hold in a folder, outermost first; the innermost that says anything decides.

    Args:
        rules: each with the folder in which it stands.
    """

    rules: tuple[tuple[str, GitIgnoreSpec], ...] = field(default=())

    def within(self, folder: str) -> Ignores:
        """The rules that hold in a folder below: these, and those of its own .gitignore."""
        lines = _lines(os.path.join(folder, ".gitignore"))
        return Ignores((*self.rules, (folder, _spec(lines)))) if lines else self

    def hide(self, file: str, *, folder: bool) -> bool:
        """Whether a file or folder is ignored."""
        for base, spec in reversed(self.rules):
            name = os.path.relpath(file, base).replace(os.sep, "/") + ("/" if folder else "")
            verdict = _verdict(spec, name)
            if verdict is not None:
                return verdict
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
        from pathspec import GitIgnoreSpec

        given = [patterns] if isinstance(patterns, str) else list(patterns)
        try:
            return cls(GitIgnoreSpec.from_lines(given) if given else None)
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


def _verdict(spec: GitIgnoreSpec, name: str) -> bool | None:
    """What the last pattern that means this very path says; None where there is none.

    pathspec lets a pattern that means a folder decide over everything in it, ``!lib`` over ``lib/a.log``. To git it says
    nothing about what is inside; that only a walk can follow, which has looked at every folder on the way.
    """
    for pattern in reversed(spec.patterns):
        regex = getattr(pattern, "regex", None)  # none for a comment
        if regex is not None and pattern.include is not None and _means(regex, name):
            return pattern.include
    return None


def _means(regex: re.Pattern[str], name: str) -> bool:
    """Whether a pattern of pathspec matches a path itself and not only a folder above it, whose end the group ps_d marks."""
    for match in regex.finditer(name):
        if match.groupdict().get("ps_d"):
            if match.end("ps_d") == len(name):
                return True
        elif match.end() < len(name) or not name.endswith("/"):
            return True
    return False


def _lines(file: str) -> list[str]:
    try:
        if os.path.islink(file) or not os.path.isfile(file):  # git follows no link here either
            return []
        with open(file, "rb") as stream:
            return [os.fsdecode(line) for line in stream.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    except OSError:
        return []


def _spec(lines: list[str]) -> GitIgnoreSpec:
    """The rules of one file. What is no pattern is passed over, as git does."""
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
