"""Where the definitions of a program begin, and their names: by their look, without a parser, at the left margin only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import splitext

_PYTHON = re.compile(r"(?:async\s+)?(?:def|class|cdef class|cpdef)\s+(\w+)\s*[\[(:]")
_WORDS = (
    r"(?:(?:export|default|declare|pub(?:\([^)]*\))?|public|private|protected|internal|static|abstract|final|sealed|open|data"
    r"|async|unsafe|partial|inline|virtual|override|const|extern(?:\s+\"C\")?)\s+)*"
)
_GENERIC = re.compile(
    _WORDS + r"(?:func\s+\([^)]*\)\s*(?P<method>\w+)"
    r"|(?:def|defp|defmodule|class|func|fn|fun|function\*?|sub|struct|enum|union|trait|interface|namespace|module|mod|record|object"
    r"|protocol|extension|type|macro_rules!)\s+(?P<name>[\w.:$]+)"
    r"|impl(?:<[^>]*>)?\s+(?P<impl>[^{]+?)\s*(?:\{|where\b|$))"
)
_ARROW = re.compile(r"(?:export\s+)?(?:const|let|var)\s+(\w+)\s*(?::[^=]+)?=\s*(?:async\s*)?(?:\(|function\b|\w+\s*=>)")
_C_FUNCTION = re.compile(
    r"(?!(?:if|for|while|switch|return|else|typedef|using)\b)[A-Za-z_][\w\s*&:<>,~]*?\b([\w:~]+)\s*\([^;]*$"
)
_SHELL = re.compile(r"(?:function\s+)?([\w.-]+)\s*\(\)|function\s+([\w.-]+)")
_TABLE = re.compile(r"\[{1,2}([^\[\]]+)\]{1,2}\s*(?:[#;]|$)")

_FAMILIES: tuple[tuple[str, tuple[re.Pattern[str], ...]], ...] = (
    (".py .pyi .pyw .pyx .pxd", (_PYTHON,)),
    (".c .cc .cpp .cu .cuh .cxx .h .hh .hpp .hxx .m .mm", (_GENERIC, _C_FUNCTION)),
    (".js .cjs .mjs .jsx .ts .tsx .svelte .vue", (_GENERIC, _ARROW)),
    (".sh .bash .zsh .fish", (_SHELL,)),
    (".toml .ini .cfg", (_TABLE,)),
    (".json .json5 .jsonc .yaml .yml .xml .xsl .css .less .sass .scss .sql", ()),
)
_PATTERNS = {suffix: patterns for suffixes, patterns in _FAMILIES for suffix in suffixes.split()}
_CONTAINER = re.compile(
    _WORDS + r"(?:cdef class|class|struct|enum|union|trait|interface|namespace|module|mod|record|object|protocol|extension"
    r"|impl|defmodule)\b"
)
#: Lines right above a definition that belong to it: decorators, attributes, comments.
_ATTACHED = re.compile(r"@|#|//|/\*|\s?\*|;;|--|template\s*<")


def definitions(lines: Sequence[str], path: str) -> list[tuple[int, str]]:
    r"""Where each top-level definition begins, with what belongs to it above (line index, from 0), and its name.

    >>> definitions(["import os\n", "# helps\n", "@cache\n", "def f(x):\n", "    return x\n"], "a.py")
    [(1, 'f')]
    """
    patterns = _PATTERNS.get(splitext(path)[1].lower(), (_GENERIC,))
    found: list[tuple[int, str]] = []
    if not patterns:
        return found
    for index in [index for index, line in enumerate(lines) if line >= "!"]:  # begins with what is no white space
        if name := _name(lines[index][:300].rstrip(), patterns):
            found.append((_with_what_belongs(lines, index, found[-1][0] + 1 if found else 0), name))
    return found


def defined(line: str, path: str, *, inside: bool = False) -> str:
    """What a line defines, without its indentation; empty for nothing.

    Args:
        line: without its indentation and its end.
        path: of the program.
        inside: whether the line stands in a class or another thing that has members, which need no word such as ``def``.

    >>> defined("def wait(self):", "a.py", inside=True), defined("void wait(int seconds) {", "A.java", inside=True)
    ('wait', 'wait')
    """
    patterns = _PATTERNS.get(splitext(path)[1].lower(), (_GENERIC,))
    members = (_C_FUNCTION,) if inside and _GENERIC in patterns else ()
    return _name(line[:300], (*patterns, *members))


def holds_members(line: str) -> bool:
    """Whether what a line defines may have members: a class, a trait, a namespace."""
    return bool(_CONTAINER.match(line))


def _name(line: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """What a line defines; empty for nothing."""
    for pattern in patterns:
        if match := pattern.match(line):
            return next(filter(None, match.groups()), "")
    return ""


def _with_what_belongs(lines: Sequence[str], index: int, least: int) -> int:
    while (
        index > least
        and _ATTACHED.match(lines[index - 1])
        and not lines[index - 1].startswith(("#include", "#define", "#endif", "#!"))
    ):
        index -= 1
    return index
