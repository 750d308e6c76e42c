"""One pattern of a .gitignore file as a regular expression over bytes, exactly as git's own ``wildmatch.c`` reads it.

No pattern takes long on any name: what stands between two wildcards is looked for once, where it first is.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

#: Within one part of a path, over any number of parts, and any number of whole folders or none.
_STAR, _DEEP, _FOLDERS = b"[^/]*?", b".*?", b"(?:.*?/)??"
_SPECIAL = re.compile(rb"[*?\[\\]")

_PRINTED = frozenset(range(0x20, 0x7F))
_BLANK, _SPACE = frozenset(b" \t"), frozenset(b" \t\n\r")  # as git's own table has them
_CLASSES = {
    b"alnum": frozenset(string.ascii_letters.encode() + string.digits.encode()),
    b"alpha": frozenset(string.ascii_letters.encode()),
    b"blank": _BLANK,
    b"cntrl": frozenset([*range(0x20), 0x7F]),
    b"digit": frozenset(string.digits.encode()),
    b"graph": _PRINTED - _SPACE,
    b"lower": frozenset(string.ascii_lowercase.encode()),
    b"print": _PRINTED,
    b"punct": frozenset(string.punctuation.encode()),
    b"space": _SPACE,
    b"upper": frozenset(string.ascii_uppercase.encode()),
    b"xdigit": frozenset(string.hexdigits.encode()),
}


class _NeverError(ValueError):
    """A pattern that git accepts and that matches nothing. Stays in this module."""


def compiled(pattern: bytes) -> re.Pattern[bytes] | None:
    r"""A pattern for ``fullmatch``; None where it matches nothing.

    Args:
        pattern: without what is said about it: no leading ``!`` or ``/``, no ``/`` at its end.

    >>> bool(compiled(b"a/**/*.py").fullmatch(b"a/b/c/d.py")), bool(compiled(b"[[:digit:]x]?").fullmatch(b"\xff"))
    (True, False)
    """
    # What stands before the first wildcard git compares by itself, so that two stars right behind it begin a pattern.
    special = _SPECIAL.search(pattern)
    plain = special.start() if special else len(pattern)
    try:
        return re.compile(re.escape(pattern[:plain]) + _joined(_pieces(pattern[plain:])), re.DOTALL)
    except _NeverError:
        return None


def _pieces(pattern: bytes) -> list[tuple[bytes, bytes]]:
    """Each wildcard with what follows it up to the next one; the first piece has none."""
    pieces, at = [(b"", b"")], 0
    while at < len(pattern):
        wild, fixed, at = _token(pattern, at)
        if wild:
            pieces.append((wild, b""))
        else:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + fixed)
    return pieces


def _joined(pieces: list[tuple[bytes, bytes]]) -> bytes:
    """The pieces as one expression.

    A piece that another wildcard follows need not be looked for a second time: where it ends first is as good as any later
    place, since that wildcard takes up what lies between. After one that crosses folders this holds for all pieces up to
    the next such one together.
    """
    groups: list[list[bytes]] = [[]]
    for number, (wild, fixed) in enumerate(pieces):
        if wild in (_DEEP, _FOLDERS):
            groups.append([wild + fixed])
        elif wild and number + 1 < len(pieces):
            groups[-1].append(b"(?>" + wild + fixed + b")")
        else:
            groups[-1].append(wild + fixed)
    *before, last = [b"".join(group) for group in groups]
    return b"".join(b"(?>" + group + b")" for group in before) + last


def _token(pattern: bytes, at: int) -> tuple[bytes, bytes, int]:
    """What stands at a place: a wildcard, or an expression for one byte; and where the next one begins."""
    match pattern[at : at + 1]:
        case b"*":
            return _stars(pattern, at)
        case b"?":
            return b"", b"[^/]", at + 1
        case b"[":
            members, end = _members(pattern, at + 1)
            return b"", _one_of(members - {ord("/")}), end
        case b"\\":
            at += 1
    if at >= len(pattern):
        raise _NeverError
    return b"", re.escape(pattern[at : at + 1]), at + 1


def _stars(pattern: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Two stars or more cross folders where they fill the place between two slashes."""
    rest = pattern[at:].lstrip(b"*")
    end = len(pattern) - len(rest)
    begins = at == 0 or pattern[at - 1 : at] == b"/"
    if end - at < 2 or not begins or not (not rest or rest.startswith((b"/", b"\\/"))):
        return _STAR, b"", end
    return (_FOLDERS, b"", end + 1) if rest.startswith(b"/") else (_DEEP, b"", end)


def _members(pattern: bytes, at: int) -> tuple[frozenset[int], int]:
    """The bytes that a bracket means, and where it ends."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    found: set[int] = set()
    before, first = 0, True  # the byte with which a range may begin
    while first or pattern[at : at + 1] != b"]":
        first = False
        members, before, at = _member(pattern, at, before)
        found |= members
    return frozenset(range(256)) - found if negated else frozenset(found), at + 1


def _member(pattern: bytes, at: int, before: int) -> tuple[frozenset[int], int, int]:
    """One byte, range or class inside of a bracket: its members, the byte with which a range may begin, the next place."""
    if pattern[at : at + 2] == b"[:" and (named := _class(pattern, at)):
        return named[0], 0, named[1]
    if before and pattern[at : at + 1] == b"-" and pattern[at + 1 : at + 2] not in (b"", b"]"):
        last, at = _byte(pattern, at + 1)
        return frozenset(range(before, last + 1)), 0, at
    one, at = _byte(pattern, at)
    return frozenset([one]), one, at


def _class(pattern: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """A named class; None where a bracket is meant that only looks like one."""
    end = pattern.find(b"]", at + 2)
    if end < 0:
        raise _NeverError
    if end == at + 2 or pattern[end - 1 : end] != b":":
        return None
    name = pattern[at + 2 : end - 1]
    if name not in _CLASSES:
        raise _NeverError
    return _CLASSES[name], end + 1


def _byte(pattern: bytes, at: int) -> tuple[int, int]:
    at += pattern[at : at + 1] == b"\\"
    if at >= len(pattern):
        raise _NeverError
    return pattern[at], at + 1


def _one_of(members: frozenset[int]) -> bytes:
    if not members:
        raise _NeverError
    return b"[" + b"".join(_hex(sorted(members))) + b"]"


def _hex(members: list[int]) -> Iterator[bytes]:
    return (b"\\x%02x" % member for member in members)
