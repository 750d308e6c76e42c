from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.errors import PlanError, UsageError
from longctx.planner import Device, Figures, Geometry, Reel, imagined, largest_patch, notes, plan, room, sample
from tests.planner.published import CPU, GEOMETRY, GPU, SMOL, qwen


def planned(geometry=GEOMETRY, tokens=6_000, device=CPU, **options) -> Figures:
    sources = options.pop("source_tokens", [("a.py", tokens - tokens // 4), ("b.md", tokens // 4)])
    return plan(geometry, model="m", source_tokens=sources, overhead_tokens=100, device=device, **options)


@pytest.mark.parametrize(
    ("tokens", "factor", "window"),
    [(6_000, 1, 8_192), (7_068, 1, 8_192), (7_069, 2, 16_384), (12_000, 2, 16_384), (20_000, 4, 32_768)],
)
def test_the_smallest_step_with_room_for_a_conversation_is_planned(tokens, factor, window):
    figures = planned(tokens=tokens)
    assert (figures.mode, figures.yarn_factor, figures.window, figures.fits) == ("whole", factor, window, True)
    assert figures.prompt_tokens == tokens + 100
    assert figures.prompt_tokens + figures.reserve <= figures.window
    assert figures.left_out == ()
    assert figures.planned_tokens == figures.prompt_tokens + figures.reserve
    assert figures.memory.kv_cache == figures.planned_tokens * GEOMETRY.kv_bytes_per_token()


def test_the_crossing_of_a_step_is_announced():
    assert any("beyond the native window of 8,192: YaRN factor 2" in w for w in planned(tokens=12_000).warnings)
    assert not any("YaRN" in w for w in planned(tokens=6_000).warnings)


def test_a_corpus_past_the_maximum_is_chosen_per_question_in_the_native_window():
    figures = planned(tokens=40_000)
    assert (figures.mode, figures.fits, figures.window, figures.yarn_factor) == ("retrieval", True, 8_192, 1)
    assert figures.prompt_tokens == 8_192 - 1_024
    assert figures.segment_budget == figures.prompt_tokens - 100
    assert [(entry.path, entry.tokens) for entry in figures.left_out] == [("a.py", 30_000), ("b.md", 10_000)]
    assert "chosen per question" in figures.left_out[0].reason
    assert any("reaches 32,768" in w for w in figures.warnings)


def test_an_asked_window_above_the_native_one_is_used_for_retrieval_too():
    figures = planned(tokens=100_000, window=32_768)
    assert (figures.mode, figures.window, figures.yarn_factor) == ("retrieval", 32_768, 4)


def test_memory_too_small_for_the_whole_corpus_leads_to_retrieval_with_a_smaller_window():
    geometry = qwen("4B")
    figures = planned(geometry, tokens=200_000, device=replace(CPU, memory_available=6 * 10**9))
    assert (figures.mode, figures.fits) == ("retrieval", True)
    assert 2_048 <= figures.window < 200_000
    assert figures.memory.total <= figures.memory.available
    assert any("it would need" in w for w in figures.warnings)


def test_a_plan_that_does_not_fit_names_the_need_and_the_alternatives():
    figures = planned(qwen("4B"), tokens=3_000, device=CPU, bits=16, memory=6 * 10**9)
    assert not figures.fits
    assert any(str(figures.memory.total) in w for w in figures.warnings)
    assert any("bits=4 would fit" in w for w in figures.warnings)
    assert any("smaller model" in w for w in figures.warnings)


def test_an_asked_window_that_does_not_fit_names_one_that_does():
    figures = planned(qwen("4B"), tokens=3_000, window=1_000_000, memory=16 * 10**9)
    assert not figures.fits
    (words,) = [w for w in figures.warnings if w.startswith("window=")]
    shorter = int(words.removeprefix("window=").split()[0])
    assert planned(qwen("4B"), tokens=3_000, window=shorter, memory=16 * 10**9).fits
    assert not planned(qwen("4B"), tokens=3_000, window=shorter + 1, memory=16 * 10**9).fits


def test_an_asked_window_is_planned_to_its_last_token():
    figures = planned(tokens=3_000, window=8_000)
    assert figures.planned_tokens == figures.window == 8_000
    assert figures.memory.kv_cache == 8_000 * GEOMETRY.kv_bytes_per_token()


# -- without a corpus --------------------------------------------------------------------------------------------------
def shopped(geometry, device=GPU, **options) -> Figures:
    return plan(geometry, model="m", source_tokens=None, overhead_tokens=0, device=device, **options)


def test_without_a_corpus_the_window_that_was_asked_for_is_filled():
    figures = shopped(qwen("4B"), window=200_000)
    assert (figures.mode, figures.fits, figures.window, figures.yarn_factor) == ("window", True, 200_000, 1)
    assert figures.planned_tokens == figures.prompt_tokens + figures.reserve == 200_000
    assert figures.memory.kv_cache == 200_000 * qwen("4B").kv_bytes_per_token()
    kv, state = figures.prompt_tokens * qwen("4B").kv_bytes_per_token(), qwen("4B").state_bytes()
    assert figures.disk == kv + 19 * state  # one at its end, and on the way as many as stay below 15 % of the K/V
    assert 18 * state <= 0.15 * kv < 19 * state
    assert (figures.sources, figures.left_out, figures.lacking) == ((), (), 0)
    assert figures.counts_basis.startswith("no corpus")


@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda device: device.kind)
@pytest.mark.parametrize("name", ["0.8B", "4B", "9B"])
def test_without_a_window_the_largest_that_fits_is_found_and_at_which_step(name, device):
    for memory in (12 * 10**9, 20 * 10**9, 30 * 10**9):
        figures = shopped(qwen(name), device, memory=memory)
        assert figures.fits
        assert figures.memory.total <= memory
        assert figures.yarn_factor == qwen(name).rope.choose(figures.window)
        if figures.window < 1_010_000:
            assert not shopped(qwen(name), device, memory=memory, window=figures.window + 1).fits
            assert shopped(qwen(name), device, memory=memory, window=figures.window).fits


def test_what_each_step_would_take_is_told_where_neither_corpus_nor_window_decides():
    def said(figures):
        return [note for note in figures.notes if "calibrate" not in note]

    (words,) = said(shopped(qwen("4B"), memory=24 * 10**9))
    assert words.startswith(
        "262,144 tokens (no YaRN) take 20.2 GB; 524,288 tokens (YaRN factor 2) take 34.4 GB, 10.4 GB too much"
    )
    assert "1,010,000 tokens (YaRN factor 4)" in words
    assert said(shopped(qwen("4B"), window=1_000)) == said(planned(qwen("4B"))) == []
    (scaled,) = said(shopped(Geometry.from_config({**SMOL, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}})))
    assert scaled.count("tokens") == 1


def test_a_window_that_does_not_fit_names_what_is_missing_and_the_device_that_would_do():
    figures = shopped(qwen("4B"), window=1_000_000, memory=24 * 10**9)
    assert (figures.mode, figures.fits, figures.wanted_tokens) == ("window", False, 1_000_000)
    assert figures.lacking == figures.memory.total - 24 * 10**9 > 0
    assert any(w == "a GPU with 80 GB would do" for w in figures.warnings)
    assert shopped(qwen("4B"), window=1_000_000, memory=80 * 10**9).fits
    assert not shopped(qwen("4B"), window=1_000_000, memory=48 * 10**9).fits
    assert not any("would do" in w for w in shopped(qwen("35B-A3B"), bits=16, memory=8 * 10**9, window=1_000_000).warnings)


def test_a_model_that_does_not_fit_at_all_is_refused_without_a_corpus_too():
    figures = shopped(qwen("9B"), memory=4 * 10**9)
    assert (figures.mode, figures.fits) == ("window", False)
    assert figures.lacking > figures.memory.total - figures.memory.available  # of the native window, not of the least


def test_what_is_missing_for_all_of_a_corpus_is_told_where_it_is_not_read_whole():
    tight = planned(qwen("4B"), tokens=200_000, memory=6 * 10**9)
    assert (tight.mode, tight.wanted_tokens) == ("retrieval", 200_100 + 8_192)
    enough = planned(qwen("4B"), tokens=200_000, memory=6 * 10**9 + tight.lacking)
    assert (enough.mode, enough.lacking, enough.reserve) == ("whole", 0, 8_192)
    short = planned(qwen("4B"), tokens=200_000, memory=6 * 10**9 + tight.lacking - 1)
    assert (short.lacking, short.reserve < 8_192) == (1, True)


def test_a_plan_for_a_device_elsewhere_says_so():
    device = imagined("cuda", 24 * 10**9)
    figures = planned(qwen("4B"), device=device)
    assert figures.notes == ("planned for a GPU with 24 GB, which is not in this machine",)
    assert any("never measured" in w and "10 % and 1 GB" in w for w in figures.warnings)
    assert figures.memory.basis == "computed"
    assert figures.memory.overhead > 1_600_000_000
    assert not any("free memory" in w for w in shopped(qwen("9B"), imagined("cuda", 8 * 10**9)).warnings)


def test_more_memory_than_the_machine_has_is_planned_for_with_a_warning():
    assert any("this machine has 32.0 GB" in w for w in planned(memory=64 * 10**9).warnings)
    assert not any("this machine has" in w for w in planned(memory=32 * 10**9).warnings)


def test_a_tight_memory_keeps_the_corpus_whole_and_says_how_little_is_left():
    geometry = qwen("0.8B")
    room = planned(geometry, tokens=20_000, reserve=3_000).memory.total
    figures = planned(geometry, tokens=20_000, memory=room, chunk=512)
    assert (figures.mode, figures.fits) == ("whole", True)
    assert figures.reserve < 8_192
    assert any("left for conversation" in w for w in figures.warnings)


def test_the_prefill_step_shrinks_before_the_window_does():
    geometry = qwen("4B")
    roomy = planned(geometry, tokens=100_000)
    tight = planned(geometry, tokens=100_000, memory=roomy.memory.total - 1)
    assert roomy.chunk == 512
    assert 64 <= tight.chunk < 512
    assert tight.chunk % 64 == 0
    assert (tight.mode, tight.reserve) == ("whole", 8_192)


def test_small_models_stay_in_sixteen_bits_and_others_get_four():
    assert planned().bits == planned(qwen("0.8B")).bits == 16
    assert planned(qwen("2B")).bits == 4
    assert planned(qwen("2B"), bits=8).bits == 8


def test_disk_is_the_prompt_and_one_state():
    geometry = qwen("0.8B")
    figures = planned(geometry, tokens=5_000)
    assert figures.disk == 5_100 * geometry.kv_bytes_per_token() + geometry.state_bytes()


def test_a_model_that_already_scales_gets_no_factor():
    geometry = Geometry.from_config({**SMOL, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}})
    figures = planned(geometry, tokens=12_000)
    assert (figures.mode, figures.yarn_factor) == ("retrieval", 1)
    assert any("llama3" in w for w in figures.warnings)


