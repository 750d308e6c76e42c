"""What was read of a file while its source is still held: read again, it is the same source, by the hash of its content.

A cell that runs again reads a corpus again of which one file has changed; the others are opened and hashed, and no more.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable

from longctx.corpus import Row, Source

#: The source, its row, and what decides at once that the file may still be the same: its size and time.
_Entry = tuple["weakref.ref[Source]", Row, Hashable]
_entries: dict[Hashable, _Entry] = {}


def again(key: Hashable, state: Hashable, sha256: Callable[[], str]) -> tuple[Row, Source] | None:
    """What was read, if the file is the one that was read then.

    Args:
        key: the file and all that decides how it is read.
        state: size and time of the file. Where they differ it is read again, since what looks into it later compares them.
        sha256: takes the hash of the file as it is now; called only where the rest agrees.
    """
    reference, row, before = _entries.get(key, (None, None, None))
    source = reference() if reference is not None else None
    if source is None or row is None or before != state or source.sha256 != sha256():
        return None
    return row, source


def keep(key: Hashable, state: Hashable, row: Row, source: Source) -> None:
    """Remember a source as long as somebody holds it.

    Args:
        key: as in :func:`again`.
        state: as there, at the time of reading.
        row: of the manifest.
        source: what was read.
    """
    _entries[key] = (weakref.ref(source, lambda gone: _forget(key, gone)), row, state)


def _forget(key: Hashable, gone: weakref.ref[Source]) -> None:
    if _entries.get(key, (None,))[0] is gone:
        del _entries[key]
