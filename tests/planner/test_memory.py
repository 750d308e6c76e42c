from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from longctx.errors import UsageError
from longctx.planner import Geometry, memory
from longctx.planner.geometry import Linear
from longctx.planner.memory import Precision
from longctx.planner.towers import Sight
from tests.planner.published import SMOL, qwen

BF16, NF4, INT8 = Precision(16), Precision(4), Precision(8)
INT8_KV = Precision(4, kv_dtype="int8")


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
    def total(tokens, chunk, item=112):
        return memory.estimate(geometry, precision, kind, tokens=tokens, chunk=chunk, largest_item=item, available=0).total

    sizes = [1, 64, 511, 512, 513, 2048, 100_000, 1_000_000]
    assert sorted(total(tokens, 512) for tokens in sizes) == [total(tokens, 512) for tokens in sizes]
    chunks = [64, 128, 512, 2048]
    assert sorted(total(100_000, chunk) for chunk in chunks) == [total(100_000, chunk) for chunk in chunks]
    items = [0, 112, 512, 2048, 16_384]
    assert sorted(total(100_000, 512, item) for item in items) == [total(100_000, 512, item) for item in items]


def test_the_mask_is_counted_once_the_prompt_is_longer_than_a_step():
    geometry = Geometry.from_config({**SMOL, "num_key_value_heads": 9})
    shorter, longer = (memory.activations(geometry, BF16, "cuda", tokens=n, chunk=512) for n in (16_384, 32_768))
    assert longer - shorter == (1 + 2) * 512 * 16_384


def test_on_a_cpu_a_step_takes_the_same_however_long_the_past_is():
    geometry = Geometry.from_config(SMOL)
    shorter, longer = (memory.activations(geometry, BF16, "cpu", tokens=n, chunk=512) for n in (16_384, 1_000_000))
    assert shorter == longer
    sliding = replace(geometry, layers=("sliding_attention", *geometry.layers[1:]), sliding_window=1024)
    assert memory.activations(sliding, BF16, "cpu", tokens=16_384, chunk=512) > shorter


def test_keys_and_values_repeated_to_every_query_head_are_counted():
    few, many = (Geometry.from_config({**SMOL, "num_key_value_heads": n}) for n in (3, 9))
    cuda, mps = (memory.activations(few, BF16, kind, tokens=32_768, chunk=64) for kind in ("cuda", "mps"))
    assert cuda - mps == 2 * 32_768 * 576 * 2
    assert memory.activations(many, BF16, "cuda", tokens=32_768, chunk=64) < cuda


def test_the_total_is_the_sum_of_what_is_shown():
    seen = {"tokens": 50_000, "chunk": 2048, "largest_item": 4_096, "available": 8 * 10**9}
    figures = memory.estimate(qwen("4B"), NF4, "cuda", **seen).to_json()
    parts = ("weights", "kv_cache", "state", "activations", "vision", "overhead")
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


# -- what is seen ------------------------------------------------------------------------------------------------------
def seen(geometry, precision=BF16, kind="cpu", *, item, chunk=64, tokens=100_000):
    return memory.estimate(geometry, precision, kind, tokens=tokens, chunk=chunk, largest_item=item, available=0)


def test_a_model_without_eyes_and_a_prompt_without_pictures_take_nothing_for_vision():
    assert seen(Geometry.from_config(SMOL), item=500).vision == 0
    assert seen(qwen("4B"), item=0).vision == 0
    assert seen(qwen("4B"), item=500).vision > 0


def test_a_step_is_as_long_as_the_largest_picture():
    geometry = qwen("4B")
    plain = memory.activations(geometry, BF16, "cpu", tokens=100_000, chunk=4_096) + 100_000 * memory.IDS
    assert seen(geometry, item=4_096).activations == seen(geometry, item=112, chunk=4_096).activations == plain


def test_encoding_counts_only_where_it_is_hungrier_than_the_text():
    geometry = qwen("4B")
    patches, element = 4 * 4_096, 2
    beside = patches * (4 * 1_536 + 1_024 * element) + 4_096 * element * (2 * 2_560 + 2_560)
    assert seen(geometry, item=4_096).vision == beside
    alone = memory.vision(geometry, BF16, "cpu", tokens=4_096, text=0)
    assert alone == patches * 4 * 1_536 + 4_096 * element * 2 * 2_560 + memory.encoder(geometry.sight, element, "cpu", patches)


