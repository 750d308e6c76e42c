from __future__ import annotations

import contextlib
import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, DynamicCache

from longctx.backends.transformers.cache import cache_argument
from longctx.errors import LongctxError, ModelError, PlanError
from longctx.planner import Geometry, families, imagined, memory, plan, yarn
from tests.planner.published import CONFIGS
from tests.tiny_configs import DELTA, QWEN_EYE, TINY, seeing, text

TOTALS = {
    "Qwen3.5-0.8B": 852_985_920,
    "Qwen3.5-2B": 2_213_241_664,
    "Qwen3.5-4B": 4_539_265_536,
    "Qwen3.5-9B": 9_409_813_744,
    "Qwen3.5-35B-A3B": 35_107_181_936,
}


def built(config: dict):
    """The model that transformers makes of a config, on the meta device."""
    kwargs = copy.deepcopy(config)
    made = AutoConfig.for_model(kwargs.pop("model_type"), **kwargs)
    kind = AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(made)


@pytest.mark.parametrize("name", TOTALS)
def test_counts_of_qwen35_equal_the_published_ones(name):
    geometry = Geometry.from_config(json.loads((CONFIGS / name / "config.json").read_text()), name=name)
    assert geometry.parameters.total == TOTALS[name]
    assert geometry.known
    assert geometry.native_window == 262_144


@pytest.mark.parametrize("name", TOTALS)
def test_bytes_at_the_longest_window_equal_the_measured_ones(name):
    geometry = Geometry.from_config(json.loads((CONFIGS / name / "config.json").read_text()))
    expected = {"0.8B": 11.6, "2B": 11.6, "4B": 30.8, "9B": 30.8, "35B-A3B": 19.3}[name.removeprefix("Qwen3.5-")]
    assert memory.kv_cache(geometry, 1_010_000) / 2**30 == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", TOTALS)
def test_counts_of_qwen35_equal_those_of_the_whole_model_on_the_meta_device(name):
    config = json.loads((CONFIGS / name / "config.json").read_text())
    assert sum(p.numel() for p in built(config).parameters()) == Geometry.from_config(config).parameters.total


def test_every_family_is_held_against_a_model():
    types = {config.get("text_config", config)["model_type"] for config in TINY.values()}
    assert set(families.FAMILIES) <= types


@pytest.mark.parametrize("name", TINY)
def test_counts_equal_those_of_the_model_on_the_meta_device(name):
    config = TINY[name]
    model, geometry = built(config), Geometry.from_config(config)
    parts = geometry.parameters
    assert geometry.known
    assert parts.total == sum(p.numel() for p in model.parameters())
    assert parts.embeddings == model.get_input_embeddings().weight.numel()
    by_part = {"vision": 0, "norms": 0, "linear_attention": 0, "attention": 0, "experts": 0}
    for path, parameter in model.named_parameters():
        words = path.split(".")
        if {"visual", "vision_tower", "multi_modal_projector"} & set(words):
            by_part["vision"] += parameter.numel()
        elif "linear_attn" in words:
            by_part["linear_attention"] += parameter.numel()
        elif "self_attn" in words:
            by_part["attention"] += parameter.numel()
        elif "experts" in words:
            by_part["experts"] += parameter.numel()
        elif "norm" in words[-2]:
            by_part["norms"] += parameter.numel()
    assert {part: getattr(parts, part) for part in by_part} == by_part


@pytest.mark.parametrize("name", TINY)
def test_the_matrices_that_bitsandbytes_takes_are_those_of_the_model(name):
    config = TINY[name]
    theirs = sum(
        module.weight.numel()
        for path, module in built(config).named_modules()
        if isinstance(module, torch.nn.Linear)
        and "lm_head" not in path
        and not {"visual", "vision_tower"} & set(path.split("."))
        and module.out_features % 32 == 0
        and module.in_features % 64 == 0
    )
    assert sum(linear.numbers for linear in Geometry.from_config(config).quantized) == theirs


