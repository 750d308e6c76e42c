"""GGUF headers: read to the last tensor and no further, and every kind of damage told apart from a header."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx import models
from longctx.errors import LongctxError, ModelDamagedError, ModelError
from longctx.models import gguf, gguf_config
from tests.gguf_files import LLAMA, header, tensor, text, value_of

#: Of the header of a tiny Llama: matrices of two types, in the order of the file.
TENSORS = (tensor("token_embd.weight", (64, 256)), tensor("blk.0.attn_q.weight", (64, 64), 12, 32_768))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        file = tmp_path / "m.gguf"
        file.write_bytes(data)
        return file

    return write


# -- what is read ------------------------------------------------------------------------------------------------------
def test_fields_lengths_and_tensors_are_read(written: Callable[[bytes], Path]) -> None:
    fields = {**LLAMA, "llama.feed_forward_length": [128, 96], "general.flag": True}
    read = gguf.read(written(header(fields, TENSORS) + bytes(36_864)), name="m")
    assert read.fields["llama.rope.freq_base"] == 10000.0
    assert read.fields["llama.feed_forward_length"] == [128, 96]
    assert read.fields["general.flag"] is True
    assert "tokenizer.ggml.tokens" not in read.fields
    assert read.lengths["tokenizer.ggml.tokens"] == 256
    assert read.tensors[0] == gguf.Tensor("token_embd.weight", (64, 256), "F16", 32_768)
    assert (read.tensors[1].kind, read.tensors[1].size, read.tensors[1].numbers) == ("Q4_K", 64 * 144, 4096)


def test_a_file_of_llama_cpps_own_writer_is_read_as_its_own_reader_does(tmp_path: Path) -> None:
    import gguf as theirs
    import numpy as np

    file = tmp_path / "m.gguf"
    writer = theirs.GGUFWriter(file, "llama")
    writer.add_block_count(3)
    writer.add_rope_freq_base(5e5)
    writer.add_head_count_kv([2, 0, 2])
    writer.add_token_list(["a", "ü", "<s>"])
    writer.add_chat_template("{{ x }}")
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((6, 32), dtype=np.float16))
    quantised = theirs.quants.quantize(np.zeros((4, 64), dtype=np.float32), theirs.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output.weight", quantised, raw_dtype=theirs.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ours, other = gguf.read(file, name="m"), theirs.GGUFReader(file)
    scalars = {name: field.contents() for name, field in other.fields.items() if not name.startswith("GGUF.")}
    assert ours.lengths == {"llama.attention.head_count_kv": 3, "tokenizer.ggml.tokens": 3}
    assert ours.fields == {name: value for name, value in scalars.items() if name != "tokenizer.ggml.tokens"}
    expected = [(t.name, tuple(int(n) for n in t.shape), t.tensor_type.name, int(t.n_bytes)) for t in other.tensors]
    assert [(t.name, t.shape, t.kind, t.size) for t in ours.tensors] == expected
    assert ours.notes == ()


def test_the_table_of_types_is_that_of_llama_cpp() -> None:
    import gguf as theirs

    sizes = {int(kind): (kind.name, *size) for kind, size in theirs.GGML_QUANT_SIZES.items()}
    assert dict(gguf.TYPES) == sizes


class Counting:
    """A file that knows how much of it was read."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.bytes = stream, 0

    def read(self, length: int = -1) -> bytes:
        data = self.stream.read(length)
        self.bytes += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def test_nothing_of_the_weights_is_read(written: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    data = header(LLAMA, [tensor("token_embd.weight", (64_000_000, 256))])
    file = written(data)
    with file.open("ab") as stream:
        stream.truncate(len(data) + 64_000_000 * 256 * 2)  # 33 GB, which the disk does not hold
    opened = Counting(file.open("rb"))
    monkeypatch.setattr(gguf, "_opened", lambda *_: opened)
    read = gguf.read(file, name="m")
    assert (read.size, read.notes) == (64_000_000 * 256 * 2, ())
    assert opened.bytes <= len(data)


def test_long_texts_and_arrays_are_passed_over(written: Callable[[bytes], Path]) -> None:
    fields = {**LLAMA, "tokenizer.chat_template": "x" * 2_000_000, "tokenizer.ggml.scores": [0.5] * 20_000}
    read = gguf.read(written(header({**fields, "general.name": "after them"})), name="m")
    assert "tokenizer.chat_template" not in read.fields
    assert "tokenizer.ggml.scores" not in read.fields
    assert (read.lengths["tokenizer.ggml.scores"], read.fields["general.name"]) == (20_000, "after them")


def test_a_type_that_is_newer_than_the_table_takes_what_the_file_gives_it(written: Callable[[bytes], Path]) -> None:
    rows = (tensor("a", (64, 4), 77), tensor("b", (32, 1), 0, 512), tensor("c", (64, 4), 77, 640))
    read = gguf.read(written(header(LLAMA, rows) + bytes(640 + 300)), name="m")
    assert [(t.kind, t.size) for t in read.tensors] == [("type 77", 512), ("F32", 128), ("type 77", 300)]


def test_a_download_that_was_cut_can_be_planned_with_and_is_said_to_be_cut(written: Callable[[bytes], Path]) -> None:
    whole = header(LLAMA, TENSORS) + bytes(32_768 + 64 * 144)
    assert gguf.read(written(whole), name="m").notes == ()
    (note,) = gguf.read(written(whole[:-1000]), name="m").notes
    assert "1000 bytes of its weights are missing" in note


# -- parts -------------------------------------------------------------------------------------------------------------
def in_parts(folder: Path, count: int = 2) -> list[Path]:
    parts = []
    for i in range(count):
        fields = {"split.no": i, "split.count": count, **(LLAMA if i == 0 else {})}
        parts.append(folder / f"m-{i + 1:05}-of-{count:05}.gguf")
        parts[-1].write_bytes(header(fields, TENSORS[i : i + 1]) + bytes(70_000))
    return parts


def test_a_model_in_parts_is_counted_whole(tmp_path: Path) -> None:
    first, _ = in_parts(tmp_path)
    assert [t.name for t in gguf.read(first, name="m").tensors] == ["token_embd.weight", "blk.0.attn_q.weight"]


def test_a_later_part_names_the_first(tmp_path: Path) -> None:
    _, second = in_parts(tmp_path)
    with pytest.raises(ModelError, match="later part of a model in 2 parts") as refused:
        gguf.read(second, name="m")
    assert "00001" in refused.value.hint


def test_a_part_that_is_missing_leaves_the_formula(tmp_path: Path) -> None:
    first, second = in_parts(tmp_path)
    second.unlink()
    read = gguf.read(first, name="m")
    assert read.tensors == ()
    assert "1 of its 2 parts" in read.notes[0]


# -- damage ------------------------------------------------------------------------------------------------------------
def raw_array(kind: int, count: int, data: bytes = b"") -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + data


DAMAGE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is damaged"),
    "magic alone": (b"GGUF", "is damaged"),
    "wrong magic": (header(LLAMA, magic=b"GGML"), "no GGUF file"),
    "a page of the hub instead": (b"<!DOCTYPE html><html>" * 20, "no GGUF file"),
    "version 1": (header(LLAMA, version=1), "version 1"),
    "a version to come": (header(LLAMA, version=4), "version 4"),
    "big-endian": (header(LLAMA, order=">"), "big-endian"),
    "more keys than there can be": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60) + bytes(99), "keys are announced"),
    "more tensors than there can be": (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0) + bytes(99), "tensors are announced"),
    "a key past the end": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62) + bytes(99), "a name of"),
    "a text past the end": (header({"a": struct.pack("<IQ", 8, 2**63)}), "bytes are announced"),
    "an array past the end": (header({"a": raw_array(4, 2**62)}), "numbers in 'a' are announced"),
    "texts past the end": (header({"a": raw_array(8, 2**40)}), "texts in 'a' are announced"),
    "a text of an array past the end": (header({"a": raw_array(8, 2, text("x") + struct.pack("<Q", 2**50))}), "announced"),
    "an array of arrays": (header({"a": raw_array(9, 1, raw_array(4, 0))}), "type 9"),
    "a value of no type": (header({"a": struct.pack("<I", 13)}), "type 13"),
    "a key twice": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (text("a") + value_of(1)), "is there twice"),
    "a key that is no text": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"\xff") + bytes(9), "no UTF-8"),
    "a tensor of no axes": (header(LLAMA, [tensor("a", ())]), "0 axes"),
    "a tensor of many axes": (header(LLAMA, [tensor("a", (2,) * 9)]), "9 axes"),
    "a tensor of nothing": (header(LLAMA, [tensor("a", (64, 0))]), "the shape"),
    "a tensor of too much": (header(LLAMA, [tensor("a", (2**40, 2**40))]), "the shape"),
    "a tensor far away": (header(LLAMA, [tensor("a", (64,), 0, 2**63)]), "after the header"),
    "two tensors of one name": (header(LLAMA, [tensor("a", (64,)), tensor("a", (64,))]), "same name"),
    "an alignment of 0": (header({**LLAMA, "general.alignment": 0}), "general.alignment is 0"),
    "an alignment that is a text": (header({**LLAMA, "general.alignment": "x"}), "general.alignment is 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_by_its_kind_and_costs_nothing(name: str, written: Callable[[bytes], Path]) -> None:
    data, words = DAMAGE[name]
    file = written(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelDamagedError, match=words) as refused:
            gguf.read(file, name="mine.gguf")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert "mine.gguf" in refused.value.message
    assert refused.value.hint


def test_a_file_that_is_all_length_fields_ends_soon(written: Callable[[bytes], Path]) -> None:
    empty_texts = header({"a": raw_array(8, 1 << 22)}) + bytes(8 << 22)
    assert gguf.read(written(empty_texts), name="m").lengths == {"a": 1 << 22}
    with pytest.raises(ModelDamagedError, match="texts in 'a'"):
        gguf.read(written(header({"a": raw_array(8, (1 << 22) + 1)}) + bytes(9 << 22)), name="m")


def test_no_header_fills_the_memory(written: Callable[[bytes], Path]) -> None:
    numbers = {f"n{i}": [7] * 10_000 for i in range(300)}
    texts = {f"t{i}": "x" * 5_000 for i in range(1_000)}
    file = written(header({**numbers, **texts, "general.name": "m"}))
    tracemalloc.start()
    try:
        read = gguf.read(file, name="m")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert len([key for key in read.fields if key.startswith("n")]) == 10
    assert (len(read.lengths), read.fields["general.name"]) == (300, "m")


WHOLE = header(LLAMA, TENSORS) + bytes(64)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A header with some bytes changed, put in or cut off."""
    data = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        change = draw(st.sampled_from(["set", "long", "put in", "cut"]))
        if change == "set":
            data[place] = draw(st.integers(0, 255))
        elif change == "long":
            data[place : place + 8] = struct.pack("<Q", draw(st.sampled_from([0, 1, 2**16, 2**32, 2**62, 2**64 - 1])))
        elif change == "put in":
            data[place:place] = draw(st.binary(max_size=9))
        else:
            del data[max(1, place) :]
    return bytes(data)


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=damaged())
def test_no_damage_is_a_foreign_error(data: bytes, written: Callable[[bytes], Path]) -> None:
    try:
        files = models.find(written(data))
    except LongctxError:
        return
    assert files.config["hidden_size"] > 0


# -- what it means -----------------------------------------------------------------------------------------------------
def meaning(fields: dict[str, Any], tensors: tuple[str, ...] = ()) -> dict[str, Any]:
    rows = tuple(gguf.Tensor(name, (64, 64), "F16", 8192) for name in tensors)
    lengths = {key: len(value) for key, value in fields.items() if isinstance(value, list)}
    return gguf_config.config(gguf.Header(fields, lengths, rows), name="mine.gguf")


def test_a_tiny_llama_is_understood() -> None:
    made = meaning(LLAMA)
    assert made == {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 1024, "head_dim": 16,
        "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }  # fmt: skip


@pytest.mark.parametrize("key", ["embedding_length", "block_count", "context_length", "attention.head_count"])
@pytest.mark.parametrize("value", [None, 0, -3, "64", 1.5, True, 10**12, [], [64, "a"]])
def test_a_needed_size_that_is_missing_or_nonsense_is_named(key: str, value: Any) -> None:
    fields = {name: v for name, v in LLAMA.items() if name != f"llama.{key}"}
    with pytest.raises(ModelDamagedError) as refused:
        meaning(fields if value is None else {**fields, f"llama.{key}": value})
    assert f"llama.{key}" in refused.value.message
    assert "mine.gguf" in refused.value.message
    assert value is None or repr(value) in refused.value.message


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "1e4", True])
def test_a_nonsense_theta_is_named(value: Any) -> None:
    with pytest.raises(ModelDamagedError, match=r"llama\.rope\.freq_base"):
        meaning({**LLAMA, "llama.rope.freq_base": value})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "no general.architecture"),
        ({"general.architecture": 7}, "no general.architecture"),
        ({**LLAMA, "general.architecture": "clip"}, "'clip'"),
        ({**LLAMA, "general.architecture": "nomic-bert-moe"}, "nomic-bert-moe"),
        ({**LLAMA, "general.architecture": "gemma-embedding"}, "gemma-embedding"),
        ({**LLAMA, "general.architecture": "t5"}, "'t5'"),
        ({**LLAMA, "general.type": "adapter"}, "'adapter'"),
        ({**LLAMA, "general.type": "mmproj"}, "'mmproj'"),
        ({**LLAMA, "llama.pooling_type": 3}, "vectors"),
        ({**LLAMA, "llama.attention.causal": False}, "both ways"),
        ({key: value for key, value in LLAMA.items() if "tokens" not in key}, "vocab_size"),
        ({**LLAMA, "llama.nextn_predict_layers": 2}, "nextn_predict_layers"),
        ({**LLAMA, "llama.block_count": 100_000}, "100000"),
    ],
)
def test_what_is_no_model_that_speaks_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        meaning(fields)


def test_the_layers_that_predict_further_tokens_are_not_layers() -> None:
    made = meaning({**LLAMA, "llama.block_count": 9, "llama.nextn_predict_layers": 1})
    assert made["num_hidden_layers"] == 8


def test_layers_without_kv_are_said_to_have_none() -> None:
    made = meaning({**LLAMA, "general.architecture": "llama", "llama.attention.head_count_kv": [0, 2]})
    assert (made["layer_types"], made["num_key_value_heads"]) == (["none", "full_attention"], 2)


def test_layers_that_are_said_to_be_recurrent_are() -> None:
    made = meaning({**LLAMA, "llama.attention.recurrent_layers": [True, False]})
    assert made["layer_types"] == ["linear_attention", "full_attention"]


def test_a_window_counts_where_it_is_known_which_layers_slide() -> None:
    window = {"llama.attention.sliding_window": 64}
    assert "sliding_window" not in meaning({**LLAMA, **window})
    made = meaning({**LLAMA, **window, "llama.attention.sliding_window_pattern": [True, False]})
    assert (made["sliding_window"], made["layer_types"]) == (64, ["sliding_attention", "full_attention"])


@pytest.mark.parametrize(
    ("keys", "tensors", "rope"),
    [
        ({}, (), {"rope_type": "default"}),
        ({"scaling.type": "none"}, (), {"rope_type": "default"}),
        ({"scale_linear": 1.0}, (), {"rope_type": "default"}),
        ({"scale_linear": 2.0}, (), {"rope_type": "linear"}),
        ({"scaling.type": "linear", "scaling.factor": 8.0}, (), {"rope_type": "linear", "factor": 8.0}),
        (
            {"scaling.type": "yarn", "scaling.factor": 4.0, "scaling.original_context_length": 512},
            (),
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512},
        ),
        ({}, ("rope_freqs.weight",), {"rope_type": "llama3"}),
        ({"scaling.type": "longrope"}, (), {"rope_type": "longrope"}),
        ({}, ("rope_factors_long.weight",), {"rope_type": "longrope"}),
        ({"dimension_count": 4, "dimension_sections": [1, 1, 0, 0]}, (), {
            "rope_type": "default", "partial_rotary_factor": 0.25, "mrope_section": [1, 1],
        }),
        ({"dimension_count": 16}, (), {"rope_type": "default"}),
    ],
)  # fmt: skip
def test_rotation_is_read_and_so_is_its_scaling(keys: dict[str, Any], tensors: tuple[str, ...], rope: dict[str, Any]) -> None:
    made = meaning({**LLAMA, **{f"llama.rope.{key}": value for key, value in keys.items()}}, tensors)
    assert made["rope_parameters"] == {"rope_theta": 10000.0, **rope}


# -- the way to it -----------------------------------------------------------------------------------------------------
def test_a_file_is_found_by_its_name_or_by_its_first_bytes(tmp_path: Path) -> None:
    for name in ("m.gguf", "blob"):
        (tmp_path / name).write_bytes(header(LLAMA))
        files = models.find(tmp_path / name)
        assert (files.config["hidden_size"], files.config_only, files.remote) == (64, True, False)
        assert files.folder == tmp_path / name


def test_a_file_of_another_kind_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x10" + bytes(64))
    with pytest.raises(ModelError, match="neither"):
        models.find(tmp_path / "model.safetensors")


def test_a_folder_of_gguf_files_says_to_name_one(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(header(LLAMA))
    with pytest.raises(ModelError, match="but GGUF files") as refused:
        models.find(tmp_path)
    assert str(tmp_path / "m.gguf") in refused.value.hint


def test_a_gguf_file_is_not_loaded_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(header(LLAMA))
    with pytest.raises(ModelError, match="plans for and does not load") as refused:
        models.with_weights(models.find(tmp_path / "m.gguf"))
    assert "llama.cpp" in refused.value.hint