def test_a_maximum_of_ones_own_replaces_the_table():
    assert planned(tokens=12_000, max_window=10_000).mode == "retrieval"
    assert planned(tokens=12_000, max_window=16_000).window == 16_000


def test_experts_that_stay_large_are_named():
    figures = planned(qwen("35B-A3B"), device=GPU)
    assert not figures.fits
    assert any("experts" in w for w in figures.warnings)


@pytest.mark.parametrize(("found", "warned"), [((), True), (("fla",), True), (("fla", "causal_conv1d"), False)])
def test_a_hybrid_on_cuda_without_its_kernels_gets_the_install_line(monkeypatch, found, warned):
    monkeypatch.setattr(notes, "find_spec", lambda name: object() if name in found else None)
    line = "pip install 'longctx-jupyter[cuda]'"
    assert any(line in w for w in planned(qwen("4B"), device=GPU).warnings) is warned
    assert not any(line in w for w in planned(GEOMETRY, device=GPU).warnings)
    assert not any(line in w for w in planned(qwen("4B"), device=CPU).warnings)
    assert any(line in w and "there unless" in w for w in planned(qwen("4B"), device=imagined("cuda", 24 * 10**9)).warnings)


def test_figures_for_cuda_say_that_they_were_never_measured():
    assert any("never measured" in w for w in planned(device=GPU).warnings)