@pytest.mark.parametrize("name", TINY)
def test_kinds_of_layers_are_those_that_the_cache_has(name):
    config = TINY[name]
    geometry = Geometry.from_config(config)
    kinds = {"DynamicLayer": "full_attention", "DynamicSlidingWindowLayer": "sliding_attention"}
    kinds["LinearAttentionLayer"] = "linear_attention"
    layers = [kinds[type(layer).__name__] for layer in DynamicCache(config=built(config).config).layers]
    assert list(geometry.layers) == layers


@pytest.mark.parametrize("name", ["qwen3.5 text", "gemma3", "llama", "qwen3 moe"])
def test_bytes_of_cache_and_state_are_those_that_the_model_really_holds(name):
    config = {**TINY[name], "sliding_window": 8} if "gemma" in name else TINY[name]
    kwargs = dict(config)
    made = AutoConfig.for_model(kwargs.pop("model_type"), **kwargs)
    model = AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16).eval()
    cache = DynamicCache(config=made)
    with torch.inference_mode():
        for part in torch.arange(3, 3 + 40).reshape(1, 40).split(20, dim=1):
            model(input_ids=part, use_cache=True, **{cache_argument(model): cache})
    tensors = [value for layer in cache.layers for value in vars(layer).values()]
    tensors += [
        t
        for value in tensors
        if isinstance(value, (list, dict))
        for t in (value.values() if isinstance(value, dict) else value)
    ]
    held = sum(t.nbytes for t in tensors if isinstance(t, torch.Tensor) and t.ndim >= 3)
    geometry = Geometry.from_config(config)
    assert memory.kv_cache(geometry, 40) + geometry.state_bytes() == held


