"""The worker's side of a program's definitions: what tree-sitter finds in a text, as plain values.

A grammar is C that was made for well-meant code: it runs in the process that may die. Nothing here reads a file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

from longctx.corpus import split_lines
from longctx.sources.programs.grammars import BODIES, GRAMMARS, NAMELESS, SINGLE, WRAPPERS

#: Lines that the head of one definition may take, a constant, and a comment above a definition that is kept as a whole.
HEAD, CONSTANT, COMMENT = 40, 3, 3
_WORD = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")
_NAMES = (
    "identifier",
    "constant",
    "name",
    "word",
    "operator",
    "destructor_name",
    "symbol",
    "string_fragment",
    "string_content",
)
#: ``: Sends by other {`` of a class of Kotlin, which its grammar takes for a call with a lambda; not ``val x: T by lazy {``.
_DELEGATING = re.compile(rb"^(?![ \t]*(?:[@\w.]+[ \t]+){0,6}va[lr]\b).{0,200}:.{0,200}[ \t]by[ \t].{0,100}[{,][ \t\r]*$", re.M)
_DELEGATED = re.compile(rb"[ \t]by[ \t]+[\w.]+(?=[ \t]*[{,])")
#: Fields that lead from a definition to its name, and to what holds its body.
_TO_NAME = ("name", "declarator", "pattern", "left", "key", "type", "trait", "arguments")
_TO_BODY = ("body", "value", "right", "type", "definition")


def definitions(language: str, text: str, words: bool) -> Iterator[dict[str, Any]]:
    """What a program defines and names.

    Args:
        language: a key of :data:`longctx.sources.programs.grammars.GRAMMARS`.
        text: of the program.
        words: whether to tell the words that it names things with, too.

    Yields:
        one reply: ``"heads"``, a list of (first line, line after the last, line of the name, name, depth, how many lines above
        belong to it as a comment that is too long to be kept), lines from 0, ascending; ``"broken"``, whether the text is not
        of the language everywhere; ``"words"``, how often each stands outside of comments and strings. Or ``"missing"``.
    """
    try:
        read, query = _tools(language)
    except ImportError as error:
        yield {"missing": str(error)}
        return
    tree = _Tree(text.encode("utf-8", "replace"), read, query, language)
    yield {"heads": list(tree.heads()), "broken": tree.root.has_error, "words": tree.words() if words else {}}


@lru_cache(maxsize=32)
def _tools(language: str) -> tuple[Any, Any]:
    """A parser and the query of a language."""
    import tree_sitter
    import tree_sitter_language_pack as pack

    grammar = pack.get_language(language)
    return tree_sitter.Parser(grammar), tree_sitter.Query(grammar, GRAMMARS[language].query)


class _Tree:
    """A text that was parsed.

    Args:
        data: in UTF-8.
        parser: of its language.
        query: of its language.
        language: a key of the table of grammars.
    """

    def __init__(self, data: bytes, parser: Any, query: Any, language: str) -> None:
        import tree_sitter

        self.data = data
        self.tree = parser.parse(_without_delegates(data) if language == "kotlin" else data)
        self.root = self.tree.root_node
        self.found: dict[str, list[Any]] = tree_sitter.QueryCursor(query).captures(self.root)

    @cached_property
    def starts(self) -> Sequence[int]:
        """Where each line begins. Those of tree-sitter end at a line feed only."""
        lines = split_lines(self.data.decode("utf-8", "replace"))
        return list(accumulate((len(line.encode("utf-8", "replace")) for line in lines), initial=0))

    def line(self, byte: int) -> int:
        """The line in which a byte stands, from 0."""
        return bisect_right(self.starts, byte) - 1

    def lines(self, node: Any) -> tuple[int, int]:
        """First and last line of a node."""
        return self.line(node.start_byte), self.line(max(node.start_byte, node.end_byte - 1))

    # -- heads -------------------------------------------------------------------------------------------------------
    def heads(self) -> Iterator[tuple[int, int, int, str, int, int]]:
        """The heads of what is defined at the margin and in what holds members."""
        done = 0
        for node, kind, depth in self.defined():
            name = self.name(node)
            first, at, end = self.span(node, kind)
            first = max(first, done)
            top, long = self.comment(first, done) if first < end else (end, 0)
            yield top, max(top, end), at, name, depth, long
            done = max(done, end)
            behind = self.behind(node, name, done)
            if behind is not None:
                yield behind, behind + 1, behind, name, depth, 0
                done = behind + 1

    def defined(self) -> Iterator[tuple[Any, str, int]]:
        """The nodes of what is defined, how the query captured each, and how many definitions are around it."""
        marked = [(node, kind) for kind in ("q", "h", "d", "k") for node in self.found.get(kind, ())]
        around: list[tuple[int, bool]] = []  # the ends of the definitions around a node, and whether they hold members
        before = -1
        for node, kind in sorted(marked, key=lambda one: (one[0].start_byte, -one[0].end_byte)):
            while around and around[-1][0] <= node.start_byte:
                around.pop()
            if (around and not around[-1][1]) or node.id == before:
                continue
            if kind == "q" or self.name(node):
                before = node.id
                yield from [(node, kind, len(around))] if kind != "q" else ()
                around.append((node.end_byte, kind == "h"))

    def behind(self, node: Any, name: str, least: int) -> int | None:
        """Where the name stands behind the body of what it names, as in ``typedef struct { ... } name;``; else None."""
        named = self.named(node)
        line = self.line(named.start_byte) if named is not None else -1
        head = self.data[self.starts[self.line(node.start_byte)] : self.starts[least]].decode("utf-8", "replace")
        return line if line >= least and not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", head) else None

    def span(self, node: Any, kind: str) -> tuple[int, int, int]:
        """Lines of a head: the first, the one of the name, the one after the last."""
        at = self.line((self.named(node) or node).start_byte)
        outer = node
        while (up := outer.parent) is not None and (up.type in WRAPPERS or (up.type in SINGLE and up.named_child_count == 1)):
            outer = up
        first, last = self.line(outer.start_byte), self.last(node)
        at = min(at, last)  # the name of a typedef stands behind its body
        first = self.attached(first)
        if at - first >= HEAD:
            first = at
        most = CONSTANT if kind == "k" else HEAD
        end = last + 1 if last - first < most else at + 1
        return first, at, max(end, self.documented(node) if end == last + 1 else 0)

    def last(self, node: Any) -> int:
        """The last line of a head: where what stands before the body ends."""
        body = _body(node) or self.carried_out(node)
        if body is None:
            return self.lines(node)[1]
        before = body.prev_sibling
        while before is not None and "comment" in before.type:
            before = before.prev_sibling
        return self.lines(body.parent if before is None else before)[1 if before is not None else 0]

    def carried_out(self, node: Any) -> Any:
        """Where what a node defines is carried out, by the query: the first such node that begins inside of it."""
        place = bisect_right(self.bodies, (node.start_byte,), key=lambda one: one[:1])
        return self.bodies[place][1] if place < len(self.bodies) and self.bodies[place][0] < node.end_byte else None

    @cached_property
    def bodies(self) -> list[tuple[int, Any]]:
        """Nodes where something is carried out, and where they begin, ascending."""
        return sorted(((node.start_byte, node) for node in self.found.get("b", ())), key=lambda one: one[0])

    def documented(self, node: Any) -> int:
        """The line after the first line of words of what Python says first in a body; 0 where it says nothing."""
        body = node.child_by_field_name("body")
        said = body.named_children[0] if body is not None and body.type == "block" and body.named_child_count else None
        if said is not None and said.type == "expression_statement" and said.named_child_count:
            said = said.named_children[0]
        if said is None or said.type != "string":
            return 0
        top, last = self.lines(said)
        return min(last, top + (not self.data[said.start_byte : self.starts[top + 1]].strip(b"\"' \t\r\nrRuU"))) + 1

    def comment(self, first: int, least: int) -> tuple[int, int]:
        """Where a head begins with the comment above it; and where that is too long, how many lines above it begins."""
        top = _above(first, self.commented, least)
        return (top, 0) if first - top <= COMMENT else (first, first - top)

    @cached_property
    def commented(self) -> dict[int, int]:
        """Lines that are comment, by their last line, and where the comment begins."""
        return self._alone(self.found.get("c", ()))

    @cached_property
    def attributes(self) -> dict[int, int]:
        """The same of attributes."""
        return self._alone(self.found.get("a", ()))

    def _alone(self, nodes: Sequence[Any]) -> dict[int, int]:
        found = {}
        for node in nodes:
            first, _ = self.lines(node)
            if not self.data[self.starts[first] : node.start_byte].strip():
                stop = node.start_byte + len(self.data[node.start_byte : node.end_byte].rstrip())
                found[self.line(max(node.start_byte, stop - 1))] = first
        return found

    def attached(self, first: int) -> int:
        """Where the attributes above a line begin."""
        return _above(first, self.attributes, 0) if self.attributes else first

    # -- names -------------------------------------------------------------------------------------------------------
    def name(self, node: Any) -> str:
        """What a node defines; empty where it has no name."""
        named = self.named(node)
        if named is None:
            return NAMELESS.get(node.type, "")
        return self.data[named.start_byte : named.end_byte].decode("utf-8", "replace")[:80].strip()

    def named(self, node: Any) -> Any:
        """The node of the name."""
        for _ in range(8):
            inner = next((found for field in _TO_NAME if (found := node.child_by_field_name(field)) is not None), None)
            if inner is None:
                break
            node = inner
            if node.type.endswith((*_NAMES, "_expression")) or not node.child_count:
                return node
        return node if node.type.endswith(_NAMES) else _first_name(node)

    def words(self) -> dict[str, int]:
        """How often each word stands outside of comments and strings."""
        rest, place = [], 0
        quiet = sorted((node.start_byte, node.end_byte) for kind in ("c", "s") for node in self.found.get(kind, ()))
        for start, stop in quiet:
            if start >= place:
                rest.append(self.data[place:start])
            place = max(place, stop)
        rest.append(self.data[place:])
        counts = Counter(word for part in rest for word in _WORD.findall(part))
        return {word.decode("utf-8", "replace"): count for word, count in counts.items() if len(word) <= 80}


def _without_delegates(data: bytes) -> bytes:
    """A program of Kotlin as long as it was, with blanks where classes say to whom they delegate."""
    return _DELEGATING.sub(lambda line: _DELEGATED.sub(lambda found: b" " * len(found[0]), line[0]), data)


def _first_name(node: Any) -> Any:
    """The first name below a node, the highest one, for grammars that do not say which it is."""
    level = [node]
    for _ in range(3):
        level = [child for one in level for child in one.named_children[:8]]
        for child in level:
            if child.type.endswith(_NAMES):
                return child
    return None


def _body(node: Any) -> Any:
    """Where what a node defines is carried out; None where it is not."""
    for _ in range(3):
        if (body := node.child_by_field_name("body")) is not None:
            return body
        body = next((child for child in node.named_children if child.type in BODIES), None)
        if body is not None:
            return body
        inner = next((found for field in _TO_BODY if (found := node.child_by_field_name(field)) is not None), None)
        if inner is None:
            return None
        node = inner
    return None


def _above(first: int, spans: dict[int, int], least: int) -> int:
    """Where the lines begin that, one span upon the other, stand right above a line."""
    while first - 1 >= least and spans.get(first - 1, -1) >= least:
        first = spans[first - 1]
    return first
