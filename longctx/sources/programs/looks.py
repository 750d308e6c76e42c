"""The heads of a program's definitions by their look: the lines on which it names what it defines, and what each is for.

As in ``code``: no parser, no language known but by its file's ending. Where there is a parser, ``syntax`` finds them instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

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
#: A member that no word such as ``function`` announces: ``get size() {``, ``async send(``, ``int wait(int n);``.
_MEMBER = re.compile(
    r"(?!(?:if|for|while|switch|return|else|catch|throw|new|await|yield|super|this|case|do|try|delete|using)\b)"
    r"(?:[\w<>\[\],.?&*:]+\s+){0,8}?(?:[*&]\s*)?([#~\w$]+)\s*(?:<[^<>()]*>)?"
    r"\((?:$|[^;]*(?:,|\)[^;=]*\{)$|(?:[^;{}]|\{\})*\)[^;{}=]*(?:\{.*|;|=\s*(?:0|default|delete)\s*;)$)"
)
_SCRIPTS = (".js", ".cjs", ".mjs", ".jsx")
_MEMBERS = (*_SCRIPTS, ".ts", ".mts", ".cts", ".tsx", ".java", ".cs", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx")
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
        if name := defined(stripped, path, inside=bool(open_)) or (_member(stripped, path) if open_ else ""):
            open_.append((indent, holds_members(stripped), True))
            first, done = _decorated(lines, index, done), _end(lines, index)
            yield first, done, index, name, sum(counts for _, _, counts in open_) - 1
        elif conditions and _CONDITION.match(stripped):
            open_.append((indent, True, False))


def _member(line: str, path: str) -> str:
    """What a line in a class defines, in languages that do not say so by a word; empty for nothing.

    >>> [_member(line, "a.ts") for line in ("get size(): number;", "async send(", "x = f(1);", "if (a) {")]
    ['size', 'send', '', '']
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in _MEMBERS or (suffix in _SCRIPTS and line.endswith(";")):
        return ""
    found = _MEMBER.match(line)
    return found[1] if found else ""


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
