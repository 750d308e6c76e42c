"""Data never becomes control, whatever the model's kind; and nothing of a text is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Rust

from longctx.errors import ModelDamagedError
from longctx.stream import Tokenizer

CONTROL = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "<|vision_start|>", "<s>", "[UNK]"]
CORPUS = [Path(__file__).read_text(encoding="utf-8"), "Grüße aus Zürich, 日本語のテキスト, emoji 🎉 and words words words " * 3]


def trained(model: Any, trainer: Any, **parts: Any) -> Rust:
    tokenizer = Rust(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level(in_vocabulary: bool) -> Rust:
    """As of Qwen, whose control tokens follow the vocabulary; or of SmolLM2, where they stand in it."""
    special = CONTROL if in_vocabulary else []
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    splitting = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return trained(models.BPE(), trainer, pre_tokenizer=splitting, decoder=decoders.ByteLevel())


def whole_words() -> Rust:
    """As of Llama 3: a word that stands in the vocabulary is that token without any merge, and here "<think>" is a word."""
    document = json.loads(byte_level(in_vocabulary=True).to_str())
    document["model"]["ignore_merges"] = True
    document["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": r"\s+"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ],
    }
    return Rust.from_str(json.dumps(document))


def unigram() -> Rust:
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=CONTROL, unk_token="[UNK]", show_progress=False)
    tokenizer = trained(models.Unigram(), trainer, pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace())
    document = json.loads(tokenizer.to_str())
    document["model"]["vocab"] = [[piece, -1.0 if piece in CONTROL else score] for piece, score in document["model"]["vocab"]]
    return Rust.from_str(json.dumps(document))


def word_piece() -> Rust:
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=CONTROL, show_progress=False)
    splitting = pre_tokenizers.WhitespaceSplit()
    return trained(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizer=splitting, decoder=decoders.WordPiece())


KINDS: dict[str, Callable[[], Rust]] = {
    "bpe": lambda: byte_level(in_vocabulary=False),
    "bpe with control tokens in its vocabulary": lambda: byte_level(in_vocabulary=True),
    "bpe of whole words": whole_words,
    "unigram": unigram,
    "word piece": word_piece,
}
LOSSLESS = tuple(KINDS)[:3]
_made: dict[str, Tokenizer] = {}


def make(kind: str) -> Tokenizer:
    if kind not in _made:
        tokenizer = KINDS[kind]()
        tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL if "think" not in text])
        tokenizer.add_tokens([AddedToken(text, special=False) for text in CONTROL if "think" in text])
        _made[kind] = Tokenizer.from_json(tokenizer.to_str(), name=kind)
    return _made[kind]


def texts() -> st.SearchStrategy[str]:
    """Texts of which control strings, heads of them and nestings of them are a good part."""
    heads = st.sampled_from(CONTROL).flatmap(lambda text: st.integers(1, len(text)).map(lambda size: text[:size]))
    nested = st.tuples(st.sampled_from(CONTROL), st.sampled_from(CONTROL), st.integers(0, 12)).map(
        lambda drawn: drawn[0][: drawn[2]] + drawn[1] + drawn[0][drawn[2] :]
    )
    words = st.sampled_from([" ", "\n", "\r\n", "word", "日本", "🎉", "e\u0301", "\udc80", "x"])
    return st.lists(st.one_of(st.sampled_from(CONTROL), heads, nested, words, st.text(max_size=8)), max_size=12).map("".join)


def as_read(text: str) -> str:
    """What a tokenizer can be given: a lone half of a surrogate pair is no character."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=texts())
@example("<think>")
@example("[UNK]")
@example("<s>")
@example("\u0416" * 1200)
def test_no_control_token_comes_out_of_data(kind: str, text: str) -> None:
    tokenizer = make(kind)
    control = set(tokenizer.added.values())
    assert control.isdisjoint(tokenizer.encode_data(text))
    assert tokenizer.encode_data_batch([text]) == [tokenizer.encode_data(text)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_control_strings_are_tokens_in_a_template(kind: str) -> None:
    tokenizer = make(kind)
    for text in CONTROL:
        assert tokenizer.encode_template(text) == [tokenizer.added[text]]


@pytest.mark.parametrize("kind", LOSSLESS)
@settings(deadline=None)
@given(text=texts())
def test_nothing_is_lost_on_the_way_to_tokens_and_back(kind: str, text: str) -> None:
    tokenizer = make(kind)
    assert tokenizer.decode(tokenizer.encode_data(text)) == as_read(text)


@pytest.mark.parametrize("kind", LOSSLESS)
@settings(deadline=None)
@given(text=texts())
def test_offsets_cover_the_text_in_order(kind: str, text: str) -> None:
    ids, places = make(kind).offsets(text)
    assert ids == make(kind).encode_data(text)
    reached = 0
    for start, end in places:
        assert start <= reached <= end > start  # several tokens may share a character
        reached = end
    assert reached == len(text)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(data=st.data())
def test_streamed_text_is_the_decoded_text(kind: str, data: st.DataObject) -> None:
    tokenizer = make(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    streamer = tokenizer.streamer()
    pieces = [streamer.push(token) for token in ids]
    assert "".join(pieces) + streamer.finish() == tokenizer.decode(ids)


def test_half_a_character_waits_for_its_other_half() -> None:
    tokenizer = make("bpe")
    streamer = tokenizer.streamer()
    pieces = [streamer.push(token) for token in tokenizer.encode_data("a🎉b")]
    assert [piece for piece in pieces if piece] == ["a", "🎉", "b"]
    assert streamer.finish() == ""


def test_decoding_leaves_out_special_tokens_but_keeps_think() -> None:
    tokenizer = make("bpe")
    ids = tokenizer.encode_template("<|im_start|><think>why</think>yes<|im_end|>")
    assert tokenizer.decode(ids) == "<think>why</think>yes"
    assert tokenizer.decode(ids, skip_special=False).startswith("<|im_start|>")


def test_a_tokenizer_that_adds_a_beginning_adds_none_here() -> None:
    from tokenizers import processors

    tokenizer = byte_level(in_vocabulary=True)
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=50)
    ours = Tokenizer.from_json(tokenizer.to_str())
    assert ours.encode_template("some words") == ours.encode_data("some words") == make(LOSSLESS[1]).encode_data("some words")


def test_offsets_are_those_of_the_text_before_it_is_normalised() -> None:
    tokenizer = byte_level(in_vocabulary=False)
    tokenizer.normalizer = normalizers.NFC()
    text = "e\u0301e\u0301\nx"
    ids, places = Tokenizer.from_json(tokenizer.to_str()).offsets(text)
    line_end = next(place for number, place in zip(ids, places, strict=True) if tokenizer.decode([number]).startswith("\n"))
    assert line_end[0] == text.index("\n")


def test_a_long_unknown_word_is_no_deep_recursion() -> None:
    assert make("word piece").encode_data("\u0416" * 20_000) == []


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    text = byte_level(in_vocabulary=True).to_str()
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    read = Tokenizer.from_folder(tmp_path)
    assert read.fingerprint == Tokenizer.from_json(text).fingerprint
    assert read.fingerprint != Tokenizer.from_json(text + "\n").fingerprint
    assert read.name == str(tmp_path)


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"{}", b'{"model": 1}', b"\xff\xfe", b'{"version":"1.0","model":{"type":"BPE"}}']
)
def test_a_folder_without_a_readable_tokenizer_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelDamagedError, match=r"tokenizer\.json") as caught:
        Tokenizer.from_folder(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint
