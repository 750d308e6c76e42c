"""Token counts of texts, kept on disk by content: a second read counts what has changed, and needs no vocabulary for the rest.

Keeps hashes and numbers only. A file that cannot be used costs the time of counting again, and nothing else. The database is
imported where it is asked: most who import this room count nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

#: Rows that are kept, some 40 MB; beyond them the oldest go.
MOST_ROWS = 500_000
#: Seconds to wait for another process that writes.
_PATIENCE = 2.0
_TABLE = "CREATE TABLE IF NOT EXISTS counts (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, tokens INTEGER NOT NULL)"


class Counts:
    """Counts by key.

    Args:
        file: made where it is missing, in a folder that only the user can read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def known(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """The counts that are there.

        Args:
            keys: from :func:`key`.
        """
        import sqlite3

        found: dict[bytes, int] = {}
        try:
            with closing(self._opened()) as database:
                for name in keys:
                    row = database.execute("SELECT tokens FROM counts WHERE key = ?", (name,)).fetchone()
                    if row is not None:
                        found[name] = row[0]
        except (sqlite3.Error, OSError):
            return {}
        return {name: tokens for name, tokens in found.items() if isinstance(tokens, int) and tokens >= 0}

    def keep(self, counts: Mapping[bytes, int]) -> None:
        """Keep counts for the next read, in this or any other process.

        Args:
            counts: tokens by key.
        """
        import sqlite3

        try:
            with closing(self._opened()) as database, database:
                database.executemany("INSERT OR REPLACE INTO counts (key, tokens) VALUES (?, ?)", counts.items())
                database.execute("DELETE FROM counts WHERE id <= (SELECT MAX(id) FROM counts) - ?", (MOST_ROWS,))
        except (sqlite3.OperationalError, OSError):
            return  # busy, full or read-only
        except sqlite3.DatabaseError:
            with suppress(OSError):  # damaged: what is in it can be counted again
                self._file.unlink()

    def _opened(self) -> sqlite3.Connection:
        import sqlite3

        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, timeout=_PATIENCE)
        database.execute(_TABLE)
        return database


def key(fingerprint: str, texts: Iterable[str]) -> bytes:
    """What the count of some texts is kept under: they are encoded one by one, so where one ends matters.

    Args:
        fingerprint: of the tokenizer.
        texts: in order.
    """
    made = hashlib.blake2b(fingerprint.encode("ascii"), digest_size=20)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        made.update(len(data).to_bytes(8, "little"))
        made.update(data)
    return made.digest()