def test_deeper_taps_take_more():
    vision = {"depth": 4, "hidden_size": 64, "num_heads": 2, "deepstack_visual_indexes": [0, 1]}
    config = {"model_type": "qwen3_vl", "text_config": {**SMOL, "model_type": "qwen3_vl_text"}, "vision_config": vision}
    geometry = Geometry.from_config(config)
    plain = replace(geometry, sight=replace(geometry.sight, taps=0))
    tapped, untapped = (memory.vision(g, BF16, "cpu", tokens=100, text=0) for g in (geometry, plain))
    assert tapped - untapped == 2 * 100 * 576 * 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_tower_really_takes_what_the_formula_says(dtype):
    """Tensors that live at once inside of the tower, as torch's own bookkeeping has them: no allocator, no noise."""
    from torch.profiler import ProfilerActivity, profile
    from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5VisionConfig
    from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5VisionModel

    sizes = {"hidden_size": 256, "depth": 2, "num_heads": 4, "intermediate_size": 1024, "out_hidden_size": 128}
    tower = Qwen3_5VisionModel(Qwen3_5VisionConfig(**sizes, attn_implementation="sdpa")).to(dtype).eval()
    down, across = 24, 32
    pixels, grid = torch.rand(down * across, 1536), torch.tensor([[1, down, across]])
    with torch.inference_mode():
        tower(pixels.to(dtype), grid_thw=grid)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            tower(pixels.to(dtype), grid_thw=grid)
    changes = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held, peak = 0, 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    sight = Sight(hidden=256, heads=4, mlp_width=1024)
    predicted = memory.encoder(sight, dtype.itemsize, "cpu", down * across) - memory.KEPT_BY_MALLOC * dtype.itemsize
    assert predicted == pytest.approx(peak, rel=0.1)


@pytest.mark.parametrize(("kv_dtype", "bytes_of_a_head"), [("", 512), ("int8", 260), ("int4", 160)])
def test_packed_kv_counts_its_scales(kv_dtype, bytes_of_a_head):
    geometry = qwen("4B")
    held = memory.kv_cache(geometry, 1_010_000, Precision(4, kv_dtype=kv_dtype))
    assert held == 1_010_000 * geometry.count("full_attention") * 2 * geometry.kv_heads * bytes_of_a_head


def test_kv_in_the_memory_of_the_cpu_is_not_on_the_gpu():
    geometry = qwen("4B")
    there, here = (
        memory.estimate(geometry, Precision(4, kv_host=host), "cuda", tokens=1_010_000, chunk=512, available=24 * 10**9)
        for host in (False, True)
    )
    assert here.host == there.kv_cache == memory.kv_cache(geometry, 1_010_000)
    assert (here.kv_cache, there.host) == (0, 0)
    assert here.fits
    assert not there.fits
    on_cpu = memory.estimate(geometry, Precision(4, kv_host=True), "cpu", tokens=1000, chunk=512, available=10**10)
    assert (on_cpu.host, on_cpu.kv_cache) == (0, memory.kv_cache(geometry, 1000))


def test_kv_of_sliding_windows_is_not_packed():
    geometry = Geometry.from_config(
        {
            "model_type": "gemma3_text",
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "vocab_size": 64,
            "sliding_window": 33,
            "max_position_embeddings": 4096,
        }
    )
    assert (geometry.count("sliding_attention"), geometry.count("full_attention")) == (5, 1)
    assert memory.kv_cache(geometry, 1000, INT8_KV) == 2 * 2 * (5 * 32 * 64 * 2 + 1000 * (64 + 4))


@pytest.mark.parametrize("kv_dtype", ["int3", "fp8", "float16", 8])
def test_kv_that_no_backend_runs_is_refused(kv_dtype):
    with pytest.raises(UsageError, match=r"kv_dtype=.* is not one of"):
        Precision(4, kv_dtype=kv_dtype)
