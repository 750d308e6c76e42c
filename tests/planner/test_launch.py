from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from longctx.errors import PlanError, UsageError
from longctx.planner import launch, servers, yarn
from longctx.planner.launch import ENGINES, command
from tests.planner.published import CONFIGS

QWEN, SMALL, EXPERTS = (
    json.loads((CONFIGS / f"Qwen3.5-{size}" / "config.json").read_text()) for size in ("4B", "0.8B", "35B-A3B")
)
NAME = "Qwen/Qwen3.5-4B"
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 8192,
    "rope_theta": 100000.0,
}
WINDOWS = {1.0: 262_144, 2.0: 524_288, 4.0: 1_010_000}
ADDRESS = ["--host", "127.0.0.1", "--port", "8000"]


def rope(factor: float) -> dict:
    return {
        "rope_theta": 10000000,
        "mrope_interleaved": True,
        "mrope_section": [11, 11, 10],
        "partial_rotary_factor": 0.25,
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": 262_144,
    }


def overrides(factor: float) -> dict:
    return {"text_config": {"rope_parameters": rope(factor), "max_position_embeddings": int(262_144 * factor)}}


def served(engine: str, factor: float = 1.0, **asked) -> launch.Launch:
    given = {"model": NAME, "config": QWEN, "window": WINDOWS[factor], "factor": factor, **asked}
    return command(engine, **given)


def llama(engine: str, **asked) -> launch.Launch:
    return command(engine, **{"model": "org/tiny", "config": LLAMA, "window": 8192, **asked})


def value(argv, flag: str) -> str:
    return argv[argv.index(flag) + 1]


def everything() -> list[launch.Launch]:
    """Lines of every kind."""
    made = [served(engine, factor, bits=bits) for engine in ENGINES for factor in WINDOWS for bits in (4, 8, 16)]
    made += [served(engine, kv_dtype=kind) for engine in ENGINES for kind in ("auto", "fp8", "int8", "int4", "bfloat16")]
    made += [llama(engine, bits=bits, local=local) for engine in ENGINES for bits in (4, 8, 16) for local in (True, False)]
    made += [llama(engine, factor=4.0, window=32_768, dtype="float16") for engine in ENGINES]
    made += [served(engine, tensor_parallel=4) for engine in ENGINES if engine != "transformers"]
    made += [served("llama.cpp", tensor_parallel=4, kv_dtype="int8"), llama("llama.cpp", model="a.gguf")]
    made += [served(engine, checkpoint="some/where") for engine in ENGINES]
    made += [
        command(engine, model="Qwen/Qwen3.5-35B-A3B", config=EXPERTS, window=9, bits=bits)
        for engine in ENGINES
        for bits in (4, 8)
    ]
    return made


@pytest.mark.parametrize("factor", WINDOWS)
def test_vllm_is_given_window_and_yarn_in_its_own_words(factor):
    argv = list(served("vllm", factor).argv)
    if factor > 1:
        at = argv.index("--hf-overrides")
        assert json.loads(argv[at + 1]) == overrides(factor)
        del argv[at : at + 2]
    assert argv == [
        *["vllm", "serve", NAME, "--dtype", "bfloat16", "--max-model-len", str(WINDOWS[factor])],
        *["--tensor-parallel-size", "1", "--kv-cache-dtype", "auto"],
        *["--enable-prefix-caching", "--enable-prompt-tokens-details", *ADDRESS],
    ]


@pytest.mark.parametrize("factor", WINDOWS)
def test_sglang_is_given_window_and_yarn_in_its_own_words(factor):
    argv = list(served("sglang", factor).argv)
    if factor > 1:
        at = argv.index("--json-model-override-args")
        assert json.loads(argv[at + 1]) == overrides(factor)
        del argv[at : at + 2]
    assert argv == [
        *["sglang", "serve", "--model-path", NAME, "--dtype", "bfloat16", "--context-length", str(WINDOWS[factor])],
        *["--tp-size", "1", "--kv-cache-dtype", "auto", "--enable-cache-report", *ADDRESS],
    ]


