"""Archives of source trees: unpacked once into the user's cache folder, and read there like a folder.

Unpacked rather than served from memory, because PDF, pictures and video are read by other processes, by their path, and because
a citation must open tomorrow, too. What was unpacked is kept by the archive's sha256, for its owner alone, and the least
recently used goes when all of it takes more than :data:`MOST_KEPT`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longctx.corpus import Status
from longctx.sources.parsed import Parsed
from longctx.sources.tree.unpacking import ArchiveError, Unpacker, check_head, entries

#: Bytes of everything that is kept.
MOST_KEPT = 10 * 2**30
#: Bytes that come out of one archive: so many times its size, and from a small one at least so many.
MOST_TIMES, LEAST = 100, 2**30
#: Seconds after which what an unpacking left that never ended is removed.
_STALE = 86_400.0
_CHUNK = 2**22
#: Of the record beside the files; another one makes archives be unpacked anew.
_VERSION = 2


@dataclass(frozen=True)
class Unpacked:
    """An archive as it can be read.

    Args:
        folder: where its files are; without the one folder in which all of them lie, if there is one. None where nothing is.
        told: what became of the archive itself.
        rows: entries that were not unpacked, by name.
        files: how many were.
        by_git: whether git made the archive of what it tracks, so that no .gitignore file in it leaves anything out.
    """

    folder: str | None
    told: Parsed
    rows: tuple[tuple[str, Parsed], ...] = ()
    files: int = 0
    by_git: bool = False


def unpacked(file: str, cache: Path, check: Callable[[], None]) -> Unpacked:
    """Unpack an archive, or find it unpacked.

    Args:
        file: its absolute path.
        cache: the user's cache folder.
        check: called often; what it raises ends the work.
    """
    try:
        check_head(file)
        kept = Path(os.path.realpath(cache), "archives")
        place = kept / f"{_sha256(file, check)}-{_VERSION}"
        record = _record(place)
        if record is None:
            record = _unpack(file, place, check)
            _prune(kept, place)
    except ArchiveError as error:
        return Unpacked(None, Parsed("archive", status="failed", reason=str(error)))
    except OSError as error:
        return Unpacked(None, Parsed("archive", status="failed", reason=f"cannot be unpacked: {error.strerror or error}"))
    return _found(place, record)


def _found(place: Path, record: dict[str, Any]) -> Unpacked:
    top, trouble = record["top"], record["trouble"]
    within = f"{top}/" if top else ""
    rows = tuple((name.removeprefix(within), Parsed(**about)) for name, about in record["rows"])
    words = f"unpacked; names are relative to its folder {top}" if top else "unpacked" if record["files"] or rows else "empty"
    status: Status = "truncated" if trouble else "read"
    told = Parsed("archive", status=status, reason="; ".join(filter(None, (words, trouble))))
    return Unpacked(str(place.joinpath("tree", *filter(None, [top]))), told, rows, record["files"], record["git"])


def hidden(number: int) -> str:
    """What is said of entries that the archive's own rules leave out; empty for none.

    >>> hidden(2)
    '2 entries are ignored by its .gitignore files'
    """
    return f"{entries(number)} {'is' if number == 1 else 'are'} ignored by its .gitignore files" if number else ""


def _sha256(file: str, check: Callable[[], None]) -> str:
    sha256 = hashlib.sha256()
    with open(file, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            check()
            sha256.update(chunk)
    return sha256.hexdigest()


def _record(place: Path) -> dict[str, Any] | None:
    """What was found out when an archive was unpacked; its use is noted."""
    try:
        record: dict[str, Any] = json.loads((place / "record.json").read_text("ascii"))
        os.utime(place / "record.json")
    except (OSError, ValueError):
        return None
    return record


def _unpack(file: str, place: Path, check: Callable[[], None]) -> dict[str, Any]:
    """Unpack beside the place, and move it there as a whole: what stands there is complete."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=place.parent, ignore_cleanup_errors=True) as temporary:
        making = Path(temporary, "made")
        making.mkdir(mode=0o700)
        (making / "tree").mkdir(mode=0o700)
        room = shutil.disk_usage(temporary).free // 2
        unpacker = Unpacker(str(making / "tree"), min(room, max(LEAST, MOST_TIMES * os.path.getsize(file))), check)
        unpacker.unpack(file)
        named = (name for name, _ in unpacker.rows if not name.startswith("/") and ".." not in name.split("/"))
        record = {
            "top": _top([*unpacker.written, *named]) if unpacker.written else "",
            "rows": [(name, {key: getattr(row, key) for key in ("kind", "status", "reason")}) for name, row in unpacker.rows],
            "trouble": unpacker.trouble,
            "git": unpacker.by_git,
            "files": len(unpacker.written),
            "bytes": sum(unpacker.written.values()),
        }
        (making / "record.json").write_text(json.dumps(record), "ascii")
        shutil.rmtree(place, ignore_errors=True)  # without a record: damaged
        try:
            making.rename(place)
        except OSError:
            if _record(place) is None:
                raise  # else another process was quicker
    return record


def _top(names: list[str]) -> str:
    """The one folder in which all lie; empty where there is none."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return tops.pop() if len(tops) == 1 else ""


def _prune(kept: Path, newest: Path) -> None:
    """Remove what was used longest ago until the rest is small enough, and what was left behind by a killed process."""
    found = []
    for place in kept.iterdir():
        record = place / "record.json"
        if record.exists():
            found.append((record.stat().st_mtime, place, json.loads(record.read_text("ascii"))["bytes"]))
        elif place.name.startswith(".") and time.time() - place.stat().st_mtime > _STALE:
            shutil.rmtree(place, ignore_errors=True)
    room = MOST_KEPT
    for _, place, size in sorted(found, reverse=True):
        room -= size
        if room < 0 and place != newest:
            shutil.rmtree(place, ignore_errors=True)
