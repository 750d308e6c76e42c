"""The prefix store: what a model made of tokens, kept on disk as a chain of content-addressed blocks. Knows no model.

A block's name is a hash of its parent's name, its token ids (for pictures: what is seen), and a fingerprint of everything else
that the numbers depend on. So whoever asks with the same beginning finds the same blocks, and no others. A block is one file in
the safetensors layout: raw bytes with a dtype and a shape, and a checksum over all of it. A file that is damaged is removed and
counts as absent; a disk that is full, read-only or gone costs a note and a recompute, never the work. Several processes may use
one folder: files appear whole and vanish whole, and who reads a chain leases it, so that no other one prunes it meanwhile.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from longctx.blocks import DTYPES, Block, RawTensor, beside, header, parse
from longctx.errors import UsageError

SUFFIX = ".safetensors"
#: The store takes at most this much, and at most this share of what is free on its disk.
MOST_BYTES, FREE_SHARE = 20_000_000_000, 10
#: What a process that died left behind, half a file or a lease, counts no more after this many seconds.
STALE_SECONDS = 3600
_WRITING, _LEASE = ".writing-", ".lease-"


@dataclass(frozen=True)
class Entry:
    """A block as a listing shows it: bytes on disk, seconds since the epoch of its last use, the model that made it."""

    name: str
    parent: str
    length: int
    size: int
    used: float
    model: str = ""


@dataclass(frozen=True)
class Chain:
    """The blocks of one prefix, from the beginning to an end on which no other stands.

    Args:
        blocks: in reading order.
        snapshots: what stands beside them, in reading order.
        shared: bytes that other chains hold too.
    """

    blocks: tuple[Entry, ...]
    snapshots: tuple[Entry, ...]
    shared: int

    @property
    def name(self) -> str:
        """That of the last block."""
        return self.blocks[-1].name

    @property
    def model(self) -> str:
        """That made it."""
        return self.blocks[-1].model

    @property
    def tokens(self) -> int:
        """From the beginning to the end."""
        return self.blocks[-1].length

    @property
    def size(self) -> int:
        """Bytes on disk, those that it shares included."""
        return sum(entry.size for entry in (*self.blocks, *self.snapshots))

    @property
    def used(self) -> float:
        """Seconds since the epoch of its last use."""
        return max(entry.used for entry in (*self.blocks, *self.snapshots))


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
        kept = {**(meta or {}), "name": name, "parent": parent, "length": str(length)}
        unknown = {tensor.dtype for tensor in tensors.values()} - DTYPES.keys()
        if unknown:
            self._note(f"a prefix block was not kept: the store knows no tensors of {min(unknown)}")
            return False
        head, views = header(tensors, kept)
        try:
            self._make_folder()
            if parent and not self.has(parent):
                return False  # nobody could reach it
            if not self._make_room(len(head) + sum(map(len, views)), (name, parent)):
                self._note("the rest of the prefix was not kept: it does not fit under the store's cap")
                return False
            self._write(self._path(name), head, views)
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
        block = parse(name, data)
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

    def chains(self) -> list[Chain]:
        """Every prefix, the one used last first; files that are no blocks, or that nobody can reach, are in none."""
        entries = {entry.name: entry for entry in self.entries() if entry.length}
        asides = {beside(name): name for name in entries}
        blocks = {name: entry for name, entry in entries.items() if name not in asides}
        inner = {entry.parent for entry in blocks.values()}
        lines = [line for name in blocks if name not in inner and (line := _line(name, blocks))]
        times = Counter(entry.name for line in lines for entry in line)
        found = []
        for line in lines:
            snapshots = {entry.name: entries[beside(entry.name)] for entry in line if beside(entry.name) in entries}
            shared = (e.size + (snapshots[e.name].size if e.name in snapshots else 0) for e in line if times[e.name] > 1)
            found.append(Chain(tuple(line), tuple(snapshots.values()), sum(shared)))
        return sorted(found, key=lambda chain: -chain.used)

    def chain(self, name: str) -> Chain:
        """The prefix whose name begins so.

        Raises:
            UsageError: none does, or several do.
        """
        found = [chain for chain in self.chains() if chain.name.startswith(name)]
        if len(found) != 1:
            hint = "longctx prefixes list tells their names"
            raise UsageError(f"{len(found) or 'no'} prefixes in {self.folder} have a name that begins with {name!r}", hint=hint)
        return found[0]

    def drop(self, chain: Chain) -> int:
        """Remove what only this prefix needs, unless it is in use; returns the bytes removed."""
        held, freed = self._leased(), 0
        own = {entry.name for entry in (*chain.blocks, *chain.snapshots)}
        others = {entry.parent for entry in self.entries() if entry.name not in own}
        asides = {entry.parent: entry for entry in chain.snapshots}
        for entry in reversed(chain.blocks):  # from its end, so that what is left is a prefix at any moment
            if entry.name in others or entry.name in held:
                break
            for each in filter(None, (asides.get(entry.name), entry)):
                self.remove(each.name)
                freed += each.size
        return freed

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

    def _write(self, path: Path, head: bytes, views: Sequence[memoryview]) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=_WRITING)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(head)
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
        told = str(meta["parent"]), int(meta["length"]), status.st_size, status.st_mtime, str(meta.get("model", ""))
        return Entry(path.stem, *told)
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(path.stem, "", 0, status.st_size, status.st_mtime)


def _line(name: str, blocks: Mapping[str, Entry]) -> list[Entry]:
    """The blocks from the first to the named one; empty where one is missing."""
    line: list[Entry] = []
    while name:
        if name not in blocks:
            return []
        line.append(blocks[name])
        name = line[-1].parent
    return line[::-1]
