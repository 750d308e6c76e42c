"""Passwords of documents that were read, while this process lives: by the hash of the file, and nowhere else.

A document is opened again for its pictures long after it was read. Its password then comes from here into the request to the
worker; it is in no corpus, plan, store, log or repr, and ends with the process. Knows no format.
"""

from __future__ import annotations

_by_hash: dict[str, str] = {}


def keep(sha256: str, password: str) -> None:
    """Remember the password with which a file was read.

    Args:
        sha256: of the file.
        password: empty where it needed none.
    """
    if password:
        _by_hash[sha256] = password


def of(sha256: str) -> str:
    """The password with which a file was read; empty where it needed none, or was read by another process."""
    return _by_hash.get(sha256, "")
