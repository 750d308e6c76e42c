"""The prefix store as text: every prefix with its size and its last use; one of them block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longctx.views import units
from longctx.views.cells import table
from longctx.views.safe import oneline

#: Characters of a name that are shown; they tell any two apart.
SHORT = 12
#: Blocks that are shown of a long prefix, at its beginning and at its end.
ENDS = 10


def listing(rows: Sequence[Mapping[str, Any]], *, folder: str, size: int) -> str:
    """Every prefix on a line.

    Args:
        rows: with ``name``, ``model``, ``tokens``, ``bytes``, ``shared_bytes`` and ``used``.
        folder: of the store.
        size: bytes of all of it.
    """
    head = f"{units.count(len(rows))} {'prefix' if len(rows) == 1 else 'prefixes'}, {units.size(size)} in {oneline(folder)}"
    lines = [[row["name"][:SHORT], *_facts(row)] for row in rows]
    return "\n".join([head, *table(lines, indent="  ")])


def detail(row: Mapping[str, Any]) -> str:
    """One prefix: its facts, and its blocks.

    Args:
        row: as above, with ``blocks`` (``from``, ``to``, ``bytes``, ``snapshot_bytes``).
    """
    blocks = [[f"{b['from']:,}", f"{b['to']:,}", units.size(b["bytes"]), _snapshot(b["snapshot_bytes"])] for b in row["blocks"]]
    hidden = len(blocks) - 2 * ENDS
    shown = [*blocks[:ENDS], ["…", f"{hidden:,} more", "", ""], *blocks[-ENDS:]] if hidden > 1 else blocks
    return "\n".join([row["name"], "  " + "  ".join(_facts(row)), *table(shown, indent="  ")])


def _facts(row: Mapping[str, Any]) -> list[str]:
    shared = f"{units.size(row['shared_bytes'])} shared" if row["shared_bytes"] else ""
    model = oneline(row["model"]) or "an older longctx, of no use any more"
    return [units.plural(row["tokens"], "token"), units.size(row["bytes"]), shared, row["used"], model]


def _snapshot(size: int) -> str:
    return f"+ {units.size(size)} of state" if size else ""
