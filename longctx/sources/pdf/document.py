"""Opening a document, with a password where it needs one; its pages in groups, so that memory stays flat."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pymupdf

#: PyMuPDF keeps the memory of every page it has seen until the document is closed.
PAGES_PER_OPENING = 100
#: Bytes that reading a document may take besides the file itself: a page of a few kilobytes can unfold to gigabytes.
MEMORY = 2**30

LOCKED = "encrypted: it opens with a password only"
WRONG = "encrypted: the password does not open it"


def opened(file: str, password: str = "") -> pymupdf.Document | str:
    """The document, or why it cannot be opened.

    Args:
        file: the absolute path.
        password: of its user or its owner; tried where it is needed.
    """
    import pymupdf

    try:
        file.encode()
        document = pymupdf.open(file, filetype="pdf")
    except UnicodeEncodeError:  # MuPDF takes names in UTF-8 only
        with open(os.fsencode(file), "rb") as stream:
            document = pymupdf.open(stream=stream.read(), filetype="pdf")
    except (pymupdf.FileDataError, pymupdf.EmptyFileError):
        return "damaged: it cannot be opened"
    except (RuntimeError, ValueError, pymupdf.mupdf.FzErrorBase) as error:
        return f"it cannot be opened: {error}"
    if document.needs_pass and not (password and document.authenticate(password)):
        return WRONG if password else LOCKED
    return document


@contextmanager
def bounded(file: str) -> Iterator[None]:
    """Within this, memory is refused beyond :data:`MEMORY` more than is taken now and than the file has bytes; on Linux only.

    Args:
        file: the absolute path.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    import pymupdf  # noqa: F401 - what its code takes is not the document's

    before, most = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    wanted = taken + MEMORY + os.path.getsize(os.fsencode(file))
    resource.setrlimit(resource.RLIMIT_AS, (wanted if before == resource.RLIM_INFINITY else min(before, wanted), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))