def test_what_the_device_has_to_say_is_passed_on():
    assert "no native bf16" in planned(device=replace(GPU, bf16=False, warnings=("no native bf16",))).warnings
    assert planned(device=replace(GPU, bf16=False)).dtype == "float16"
    assert planned(dtype="float32").memory.weights == 2 * planned().memory.weights


def test_an_unknown_architecture_is_marked_as_an_estimate():
    geometry = Geometry.from_config({**SMOL, "model_type": "brand_new"})
    assert any("brand_new" in w and "estimate" in w for w in planned(geometry).warnings)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 0},
        {"window": -5},
        {"window": 32_769},
        {"window": "9"},
        {"window": 1.5},
        {"window": True},
        {"bits": 5},
        {"bits": 0},
        {"chunk": 0},
        {"memory": 0},
        {"reserve": -1},
        {"max_window": 0},
        {"max_window": 32_769},
        {"dtype": "int3"},
        {"source_tokens": [("a", -1)]},
    ],
)
def test_values_out_of_range_are_refused_and_named(options):
    ((name, value),) = options.items()
    with pytest.raises(UsageError) as caught:
        planned(**options)
    assert (name in caught.value.message and str(value) in caught.value.message) or name == "source_tokens"


def test_a_window_without_room_for_sources_is_refused():
    with pytest.raises(PlanError, match="no room for sources"):
        planned(tokens=5_000, window=120)


