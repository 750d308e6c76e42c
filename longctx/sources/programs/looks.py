"""The heads of a program's definitions by their look: the lines on which it names what it defines, and what each is for.

As in ``code``: no parser, no language known but by its file's ending. Where there is a parser, ``syntax`` finds them instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from longctx.sources.programs.code import defined, holds_members

#: Lines that the head of one definition may take.
MOST_LINES = 12
#: A longer line is no signature: minified code.
LONGEST = 300
_DECORATOR = re.compile(r"\s*(?:@|#\[|\[\w+.*\]\s*$)")
#: Lines that go on with a head: its brace, its closing bracket, what is asked of its types.
_GOES_ON = re.compile(r"[{)]|where\b")
#: What stands around definitions of Python and is none.
_CONDITION = re.compile(r"(?:if|elif|else|try|except|finally|with)\b.*:\s*(?:#.*)?$")
_DOCUMENTED = re.compile(r"\s*[rRuU]?(?:\"\"\"|''')")


def heads(lines: Sequence[str], path: str) -> Iterator[tuple[int, int, int, str, int]]:
    r"""What is defined at the margin, and the members of what has members.

    Args:
        lines: of the program, with their ends.
        path: of it, whose ending tells what its definitions look like.

    Yields:
        first line, line after the last, line of the name (from 0), name, and how many definitions are around it; ascending.

    >>> list(heads("@cache\ndef f(x,\n      y):\n    return x\n".splitlines(keepends=True), "a.py"))
    [(0, 3, 1, 'f', 0)]
    """
    # Indentation of what is around a line, whether each may have members, and whether it is a definition.
    open_: list[tuple[int, bool, bool]] = []
    conditions = path.lower().endswith((".py", ".pyi", ".pyw"))
    done = 0
    for index, line in enumerate(lines):
        stripped = line.strip()
        if index < done or not stripped or len(line) > LONGEST:
            continue
        indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
        if open_ and open_[-1][0] == indent and _GOES_ON.match(stripped):
            continue
        while open_ and open_[-1][0] >= indent:
            open_.pop()
        if (indent and not open_) or (open_ and not open_[-1][1]):
            continue
        if name := defined(stripped, path, inside=bool(open_)):
            open_.append((indent, holds_members(stripped), True))
            first, done = _decorated(lines, index, done), _end(lines, index)
            yield first, done, index, name, sum(counts for _, _, counts in open_) - 1
        elif conditions and _CONDITION.match(stripped):
            open_.append((indent, True, False))


def _decorated(lines: Sequence[str], index: int, least: int) -> int:
    while index > least and (_DECORATOR.match(lines[index - 1]) or lines[index - 1].strip() == ")"):
        above = index - 1
        while above > least and index - above < MOST_LINES and not _DECORATOR.match(lines[above]):
            above -= 1
        if not _DECORATOR.match(lines[above]):
            break
        index = above
    return index


def _end(lines: Sequence[str], index: int) -> int:
    """After the line on which the head ends, and after the first line of its docstring."""
    depth, last = 0, index
    for last in range(index, min(index + MOST_LINES, len(lines))):
        depth += sum(map(lines[last].count, "([")) - sum(map(lines[last].count, ")]"))
        if depth <= 0:
            break
    else:
        return index + 1  # brackets that never close are of some other text: the line alone
    after = last + 1
    return after + 1 if after < len(lines) and _DOCUMENTED.match(lines[after]) and len(lines[after]) <= LONGEST else after
