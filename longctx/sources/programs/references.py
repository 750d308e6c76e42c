"""Which file of a corpus uses what another one defines: by the names that it uses, and by its imports where they are plain."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from longctx.sources.programs.grammars import family_of
from longctx.sources.programs.shapes import Shape

#: Of one file's regard for another: for importing it, for a name of what it imports, and for a name that just is the same: a
#: long one of several words is hardly the same by chance, a short one may be any variable. The proportion is that of aider's
#: repository map.
IMPORTED, NAMED, TELLING, ALIKE = 1.0, 1.0, 1.0, 0.1
_SEVERAL_WORDS = re.compile(r"[a-z0-9][A-Z]|[^\W_]_[^\W_]")
LONG = 8
#: Files that may define a name before it says of none that it is meant; letters of a name that says something.
MOST_DEFINERS, LEAST_LETTERS = 12, 3

_FROM = re.compile(r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\([^)]{0,2000}\)|[^\n#]+)", re.M)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([\w., \t]+)", re.M)
_SCRIPT = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\n]{1,300})["']""")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+["<]([^">\n]{1,300})[">]', re.M)
_DOTTED = re.compile(r"^[ \t]*import[ \t]+(?:static[ \t]+)?([\w.]+)", re.M)
_USE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:use|mod)[ \t]+([\w:\\]+)", re.M)
_REQUIRE = re.compile(
    r"""^[^\n#]{0,80}?\b(?:require_relative|require_once|require|include_once)\b[ \t(]*["']([^"'\n]{1,300})["']""", re.M
)
#: Names under which a folder itself is imported.
_WHOLE_FOLDER = frozenset(("__init__", "index", "mod", "init"))


def references(shapes: Mapping[str, Shape]) -> dict[tuple[str, str], float]:
    """How much each file holds on to each other one: by (the one that uses, the one that defines).

    Args:
        shapes: of programs, by path, with their words.
    """
    home = _Home(shapes)
    definers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, shape in shapes.items():
        for name in {_plain(head.name) for head in shape.heads}:
            definers[family_of(path), name].append(path)
    found: dict[tuple[str, str], float] = defaultdict(float)
    for path, shape in shapes.items():
        imported = home.imported(path, "".join(shape.lines))
        for other in imported:
            found[path, other] += IMPORTED
        for name, count in shape.words.items():
            meant = definers.get((family_of(path), name), ())
            if meant and path not in meant and len(name) >= LEAST_LETTERS and not name.startswith("__"):
                known = [other for other in meant if other in imported]
                for other in known or (meant if len(meant) <= MOST_DEFINERS else ()):
                    found[path, other] += (NAMED if known else _alike(name)) * count**0.5 / len(known or meant)
    return dict(found)


def _alike(name: str) -> float:
    """What it says that two files have a name in common, and nothing else is known.

    >>> _alike("JsonReader"), _alike("read"), _alike("_read_header")
    (1.0, 0.1, 0.1)
    """
    return TELLING if len(name) >= LONG and name[0] != "_" and _SEVERAL_WORDS.search(name) else ALIKE


def _plain(name: str) -> str:
    """The last part of a name: of ``Station::wait`` or ``M.wait`` the word that those who use it say.

    >>> _plain("n::A<int>::wait"), _plain("module.exports.wait"), _plain("wait")
    ('wait', 'wait', 'wait')
    """
    words = re.findall(r"[\w$]+", name)
    return words[-1] if words else name


class _Home:
    """Where imports lead within a corpus.

    Args:
        paths: of all programs.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.stems: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for path in paths:
            stem = posixpath.splitext(path)[0]
            for known in (path, stem, posixpath.dirname(stem) if posixpath.basename(stem) in _WHOLE_FOLDER else ""):
                if known:
                    self.stems[posixpath.basename(known)].append((known, path))

    def imported(self, path: str, text: str) -> frozenset[str]:
        """The files that a program imports, as far as they are in the corpus."""
        found = {other for target in _targets(path, text) if (other := self._meant(path, target))}
        return frozenset(found - {path})

    def _meant(self, path: str, target: str) -> str:
        """The file that is meant; one that is named from its own folder is there and nowhere else."""
        here = target.startswith("./")
        target = posixpath.normpath(target)
        fits = [
            (known, other)
            for known, other in self.stems.get(posixpath.basename(target), ())
            if (known == target or (not here and known.endswith(f"/{target}"))) and family_of(other) == family_of(path)
        ]
        near = max(fits, key=lambda fit: (len(posixpath.commonprefix((fit[1], path))), -len(fit[1]), fit[1]), default=("", ""))
        return near[1]


def _targets(path: str, text: str) -> Iterator[str]:
    """What a program imports, as paths without endings, those from its own folder with ``./`` before them."""
    folder = posixpath.dirname(path)
    match family_of(path):
        case "python":
            yield from _python(folder, text)
        case "js":
            for said in _SCRIPT.findall(text):
                yield from _script(folder, said)
        case "c":
            for said in _INCLUDE.findall(text):
                yield from (f"./{posixpath.join(folder, said)}", said)
        case "jvm":
            yield from (said.replace(".", "/") for said in _DOTTED.findall(text))
        case "rust" | "php":
            for said in _USE.findall(text):
                parts = [part for part in re.split(r"::|\\", said) if part not in ("crate", "self", "super", "")]
                yield from ("/".join(parts[:stop]) for stop in range(len(parts), 0, -1))
        case "ruby" | "lua":
            for said in _REQUIRE.findall(text):
                said = said if "/" in said else said.replace(".", "/")
                yield from (f"./{posixpath.normpath(posixpath.join(folder, said))}", said.removeprefix("./"))


def _python(folder: str, text: str) -> Iterator[str]:
    for dots, module, names in _FROM.findall(text):
        base = module.replace(".", "/")
        if dots:
            above = PurePosixPath(folder, *[".."] * (len(dots) - 1))
            base = f"./{posixpath.normpath(posixpath.join(above, base))}"
        yield from [base] if base and base != "./." else ()
        for part in re.findall(r"(?:^|[(,])\s*(\w+)", names):
            yield f"{base}/{part}" if base else part
    for names in _IMPORT.findall(text):
        yield from (name.split()[0].replace(".", "/") for name in names.split(",") if name.strip())


def _script(folder: str, said: str) -> Sequence[str]:
    if not said.startswith("."):
        return (said.removeprefix("@/").removeprefix("~/"),)
    there = f"./{posixpath.normpath(posixpath.join(folder, said))}"
    return (there, posixpath.splitext(there)[0])
