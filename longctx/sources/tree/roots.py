"""What the user named: expanded, checked, and named as it is cited. An address is told apart and not fetched."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from longctx.errors import SourceNotFoundError, UsageError
from longctx.sources.kinds import is_archive

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: ``Path("https://x")`` has lost a slash.
_ADDRESS = re.compile(r"(?:https?|ftps?|ssh|git|s3|file):/{1,3}|git@[\w.-]+:", re.IGNORECASE)
_FORGES = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org")
_VIDEO = ("youtube.com", "youtu.be", "vimeo.com")


@dataclass(frozen=True, slots=True)
class Root:
    """One path that the user named.

    Args:
        name: what its files are cited under; empty where a single folder or archive is read and names are relative to
            it.
        file: the absolute path, links resolved.
        is_folder: whether it is a folder.
        is_archive: whether it is an archive, which is read like a folder.
    """

    name: str
    file: str
    is_folder: bool
    is_archive: bool = False


def find_roots(paths: Sequence[PathLike], *, alone: bool = True) -> tuple[list[Root], list[str]]:
    """The roots of a read, each once, and the absolute paths of those that were given again.

    Args:
        paths: as the user named them.
        alone: whether nothing else stands beside them, so that names may be relative to a single folder.

    Raises:
        UsageError: no path, or an empty one.
        SourceNotFoundError: a path does not exist, or is an address.
    """
    if not paths:
        raise UsageError("nothing to read: no path was given", hint="name a folder or a file: read('.')")
    # The path as it was named gives the name; the path without links tells what is the same.
    once: dict[str, str] = {}
    again = []
    for path in map(_existing, paths):
        real = os.path.realpath(path)
        if real in once:
            again.append(path)
        else:
            once[real] = path
    names = _names(list(once.values()))
    roots = [_root(name, real) for name, real in zip(names, once, strict=True)]
    if alone and len(roots) == 1 and (roots[0].is_folder or roots[0].is_archive):
        roots = [replace(roots[0], name="")]
    return roots, list(dict.fromkeys(again))


def _root(name: str, file: str) -> Root:
    return Root(name, file, os.path.isdir(file), os.path.isfile(file) and is_archive(file))


def _existing(path: PathLike) -> str:
    """The absolute path of something that is there."""
    text = os.fsdecode(path)
    if not text:
        raise UsageError("nothing to read: an empty path was given", hint="'.' is the current folder")
    try:
        full = os.path.abspath(os.path.expanduser(text))
    except OSError as error:
        hint = "change to a folder that is there, or name the whole path"
        raise SourceNotFoundError(f"{text!r}: the current folder is no longer there", hint=hint) from error
    if os.path.exists(full):
        return full
    if os.path.islink(full):
        raise SourceNotFoundError(f"{text!r} is a link to nothing: {os.readlink(full)!r}", hint="name the file itself")
    if _ADDRESS.match(text):
        raise SourceNotFoundError(f"{text!r} is an address, and longctx fetches none", hint=_how_to_get(text))
    raise SourceNotFoundError(f"no such file or folder: {text!r}", hint=_nearest(full))


def _nearest(full: str) -> str:
    """What could have been meant."""
    folder, name = os.path.split(full)
    while not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    try:
        near = difflib.get_close_matches(name, os.listdir(folder)[:10_000], n=1)
    except OSError:
        near = []
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}it was looked for in {folder!r}"


def _how_to_get(address: str) -> str:
    """The command that brings an address to this machine, and what to read after it."""
    address = re.sub(r"^(\w+):/(?!/)", r"\1://", address)
    if address.startswith(("git@", "ssh:", "git:")):
        return _then(f"git clone {shlex.quote(address)}", _last(address).removesuffix(".git"))
    try:
        parts = urlsplit(address)
    except ValueError:  # an address that is none; the command will say so
        return _then(f"curl -LO {shlex.quote(address)}", "the file it writes")
    host = (parts.hostname or "").removeprefix("www.")
    if parts.scheme == "file":
        return f"name the path itself: {parts.path!r}"
    if parts.path.endswith(".git"):
        return _then(f"git clone {shlex.quote(address)}", _last(parts.path).removesuffix(".git"))
    if host in _FORGES and len(place := [part for part in parts.path.split("/") if part]) >= 2:
        repository = f"{parts.scheme}://{parts.netloc}/" + "/".join(_repository(place, host))
        return _then(f"git clone {shlex.quote(repository)}", _last(repository))
    if any(host == video or host.endswith("." + video) for video in _VIDEO):
        return _then(f"yt-dlp {shlex.quote(address)}", "the file it writes")
    return _then(f"curl -LO {shlex.quote(address)}", _last(parts.path) or "the file it writes")


def _repository(place: list[str], host: str) -> list[str]:
    """The repository's part of an address: owner and name, or at GitLab all groups up to ``/-/``."""
    if host != "gitlab.com":
        return place[:2]
    return place[: place.index("-")] if "-" in place else place


def _then(command: str, result: str) -> str:
    return f"run first: {command}\n  then read {result!r}"


def _last(path: str) -> str:
    return re.split(r"[/:]", path.rstrip("/"))[-1]


def _names(paths: list[str]) -> list[str]:
    """The shortest tails of the paths that tell them apart, ``/`` between their parts."""
    parts = [[part for part in path.split(os.sep) if part] or ["root"] for path in paths]
    depths = [1] * len(paths)
    while True:
        names = ["/".join(own[-depth:]) for own, depth in zip(parts, depths, strict=True)]
        count = Counter(names)
        clash = [index for index, name in enumerate(names) if count[name] > 1 and depths[index] < len(parts[index])]
        if not clash:
            return names
        for index in clash:
            depths[index] += 1
