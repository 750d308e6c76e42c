"""What a file was when it was read, so that what is fetched from it later is of the same file. Knows no format."""

from __future__ import annotations

import os
from dataclasses import dataclass

from longctx.errors import SourceChangedError


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file as it was read.

    Args:
        path: as it is cited.
        file: the absolute path.
        size: bytes.
        modified: nanoseconds since 1970.
        sha256: of its bytes.
    """

    path: str
    file: str
    size: int
    modified: int
    sha256: str

    def check(self) -> None:
        """Compare with the file as it is now; by size and time, which costs nothing.

        Raises:
            SourceChangedError: they differ, or the file is gone.
        """
        try:
            now = os.stat(self.file)
        except OSError as error:
            raise SourceChangedError(
                f"{self.path}: gone since it was read: {error.strerror}", hint="put it back, or read the sources again"
            ) from error
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
            raise SourceChangedError(f"{self.path}: changed since it was read", hint="read the sources again")

    def holds(self) -> bool:
        """Whether the file is still the same, as :meth:`check` has it."""
        try:
            self.check()
        except SourceChangedError:
            return False
        return True
