"""K/V in 8 and 4 bits and in the CPU's memory, against K/V as it is, by logits in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.backends.base import Sampling
from longctx.backends.transformers import attention, packed
from longctx.backends.transformers import engine as engines
from longctx.backends.transformers.cache import GrowingLayer
from longctx.backends.transformers.packed import CODECS, Int4, Int8, Int8Channels, PackedLayer
from longctx.errors import ModelError
from tests.tiny_engines import backend, job, tokens

KINDS = ["llama", "qwen3_5", "qwen3_5_moe"]
PACKED = ["int8", "int4"]
GREEDY = Sampling(temperature=0, max_tokens=8)
Models = Callable[[str], Path]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, none of which ends where a step does."""
    monkeypatch.setattr(packed, "BLOCK", 50)


def states(seed: int, scale: float, count: int = 7) -> torch.Tensor:
    return scale * torch.randn(1, 2, count, 64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e3))
def test_no_number_is_further_off_than_half_a_step(seed: int, scale: float) -> None:
    numbers = states(seed, scale)
    eight, four, channels = Int8(), Int4(), Int8Channels()
    whole = numbers.clone()
    step = numbers.abs().amax(-1, keepdim=True) / 127
    assert ((eight.unpack(eight.pack(numbers), torch.float32) - numbers).abs() <= 0.501 * step).all()
    across = numbers.abs().amax(-2, keepdim=True) / 127
    assert ((channels.unpack(channels.pack(numbers), torch.float32) - numbers).abs() <= 0.501 * across).all()
    assert torch.equal(numbers, whole)
    groups = numbers.unflatten(-1, (-1, packed.GROUP))
    least, most = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    rounding = (least.abs() + most - least) / 2**10 + 2e-6  # least number and step are float16: 2e-6 where these underflow
    errors = (four.unpack(four.pack(numbers), torch.float32) - numbers).abs().unflatten(-1, (-1, packed.GROUP))
    assert (errors <= 0.5 * (most - least) / 15 + rounding).all()


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("value", [0.0, 3.5, -7.0])
def test_equal_numbers_come_back(codec: str, value: float) -> None:
    made = CODECS[codec]()
    flat = torch.full((1, 1, 2, 64), value)
    assert torch.allclose(made.unpack(made.pack(flat), torch.float32), flat, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_kv_in_the_memory_of_the_cpu_changes_no_logit(kind: str, tiny_models: Models, tmp_path: Path) -> None:
    logits = []
    for kept in ({}, {"kv_host": True}):
        made = backend(tiny_models(kind), tmp_path, **kept)
        made.prefill(tokens(300), job(), marks=(200,))
        said = list(made.decode(GREEDY, [], job()))
        logits.append((made.logits, said))
    assert (logits[0][0] - logits[1][0]).abs().max() < 1e-5
    assert logits[0][1] == logits[1][1]


def test_kv_in_the_memory_of_the_cpu_is_no_part_of_what_a_gpu_holds(
    tiny_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backend(tiny_models(KINDS[0]), tmp_path, kv_host=True)
    made.prefill(tokens(300), job())
    here = made.memory().components
    assert here["kv_cache"] > 0
    assert "host" not in here
    on_gpu = 5_000_000 + here["weights"] + here["state"]
    made.spec = replace(made.spec, device="cuda")  # as its allocator would tell
    monkeypatch.setattr(type(made.meter), "now", property(lambda meter: on_gpu))
    beside = made.memory().components
    assert beside["host"] == here["kv_cache"]
    assert beside["other"] == 5_000_000
    assert "kv_cache" not in beside


class Rounded(GrowingLayer):
    """What packing means, without packing: the past is rounded as a codec rounds, a step attends to itself as it is."""

    def __init__(self, codec: str) -> None:
        super().__init__()
        self.codec = CODECS[codec]()

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        past = self.length
        given = (key_states, value_states)
        super().update(*(self.codec.unpack(self.codec.pack(states), states.dtype) for states in given))
        before = (self.keys[..., :past, :], self.values[..., :past, :])
        return tuple(torch.cat([old, new], -2) for old, new in zip(before, given, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kv_dtype", PACKED)
def test_packed_kv_gives_the_logits_of_kv_that_was_rounded(
    kind: str, kv_dtype: str, tiny_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backend(tiny_models(kind), tmp_path, kv_dtype=kv_dtype)
    made.prefill(tokens(300), job(), marks=(200,))
    said = list(made.decode(GREEDY, [], job()))
    with monkeypatch.context() as patch:
        patch.setattr(engines, "layer_maker", lambda kv_dtype, host: lambda: Rounded(kv_dtype))
        rounded = backend(tiny_models(kind), tmp_path, kv_dtype=kv_dtype)
        rounded.prefill(tokens(300), job(), marks=(200,))
        assert said == list(rounded.decode(GREEDY, [], job()))
    exact = backend(tiny_models(kind), tmp_path)
    exact.prefill(tokens(300), job(), marks=(200,))
    list(exact.decode(GREEDY, [], job()))
    assert (made.logits - rounded.logits).abs().max() < 1e-5
    assert (made.logits - exact.logits).abs().max() > 1e-5, "nothing was rounded"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kv_dtype", PACKED)
def test_a_packed_prefix_from_disk_has_the_logits_of_the_one_in_memory(
    kind: str, kv_dtype: str, tiny_models: Models, tmp_path: Path
) -> None:
    head, question = tokens(200), tokens(30, 3)
    options = {"kv_dtype": kv_dtype, "prefix_folder": tmp_path / "prefixes"}
    first = backend(tiny_models(kind), tmp_path, **options)
    first.prefill(head, job(), marks=(200,))
    first.prefill([*head, *question], job(), marks=(200,))
    again = backend(tiny_models(kind), tmp_path, **options)
    reuse = again.prefill([*head, *question], job(), marks=(200,))
    assert (reuse.tokens, reuse.source) == (200, "disk")
    assert torch.equal(again.logits, first.logits)


def test_a_prefix_of_other_kv_is_not_taken(tiny_models: Models, tmp_path: Path) -> None:
    store = {"prefix_folder": tmp_path / "prefixes"}
    for kv_dtype in ("", "int8", "int4"):
        made = backend(tiny_models("llama"), tmp_path, kv_dtype=kv_dtype, **store)
        assert made.prefill(tokens(100), job(), marks=(100,)).source == "none"


@pytest.mark.parametrize("kv_dtype", PACKED)
def test_packed_kv_takes_what_the_planner_says(kv_dtype: str, tiny_models: Models, tmp_path: Path) -> None:
    held = []
    for packing in ("", kv_dtype):
        made = backend(tiny_models("llama"), tmp_path, kv_dtype=packing)
        made.prefill(tokens(300), job())
        held.append(made.memory().components["kv_cache"])
    head_dim = made._model.config.head_dim
    extra = {"int8": 4 / head_dim, "int4": 4 / min(packed.GROUP, head_dim)}[kv_dtype]
    assert held[1] / held[0] == pytest.approx(({"int8": 1, "int4": 0.5}[kv_dtype] + extra) / 4, rel=0.01)


def test_a_second_question_forgets_the_first(tiny_models: Models, tmp_path: Path) -> None:
    head, second = tokens(200), [*tokens(200), *tokens(40, 2)]
    made = backend(tiny_models("qwen3_5"), tmp_path, kv_dtype="int4")
    made.prefill([*head, *tokens(30, 1)], job(), marks=(200,))
    list(made.decode(GREEDY, [], job()))
    made.prefill(second, job(), marks=(200,))
    fresh = backend(tiny_models("qwen3_5"), tmp_path, kv_dtype="int4")
    fresh.prefill(second, job(), marks=(200,))
    assert torch.equal(made.logits, fresh.logits)


def test_a_model_that_cannot_read_packed_kv_is_refused(
    tiny_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    real = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *args, **kwargs: real(*args, **kwargs, attn_implementation="eager")
    )
    with pytest.raises(ModelError, match="'eager', which cannot read packed K/V"):
        backend(tiny_models("llama"), tmp_path, kv_dtype="int8")


def test_a_step_without_a_past_attends_to_itself() -> None:
    layer = PackedLayer("int8", host=False)
    key, value = layer.update(states(0, 1.0), states(1, 1.0))
    assert (key.tokens, layer.get_seq_length()) == (0, 7)
    assert torch.equal(key.own, states(0, 1.0))
    assert torch.equal(value, states(1, 1.0))


@pytest.mark.parametrize(
    "beyond", [{"attention_mask": torch.ones(1, 1, 3, 10, dtype=torch.bool)}, {"softcap": 30.0}, {"value": 32}]
)
def test_attention_that_is_not_plain_is_refused_over_a_packed_past_and_not_computed_otherwise(beyond: dict[str, Any]) -> None:
    layer = PackedLayer("int8", host=False)
    layer.update(states(0, 1.0), states(1, 1.0))
    key, value = layer.update(states(2, 1.0, 3), states(3, 1.0, 3))
    options = {"attention_mask": None, **beyond}
    value = value[..., : options.pop("value", 64)]
    with pytest.raises(ModelError, match="cannot read packed K/V"):
        attention.attend(torch.nn.Identity(), states(4, 1.0, 3), key, value, **options)
