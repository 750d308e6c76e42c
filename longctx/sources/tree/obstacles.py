"""Why a path of a listing is not opened: links, folders, pipes, devices, and what is gone."""

from __future__ import annotations

import errno
import os
import stat

from longctx.sources.kinds import kind_of
from longctx.sources.parsed import Parsed

_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Obstacles:
    """Looks at paths below one folder, and remembers what it found out about the folders between.

    Args:
        root: the folder that is read, without links.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._real: dict[str, bool] = {}

    def of(self, file: str) -> Parsed | None:
        """What becomes of a path that is not to be opened; None for a regular file inside the root."""
        if not self._parent_is_real(os.path.dirname(file)):
            return Parsed("link", status="skipped", reason="behind a link: a folder above it is a link now")
        try:
            mode = os.lstat(file).st_mode
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return Parsed(kind_of(file), status="skipped", reason="deleted: listed, but no longer there")
            return Parsed(kind_of(file), status="failed", reason=f"cannot be read: {error.strerror}")
        if stat.S_ISLNK(mode):
            return Parsed("link", status="skipped", reason=_where_to(file, self._root))
        if stat.S_ISDIR(mode):
            return Parsed("folder", status="skipped", reason="a folder stands in its place now")
        return special(mode)

    def _parent_is_real(self, folder: str) -> bool:
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder) == folder
        return self._real[folder]


def special(mode: int) -> Parsed | None:
    """What becomes of a path that is neither file, folder nor link; None for all others."""
    words = next((words for test, words in _SPECIAL if test(mode)), None)
    return Parsed("other", status="skipped", reason=f"{words}: never opened") if words else None


def _where_to(link: str, root: str) -> str:
    """Where a link leads. It is not followed; a file inside the root is read in its own place."""
    said = "?"
    try:
        said = os.readlink(link)
        is_folder = stat.S_ISDIR(os.stat(link).st_mode)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return "a link loop" if error.errno == errno.ELOOP else f"a link that cannot be followed: {error.strerror}"
        return f"a link to nothing: {said}"
    target = os.path.realpath(link)
    if target != root and not target.startswith(root.rstrip(os.sep) + os.sep):
        return f"a link out of the folder: {said}"
    inside = os.path.relpath(target, root).replace(os.sep, "/")
    return f"a link to the folder {inside}" if is_folder else f"a link, duplicate of {inside}"