@pytest.mark.parametrize("factor", WINDOWS)
def test_llama_cpp_is_given_window_and_yarn_in_its_own_words(factor):
    scaling = ["--rope-scaling", "yarn", "--rope-scale", f"{factor:g}", "--yarn-orig-ctx", "262144"] if factor > 1 else []
    made = served("llama.cpp", factor)
    assert not made.prepare
    assert list(made.argv) == [
        *["llama-server", "--hf-repo", "unsloth/Qwen3.5-4B-GGUF:BF16", "--ctx-size", str(WINDOWS[factor])],
        *["--parallel", "1", *scaling, "--cache-type-k", "bf16", "--cache-type-v", "bf16", *ADDRESS],
    ]


@pytest.mark.parametrize("factor", WINDOWS)
def test_transformers_is_given_a_config_of_its_own_for_yarn(factor):
    made = served("transformers", factor)
    folder = f"Qwen3.5-4B-yarn{factor:g}" if factor > 1 else NAME
    assert list(made.argv) == ["transformers", "serve", folder, "--dtype", "bfloat16", "--device", "auto", *ADDRESS]
    if factor == 1:
        assert not made.prepare
    else:
        assert made.prepare[0][3:5] == (NAME, folder)
        assert {"text_config": json.loads(made.prepare[0][5])} == overrides(factor)


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--hf-overrides"), ("sglang", "--json-model-override-args")])
def test_a_decoder_alone_is_overridden_at_the_top(engine, flag):
    given = json.loads(value(llama(engine, factor=2.0, window=16_384).argv, flag))
    assert given == {"rope_parameters": yarn.parameters(LLAMA, 2.0), "max_position_embeddings": 16_384}


def test_the_scaled_window_counts_from_the_window_that_factors_count_from():
    qwen3 = {**LLAMA, "model_type": "qwen3", "max_position_embeddings": 40_960, "rope_theta": 1e6}
    given = value(command("vllm", model="Qwen/Qwen3-4B", config=qwen3, window=65_536, factor=2.0).argv, "--hf-overrides")
    assert json.loads(given)["max_position_embeddings"] == 65_536
    argv = command("llama.cpp", model="Qwen/Qwen3-4B", config=qwen3, window=65_536, factor=2.0).argv
    assert value(argv, "--yarn-orig-ctx") == "32768"


def test_every_flag_of_every_line_stands_in_the_table():
    known = {(flag.engine, flag.name) for flag in servers.FLAGS}
    used = {
        (made.engine, word) for made in everything() for argv in (*made.prepare, made.argv) for word in argv if word[:2] == "--"
    }
    assert used <= known
    assert {row for row in known if row[1].startswith("--")} <= used, "a flag of the table is never used"


def test_every_row_of_the_table_can_be_looked_up():
    assert set(servers.RELEASES) == set(servers.REPOSITORIES) == {flag.engine for flag in servers.FLAGS} == set(ENGINES)
    assert len({(flag.engine, flag.name, flag.file) for flag in servers.FLAGS}) == len(servers.FLAGS)
    for flag in servers.FLAGS:
        assert re.fullmatch(r"[0-9a-f]{40}", flag.commit), flag
        assert re.fullmatch(r"[\w./-]+\.(py|cpp)", flag.file), flag
        assert flag.purpose, flag


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", ['/models/my model/it\'s "4B"', "C:\\models\\4B; rm -rf $HOME", "/a/new\nline", "/a/`id`#x"])
def test_names_survive_the_shell_whatever_is_in_them(engine, model):
    made = llama(engine, model=model, local=True, factor=2.0, window=16_384)
    words = [word for argv in (*made.prepare, made.argv) for word in (*argv, "&&")][:-1]
    assert shlex.split(made.line) == words
    assert shlex.split(made.text, comments=True) == words
    assert model in words


