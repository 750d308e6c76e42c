"""What this machine keeps of what was read: its prefix store, where it lies, and what is in it, as plain values."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from longctx import models
from longctx.prefixes import Chain, PrefixStore


def folder() -> Path:
    """Where prefixes are kept."""
    return models.cache_folder() / "prefixes"


def prefix_store() -> PrefixStore:
    """The prefix store of this machine: ``chains()`` lists what was read, ``drop()`` and ``prune()`` make room.

    >>> prefix_store().folder.name
    'prefixes'
    """
    return PrefixStore(folder())


def listed(chain: Chain) -> dict[str, Any]:
    """A prefix as a listing shows it: tokens, bytes, local time of its last use."""
    return {
        "name": chain.name,
        "model": chain.model,
        "tokens": chain.tokens,
        "bytes": chain.size,
        "shared_bytes": chain.shared,
        "used": datetime.fromtimestamp(chain.used).isoformat(" ", "minutes"),
        "snapshots": [entry.length for entry in chain.snapshots],
    }


def shown(chain: Chain) -> dict[str, Any]:
    """A prefix with its blocks: the tokens from which and to which each goes, its bytes, those of the snapshot at its end."""
    asides = {entry.parent: entry.size for entry in chain.snapshots}
    starts = (0, *(entry.length for entry in chain.blocks))
    blocks = [
        {"name": e.name, "from": start, "to": e.length, "bytes": e.size, "snapshot_bytes": asides.get(e.name, 0)}
        for start, e in zip(starts, chain.blocks, strict=False)
    ]
    return {**listed(chain), "blocks": blocks}
