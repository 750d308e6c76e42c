"""Where longctx keeps on this machine what it made once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder: converted and quantised weights, prefixes, archives that were unpacked."""
    import platformdirs

    return Path(os.environ.get("LONGCTX_CACHE") or platformdirs.user_cache_dir("longctx"))
