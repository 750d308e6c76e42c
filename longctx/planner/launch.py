"""Launch lines: how another engine serves what was planned, on a larger machine.

Names and numbers in, a line out: starts nothing, reads no file, asks no engine. Every flag that a line may have stands in
:mod:`longctx.planner.servers`. Lines are quoted for POSIX shells (sh, bash, zsh); on Windows, use them in WSL or Git Bash.

How YaRN reaches each engine: vLLM and SGLang lay overrides over the loaded config, so that the decoder's rope parameters go
where the decoder is (``text_config`` of a model that sees), complete. With YaRN both take ``max_position_embeddings`` for the
window after scaling, so it is given too (vLLM 0.32.0, ``vllm/config/model.py``, ``_get_and_verify_max_len``; SGLang 0.5.23,
``srt/utils/hf_transformers/common.py``, ``get_context_length``). llama.cpp takes the scaling alone and multiplies the window
itself (b11434, ``src/llama-context.cpp``, ``llama_init_from_model``). transformers serve (5.23.0) takes nothing of the kind: a
copy of the model gets a config.json of its own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from longctx.errors import UsageError
from longctx.planner import yarn
from longctx.planner.geometry import Geometry
from longctx.planner.servers import CHECKPOINTS, DTYPES, GGUF_TYPES, GGUFS, HUB_IDS, KV_DTYPES, ON_LOAD

_ADDRESS = ("--host", "127.0.0.1", "--port", "8000")
#: Makes a folder with links to the files of a model and a config.json of its own; the model itself stays as it is. Parts of
#: config.json in the old style would win over the new rope parameters (transformers 5.23, ``convert_rope_params_to_dict``).
_LINKED_COPY = (
    "import json, os, sys; from pathlib import Path; name, out, new = sys.argv[1:]; out = Path(out); "
    'source = Path(name if os.path.isdir(name) else __import__("huggingface_hub").snapshot_download(name)); '
    "out.mkdir(parents=True, exist_ok=True); "
    "[os.path.lexists(out / f.name) or (out / f.name).symlink_to(f.resolve())"
    ' for f in source.iterdir() if f.name != "config.json"]; '
    'config = json.loads((source / "config.json").read_text(encoding="utf-8")); '
    'text = config.get("text_config") or config; text.pop("rope_scaling", None); text.update(json.loads(new)); '
    '(out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")'
)


@dataclass(frozen=True, slots=True)
class Launch:
    """How an engine is started.

    Args:
        engine: which.
        argv: the program and its arguments.
        prepare: what is run before it, in this order.
        notes: what the engine cannot do, and what else the user should know. They hold nothing that a user gave.
    """

    engine: str
    argv: tuple[str, ...]
    prepare: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line for a POSIX shell."""
        return " && ".join(shlex.join(argv) for argv in (*self.prepare, self.argv))

    @property
    def text(self) -> str:
        """The notes as comments, then the line: it can be pasted, or saved as a script."""
        return "\n".join((*(f"# {note}" for note in self.notes), self.line))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be served, checked."""

    engine: str
    model: str
    local: bool
    config: Mapping[str, Any]
    geometry: Geometry
    window: int
    factor: float
    tensor_parallel: int
    dtype: str
    kv_dtype: str
    bits: int
    checkpoint: str | None

    @property
    def sees(self) -> bool:
        return isinstance(self.config.get("vision_config"), Mapping)

    @property
    def weights_kept(self) -> bool:
        """Whether the weights are taken as they lie there: in 16 bits, or quantised already."""
        return self.bits == 16 or self.checkpoint is not None or bool(self.config.get("quantization_config"))

    @property
    def paged(self) -> bool:
        """Whether transformers pages its K/V: of decoders that read text only and have no recurrent state.

        5.23.0: ``cli/serving/utils.py``, ``use_continuous_batching``; ``generation/continuous_batching/cache.py``,
        ``ATTN_TYPE_TO_ALLOCATOR``.
        """
        return not self.sees and self.geometry.recurrence is None

    @property
    def stem(self) -> str:
        """The model's own name, without owner or folders: for files that are made of it."""
        return self.model.replace("\\", "/").rstrip("/").rpartition("/")[2].lstrip("-") or "model"

    @property
    def rope(self) -> dict[str, Any]:
        """What the decoder's part of config.json has to say for YaRN; empty where no factor is needed."""
        merged = yarn.parameters(self.config, self.factor)
        if merged is None:
            return {}
        return {"rope_parameters": merged, "max_position_embeddings": int(self.geometry.rope.original * self.factor)}

    @property
    def overrides(self) -> str:
        """The same as JSON over the whole config; ``""`` where no factor is needed."""
        rope = self.rope
        nested = isinstance(self.config.get("text_config"), Mapping)
        return json.dumps({"text_config": rope} if nested else rope) if rope else ""


