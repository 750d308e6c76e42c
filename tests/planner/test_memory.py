from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from longctx.errors import UsageError
from longctx.planner import Geometry, memory
from longctx.planner.geometry import Linear
from longctx.planner.memory import Precision

CONFIGS = Path(__file__).parent / "configs"
SMOL = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
BF16, NF4, INT8 = Precision(16), Precision(4), Precision(8)


def qwen(name: str) -> Geometry:
    return Geometry.from_config(json.loads((CONFIGS / f"Qwen3.5-{name}" / "config.json").read_text()))


@pytest.mark.parametrize(("outputs", "inputs"), [(64, 64), (96, 192), (1024, 1088)])
def test_bytes_of_nf4_equal_those_of_a_real_quantised_matrix(outputs, inputs):
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(inputs, outputs, bias=False, compress_statistics=True, quant_type="nf4", device="cpu").to("cpu")
    state = layer.weight.quant_state
    tensors = (layer.weight.data, state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)
    assert memory.nf4(Linear(outputs, inputs)) == sum(tensor.nbytes for tensor in tensors)
    assert memory.nf4(Linear(outputs, inputs, 3)) == 3 * memory.nf4(Linear(outputs, inputs))


def test_bytes_of_int8_equal_those_of_a_real_quantised_matrix():
    from bitsandbytes.nn import Int8Params

    weight = Int8Params(torch.randn(96, 64), requires_grad=False, has_fp16_weights=False).to("cpu")
    weight = weight._quantize("cpu") if weight.SCB is None else weight
    assert memory.int8(Linear(96, 64)) == weight.data.nbytes + weight.SCB.nbytes


def test_sixteen_bits_are_two_bytes_for_every_parameter():
    geometry = Geometry.from_config(SMOL)
    assert geometry.parameters.total == 134_515_008
    assert memory.weights(geometry, BF16) == 2 * 134_515_008
    assert memory.weights(geometry, Precision(16, "float32")) == 4 * 134_515_008


def test_embedding_norms_and_vision_are_not_quantised():
    geometry = qwen("4B")
    kept = geometry.parameters.total - sum(linear.numbers for linear in geometry.quantized)
    assert memory.weights(geometry, NF4) > 2 * kept
    assert memory.weights(geometry, NF4) == pytest.approx(2 * kept + 0.516 * (geometry.parameters.total - kept), rel=0.002)


def test_experts_stay_in_sixteen_bits():
    geometry = qwen("35B-A3B")
    assert geometry.experts_kept
    assert memory.weights(geometry, NF4) / 2**30 == pytest.approx(62.8, abs=1)


@pytest.mark.parametrize(("name", "layers"), [("0.8B", 6), ("35B-A3B", 10)])
def test_only_full_attention_layers_hold_keys_and_values(name, layers):
    geometry = qwen(name)
    assert memory.kv_cache(geometry, 1000) == 1000 * layers * 2 * 2 * 256 * 2


def test_sliding_layers_stop_growing():
    geometry = Geometry.from_config({**SMOL, "model_type": "gemma3_text", "head_dim": 64, "sliding_window": 100})
    growth = memory.kv_cache(geometry, 5000) - memory.kv_cache(geometry, 4999)
    assert growth == geometry.count("full_attention") * 2 * 3 * 64 * 2
    assert geometry.count("sliding_attention") == 25


def test_a_prefix_on_disk_is_its_keys_values_and_one_state():
    geometry = qwen("0.8B")
    assert memory.prefix(geometry, 10) == memory.kv_cache(geometry, 10) + geometry.state_bytes()


@pytest.mark.parametrize("geometry", [Geometry.from_config(SMOL), qwen("0.8B"), qwen("35B-A3B")])
@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("precision", [BF16, NF4, INT8])
def test_the_total_never_falls_with_more_tokens_or_a_larger_step(geometry, kind, precision):
    def total(tokens, chunk):
        return memory.estimate(geometry, precision, kind, tokens=tokens, chunk=chunk, available=0).total

    sizes = [1, 64, 511, 512, 513, 2048, 100_000, 1_000_000]
    assert sorted(total(tokens, 512) for tokens in sizes) == [total(tokens, 512) for tokens in sizes]
    chunks = [64, 128, 512, 2048]
    assert sorted(total(100_000, chunk) for chunk in chunks) == [total(100_000, chunk) for chunk in chunks]


def test_the_mask_is_counted_once_the_prompt_is_longer_than_a_step():
    geometry = Geometry.from_config({**SMOL, "num_key_value_heads": 9})
    shorter, longer = (memory.activations(geometry, BF16, "cpu", tokens=n, chunk=512) for n in (16_384, 32_768))
    assert longer - shorter == (1 + 2) * 512 * 16_384


def test_keys_and_values_repeated_to_every_query_head_are_counted():
    few, many = (Geometry.from_config({**SMOL, "num_key_value_heads": n}) for n in (3, 9))
    cpu, mps = (memory.activations(few, BF16, kind, tokens=32_768, chunk=64) for kind in ("cpu", "mps"))
    assert cpu - mps == 2 * 32_768 * 576 * 2
    assert memory.activations(many, BF16, "cpu", tokens=32_768, chunk=64) < cpu


def test_the_total_is_the_sum_of_what_is_shown():
    figures = memory.estimate(qwen("4B"), NF4, "cuda", tokens=50_000, chunk=2048, available=8 * 10**9).to_json()
    parts = ("weights", "kv_cache", "state", "activations", "overhead")
    assert figures["total"] == sum(figures[part] for part in parts)
    assert figures["basis"] == "computed"
    assert all(isinstance(figures[part], int) for part in (*parts, "total", "available"))


def test_cuda_keeps_a_tenth_and_a_gigabyte_of_headroom():
    figures = memory.estimate(qwen("4B"), NF4, "cuda", tokens=50_000, chunk=2048, available=0)
    components = figures.total - figures.overhead
    assert figures.overhead >= 10**9 + components // 10


@pytest.mark.parametrize("bits", [0, 2, 5, 32, True, "4"])
def test_other_bits_are_refused_with_their_value(bits):
    with pytest.raises(UsageError, match=f"bits={bits!r}"):
        Precision(bits)


def test_another_dtype_is_refused_with_its_value():
    with pytest.raises(UsageError, match="int3"):
        Precision(16, "int3")