def test_the_json_contract_is_kept():
    for figures in (planned(), planned(tokens=90_000), planned(qwen("35B-A3B"), device=GPU)):
        read = json.loads(json.dumps(figures.to_json()))
        wanted = {"model", "fits", "window", "native_window", "yarn_factor", "prompt_tokens", "memory", "disk", "chunk"}
        assert wanted | {"sources", "left_out", "warnings", "notes"} <= set(read)
        assert {"weights", "kv_cache", "state", "activations", "total", "available", "basis"} <= set(read["memory"])
        assert all(isinstance(read[key], int) for key in ("window", "native_window", "prompt_tokens", "disk", "chunk"))
        assert all(set(row) == {"path", "tokens", "share"} for row in read["sources"])
        assert all(set(row) == {"path", "tokens", "reason"} for row in read["left_out"])
        assert sum(row["share"] for row in read["sources"]) == pytest.approx(1)


def test_rows_of_videos_say_what_is_seen_of_them():
    reels = [Reel("long.mp4", 3600.0, 1280, 720, 90_000), Reel("none.mp4", 9.0, 64, 64, 0)]
    samplings = sample(reels, room=100_000, sight=qwen("4B").sight)
    sources = [("a.py", 5), ("none.mp4", 5), ("long.mp4", 5)]
    figures = planned(samplings=samplings, source_tokens=sources, estimated={"a.py"})
    plain, none, long = json.loads(json.dumps(figures.to_json()))["sources"]
    assert plain == {"path": "a.py", "tokens": 5, "share": 1 / 3, "estimated": True}
    assert none == {"path": "none.mp4", "tokens": 5, "share": 1 / 3, "frames": 0, "fps": 0.0, "frame_size": None}
    assert (long["frames"], long["frame_size"]) == (samplings[0].frames, [448, 256])
    assert long["fps"] == pytest.approx(samplings[0].frames / 3600, abs=1e-4)


def test_estimates_are_counted_in_the_basis():
    assert planned(estimated={"b.md"}).counts_basis == "exact; 1 of 2 sources estimated"
    assert planned(estimated={"other"}).counts_basis == planned().counts_basis == "exact"


def test_a_vision_encoder_that_is_not_known_is_named_where_there_is_something_to_see():
    assert any("vision encoder" in w for w in planned(largest_item=100).warnings)
    assert not any("vision encoder" in w for w in planned().warnings)
    assert not any("vision encoder" in w for w in planned(qwen("4B"), largest_item=100).warnings)


def test_a_large_picture_takes_memory_that_a_small_one_does_not():
    none, small, large = (planned(qwen("4B"), largest_item=n).memory for n in (0, 112, 4_096))
    assert none.vision == 0
    assert 0 < small.vision < large.vision
    assert none.total < small.total < large.total


# -- room for frames ---------------------------------------------------------------------------------------------------
ROOMY = {"device": Device("cpu", "CPU", 99 * 10**9, 90 * 10**9), "overhead_tokens": 100}