def command(
    engine: str,
    *,
    model: str,
    config: Mapping[str, Any],
    window: int,
    factor: float = 1.0,
    tensor_parallel: int = 1,
    dtype: str = "bfloat16",
    kv_dtype: str = "auto",
    bits: int = 16,
    checkpoint: str | None = None,
    local: bool = False,
    geometry: Geometry | None = None,
) -> Launch:
    """How an engine serves a model with this window.

    Args:
        engine: ``"vllm"``, ``"sglang"``, ``"llama.cpp"`` or ``"transformers"``.
        model: a hub id, a folder or, for llama.cpp, a GGUF file.
        config: its config.json.
        window: tokens that prompt and answer may fill.
        factor: of YaRN; 1 for none.
        tensor_parallel: GPUs that share every layer.
        dtype: of what is not quantised.
        kv_dtype: ``"auto"`` (as ``dtype``), ``"fp8"``, ``"int8"`` or ``"int4"``.
        bits: per weight: 4, 8 or 16.
        checkpoint: the quantised weights to take instead; None takes those that are known, or quantises while loading.
        local: whether the model is a folder.
        geometry: of the model, where it is known better than by its config.

    Raises:
        UsageError: a value is out of range, or the engine cannot serve it.
        PlanError: the config cannot be read, or its positions are scaled already.

    >>> tiny = dict(model_type="llama", hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    ...             num_key_value_heads=2, vocab_size=256, max_position_embeddings=8192, rope_theta=1e5)
    >>> launch = command("llama.cpp", model="tiny.gguf", config=tiny, window=16_384, factor=2.0)
    >>> launch.argv[3:13]
    ('--ctx-size', '16384', '--parallel', '1', '--rope-scaling', 'yarn', '--rope-scale', '2', '--yarn-orig-ctx', '8192')
    """
    _require(engine=(engine, ENGINES), dtype=(dtype, tuple(DTYPES)), bits=(bits, tuple(GGUF_TYPES)))
    kv_dtype = "auto" if kv_dtype in (dtype, DTYPES[dtype]) else kv_dtype
    _require(kv_dtype=(kv_dtype, tuple(KV_DTYPES["vllm"])))
    model = HUB_IDS.get(model, model)
    _require_name(engine, "model", model)
    if checkpoint is not None:
        _require_name(engine, "checkpoint", checkpoint)
    geometry = geometry or Geometry.from_config(config, name=model)
    if geometry.basis == "counted" and engine != "llama.cpp":
        raise _gguf_for("model", model, engine)
    _require_window(geometry, window, factor)
    _require_parallel(engine, geometry, tensor_parallel)
    weights = (dtype, kv_dtype, bits, checkpoint)
    wish = _Wish(engine, model, local, config, geometry, window, factor, tensor_parallel, *weights)
    launch = _ENGINES[engine](wish)
    return replace(launch, notes=(*launch.notes, *_everywhere(wish)))


def _vllm(wish: _Wish) -> Launch:
    weights, quantization, notes = _weights(wish)
    overrides = ("--hf-overrides", wish.overrides) if wish.overrides else ()
    argv = (
        *("vllm", "serve", weights, "--dtype", wish.dtype, "--max-model-len", str(wish.window), *overrides),
        *("--tensor-parallel-size", str(wish.tensor_parallel), "--kv-cache-dtype", KV_DTYPES["vllm"][wish.kv_dtype]),
        *(*quantization, "--enable-prefix-caching", "--enable-prompt-tokens-details", *_ADDRESS),
    )
    return Launch(wish.engine, argv, notes=notes)


def _sglang(wish: _Wish) -> Launch:
    weights, quantization, notes = _weights(wish)
    overrides = ("--json-model-override-args", wish.overrides) if wish.overrides else ()
    argv = (
        *("sglang", "serve", "--model-path", weights, "--dtype", wish.dtype, "--context-length", str(wish.window), *overrides),
        *("--tp-size", str(wish.tensor_parallel), "--kv-cache-dtype", KV_DTYPES["sglang"][wish.kv_dtype]),
        *(*quantization, "--enable-cache-report", *_ADDRESS),
    )
    if wish.kv_dtype in ("int8", "int4"):
        notes += (f"SGLang has no {wish.kv_dtype} K/V: fp8 is taken, one byte per number",)
    return Launch(wish.engine, argv, notes=notes)


