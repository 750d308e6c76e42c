"""One entry of an archive, whatever archive it is of."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from longctx.sources.parsed import Parsed

#: Bytes that an unpacker of LZMA may take for what it looks back to.
XZ_MEMORY = 256 * 2**20
#: What reading a damaged archive raises.
DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)


@dataclass(frozen=True, slots=True)
class Member:
    """One entry.

    Args:
        name: as the archive has it, ``/`` between its parts.
        obstacle: why it is not unpacked; None for a plain file.
        opened: opens its content, of which never more comes than its size.
        size: bytes.
    """

    name: str
    obstacle: Parsed | None
    opened: Callable[[], IO[bytes]]
    size: int


def link_to(target: str) -> Parsed:
    """What becomes of a link."""
    return Parsed("link", status="skipped", reason=f"a link to {target}: links of an archive are not followed")
