"""Servers: what other engines call what a plan needs: flags, dtypes of K/V, and quantised checkpoints that they read.

A table. Every flag names the parser that defines it, by file and commit, and was found again in the release that ``RELEASES``
names. Knows no line; :mod:`longctx.planner.launch` puts lines together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Of each engine, the release in which every flag below was found. Commits are those at which the files were read.
RELEASES: Mapping[str, str] = MappingProxyType(
    {"vllm": "0.32.0", "sglang": "0.5.23", "llama.cpp": "b11434", "transformers": "5.23.0"}
)
REPOSITORIES: Mapping[str, str] = MappingProxyType(
    {
        "vllm": "vllm-project/vllm",
        "sglang": "sgl-project/sglang",
        "llama.cpp": "ggml-org/llama.cpp",
        "transformers": "huggingface/transformers",
    }
)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that a launch line may have.

    Args:
        engine: whose.
        name: as it is written; without dashes where it is an argument by position.
        purpose: what it is for.
        file: of the engine's repository, in which it is defined.
        commit: at which that file was read.
    """

    engine: str
    name: str
    purpose: str
    file: str
    commit: str


def _flags(engine: str, file: str, commit: str, purposes: Mapping[str, str]) -> Iterator[Flag]:
    return (Flag(engine, name, purpose, file, commit) for name, purpose in purposes.items())


_SERVER = {"--host": "address to listen on", "--port": "port to listen on"}
FLAGS: tuple[Flag, ...] = (
    *_flags(
        "vllm",
        "vllm/engine/arg_utils.py",
        "09155aece6a767b6a816e03a503b08b92cc4bc8e",
        {
            "--dtype": "dtype of what is not quantised",
            "--max-model-len": "window",
            "--hf-overrides": "rope parameters and scaled window, over config.json",
            "--tensor-parallel-size": "GPUs that share every layer",
            "--kv-cache-dtype": "dtype of K/V",
            "--quantization": "quantise the weights while they load",
            "--enable-prefix-caching": "read a corpus once",
        },
    ),
    *_flags(
        "vllm",
        "vllm/entrypoints/launchers/cli_args.py",
        "003befe5e8e6747be941f1dffa2ac7307a107de0",
        {"model_tag": "model", "--enable-prompt-tokens-details": "say how many tokens were reused", **_SERVER},
    ),
    *_flags(
        "sglang",
        "python/sglang/srt/arg_groups/fields/model.py",
        "0116c6066d6ead4b97c0468f65e04cad47ca021e",
        {
            "--model-path": "model",
            "--dtype": "dtype of what is not quantised",
            "--context-length": "window",
            "--json-model-override-args": "rope parameters and scaled window, over config.json",
            "--kv-cache-dtype": "dtype of K/V",
            "--quantization": "quantise the weights while they load",
        },
    ),
    *_flags(
        "sglang",
        "python/sglang/srt/arg_groups/fields/parallel.py",
        "00ac7105db02776e90962fc6bb311d20dffe87ae",
        {"--tp-size": "GPUs that share every layer"},
    ),
    *_flags(
        "sglang",
        "python/sglang/srt/arg_groups/fields/serving.py",
        "07fca69414c7ded82f444d9af9ea9598777fac71",
        {"--enable-cache-report": "say how many tokens were reused", **_SERVER},
    ),
    *_flags(
        "llama.cpp",
        "common/arg.cpp",
        "145b6280d6aa1890e22457143dad0badb3fd6820",
        {
            "--model": "GGUF file",
            "--hf-repo": "GGUF repository of the hub, and which quantisation",
            "--ctx-size": "window",
            "--parallel": "conversations that share the window",
            "--rope-scaling": "kind of scaling",
            "--rope-scale": "factor",
            "--yarn-orig-ctx": "window that the factor counts from",
            "--cache-type-k": "dtype of K",
            "--cache-type-v": "dtype of V",
            "--split-mode": "how GPUs share the model",
            "--tensor-split": "share of each GPU",
            **_SERVER,
        },
    ),
    *_flags(
        "llama.cpp",
        "convert_hf_to_gguf.py",
        "0024aa7417efd50a7c2a79e049dfbbbceb0beaaf",
        {"--outfile": "GGUF file to write", "--outtype": "dtype of its weights", "--remote": "read the model from the hub"},
    ),
    *_flags(
        "transformers",
        "src/transformers/cli/serve.py",
        "d6f7dc09ab774d012d10b43d0b0fb72d524a3787",
        {
            "force_model": "model",
            "--dtype": "dtype of what is not quantised, and of K/V",
            "--device": "where; auto spreads layers over GPUs",
            "--quantization": "quantise the weights while they load",
            "--continuous-batching": "paged K/V, which reads a corpus once",
            **_SERVER,
        },
    ),
)

#: (model, bits) -> a quantised checkpoint that vLLM and SGLang read by its own config.json. The AWQ ones are a third party's.
#: These names and those of GGUFs are as other public projects use them: the hub itself could not be asked.
CHECKPOINTS: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("Qwen/Qwen3.5-4B", 4): "cyankiwi/Qwen3.5-4B-AWQ-4bit",
        ("Qwen/Qwen3.5-9B", 4): "cyankiwi/Qwen3.5-9B-AWQ-4bit",
        ("Qwen/Qwen3.5-35B-A3B", 4): "Qwen/Qwen3.5-35B-A3B-GPTQ-Int4",
        ("Qwen/Qwen3.5-35B-A3B", 8): "Qwen/Qwen3.5-35B-A3B-FP8",
    }
)
#: Models whose GGUF files lie on the hub, published by Unsloth, and in which quantisation each number of bits is taken.
GGUFS: Mapping[str, str] = MappingProxyType(
    {f"Qwen/Qwen3.5-{size}": f"unsloth/Qwen3.5-{size}-GGUF" for size in ("0.8B", "2B", "4B", "9B", "35B-A3B")}
)
GGUF_TYPES: Mapping[int, str] = MappingProxyType({4: "Q4_K_M", 8: "Q8_0", 16: "BF16"})
#: Names that are no hub ids, and whose model they are.
HUB_IDS: Mapping[str, str] = MappingProxyType({"SmolLM2-135M-Instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"})
#: What quantises weights to 8 bits while they load. To 4 there is nothing that every GPU runs: vLLM 0.32.0 has bitsandbytes no
#: longer, and SGLang's asks for a mapping of modules that its Qwen3.5 does not have.
ON_LOAD: Mapping[str, str] = MappingProxyType({"vllm": "fp8_per_channel", "sglang": "fp8"})
DTYPES: Mapping[str, str] = MappingProxyType({"bfloat16": "bf16", "float16": "f16", "float32": "f32"})
#: What each engine calls a dtype of K/V; ``"auto"`` is that of the model.
KV_DTYPES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "vllm": {"auto": "auto", "fp8": "fp8", "int8": "int8_per_token_head", "int4": "int4_per_token_head"},
        "sglang": {"auto": "auto", "fp8": "fp8_e4m3", "int8": "fp8_e4m3", "int4": "fp8_e4m3"},
        "llama.cpp": {**{name: name for name in DTYPES.values()}, "fp8": "q8_0", "int8": "q8_0", "int4": "q4_0"},
    }
)