def test_videos_alone_stay_in_the_native_window():
    got = room(qwen("4B"), **ROOMY)
    assert (got.tokens, got.window, got.taken, got.limit) == (262_144 - 100 - 8_192, 262_144, 8_292, "window")
    assert room(qwen("4B"), source_tokens=100_000, **ROOMY).tokens == got.tokens - 100_000


def test_sources_that_need_a_step_of_yarn_give_videos_the_rest_of_it():
    got = room(qwen("4B"), source_tokens=300_000, **ROOMY)
    assert (got.window, got.tokens) == (524_288, 524_288 - 300_000 - 100 - 8_192)


def test_an_asked_window_is_the_room_for_videos():
    assert room(qwen("4B"), window=500_000, **ROOMY).tokens == 500_000 - 8_292
    assert room(qwen("4B"), max_window=100_000, **ROOMY).window == 100_000
    assert room(qwen("4B"), reserve=50_000, **ROOMY).taken == 50_100


def test_memory_ends_the_room_before_the_window_does():
    got = room(qwen("4B"), memory=8 * 10**9, **ROOMY)
    assert (got.limit, got.window) == ("memory", 262_144)
    assert 0 < got.tokens < 200_000
    assert room(qwen("4B"), memory=8 * 10**9, largest_item=16_384, **ROOMY).tokens < got.tokens


def test_sources_that_fill_everything_leave_no_room():
    assert room(GEOMETRY, source_tokens=10**6, **ROOMY).tokens == 0
    assert room(qwen("4B"), memory=10**9, **ROOMY) == room(qwen("4B"), memory=2 * 10**9, **ROOMY)
    assert room(qwen("4B"), memory=10**9, **ROOMY).tokens == 0


@pytest.mark.parametrize(
    "options",
    [
        {"source_tokens": -1},
        {"largest_item": -1},
        {"overhead_tokens": -1},
        {"window": 0},
        {"memory": 0},
        {"chunk": 0},
        {"bits": 5},
    ],
)
def test_nonsense_for_a_room_is_refused_and_named(options):
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f"{name}={value}"):
        room(qwen("4B"), **{**ROOMY, **options})


@given(
    st.sampled_from([GEOMETRY, qwen("0.8B"), qwen("9B")]),
    st.integers(0, 600_000),
    st.integers(2 * 10**9, 60 * 10**9),
    st.sampled_from([None, 4_096, 30_000]),
    st.sampled_from([0, 112, 16_000]),
    st.lists(st.builds(Reel, st.just("v"), st.floats(0.1, 9_000), st.integers(1, 4_000), st.integers(1, 4_000), st.just(9**5))),
)
@settings(max_examples=150, deadline=None)
def test_what_fits_the_room_is_read_whole(geometry, tokens, memory, window, largest, reels):
    asked = {"device": CPU, "memory": memory, "window": window, "overhead_tokens": 300}
    sight = qwen("4B").sight
    largest = max(largest, largest_patch(reels, sight))
    got = room(geometry, source_tokens=tokens, largest_item=largest, **asked)
    if not got.tokens:
        return
    samplings = sample(reels, room=got.tokens, sight=sight)
    sources = [("text", tokens), *((f"{i}", s.tokens) for i, s in enumerate(samplings))]
    figures = plan(geometry, model="m", source_tokens=sources, largest_item=largest, **asked)
    assert (figures.mode, figures.fits) == ("whole", True)
    full = plan(geometry, model="m", source_tokens=[("a", tokens + got.tokens)], largest_item=largest, **asked)
    assert (full.mode, full.fits) == ("whole", True)
    assert full.window <= got.window
    if not window:
        assert full.yarn_factor == geometry.rope.choose(tokens + 300 + full.reserve)


def test_a_path_that_is_not_utf8_survives_json():
    figures = planned(source_tokens=[("caf\udce9.py", 10)])
    assert json.loads(json.dumps(figures.to_json()))["sources"][0]["path"] == "caf\udce9.py"


