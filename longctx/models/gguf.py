"""GGUF headers: what a file says of itself and of its tensors. Reads none of their data, and translates nothing.

Layout: ggml, docs/gguf.md. Types of values and of tensors: gguf-py 0.19.0, gguf/constants.py (``GGUFValueType``,
``GGMLQuantizationType``, ``GGML_QUANT_SIZES``). A header is read as a stream, and every length in it is checked against what
is left of the file and against what any model has, before anything is read or kept.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from longctx.errors import ModelDamagedError, ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
#: Larger than any header: vocabularies and merges of 262,144 tokens come to about 20 MB.
LARGEST_HEADER = 512 * 2**20
MOST_KEYS, MOST_ITEMS, MOST_TENSORS, MOST_AXES = 1 << 12, 1 << 22, 1 << 16, 4
#: What is kept is for sizes and kinds of layers: no vocabulary, no template.
LONGEST_NAME, LONGEST_KEPT_TEXT, LONGEST_KEPT_ARRAY, MOST_KEPT_NUMBERS = 1 << 10, 1 << 12, 10_000, 100_000
#: Texts up to this are read to be passed over, which is quicker than to seek.
SHORT_TEXT = 1 << 16
LARGEST_ALIGNMENT = 1 << 20
#: Numbers of one tensor, and bytes: more are damage.
LARGEST_TENSOR = 1 << 50

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
#: Number of a type -> its name, numbers of a block, bytes of a block.
TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
#: How parts of one model are called: gguf-py 0.19.0, ``SHARD_NAME_FORMAT``.
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_AGAIN = "download the file again"
#: Name, shape, number of the type, and where the data is, counted from the end of the header.
_Row = tuple[str, tuple[int, ...], int, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a header says of one tensor.

    Args:
        name: ``"blk.0.attn_q.weight"``.
        shape: the axis that is contiguous first: ``(inputs, outputs)`` of a matrix.
        kind: the type of its numbers, ``"Q4_K"``.
        size: bytes in the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    size: int

    @property
    def numbers(self) -> int:
        """How many there are."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Args:
        fields: values by key; long texts and long arrays are left out.
        lengths: entries of every array, by key.
        tensors: in the order of the file; none where parts of the model are missing.
        notes: what the user should know of the file.
    """

    fields: Mapping[str, Any]
    lengths: Mapping[str, int]
    tensors: tuple[Tensor, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all tensors as they are in the file."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Types of the tensors' numbers, the one that fills most bytes first."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.size
        return tuple(sorted(sizes, key=lambda kind: -sizes[kind]))


def is_gguf(file: Path) -> bool:
    """Whether a file is named or begins as a GGUF file does.

    Raises:
        ModelDamagedError: it cannot be read.
    """
    if file.suffix.lower() == ".gguf":
        return True
    with _opened(file, str(file)) as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read(file: Path, *, name: str) -> Header:
    """The header of a GGUF file, and those of its other parts where it is the first of several.

    Args:
        file: to read; of its tensors' data nothing is read.
        name: as the user gave it, for messages.

    Raises:
        ModelDamagedError: it is no GGUF file, is cut short or damaged, or of a version or byte order that is not read.
        ModelError: it is a later part of a model.
    """
    first = _read(file, name)
    parts = first.fields.get("split.count", 1)
    if not isinstance(parts, int) or parts <= 1:
        return first
    if first.fields.get("split.no") != 0:
        raise ModelError(f"{name} is a later part of a model in {parts} parts", hint="name the first: …-00001-of-….gguf")
    return _joined(first, [_read(part, str(part)) for part in _others(file, parts)], parts)


def _others(file: Path, parts: int) -> list[Path]:
    """The other parts that are there."""
    named = _PART.fullmatch(file.name)
    if named is None or parts > MOST_KEYS:
        return []
    candidates = (file.with_name(f"{named[1]}-{i:05}-of-{parts:05}.gguf") for i in range(2, parts + 1))
    return [part for part in candidates if part.is_file()]


def _joined(first: Header, others: list[Header], parts: int) -> Header:
    if len(others) + 1 < parts:
        note = f"{len(others) + 1} of its {parts} parts are here: parameters follow the formula of the architecture"
        return replace(first, tensors=(), notes=(*first.notes, note))
    tensors = (*first.tensors, *(tensor for other in others for tensor in other.tensors))
    return replace(first, tensors=tensors, notes=(*first.notes, *(note for other in others for note in other.notes)))


def _read(file: Path, name: str) -> Header:
    with _opened(file, name) as stream:
        size = os.fstat(stream.fileno()).st_size
        reader = _Reader(stream, size, name)
        try:
            return reader.header()
        except (struct.error, OSError) as error:
            raise reader.damage(f"it cannot be read there: {error}") from error


def _opened(file: Path, name: str) -> BinaryIO:
    try:
        return file.open("rb", buffering=1 << 20)
    except OSError as error:
        raise ModelDamagedError(f"{name} cannot be read: {error.strerror}", hint="check its permissions") from error


class _Reader:
    """Reads one header from its first byte on."""

    def __init__(self, stream: BinaryIO, size: int, name: str) -> None:
        self.stream, self.size, self.name = stream, size, name
        self.used = self.kept = 0

    def header(self) -> Header:
        """All of it."""
        tensor_count, key_count = self._start()
        fields: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(key_count):
            self._field(fields, lengths)
        rows = [self._tensor() for _ in range(tensor_count)]
        names = {row[0] for row in rows}
        if len(names) < len(rows):
            raise self.damage("two tensors have the same name")
        return self._placed(fields, lengths, rows)

    def _start(self) -> tuple[int, int]:
        """Magic and version, then how many tensors and keys there are."""
        if self.take(4) != MAGIC:
            raise ModelDamagedError(f"{self.name} is no GGUF file: it does not begin with 'GGUF'", hint=_AGAIN)
        version = self.number("I")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            if swapped in VERSIONS:
                raise ModelDamagedError(f"{self.name} is big-endian, which is not read", hint="take a little-endian file")
            hint = "convert it again with a current llama.cpp" if version < VERSIONS[0] else "update longctx"
            raise ModelDamagedError(f"{self.name} is GGUF of version {version}; {VERSIONS} are read", hint=hint)
        return self.count("tensors", MOST_TENSORS, least=8 + 4 + 8 + 4 + 8), self.count("keys", MOST_KEYS, least=8 + 4 + 1)

    # -- values ----------------------------------------------------------------------------------------------------------
    def _field(self, fields: dict[str, Any], lengths: dict[str, int]) -> None:
        key = self.text(LONGEST_NAME)
        if key in fields or key in lengths:
            raise self.damage(f"the key {key!r} is there twice")
        kind = self.number("I")
        if kind == _ARRAY:
            lengths[key], values = self._array(key)
            if values is not None:
                fields[key] = values
        elif kind == _TEXT:
            length = self.number("Q")
            if length > LONGEST_KEPT_TEXT:
                self.skip(length)
            else:
                fields[key] = self.take(length).decode("utf-8", "replace")
        else:
            fields[key] = self.number(self._code(kind, key))

    def _code(self, kind: int, key: str) -> str:
        if kind not in _NUMBERS:
            raise self.damage(f"{key!r} has a value of type {kind}, which does not exist")
        return _NUMBERS[kind]

    def _array(self, key: str) -> tuple[int, list[Any] | None]:
        """How many entries an array has, and its numbers where they are few enough to keep."""
        kind = self.number("I")
        if kind == _TEXT:
            count = self.count(f"texts in {key!r}", MOST_ITEMS, least=8)
            self._skip_texts(count)
            return count, None
        code = self._code(kind, key)
        width = struct.calcsize(code)
        count = self.count(f"numbers in {key!r}", MOST_ITEMS, least=width)
        if count > min(LONGEST_KEPT_ARRAY, MOST_KEPT_NUMBERS - self.kept):
            self.skip(count * width)
            return count, None
        self.kept += count
        return count, list(struct.unpack(f"<{count}{code}", self.take(count * width)))

    def _skip_texts(self, count: int) -> None:
        """Vocabularies have hundreds of thousands of texts, so this loop is plain."""
        read, unpack, left = self.stream.read, struct.Struct("<Q").unpack, self.left
        for _ in range(count):
            (length,) = unpack(read(8))
            left -= 8 + length
            if left < 0:
                raise self.damage(f"a text of {length} bytes is announced, more than is left")
            if length > SHORT_TEXT:
                self.stream.seek(length, os.SEEK_CUR)
            else:
                read(length)
        self.used += self.left - left

    # -- tensors ---------------------------------------------------------------------------------------------------------
    def _tensor(self) -> _Row:
        name = self.text(LONGEST_NAME)
        axes = self.number("I")
        if not 0 < axes <= MOST_AXES:
            raise self.damage(f"the tensor {name!r} has {axes} axes")
        shape = struct.unpack(f"<{axes}Q", self.take(8 * axes))
        if not 0 < math.prod(shape) <= LARGEST_TENSOR:
            raise self.damage(f"the tensor {name!r} has the shape {shape}")
        kind, offset = self.number("I"), self.number("Q")
        if offset > LARGEST_TENSOR:
            raise self.damage(f"the tensor {name!r} is {offset} bytes after the header")
        return name, shape, kind, offset

    def _placed(self, fields: dict[str, Any], lengths: dict[str, int], rows: list[_Row]) -> Header:
        """The header, once it is known where the data begins."""
        alignment = fields.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= LARGEST_ALIGNMENT:
            raise self.damage(f"general.alignment is {alignment!r}")
        data = self.size - -(-self.used // alignment) * alignment
        tensors = _sized(rows, data)
        needed = max((offset + tensor.size for tensor, (_, _, _, offset) in zip(tensors, rows, strict=True)), default=0)
        lacking = f"the file is not whole: {needed - data} bytes of its weights are missing at its end"
        return Header(fields, lengths, tensors, (lacking,) if needed > data else ())

    # -- bytes -----------------------------------------------------------------------------------------------------------
    @property
    def left(self) -> int:
        """Bytes that the header may still have."""
        return min(self.size, LARGEST_HEADER) - self.used

    def take(self, length: int) -> bytes:
        """The next bytes."""
        data = self.stream.read(length) if length <= self.left else b""
        if len(data) < length:
            raise self.damage(f"{length} bytes are announced, and {max(0, self.left)} are left")
        self.used += length
        return data

    def skip(self, length: int) -> None:
        """Pass over bytes."""
        if length > self.left:
            raise self.damage(f"{length} bytes are announced, and {max(0, self.left)} are left")
        self.stream.seek(length, os.SEEK_CUR)
        self.used += length

    def number(self, code: str) -> Any:
        """The next number, by its letter in :mod:`struct`."""
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def count(self, what: str, most: int, *, least: int) -> int:
        """How many of something follow, each of which takes a least number of bytes."""
        value: int = self.number("Q")
        if value > most or value * least > self.left:
            raise self.damage(f"{value} {what} are announced, more than there can be")
        return value

    def text(self, most: int) -> str:
        """The next text."""
        length = self.number("Q")
        if length > most:
            raise self.damage(f"a name of {length} bytes is announced")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damage("a name is no UTF-8") from error

    def damage(self, why: str) -> ModelDamagedError:
        """The error for what is wrong here."""
        return ModelDamagedError(f"{self.name}: the GGUF header is damaged at byte {self.used}: {why}", hint=_AGAIN)


def _sized(rows: list[_Row], data: int) -> tuple[Tensor, ...]:
    """The tensors with their bytes: of a type that is not in the table, up to where the next one begins."""
    starts = sorted({offset for *_, offset in rows})
    ends = dict(pairwise([*starts, max([data, *starts])]))
    found = []
    for name, shape, kind, offset in rows:
        known, block, width = TYPES.get(kind, (f"type {kind}", 0, 0))
        size = -(-shape[0] // block) * width * math.prod(shape[1:]) if block else ends[offset] - offset
        found.append(Tensor(name, shape, known, size))
    return tuple(found)