def _weights(wish: _Wish) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Weights that vLLM and SGLang are given, the flags that quantise them, and what there is to say of it."""
    known = wish.checkpoint or (None if wish.local else CHECKPOINTS.get((wish.model, wish.bits)))
    if known is not None:
        foreign = wish.checkpoint is None and known.partition("/")[0] != wish.model.partition("/")[0]
        said = "the checkpoint is quantised by a third party, not by the publisher of the model"
        return known, (), (said,) if foreign else ()
    if wish.weights_kept:
        return wish.model, (), ()
    lacking = "no 4-bit checkpoint of this model is known: its weights become 8-bit floats while they load, twice the size"
    return wish.model, ("--quantization", ON_LOAD[wish.engine]), (lacking,) if wish.bits == 4 else ()


def _llama_cpp(wish: _Wish) -> Launch:
    source, prepare, notes = _gguf(wish)
    kv = KV_DTYPES["llama.cpp"][DTYPES[wish.dtype] if wish.kv_dtype == "auto" else wish.kv_dtype]
    scaling: tuple[str, ...] = ()
    if wish.rope:
        original = str(wish.geometry.rope.original)
        scaling = ("--rope-scaling", "yarn", "--rope-scale", f"{wish.factor:g}", "--yarn-orig-ctx", original)
        notes += ("llama.cpp takes theta, rotated part and M-RoPE sections from the GGUF: flags set the scaling only",)
    split, said = _gpus(wish, kv)
    argv = (
        *("llama-server", *source, "--ctx-size", str(wish.window), "--parallel", "1", *scaling),
        *("--cache-type-k", kv, "--cache-type-v", kv, *split, *_ADDRESS),
    )
    return Launch(wish.engine, argv, prepare, (*notes, *said))


def _gguf(wish: _Wish) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Where llama.cpp finds the weights, how they are made where there are none, and what there is to say of it."""
    kind = GGUF_TYPES[wish.bits]
    name = wish.checkpoint or wish.model
    if name.endswith(".gguf") or wish.geometry.basis == "counted":
        return ("--model", name), (), ()
    if wish.checkpoint is not None:
        return ("--hf-repo", name), (), ()
    if wish.model in GGUFS and not wish.local:
        return ("--hf-repo", f"{GGUFS[wish.model]}:{kind}"), (), ("the GGUF is published by Unsloth, not by Qwen",)
    dense, made = f"{wish.stem}-BF16.gguf", f"{wish.stem}-{kind}.gguf"
    direct, outtype = (dense, "bf16") if wish.bits != 8 else (made, "q8_0")
    remote = () if wish.local else ("--remote",)
    convert = ("python3", "convert_hf_to_gguf.py", wish.model, "--outfile", direct, "--outtype", outtype, *remote)
    quantize = (("llama-quantize", dense, made, kind),) if wish.bits == 4 else ()
    once = "llama.cpp reads GGUF only: convert in a checkout of llama.cpp, once"
    projector = "pictures need the projector too: convert once more with --mmproj, and give the file as --mmproj"
    return ("--model", made), (convert, *quantize), (once, projector) if wish.sees else (once,)