@given(
    st.sampled_from([GEOMETRY, qwen("0.8B"), qwen("9B")]),
    st.lists(st.integers(0, 400_000), max_size=4),
    st.integers(10**6, 60 * 10**9),
    st.sampled_from([None, 500, 4_096, 30_000]),
    st.sampled_from([None, 4, 16]),
    st.sampled_from(["cpu", "cuda", "mps"]),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_asked_a_plan_keeps_its_own_promises(geometry, tokens, memory, window, bits, kind):
    sources = [(f"{i}.py", n) for i, n in enumerate(tokens)]
    device = Device(kind, "x", memory, memory)
    try:
        figures = plan(geometry, model="m", source_tokens=sources, overhead_tokens=300, device=device, window=window, bits=bits)
    except PlanError:
        return  # a window of 500 has no room beside the frame; any other error fails the test
    assert figures.fits == (figures.memory.total <= memory)
    assert figures.prompt_tokens + figures.reserve <= figures.window <= figures.maximum_window or not figures.fits
    assert figures.segment_budget == max(0, figures.prompt_tokens - 300)
    assert figures.yarn_factor == 1 or figures.window > figures.native_window
    if figures.mode == "retrieval":
        assert sum(tokens) > figures.segment_budget
        assert len(figures.left_out) == sum(n > 0 for n in tokens)
    elif figures.fits:
        assert figures.prompt_tokens == sum(tokens) + 300


def test_a_plan_imports_no_torch():
    code = (
        "import sys, json; from longctx.planner import Device, Geometry, detect, plan;"
        f"g = Geometry.from_config({SMOL!r});"
        "plan(g, model='m', source_tokens=[('a', 5)], overhead_tokens=5, device=detect('cpu'));"
        "print({'torch', 'numpy', 'transformers', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_kv_that_was_asked_for_is_planned_and_told():
    figures = planned(qwen("4B"), 400_000, GPU, bits=4, kv_dtype="int8")
    assert (figures.kv_dtype, figures.kv_device, figures.mode) == ("int8", "cuda", "whole")
    assert (figures.to_json()["kv_dtype"], figures.to_json()["kv_device"]) == ("int8", "cuda")
    plain = planned(qwen("4B"), 400_000, GPU, bits=4)
    assert (plain.kv_dtype, plain.mode) == ("bfloat16", "retrieval")
    assert any("kv_dtype='int8' would fit" in warning for warning in plain.warnings)
    assert planned(qwen("4B"), 400_000, GPU, bits=4, kv_dtype="bfloat16") == plain
    assert figures.disk < plain.disk * figures.prompt_tokens / plain.prompt_tokens * 0.6


def test_a_million_tokens_on_a_small_gpu_have_an_honest_plan():
    figures = plan(
        qwen("4B"), model="m", source_tokens=None, overhead_tokens=0, device=imagined("cuda", 16 * 10**9), bits=4,
        window=1_010_000, kv_device="cpu",
    )  # fmt: skip
    assert figures.fits
    assert figures.memory.host == 1_010_000 * 32_768
    assert any("33.1 GB, besides" in note and "never run on a GPU" in note for note in figures.notes)
    refused = plan(
        qwen("4B"),
        model="m",
        source_tokens=None,
        overhead_tokens=0,
        device=imagined("cuda", 16 * 10**9),
        bits=4,
        window=1_010_000,
    )
    assert not refused.fits
    assert "kv_device='cpu' would fit with 33.1 GB in the CPU's memory" in refused.warnings
    assert not any(warning.startswith("kv_dtype='int8' would fit") for warning in refused.warnings)


def test_kv_on_a_cpu_is_in_its_memory_anyway():
    assert planned(kv_device="cpu") == planned()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kv_dtype": "int3"}, "kv_dtype='int3' is not one of"),
        ({"kv_device": "disk"}, "kv_device='disk' is neither"),
        ({"kv_device": "cuda"}, "kv_device='cuda' is neither"),
        ({"kv_dtype": "int8", "device": imagined("mps", 16 * 10**9)}, "cannot be packed on 'mps'"),
        ({"kv_device": "cpu", "device": imagined("mps", 16 * 10**9)}, "cannot be packed on 'mps'"),
        ({"kv_dtype": "int4", "geometry": replace(GEOMETRY, head_dim=63)}, "the head size is 63"),
    ],
)
def test_kv_that_cannot_be_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        planned(**options)
