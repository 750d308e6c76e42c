"""Blocks of a prefix as they lie on disk: what they are called, and the safetensors layout with a checksum over all of it."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "longctx-prefix-3"
#: Names of dtypes in the safetensors layout, by ours.
DTYPES = {
    "bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "uint8": "U8", "int16": "I16",
    "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint64": "U64", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_OURS = {theirs: ours for ours, theirs in DTYPES.items()}


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


# -- the safetensors layout: 8 bytes of length, a JSON header, the bytes of all tensors ---------------------------------
def header(tensors: Mapping[str, RawTensor], meta: dict[str, str]) -> tuple[bytes, list[memoryview]]:
    """The beginning of a file, and what follows it.

    Args:
        tensors: of the block.
        meta: further texts; format and checksum are put among them.
    """
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
    meta["format"] = FORMAT
    meta["checksum"] = _checksum(fields, views)
    text = _canonical(fields)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, views


def parse(name: str, data: bytes) -> Block | str:
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