def test_a_real_shell_reads_the_line_as_it_was_meant(tmp_path):
    name = '/m/it\'s "a" $(b) \\ `c`'
    line = llama("vllm", model=name, local=True, factor=2.0, window=16_384).text.replace("vllm serve", 'printf "%s\\0"')
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split("\0")[0] == name


def test_notes_are_harmless_where_a_shell_takes_no_comments():
    notes = {note for made in everything() for note in made.notes}
    assert {note for note in notes if not re.fullmatch(r"[A-Za-z0-9 ,.:/-]+", note)} == set()


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_quantised_checkpoint_is_taken_where_there_is_one(engine):
    assert "cyankiwi/Qwen3.5-4B-AWQ-4bit" in served(engine, bits=4).argv
    assert any("third party" in note for note in served(engine, bits=4).notes)
    own = command(engine, model="Qwen/Qwen3.5-35B-A3B", config=EXPERTS, window=9, bits=8)
    assert "Qwen/Qwen3.5-35B-A3B-FP8" in own.argv
    assert "--quantization" not in own.argv
    assert not any("third party" in note for note in own.notes)


@pytest.mark.parametrize(("engine", "name"), [("vllm", "fp8_per_channel"), ("sglang", "fp8")])
def test_weights_without_a_checkpoint_are_quantised_while_they_load_and_it_is_said(engine, name):
    four, eight = served(engine, bits=4, model="Qwen/Qwen3.5-2B"), served(engine, bits=8)
    assert value(four.argv, "--quantization") == value(eight.argv, "--quantization") == name
    assert any("no 4-bit checkpoint" in note for note in four.notes)
    assert not any("no 4-bit checkpoint" in note for note in eight.notes)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_quantised_already_is_not_quantised_again(engine):
    config = {**LLAMA, "quantization_config": {"quant_method": "awq"}}
    assert "--quantization" not in llama(engine, config=config, bits=4).argv
    assert "--quantization" not in llama(engine, checkpoint="org/tiny-int4", bits=4).argv


def test_a_folder_by_the_name_of_a_known_model_is_served_itself():
    assert "cyankiwi/Qwen3.5-4B-AWQ-4bit" not in served("vllm", bits=4, local=True).argv
    made = served("llama.cpp", bits=4, local=True)
    assert "--hf-repo" not in made.argv
    assert NAME in made.prepare[0]
    assert any("same place" in note for note in made.notes)


def test_llama_cpp_is_told_how_to_make_the_gguf_that_it_needs():
    four, eight, sixteen = (llama("llama.cpp", bits=bits) for bits in (4, 8, 16))
    convert = ("python3", "convert_hf_to_gguf.py", "org/tiny", "--outfile")
    assert four.prepare == (
        (*convert, "tiny-BF16.gguf", "--outtype", "bf16", "--remote"),
        ("llama-quantize", "tiny-BF16.gguf", "tiny-Q4_K_M.gguf", "Q4_K_M"),
    )
    assert eight.prepare == ((*convert, "tiny-Q8_0.gguf", "--outtype", "q8_0", "--remote"),)
    assert sixteen.prepare == ((*convert, "tiny-BF16.gguf", "--outtype", "bf16", "--remote"),)
    made = [value(launched.argv, "--model") for launched in (four, eight, sixteen)]
    assert made == ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", "tiny-BF16.gguf"]
    assert "--remote" not in llama("llama.cpp", local=True).prepare[0]
    assert any("projector" in note for note in served("llama.cpp", local=True).notes)


def test_a_gguf_is_for_llama_cpp_alone():
    assert llama("llama.cpp", model="a b.gguf").argv[1:3] == ("--model", "a b.gguf")
    for engine in set(ENGINES) - {"llama.cpp"}:
        with pytest.raises(UsageError, match=r"a b\.gguf"):
            llama(engine, model="a b.gguf")


def test_the_embedded_model_is_served_by_its_name_on_the_hub():
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in llama("vllm", model="SmolLM2-135M-Instruct").argv


