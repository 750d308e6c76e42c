"""Where longctx keeps on this machine what it made once, and how: whole files, for the user alone, up to a size in all."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

#: Seconds after which what a killed process left half written is removed.
_STALE = 86_400.0


def cache_folder() -> Path:
    """The user's cache folder: converted and quantised weights, prefixes, archives that were unpacked."""
    import platformdirs

    return Path(os.environ.get("LONGCTX_CACHE") or platformdirs.user_cache_dir("longctx"))


def put(file: Path, data: bytes) -> None:
    """Keep data as a file, written whole or not at all; where that cannot be, it is made again another time.

    Args:
        file: in a folder that is made where it is missing.
        data: what it holds.
    """
    import tempfile  # slow to import, and seldom needed

    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.replace(temporary, file)
        except OSError:
            os.unlink(temporary)


def prune(folder: Path, most: int) -> None:
    """Remove files that were used longest ago until the rest is small enough, and what killed processes left.

    Args:
        folder: of files that :func:`put` made.
        most: bytes.
    """
    with suppress(OSError):
        found = [(file.stat(), file) for file in folder.iterdir()]
        for status, file in sorted(found, key=lambda one: one[0].st_mtime, reverse=True):
            most -= status.st_size
            if most < 0 or (file.name.startswith(".") and time.time() - status.st_mtime > _STALE):
                file.unlink(missing_ok=True)


def settle(made: Path, place: Path) -> None:
    """Move a folder that was made aside, as a whole, to where it is kept; where another process was quicker, its own stays.

    Args:
        made: the folder, on the file system of its place.
        place: what stands there is complete.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("first", "second"):
    ...         made = Path(folder, name)
    ...         made.mkdir()
    ...         made.joinpath("by").touch()
    ...         settle(made, Path(folder, "kept"))
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['kept', 'second']
    """
    try:
        made.replace(place)
    except OSError:
        if not place.is_dir():
            raise
