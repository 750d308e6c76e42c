"""The prefix store: what a model made of tokens, kept on disk as a chain of content-addressed blocks. Knows no model.

A block's name is a hash of its parent's name, its token ids (for pictures: what is seen), and a fingerprint of everything else
that the numbers depend on. So whoever asks with the same beginning finds the same blocks, and no others. A block is one file in
the safetensors layout: raw bytes with a dtype and a shape, and a checksum over all of it. A file that is damaged is removed and
counts as absent; a disk that is full, read-only or gone costs a note and a recompute, never the work. Several processes may use
one folder: files appear whole and vanish whole, and who reads a chain leases it, so that no other one prunes it meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import shutil
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "longctx-prefix-3"
SUFFIX = ".safetensors"
#: Names of dtypes in the safetensors layout, by ours.
DTYPES = {
    "bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "uint8": "U8", "int16": "I16",
    "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_OURS = {theirs: ours for ours, theirs in DTYPES.items()}
#: The store takes at most this much, and at most this share of what is free on its disk.
MOST_BYTES, FREE_SHARE = 20_000_000_000, 10
#: What a process that died left behind, half a file or a lease, counts no more after this many seconds.
STALE_SECONDS = 3600
_WRITING, _LEASE = ".writing-", ".lease-"


@dataclass(frozen=True)
class RawTensor:
    """Bytes of a tensor with what they mean.

    Args:
        dtype: ``"bfloat16"``, ``"float32"``, …
        shape: of the tensor.
        data: its bytes in row order: bytes, a memoryview, or a numpy array of uint8.
    """

    dtype: str
    shape: tuple[int, ...]
    data: Any

    @property
    def view(self) -> memoryview:
        """The bytes, without a copy."""
        return memoryview(self.data).cast("B")


@dataclass(frozen=True)
class Block:
    """A block that was read and checked.

    Args:
        name: in the store.
        parent: name of the block before it; empty for the first.
        length: tokens from the beginning of the chain to the end of this block.
        meta: as it was given.
        tensors: as they were given, bit for bit.
    """

    name: str
    parent: str
    length: int
    meta: Mapping[str, str]
    tensors: Mapping[str, RawTensor]


@dataclass(frozen=True)
class Entry:
    """A block as a listing shows it: bytes on disk and seconds since the epoch of its last use."""

    name: str
    parent: str
    length: int
    size: int
    used: float


def block_name(parent: str, tokens: NDArray[np.int64], fingerprint: str) -> str:
    """The name of a block: a sha256 over its parent's name, fingerprint and token ids."""
    digest = hashlib.sha256()
    for part in (FORMAT.encode(), parent.encode(), fingerprint.encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    digest.update(tokens.astype("<i8").tobytes())
    return digest.hexdigest()


def names(tokens: NDArray[np.int64], boundaries: Sequence[int], fingerprint: str) -> list[str]:
    """The names of a chain.

    Args:
        tokens: int64, from the beginning. In the place of what is looked at stand negative numbers that tell what is seen.
        boundaries: ascending ends of the blocks.
        fingerprint: of model, precision, rope parameters, prompt version.
    """
    chain: list[str] = []
    for start, stop in zip([0, *boundaries], boundaries, strict=False):
        chain.append(block_name(chain[-1] if chain else "", tokens[start:stop], fingerprint))
    return chain


def beside(name: str) -> str:
    """The name of what stands beside a block: a snapshot of what the model holds at its end and cannot cut."""
    return hashlib.sha256(f"beside {name}".encode()).hexdigest()


class PrefixStore:
    """Blocks in a folder that only this user may read. No method raises for a bad disk or a bad file.

    Args:
        folder: made where it is missing.
        cap: bytes that all blocks may take; None takes min(20 GB, a tenth of the free disk).
    """

    def __init__(self, folder: Path, *, cap: int | None = None) -> None:
        self.folder = Path(folder)
        self.cap = cap
        self.notes: list[str] = []
        self.last_miss = ""

    # -- blocks ------------------------------------------------------------------------------------------------------
    def has(self, name: str) -> bool:
        """Whether a block is there; it may still turn out to be damaged."""
        return _size(self._path(name)) is not None

    def longest(self, chain: Sequence[str]) -> int:
        """How many of the first blocks of a chain are there."""
        return next((i for i, name in enumerate(chain) if not self.has(name)), len(chain))

    def put(
        self, name: str, *, parent: str, length: int, tensors: Mapping[str, RawTensor], meta: Mapping[str, str] | None = None
    ) -> bool:
        """Write a block whole or not at all; says whether it is there now.

        Args:
            name: from :func:`names`.
            parent: name of the block before it; empty for the first.
            length: tokens from the beginning of the chain to the end of this block.
            tensors: what the model made of the block's tokens.
            meta: further texts to keep.
        """
        kept = {**(meta or {}), "format": FORMAT, "name": name, "parent": parent, "length": str(length)}
        unknown = {tensor.dtype for tensor in tensors.values()} - DTYPES.keys()
        if unknown:
            self._note(f"a prefix block was not kept: the store knows no tensors of {min(unknown)}")
            return False
        header, views = _header(tensors, kept)
        try:
            self._make_folder()
            if parent and not self.has(parent):
                return False  # nobody could reach it
            if not self._make_room(len(header) + sum(map(len, views)), (name, parent)):
                self._note("the rest of the prefix was not kept: it does not fit under the store's cap")
                return False
            self._write(self._path(name), header, views)
        except OSError as error:
            self._note(f"a prefix block could not be kept in {self.folder}: {error.strerror or error}")
            return False
        return True

    def get(self, name: str) -> Block | None:
        """Read and check a block. None where there is none to be had: ``last_miss`` is then ``"absent"``, ``"unreadable"``,
        ``"damaged"``, or ``"foreign"`` for one of another format or name.
        """
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            self.last_miss = "absent"
            return None
        except OSError as error:
            self._note(f"a prefix block could not be read: {error.strerror or error}")
            self.last_miss = "unreadable"
            return None
        block = _parse(name, data)
        if isinstance(block, str):
            self._note(f"the {block} prefix block {name[:12]}… was removed")
            self.last_miss = block
            self.remove(name)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        self.last_miss = ""
        return block

    def remove(self, name: str) -> None:
        """Remove a block, where it is there and may be removed."""
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    # -- the whole ---------------------------------------------------------------------------------------------------
    def entries(self) -> list[Entry]:
        """Every block, the one used last first. Reads the beginnings of the files only."""
        found = filter(None, map(_entry, self._files()))
        return sorted(found, key=lambda entry: -entry.used)

    def size(self) -> int:
        """Bytes that all blocks take, unreadable ones included."""
        return sum(_size(path) or 0 for path in self._files())

    def prune(self, most: int, *, keep: Sequence[str] = ()) -> int:
        """Remove the blocks that were used longest ago until at most ``most`` bytes are left; returns the bytes removed.

        A block that another one stands on is never removed before it, and none that is in use, here or in another process.

        Args:
            most: bytes that may be left.
            keep: names that stay.
        """
        entries = {entry.name: entry for entry in self.entries()}
        held = self._leased() | set(keep)
        children = Counter(entry.parent for entry in entries.values())
        leaves = [(entry.used, name) for name, entry in entries.items() if not children[name] and name not in held]
        heapq.heapify(leaves)
        total = start = self.size()
        while total > most and leaves:
            entry = entries[heapq.heappop(leaves)[1]]
            self.remove(entry.name)
            total -= entry.size
            children[entry.parent] -= 1
            if entry.parent in entries and not children[entry.parent] and entry.parent not in held:
                heapq.heappush(leaves, (entries[entry.parent].used, entry.parent))
        return start - total

    @contextlib.contextmanager
    def using(self, chain: Sequence[str]) -> Iterator[None]:
        """Keep blocks from being pruned, by whatever process, while they are used; for an hour at the most."""
        lease = self._lease(chain)
        try:
            yield
        finally:
            if lease is not None:
                with contextlib.suppress(OSError):
                    lease.unlink()

    # -- files -------------------------------------------------------------------------------------------------------
    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _files(self, pattern: str = f"*{SUFFIX}") -> list[Path]:
        try:
            return sorted(self.folder.glob(pattern))
        except OSError:
            return []

    def _lease(self, chain: Sequence[str]) -> Path | None:
        """A file that says which blocks are in use; None where none can be written: then a block may be gone, a miss."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=_LEASE)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write("\n".join(chain))
        except OSError:
            return None
        return Path(name)

    def _leased(self) -> set[str]:
        """The blocks that are in use anywhere."""
        found: set[str] = set()
        for path in self._files(f"{_LEASE}*"):
            with contextlib.suppress(OSError, ValueError):
                found.update(path.read_text(encoding="ascii").split())
        return found

    def _make_room(self, size: int, keep: Sequence[str]) -> bool:
        """Whether a block of so many bytes fits under the cap, after others were pruned where need be."""
        self._sweep()
        limit = self._limit() - size
        if limit >= 0 and self.size() > limit:
            self.prune(limit, keep=keep)
        return limit >= 0 and self.size() <= limit

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)

    def _write(self, path: Path, header: bytes, views: Sequence[memoryview]) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=_WRITING)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(header)
                for view in views:
                    stream.write(view)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _sweep(self) -> None:
        """Remove what processes that died left behind."""
        oldest = time.time() - STALE_SECONDS
        for path in (*self._files(f"{_WRITING}*"), *self._files(f"{_LEASE}*")):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _limit(self) -> int:
        if self.cap is not None:
            return self.cap
        free = shutil.disk_usage(self.folder).free
        return min(MOST_BYTES, (free + self.size()) // FREE_SHARE)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is none that can be seen."""
    try:
        return path.stat().st_size
    except OSError:
        return None


# -- the safetensors layout: 8 bytes of length, a JSON header, the bytes of all tensors ---------------------------------
def _header(tensors: Mapping[str, RawTensor], meta: dict[str, str]) -> tuple[bytes, list[memoryview]]:
    fields: dict[str, Any] = {}
    views: list[memoryview] = []
    place = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        view = tensor.view
        offsets = [place, place + len(view)]
        fields[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        views.append(view)
        place += len(view)
    fields["__metadata__"] = meta
    meta["checksum"] = _checksum(fields, views)
    text = _canonical(fields)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, views


def _entry(path: Path) -> Entry | None:
    """What the beginning of a file says; a file that is no block stands alone, so that it can be pruned."""
    try:
        status = path.stat()
    except OSError:
        return None
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            meta = json.loads(stream.read(min(size, status.st_size)))["__metadata__"]
        return Entry(path.stem, str(meta["parent"]), int(meta["length"]), status.st_size, status.st_mtime)
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(path.stem, "", 0, status.st_size, status.st_mtime)


def _parse(name: str, data: bytes) -> Block | str:
    """The block in a file's bytes, or in a word what is wrong with them."""
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        fields = json.loads(data[8:start])
        meta = dict(fields.pop("__metadata__"))
        body = memoryview(data)[start:]
        if meta.pop("checksum") != _checksum({**fields, "__metadata__": meta}, [body]):
            return "damaged"
        if (meta.pop("format"), meta.pop("name")) != (FORMAT, name):
            return "foreign"
        parent, length = meta.pop("parent"), int(meta.pop("length"))
        tensors = {key: _tensor(field, body) for key, field in fields.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
        return "damaged"
    return Block(name, parent, length, meta, tensors)


def _tensor(field: Mapping[str, Any], body: memoryview) -> RawTensor:
    start, stop = field["data_offsets"]
    return RawTensor(_OURS[field["dtype"]], tuple(field["shape"]), body[start:stop])


def _checksum(fields: Mapping[str, Any], views: Sequence[memoryview]) -> str:
    """CRC-32 over the header without its checksum, then the data: against accidents, at several times the speed of a hash."""
    value = zlib.crc32(_canonical(fields))
    for view in views:
        value = zlib.crc32(view, value)
    return f"{value:08x}"


def _canonical(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
