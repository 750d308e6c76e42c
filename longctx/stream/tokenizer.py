"""Text to token ids and back, in two modes: data, in which no text can become a control token, and template, in which it can.

Stands on ``tokenizers`` alone. Knows a tokenizer.json and nothing of models, chat templates or segments.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from longctx.errors import ModelDamagedError

if TYPE_CHECKING:
    import tokenizers

Offsets = list[tuple[int, int]]

#: Halves of a surrogate pair stand for bytes that are not UTF-8. No tokenizer takes them.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Tokenizer:
    """A tokenizer.json that keeps data and control apart.

    Args:
        data: the bytes of a tokenizer.json.
        name: how messages call it.

    Raises:
        ModelDamagedError: the bytes are no tokenizer that can be read.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        from tokenizers import Tokenizer as Rust

        self.name = name
        self.fingerprint = hashlib.sha256(data).hexdigest()
        self._template = _parse(data, name)
        self._template.no_padding()
        self._template.no_truncation()
        self._data = Rust(self._template.model)  # the same model, without a single added token
        self._data.normalizer = self._template.normalizer
        self._data.pre_tokenizer = self._template.pre_tokenizer
        self._control = frozenset(self._template.get_added_tokens_decoder())

    @classmethod
    def from_folder(cls, folder: str | Path) -> Tokenizer:
        """Read the tokenizer of a model's folder.

        Raises:
            ModelDamagedError: tokenizer.json is missing or cannot be read.
        """
        return cls(_bytes_of(folder), name=str(folder))

    @classmethod
    def unopened(cls, folder: str | Path) -> Unopened:
        """The tokenizer of a model's folder, opened when it first encodes.

        Raises:
            ModelDamagedError: tokenizer.json is missing.
        """
        data = _bytes_of(folder)
        return Unopened(data, str(folder), lambda: cls(data, name=str(folder)))

    @classmethod
    def from_json(cls, text: str | bytes, *, name: str = "tokenizer.json") -> Tokenizer:
        """Make a tokenizer of the content of a tokenizer.json.

        Raises:
            ModelDamagedError: it is no tokenizer that can be read.
        """
        return cls(text.encode() if isinstance(text, str) else text, name=name)

    @cached_property
    def added(self) -> Mapping[str, int]:
        """The added tokens, special or not, with their ids: all that can steer a model and never comes out of data."""
        return {token.content: number for number, token in self._template.get_added_tokens_decoder().items()}

    @cached_property
    def vocab_size(self) -> int:
        """How many tokens there are, added ones included."""
        return self._template.get_vocab_size(with_added_tokens=True)

    def encode_data(self, text: str) -> list[int]:
        """Token ids of a text that is data: whatever it holds, no added token comes out, and nothing is put around it.

        A character that the vocabulary knows only as an added token (``[UNK]``) is left out.
        """
        text = clean(text)
        ids: list[int] = self._data.encode(text, add_special_tokens=False).ids
        return ids if self._control.isdisjoint(ids) else self._offsets(text)[0]

    def encode_data_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As :meth:`encode_data` for many texts, on all processors."""
        sound = [clean(text) for text in texts]
        batch = (encoding.ids for encoding in self._data.encode_batch_fast(sound, add_special_tokens=False))
        return [
            ids if self._control.isdisjoint(ids) else self._offsets(text)[0] for text, ids in zip(sound, batch, strict=True)
        ]

    def encode_template(self, text: str) -> list[int]:
        """Token ids of a text of our own in which added tokens are recognised. Nothing is put around it."""
        ids: list[int] = self._template.encode(clean(text), add_special_tokens=False).ids
        return ids

    def offsets(self, text: str) -> tuple[list[int], Offsets]:
        """The ids of :meth:`encode_data`, and for each the characters (start, end) of ``text`` that it stands for."""
        return self._offsets(clean(text))

    def _offsets(self, text: str) -> tuple[list[int], Offsets]:
        """Encode; where a control token came out of the bare vocabulary, cut the text inside of it and encode the parts."""
        encoding = self._data.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        places: Offsets = encoding.offsets
        if self._control.isdisjoint(ids):
            return ids, places
        control = [place for number, place in zip(ids, places, strict=True) if number in self._control]
        cuts = sorted({0, len(text), *((start + end) // 2 for start, end in control if end - start > 1)})
        if len(cuts) == 2:  # single characters that the vocabulary does not know
            kept = [pair for pair in zip(ids, places, strict=True) if pair[0] not in self._control]
            return [number for number, _ in kept], [place for _, place in kept]
        ids, places = [], []
        for start, end in itertools.pairwise(cuts):
            part_ids, part_places = self._offsets(text[start:end])
            ids += part_ids
            places += ((start + first, start + last) for first, last in part_places)
        return ids, places

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of token ids.

        Args:
            ids: token ids of this vocabulary.
            skip_special: leave out the added tokens that are marked as special; ``<think>`` and its like are not.
        """
        text: str = self._template.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def streamer(self, *, skip_special: bool = True) -> Streamer:
        """What turns ids into text one by one."""
        return Streamer(self._template, skip_special)


class Encoding(Protocol):
    """What turns texts that are data into ids."""

    def encode_data_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As :meth:`Tokenizer.encode_data_batch`."""


class Unopened:
    """A tokenizer that is opened when it first encodes, which takes seconds; to know what was counted takes its fingerprint.

    Args:
        data: the bytes that it is made of.
        name: how messages call it.
        opened: opens it; called once.
    """

    def __init__(self, data: bytes, name: str, opened: Callable[[], Encoding]) -> None:
        self.name = name
        self.fingerprint = hashlib.sha256(data).hexdigest()
        self._open = opened

    @cached_property
    def _opened(self) -> Encoding:
        return self._open()

    def encode_data_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As :meth:`Tokenizer.encode_data_batch`.

        Raises:
            ModelDamagedError: the bytes are no tokenizer that can be read.
        """
        return self._opened.encode_data_batch(texts)


class Streamer:
    """Text of ids that come one by one; what it gave so far, joined, is always a head of the whole text.

    Args:
        template: the tokenizer whose ids they are.
        skip_special: as in :meth:`Tokenizer.decode`.
    """

    def __init__(self, template: tokenizers.Tokenizer, skip_special: bool) -> None:
        from tokenizers.decoders import DecodeStream

        self._template = template
        self._skip_special = skip_special
        self._stream = DecodeStream(skip_special_tokens=skip_special)
        self._ids: list[int] = []
        self._given = 0

    def push(self, token: int) -> str:
        """The text that ``token`` completes; empty while a character is only half there."""
        self._ids.append(token)
        text: str = self._stream.step(self._template, token) or ""
        self._given += len(text)
        return text

    def finish(self) -> str:
        """The text that was held back: a character of which the end never came. Call it once, at the end."""
        text: str = self._template.decode(self._ids, skip_special_tokens=self._skip_special)
        return text[self._given :]


def _bytes_of(folder: str | Path) -> bytes:
    path = Path(folder) / "tokenizer.json"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelDamagedError(
            f"{path}: no tokenizer can be read: {error.strerror}",
            hint="fetch the model again, with all of its files, or name another one",
        ) from error


def clean(text: str) -> str:
    """The text with a replacement character for each lone surrogate; as long as before, so that offsets hold."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _parse(data: bytes, name: str) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer as Rust

    try:
        return Rust.from_buffer(data)
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelDamagedError(
            f"{name}: tokenizer.json cannot be read: {error}",
            hint="fetch the model again, with all of its files, or name another one",
        ) from error
