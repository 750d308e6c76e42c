"""Where longctx keeps on this machine what it made once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder: converted and quantised weights, prefixes, archives that were unpacked."""
    import platformdirs

    return Path(os.environ.get("LONGCTX_CACHE") or platformdirs.user_cache_dir("longctx"))


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
