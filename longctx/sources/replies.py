"""What the worker said of a document, kept on disk by content: in another process it is not parsed again.

Kept are the worker's replies, not what is made of them, so that a document is cut, searched for secrets and shown as if it had
just been parsed. They hold its text, for the user alone to read.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from longctx.places import prune, put
from longctx.sources.pictures.stills import version_of

#: Bytes of everything that is kept, some hundred thousand pages; of one document at most, packed.
MOST_KEPT, LARGEST = 2**30, 2**26
#: Packed bytes that are unpacked at once.
_CHUNK = 2**16
_LIBRARIES = ("pymupdf", "python-docx", "python-pptx", "openpyxl", "pillow")

Reply = Mapping[str, Any]


class Replies:
    """Replies by what was asked. What is damaged is asked again, and what cannot be kept is not.

    Args:
        folder: where they are; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def told(
        self, question: Sequence[str], ask: Callable[[], Iterable[Reply]], is_still: Callable[[], bool] = lambda: True
    ) -> Iterator[Reply]:
        """What was replied before, or what is replied now.

        Args:
            question: what decides about the replies: what is asked, the document's sha256.
            ask: asks the worker.
            is_still: whether the document is the one whose hash was taken; asked when all is said.
        """
        file = self._folder / hashlib.sha256(json.dumps([*question, _code()]).encode()).hexdigest()
        if (packed := _sound(file)) is not None:
            yield from _unpacked(packed)
            return
        taken = _Taken(ask())
        yield from taken
        if taken.is_worth_keeping and is_still():
            put(file, hashlib.sha256(taken.packed).digest() + taken.packed)

    def prune(self) -> None:
        """Remove what was used longest ago, where all of it takes more than :data:`MOST_KEPT`."""
        prune(self._folder, MOST_KEPT)


@cache
def _code() -> str:
    """What parses, and its version: the modules of this package to the byte, the libraries, and Python."""
    sha256 = hashlib.sha256(" ".join((sys.version, *map(version_of, _LIBRARIES))).encode())
    for module in sorted(Path(__file__).parent.rglob("*.py")):
        sha256.update(module.read_bytes())
    return sha256.hexdigest()


class _Taken:
    """Replies that are packed while they are passed on.

    Args:
        replies: as they come.
    """

    def __init__(self, replies: Iterable[Reply]) -> None:
        self._replies = replies
        self._has_failed = False
        self.packed = bytearray()

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the worker has not failed, and they are not too many."""
        return not self._has_failed and len(self.packed) <= LARGEST

    def __iter__(self) -> Iterator[Reply]:
        packer = zlib.compressobj(1)
        for reply in self._replies:
            self._has_failed |= "failed" in reply or ("error" in reply and "page" not in reply)  # a page fails every time
            if len(self.packed) <= LARGEST:
                self.packed += packer.compress(json.dumps(reply).encode("ascii") + b"\n")
            yield reply
        self.packed += packer.flush()


def _sound(file: Path) -> bytes | None:
    """Packed replies as they were kept, their use noted; None where there are none, or not to the last byte."""
    try:
        data = file.read_bytes()
        os.utime(file)
    except OSError:
        return None
    head, packed = data[:32], data[32:]
    return packed if hashlib.sha256(packed).digest() == head else None


def _unpacked(packed: bytes) -> Iterator[Reply]:
    """Replies one by one: unpacked, those of a long document are large."""
    unpacker, rest = zlib.decompressobj(), b""
    for start in range(0, len(packed), _CHUNK):
        *lines, rest = (rest + unpacker.decompress(packed[start : start + _CHUNK])).split(b"\n")
        yield from map(json.loads, lines)