def _gpus(wish: _Wish, kv: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How llama.cpp shares a model among GPUs. docs/multi-gpu.md of b11434: "tensor" is experimental and wants plain K/V."""
    if wish.tensor_parallel == 1:
        return (), ()
    shares = ("--tensor-split", ",".join(["1"] * wish.tensor_parallel))
    if kv in DTYPES.values():
        return ("--split-mode", "tensor", *shares), ("llama.cpp calls this split experimental, and layer the safe one",)
    said = "llama.cpp has no tensor parallelism with quantised K/V: the GPUs take layers in turn"
    return ("--split-mode", "layer", *shares), (said,)


def _transformers(wish: _Wish) -> Launch:
    folder = wish.checkpoint or wish.model
    prepare: tuple[tuple[str, ...], ...] = ()
    if wish.rope:
        source, folder = folder, f"{wish.stem}-yarn{wish.factor:g}"
        prepare = (("python3", "-c", _LINKED_COPY, source, folder, json.dumps(wish.rope)),)
    quantization = () if wish.weights_kept else ("--quantization", f"bnb-{wish.bits}bit")
    batching = ("--continuous-batching",) if wish.paged else ()
    argv = ("transformers", "serve", folder, "--dtype", wish.dtype, "--device", "auto", *quantization, *batching, *_ADDRESS)
    return Launch(wish.engine, argv, prepare, tuple(_transformers_lacks(wish)))


def _transformers_lacks(wish: _Wish) -> Iterator[str]:
    yield "transformers serve has no flag for the window: memory ends it"
    if wish.rope:
        yield "transformers serve has no flag for YaRN: the first command makes a copy with a config.json of its own"
    if wish.kv_dtype != "auto":
        yield "transformers serve has no flag for the dtype of K/V: it is that of the model"
    if wish.bits < 16 and wish.geometry.experts_kept:
        yield "bitsandbytes leaves the experts of this model in 16 bits"
    if not wish.paged:
        yield "transformers serve reuses no prefix of such a model: every question reads the corpus again"


def _everywhere(wish: _Wish) -> Iterator[str]:
    if wish.local:
        yield "the model is a folder: it has to lie at the same place on that machine"
    yield "the server listens on that machine only: reach it through ssh -N -L 8000:127.0.0.1:8000 and the name of that machine"


_ENGINES: Mapping[str, Callable[[_Wish], Launch]] = MappingProxyType(
    {"vllm": _vllm, "sglang": _sglang, "llama.cpp": _llama_cpp, "transformers": _transformers}
)
ENGINES: tuple[str, ...] = tuple(_ENGINES)


def _require(**choices: tuple[Any, tuple[Any, ...]]) -> None:
    for field, (value, known) in choices.items():
        if type(value) is not type(known[0]) or value not in known:
            raise UsageError(f"{field}={value!r} is none that longctx knows", hint=f"give one of {', '.join(map(str, known))}")


def _require_name(engine: str, field: str, value: str) -> None:
    if not value.strip() or value.startswith("-") or "\0" in value:
        raise UsageError(f"{field}={value!r} names no model", hint="give a hub id or a path; ./ before a leading dash")
    if value.endswith(".gguf") and engine != "llama.cpp":
        raise _gguf_for(field, value, engine)


def _gguf_for(field: str, value: str, engine: str) -> UsageError:
    return UsageError(f"{field}={value!r} is a GGUF file; {engine} is given safetensors here", hint="take llama.cpp")


def _require_window(geometry: Geometry, window: int, factor: float) -> None:
    if isinstance(factor, bool) or not 1 <= factor <= yarn.STEPS[-1]:
        raise UsageError(
            f"factor={factor!r} is no factor of YaRN", hint=f"give one of {', '.join(f'{s:g}' for s in yarn.STEPS)}"
        )
    most = geometry.native_window if factor == 1 else int(geometry.rope.original * factor)
    if isinstance(window, bool) or not isinstance(window, int) or not 0 < window <= most:
        raise UsageError(f"window={window!r} is not between 1 and {most}", hint=f"factor {factor:g} reaches {most:,} tokens")


def _require_parallel(engine: str, geometry: Geometry, count: int) -> None:
    """Refuse a number of GPUs that the engine would refuse, or ignore."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"tensor_parallel={count!r} is no number of GPUs", hint="give 1 or more")
    if engine == "transformers" and count > 1:
        raise UsageError(
            f"tensor_parallel={count}: transformers serve has no tensor parallelism",
            hint="give 1, which spreads the layers over all GPUs, or take vllm or sglang",
        )
    if engine in ("vllm", "sglang") and (undivided := _undivided(geometry, count)):
        fitting = [str(n) for n in range(1, geometry.heads + 1) if not _undivided(geometry, n)]
        raise UsageError(f"tensor_parallel={count} does not divide {undivided}", hint=f"give one of {', '.join(fitting)}")


def _undivided(geometry: Geometry, count: int) -> str:
    """The first size that so many GPUs cannot share evenly, or nothing. K/V heads may be fewer than GPUs: they are copied."""
    sizes = {"num_attention_heads": geometry.heads}
    if geometry.recurrence is not None:
        sizes["linear_num_key_heads"] = geometry.recurrence.key_heads
        sizes["linear_num_value_heads"] = geometry.recurrence.value_heads
    if geometry.sight is not None:
        sizes["vision_config.num_heads"] = geometry.sight.heads
    for field, size in sizes.items():
        if size % count:
            return f"{field}={size}"
    shared = geometry.kv_heads % count == 0 or count % geometry.kv_heads == 0
    return "" if shared else f"num_key_value_heads={geometry.kv_heads}"