@pytest.mark.parametrize(
    ("engine", "kv_dtype", "name"),
    [
        ("vllm", "int8", "int8_per_token_head"),
        ("vllm", "int4", "int4_per_token_head"),
        ("vllm", "fp8", "fp8"),
        ("vllm", "bf16", "auto"),
        ("sglang", "fp8", "fp8_e4m3"),
        ("sglang", "int8", "fp8_e4m3"),
        ("sglang", "bfloat16", "auto"),
    ],
)
def test_a_dtype_of_kv_is_called_as_the_engine_calls_it(engine, kv_dtype, name):
    made = served(engine, kv_dtype=kv_dtype)
    assert value(made.argv, "--kv-cache-dtype") == name
    assert any("SGLang has no" in note for note in made.notes) == (engine == "sglang" and kv_dtype == "int8")


@pytest.mark.parametrize(
    ("kv_dtype", "name"), [("auto", "f16"), ("float16", "f16"), ("int8", "q8_0"), ("int4", "q4_0"), ("fp8", "q8_0")]
)
def test_llama_cpp_keeps_both_halves_of_the_cache_in_the_dtype_that_was_planned(kv_dtype, name):
    argv = served("llama.cpp", kv_dtype=kv_dtype, dtype="float16").argv
    assert value(argv, "--cache-type-k") == value(argv, "--cache-type-v") == name


def test_transformers_says_what_it_cannot_do():
    notes = " ".join(served("transformers", 2.0, kv_dtype="int8").notes)
    assert all(word in notes for word in ("window", "YaRN", "K/V", "reuses no prefix"))
    plain = llama("transformers", bits=4)
    assert value(plain.argv, "--quantization") == "bnb-4bit"
    assert "--continuous-batching" in plain.argv
    assert "prefix" not in " ".join(plain.notes)
    experts = command("transformers", model="Qwen/Qwen3.5-35B-A3B", config=EXPERTS, window=9, bits=4)
    assert any("experts" in note for note in experts.notes)


def test_llama_cpp_shares_a_model_among_gpus_as_its_cache_allows():
    plain, packed = served("llama.cpp", tensor_parallel=3), served("llama.cpp", tensor_parallel=3, kv_dtype="int8")
    assert (value(plain.argv, "--split-mode"), value(plain.argv, "--tensor-split")) == ("tensor", "1,1,1")
    assert (value(packed.argv, "--split-mode"), value(packed.argv, "--tensor-split")) == ("layer", "1,1,1")
    assert any("experimental" in note for note in plain.notes)
    assert any("quantised K/V" in note for note in packed.notes)


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--tensor-parallel-size"), ("sglang", "--tp-size")])
def test_gpus_share_heads_evenly_or_not_at_all(engine, flag):
    assert [value(served(engine, tensor_parallel=n).argv, flag) for n in (1, 2, 4, 8, 16)] == ["1", "2", "4", "8", "16"]
    with pytest.raises(UsageError, match=r"tensor_parallel=3 does not divide num_attention_heads=16(.|\n)*1, 2, 4, 8, 16"):
        served(engine, tensor_parallel=3)
    with pytest.raises(UsageError, match=r"tensor_parallel=8 does not divide vision_config.num_heads=12"):
        command(engine, model="Qwen/Qwen3.5-0.8B", config=SMALL, window=9, tensor_parallel=8)
    odd = {**LLAMA, "num_attention_heads": 12, "num_key_value_heads": 6, "head_dim": 8}
    with pytest.raises(UsageError, match="tensor_parallel=4 does not divide num_key_value_heads=6"):
        llama(engine, config=odd, tensor_parallel=4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("field", "bad"),
    [
        *[("tensor_parallel", bad) for bad in (0, -2, 1.5, True, None)],
        *[("window", bad) for bad in (0, -1, 8193, 10**9, 1.5, True)],
        *[("factor", bad) for bad in (0, 0.5, -1, 8, float("nan"), float("inf"), True)],
        *[("bits", bad) for bad in (0, 3, 4.0, "4", True)],
        *[("dtype", bad) for bad in ("int8", "", None, ["bfloat16"])],
        *[("kv_dtype", bad) for bad in ("float32", "q4", "", None)],
        *[("model", bad) for bad in ("", " ", "--help", "a\0b")],
        *[("checkpoint", bad) for bad in ("", "-x")],
    ],
)
def test_nonsense_is_refused_by_field_and_value(engine, field, bad):
    with pytest.raises(UsageError, match=re.escape(f"{field}={bad!r}")):
        llama(engine, **{field: bad})


