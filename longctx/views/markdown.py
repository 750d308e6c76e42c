"""Foreign text inside a Markdown document: nothing in it ends a block, poses as one of ours, links, or is HTML.

Words and places stand verbatim, in code spans and fences that their content cannot close. What a model wrote keeps the little
Markdown that models write; its headings go below ours, its fences are closed, its HTML, links and pictures show as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from longctx.views.safe import oneline, visible

#: Deeper quotes and lists show their signs as text.
_DEEPEST = 8
#: A model's headings stand so many levels lower.
_LOWER = 2

_TICKS = re.compile(r"`+")
_ENTITY = r"&(?=#?\w{1,32};)"
_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_LITERAL = re.compile(rf"\\(?={_PUNCTUATION}|$)|[`*\[\]<|~]|{_ENTITY}|(?<![^\W_])_|_(?![^\W_])")
_OPENING = re.compile(r"[-+=>#]|\d{1,9}(?=[.)])")
_FOREIGN = re.compile(rf"\\(?={_PUNCTUATION}|$)|[`<]|{_ENTITY}|\[(?!\d{{1,4}}(?:[ ]?,[ ]?\d{{1,4}})*\](?![(:]))")
_CODE = re.compile(r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)")

_QUOTE = re.compile(r" {0,3}> ?(.*)$")
_LEAD = re.compile(rf"([ ]*(?:(?:[-*+]|\d{{1,9}}[.)])[ \t]+){{0,{_DEEPEST}}})(.*)$")
_RULE = re.compile(r"[ ]*(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_UNDERLINE = re.compile(r"[ ]*[=-]+[ \t]*$")
_DEEPER = re.compile(r">|[-*+](?=[ \t]|$)|\d{1,9}(?=[.)](?:[ \t]|$))")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+(.*))?$")
_FENCE = re.compile(r"(?:(`{3,})[ \t]*([^`]*)|(~{3,})[ \t]*(.*))$")
_LANGUAGE = re.compile(r"[\w+#.-]{1,20}")


def inline(text: str) -> str:
    r"""Foreign text on one line, shown as it is.

    >>> inline("2 * x_y <b> [a](b)")
    '2 \\* x_y \\<b> \\[a\\](b)'
    """
    line = oneline(text)
    escaped = _LITERAL.sub(r"\\\g<0>", line)
    escaped = _shut(escaped, _OPENING.match(line))
    return f"{escaped[:-1]}\\#" if escaped.endswith("#") and escaped != "\\#" else escaped


def _shut(escaped: str, opening: re.Match[str] | None) -> str:
    """A line that opens no block: a backslash before the sign that would, which of a number is the one after it."""
    at = 0 if opening is None or not opening[0].isdigit() else opening.end()
    return escaped if opening is None else f"{escaped[:at]}\\{escaped[at:]}"


def code(text: str) -> str:
    """Foreign text on one line, verbatim: a code span that it cannot close.

    >>> code("a `b` c")
    '``a `b` c``'
    """
    line = oneline(text)
    ticks = "`" * (_longest(line) + 1) if "`" in line else "`"
    gap = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{gap}{line}{gap}{ticks}" if line else ""


def fenced(text: str, *, indent: str = "", language: str = "") -> list[str]:
    """Foreign text over lines, verbatim: a fence that it cannot close.

    >>> fenced("a\\n```", indent="  ")
    ['  ````', '  a', '  ```', '  ````']
    """
    lines = _lines(text.rstrip("\r\n"))
    ticks = "`" * max(3, 1 + max(map(_longest, lines)))
    return [f"{indent}{ticks}{language}", *(f"{indent}{line}" if line.strip() else "" for line in lines), f"{indent}{ticks}"]


def quoted(text: str) -> list[str]:
    """Foreign text over lines, shown as it is in a block of its own."""
    return [f"> {inline(line)}".rstrip() + ("\\" if last else "") for line, last in _breaking(_lines(text.strip("\r\n")))]


def tamed(text: str) -> str:
    r"""What a model wrote, with its Markdown.

    >>> tamed("# Yes\nIt is **5** [1], not <b>6</b>.")
    '### Yes\nIt is **5** [1], not \\<b>6\\</b>.'
    """
    return "\n".join(_tamed(_lines(text.strip("\r\n"))))


def _lines(text: str) -> list[str]:
    return [_untabbed(line) for line in visible(text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")]


def _untabbed(line: str) -> str:
    """The line with its indentation in spaces."""
    body = line.lstrip(" \t")
    return line[: len(line) - len(body)].expandtabs(4) + body


def _longest(line: str) -> int:
    return max(map(len, _TICKS.findall(line)), default=0)


def _breaking(lines: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Lines, and whether the next one stands right below: a break that is kept."""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        yield line, bool(line.strip() and below.strip())