def test_a_sparse_gemma_config_takes_the_defaults_of_its_class():
    eye = {"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27}
    eye |= {"num_attention_heads": 16, "image_size": 896, "patch_size": 14, "vision_use_head": False}
    words = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    words |= {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}
    config = {"model_type": "gemma3", "mm_tokens_per_image": 256, "text_config": words, "vision_config": eye}
    geometry = Geometry.from_config(config)
    assert geometry.parameters.total == sum(p.numel() for p in built(config).parameters())
    assert (geometry.native_window, geometry.sliding_window, geometry.rope.scaling) == (131_072, 1024, "linear")


@pytest.mark.parametrize("name", ["qwen3.5", "qwen3.5 moe", "qwen3 vl", "qwen3 vl moe"])
def test_sizes_of_the_vision_tower_are_those_of_the_model(name):
    model, sight = built(TINY[name]), Geometry.from_config(TINY[name]).sight
    tower = model.model.visual
    kernel = (sight.temporal, sight.patch_size, sight.patch_size)
    assert (tuple(tower.patch_embed.proj.kernel_size), tower.patch_embed.proj.in_channels) == (kernel, sight.channels)
    assert (len(tower.blocks), tower.spatial_merge_size) == (sight.depth, sight.merge)
    block = tower.blocks[0]
    assert (block.attn.dim, block.attn.num_heads) == (sight.hidden, sight.heads)
    assert (block.mlp.intermediate_size, tower.merger.linear_fc2.out_features) == (sight.mlp_width, sight.out)
    assert len(getattr(tower, "deepstack_merger_list", ())) == sight.taps
    assert (sight.step, sight.patch_values) == (8, 3 * 2 * 4 * 4)


@pytest.mark.parametrize("name", ["qwen3.5 text", "llama", "gemma3 with eyes"])
def test_a_model_without_a_tower_that_is_known_has_no_sight(name):
    assert Geometry.from_config(TINY[name]).sight is None


def test_a_tower_of_another_kind_is_no_sight_and_makes_the_geometry_an_estimate():
    eye = {"depth": 2, "hidden_size": 64, "intermediate_size": 100}
    geometry = Geometry.from_config(seeing("brand_new", "qwen3", eye))
    assert (geometry.sight, geometry.known) == (None, False)


@pytest.mark.parametrize("field", ["patch_size", "spatial_merge_size", "temporal_patch_size", "hidden_size", "num_heads"])
def test_a_nonsense_size_of_the_tower_is_named_with_its_value(field):
    with pytest.raises(PlanError, match=f"{field} is -1"):
        Geometry.from_config(seeing("qwen3_5", "qwen3_5_text", {**QWEN_EYE, field: -1}, **DELTA))


def test_an_unknown_architecture_is_estimated_and_says_so():
    geometry = Geometry.from_config(text("brand_new", architectures=["BrandNewForCausalLM"]))
    assert not geometry.known
    assert geometry.parameters.total == Geometry.from_config(text("llama")).parameters.total


def test_kinds_of_layers_that_are_not_known_make_the_geometry_an_estimate():
    geometry = Geometry.from_config(text("llama", layer_types=["full_attention", "mamba", "mamba", "conv"]))
    assert not geometry.known
    assert geometry.layers == ("full_attention",) * 4


@pytest.mark.parametrize(
    "field", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size"]
)
@pytest.mark.parametrize("value", [None, 0, -3, "768", 1.5, True, 10**12])
def test_a_missing_or_nonsense_field_is_named_with_its_value(field, value):
    with pytest.raises(PlanError) as caught:
        Geometry.from_config(text("llama", **{field: value}), name="mine")
    assert field in caught.value.message
    assert "mine" in caught.value.message
    assert value is None or repr(value) in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_position_embeddings": None}, "max_position_embeddings"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": 7}, "layer_types is 7"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
        ({"rope_scaling": 4}, "rope_scaling"),
        ({"text_config": []}, "text_config"),
        ({"architectures": "Llama"}, "architectures"),
    ],
)
def test_fields_that_contradict_each_other_are_named(changes, words):
    with pytest.raises(PlanError, match=words):
        Geometry.from_config(text("llama", **changes))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        {"model_type": "bert"},
        {"model_type": "siglip", "vision_config": {}},
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
        text("qwen3", architectures=["Qwen3ForSequenceClassification"]),
        text("qwen3", architectures=["Qwen3Model"]),
    ],
)
def test_a_model_that_does_not_speak_is_refused(config):
    with pytest.raises(ModelError, match="does not generate text"):
        Geometry.from_config(config, name="mine")


def test_an_empty_config_is_refused():
    with pytest.raises(PlanError, match="hidden_size"):
        Geometry.from_config({})


NONSENSE = [
    None, 0, -1, 3, 1.5, float("nan"), float("inf"), "768", "", True, [], [1, 2], ["mamba"], {}, {"a": 1}, 10**6, 10**30,
    -(10**30),
]  # fmt: skip


def fields_of(config, path=()):
    """Where something stands in a config, parts included."""
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from fields_of(value, (*path, key))


@st.composite
def spoilt(draw):
    """A config of a known family with nonsense in one to three of its fields, or in fields that it did not have."""
    config = copy.deepcopy(TINY[draw(st.sampled_from(sorted(TINY)))])
    places = sorted(fields_of(config))
    more = [("rope_scaling",), ("layer_types",), ("architectures",), ("vision_config",), ("text_config",), ("head_dim",)]
    for place in draw(st.lists(st.sampled_from([*places, *more]), min_size=1, max_size=3)):
        part = config
        for key in place[:-1]:
            part = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part[place[-1]] = draw(st.sampled_from(NONSENSE))
    return config


@settings(max_examples=500, deadline=2000)
@given(spoilt())
def test_no_nonsense_in_a_config_is_a_foreign_error(config):
    with contextlib.suppress(LongctxError):
        geometry = Geometry.from_config(config, name="mine")
        assert geometry.parameters.total > 0
        plan(geometry, model="mine", source_tokens=None, overhead_tokens=0, device=imagined("cuda", 24 * 10**9))
        yarn.parameters(config, 2.0)