@pytest.mark.parametrize("engine", ["ollama", "", "VLLM", None, ["vllm"]])
def test_an_engine_that_is_not_known_is_refused_with_those_that_are(engine):
    with pytest.raises(UsageError, match=re.escape(f"engine={engine!r}")) as refused:
        llama(engine)
    assert all(known in str(refused.value) for known in ENGINES)


def test_transformers_refuses_a_split_that_it_would_ignore():
    with pytest.raises(UsageError, match="tensor_parallel=2"):
        served("transformers", tensor_parallel=2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_that_scales_already_is_not_scaled_twice(engine):
    scaled = {**LLAMA, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    with pytest.raises(PlanError, match="llama3"):
        llama(engine, config=scaled, factor=2.0, window=8192)


def _copied(config: dict, folder: Path) -> tuple[dict, Path]:
    """Run what prepares a folder for transformers, and read its config."""
    source = folder / "a model's folder"
    source.mkdir()
    (source / "config.json").write_text(json.dumps(config))
    (source / "model.safetensors").write_bytes(b"weights")
    made = command("transformers", model=str(source), config=config, window=9, factor=2.0, local=True)
    for _ in range(2):  # a second time it is there already
        subprocess.run([sys.executable, *made.prepare[0][1:]], check=True, cwd=folder)
    assert json.loads((source / "config.json").read_text()) == config, "the model itself was changed"
    copy = folder / "a model's folder-yarn2"
    return json.loads((copy / "config.json").read_text()), copy


def test_the_copy_for_transformers_has_the_weights_and_rope_parameters_of_its_own(tmp_path):
    config, copy = _copied(QWEN, tmp_path)
    assert config["text_config"]["rope_parameters"] == rope(2.0)
    assert config["text_config"]["max_position_embeddings"] == 524_288
    assert config["vision_config"] == QWEN["vision_config"]
    assert (copy / "model.safetensors").read_bytes() == b"weights"
    assert (copy / "model.safetensors").is_symlink()


def test_no_old_rope_scaling_wins_over_the_copys_parameters(tmp_path):
    config, _ = _copied({**LLAMA, "rope_scaling": {"type": "default"}}, tmp_path)
    assert "rope_scaling" not in config
    assert config["rope_parameters"]["rope_theta"] == 100000.0


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A plan without a corpus, of a model whose folder has a space in its name."""
    import longctx as lc

    folder = tmp_path / "my models" / "Qwen3.5-4B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(QWEN))
    monkeypatch.chdir(tmp_path)
    return lambda **asked: lc.plan(model="my models/Qwen3.5-4B", device="cuda", memory="80GB", **asked)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_plan_is_served_elsewhere_with_its_own_window_factor_bits_and_folder(plan, engine, bits, tmp_path):
    text = plan(window=1_000_000, bits=bits, dtype="float16").command(engine, tensor_parallel=4)
    expected = command(
        engine,
        model=str(tmp_path / "my models" / "Qwen3.5-4B"),
        config=QWEN,
        window=1_000_000,
        factor=4.0,
        tensor_parallel=4,
        dtype="float16",
        bits=bits,
        local=True,
    )
    assert text == expected.text
    assert shlex.split(text, comments=True) == list(expected.argv)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_plan_that_needs_no_factor_overrides_nothing(plan, engine):
    made = plan(window=100_000)
    text = made.command(engine)
    assert "yarn" not in text
    assert "rope" not in text
    assert ("100000" in text) == (engine != "transformers")
    with pytest.raises(UsageError, match="tensor_parallel=0"):
        made.command(engine, tensor_parallel=0)