# -- what a model wrote --------------------------------------------------------------------------------------------------
def _tamed(lines: Sequence[str], depth: int = 0) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(lines):
        if depth < _DEEPEST and _QUOTE.match(lines[at]):
            inner: list[str] = []
            while at < len(lines) and (found := _QUOTE.match(lines[at])):
                inner.append(_untabbed(found[1]))
                at += 1
            out += [f"> {line}".rstrip() for line in _tamed(inner, depth + 1)]
        elif (fence := _opened(lines[at])) is not None:
            block, at = _closed(lines, at, *fence)
            indented = not block[0].startswith("`")  # inside of a list, or deeper: no paragraph may go on into it
            out += [*([""] if indented and out and out[-1].strip() else []), *block]
        else:
            out.append(_line(lines[at]))
            at += 1
    return out


def _opened(line: str) -> tuple[str, re.Match[str]] | None:
    """The lead of a line that opens a fence (indentation, signs of lists), and the fence."""
    lead = _LEAD.match(line)
    fence = None if lead is None else _FENCE.match(lead[2])
    return None if lead is None or fence is None else (re.sub(r"(?<=\S)[ \t]+", " ", lead[1]), fence)


def _closed(lines: Sequence[str], at: int, lead: str, fence: re.Match[str]) -> tuple[list[str], int]:
    """A fence written anew, its lines under its lead, and the place of what follows; an open one ends with the text."""
    sign, info = (fence[1], fence[2]) if fence[1] else (fence[3], fence[4])
    ending = re.compile(rf"[ ]*{sign[0]}{{{len(sign)},}}[ \t]*$")
    end = next((n for n in range(at + 1, len(lines)) if ending.match(lines[n])), len(lines))
    body = "\n".join(re.sub(rf"^ {{0,{len(lead)}}}", "", line) for line in lines[at + 1 : end])
    language = _LANGUAGE.match(info.strip())
    first, *rest = fenced(body, indent=" " * len(lead), language=language[0] if language else "")
    return [lead + first[len(lead) :], *rest], end + 1


def _line(line: str) -> str:
    if _RULE.match(line):
        return "***"  # of dashes it would make a heading of the line above
    if _UNDERLINE.match(line):
        return "\\" + line.strip()
    lead = _LEAD.match(line)
    assert lead is not None
    signs, rest = lead.groups()
    if heading := _HEADING.match(rest):
        return f"{signs}{'#' * min(6, len(heading[1]) + _LOWER)} {_spans(heading[2] or '')}".rstrip()
    return signs + _shut(_spans(rest), _DEEPER.match(rest))


def _spans(line: str) -> str:
    """A line's code spans written anew, and all else without what acts.

    The row of a table is cut at its pipes even inside code; where that would set something free, nothing is code.
    """
    spans = [found["code"] for found in _CODE.finditer(line)]
    if any("|" in span for span in spans) and any(sign in span for span in spans for sign in "<["):
        return _unarmed(line)
    parts, at = [], 0
    for found in _CODE.finditer(line):
        parts += [_unarmed(line[at : found.start()]), code(found["code"]) or _unarmed(found[0])]
        at = found.end()
    return "".join((*parts, _unarmed(line[at:])))


def _unarmed(text: str) -> str:
    return _FOREIGN.sub(r"\\\g<0>", text)
