"""Paths become a corpus: every file a list of segments with exact origins, every path a row that says what became of it.

Knows files and their formats; no tokenizer and no model. A folder is listed as git lists it, text is decoded and cut in this
process, and what can crash (PDF, pictures, video) is read in a process of its own that may die.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longctx.sources.reading import MAX_FILE_BYTES, read

__all__ = ["MAX_FILE_BYTES", "read"]


def __getattr__(name: str) -> Any:
    """What is public, imported when it is asked for: the worker, a module of this package, starts without all of it."""
    if name not in __all__:
        raise AttributeError(f"module 'longctx.sources' has no attribute {name!r}")
    from longctx.sources import reading

    return getattr(reading, name)
